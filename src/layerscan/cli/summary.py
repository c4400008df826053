"""What a run read and wrote, and how long that took: a line on stderr at its end."""

from time import monotonic

from layerscan.cli.output import complain, is_stdout, manner, write_message
from layerscan.cli.tables import human
from layerscan.text import printable


class RunSummary:
    """The time of a run by its phases, from when this is made."""

    def __init__(self) -> None:
        self._begun = self._since = monotonic()
        self._phase = "start"  # until a command says what it does
        self._seconds: dict[str, float] = {}

    def begin(self, phase: str) -> None:
        """From here on the time is that of `phase`, which may have some already."""
        now = monotonic()
        self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def tell_written(self, read: str, path: str, length: int) -> None:
        """Say what was `read`, and that `length` bytes were written to `path`.

        Nothing is said where the bytes themselves are in sight, on stdout.
        """
        if not is_stdout(path):
            self.tell(read, f"wrote {path} ({human(length)})")

    def tell(self, read: str, done: str) -> None:
        """Say what was `read`, and what was `done` with it."""
        if manner.quiet:
            return
        seconds = monotonic() - self._begun
        line = printable(f"read {read} in {seconds:.1f} s; {done}", longest=None)
        write_message(f"layerscan: {line}\n")

    def tell_times(self) -> None:
        """Say where the time went, as ``-v`` asks."""
        self.begin("end")
        parts = [f"{phase} {seconds:.3f} s" for phase, seconds in self._seconds.items()]
        whole = f"all {self._since - self._begun:.3f} s"
        complain("note", f"time: {', '.join([*parts, whole])}")
