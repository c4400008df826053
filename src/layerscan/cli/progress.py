"""The progress bar of a scan, on stderr."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from layerscan.walker import Progress


class ScanProgress:
    """A bar of layers done, with the files looked at per second.

    It appears with the first update: a scan that is over by then shows none.

    Args:
        shown: whether there is to be one at all.
    """

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._bar: Bar | None = None
        self._layers: TaskID | None = None

    def update(self, progress: "Progress", layers: int) -> None:
        """Show how far the walk of so many `layers` has come."""
        if self._bar is None and progress.trees_done == layers:
            return
        if self._bar is None or self._layers is None:
            self._bar, self._layers = _start()
        elapsed = self._bar.tasks[0].elapsed
        rate = f"{progress.entries / elapsed:,.0f} files/s" if elapsed else ""
        self._bar.update(self._layers, completed=progress.trees_done, total=layers, rate=rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _start() -> "tuple[Bar, TaskID]":
    # 50 ms, which a scan without a terminal need not spend.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("layers"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        console=Console(stderr=True),
        transient=True,
    )
    layers = bar.add_task("layers", total=None, rate="")
    bar.start()
    return bar, layers
