"""The progress bars of long commands, on stderr: so many of so many, and a detail."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, TaskID

    from layerscan.prediction.layers import ReadProgress
    from layerscan.publishing.publish import AppsProgress
    from layerscan.walking.walker import Progress


class _Bar:
    """A bar that appears when it is started, and is gone when it ends.

    Args:
        noun: what is counted.
        shown: whether there is to be one at all.
    """

    def __init__(self, noun: str, *, shown: bool) -> None:
        self.shown = shown
        self._noun = noun
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    @property
    def _is_started(self) -> bool:
        return self._bar is not None

    @property
    def _elapsed(self) -> float:
        """Seconds since it was started."""
        return self._bar.tasks[0].elapsed or 0.0 if self._bar is not None else 0.0

    def _start(self) -> None:
        # 50 ms, which a command without a terminal need not spend.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn(self._noun),
            BarColumn(),
            *self._columns(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._noun, total=None, detail="")
        self._bar.start()

    def _columns(self) -> "Sequence[ProgressColumn]":
        """What is beside the bar."""
        from rich.progress import MofNCompleteColumn, TextColumn

        return MofNCompleteColumn(), TextColumn("{task.fields[detail]}")

    def _show(self, done: int, total: int, detail: str = "") -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, detail=detail)

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


class ScanProgress(_Bar):
    """A bar of layers done, with the files looked at per second.

    It appears with the first update: a scan that is over by then shows none.
    """

    def __init__(self, *, shown: bool) -> None:
        super().__init__("layers", shown=shown)

    def update(self, progress: "Progress", layers: int) -> None:
        """Show how far the walk of so many `layers` has come."""
        if not self._is_started:
            if progress.trees_done == layers:
                return
            self._start()
        elapsed = self._elapsed
        rate = f"{progress.entries / elapsed:,.0f} files/s" if elapsed else ""
        self._show(progress.trees_done, layers, rate)


class PublishProgress(_Bar):
    """A bar of Apps done, with the bytes sent so far; it is there from the beginning."""

    def __init__(self, *, shown: bool) -> None:
        super().__init__("Apps", shown=shown)

    def update(self, progress: "AppsProgress") -> None:
        """Show how far the run has come."""
        sent = f"{progress.sent / 1e6:,.1f} MB sent" if progress.sent else ""
        self._show(progress.done, progress.apps, sent)

    def __enter__(self) -> Self:
        if self.shown:
            self._start()
        return self


class PredictProgress(_Bar):
    """A bar of the bytes of blobs, with their rate and the time that is left.

    It appears with the first update, and never if nothing is to be read.
    """

    def __init__(self, *, shown: bool) -> None:
        super().__init__("layers", shown=shown)

    def _columns(self) -> "Sequence[ProgressColumn]":
        from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

        return DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()

    def update(self, progress: "ReadProgress") -> None:
        """Show how far the reading has come."""
        if not self._is_started:
            if progress.done == progress.total:
                return
            self._start()
        self._show(progress.done, progress.total)
