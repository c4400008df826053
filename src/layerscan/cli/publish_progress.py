"""The progress bar of publishing, on stderr."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from layerscan.publish import Progress


class PublishProgress:
    """A bar of Apps done, with the bytes sent so far.

    Args:
        shown: whether there is to be one at all.
    """

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._bar: Bar | None = None
        self._apps: TaskID | None = None

    def update(self, progress: "Progress") -> None:
        """Show how far the run has come."""
        if self._bar is None or self._apps is None:
            return
        sent = f"{progress.sent / 1e6:,.1f} MB sent" if progress.sent else ""
        self._bar.update(self._apps, completed=progress.done, total=progress.apps, sent=sent)

    def __enter__(self) -> Self:
        if self.shown:
            self._bar, self._apps = _start()
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
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("Apps"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[sent]}"),
        console=Console(stderr=True),
        transient=True,
    )
    apps = bar.add_task("Apps", total=None, sent="")
    bar.start()
    return bar, apps
