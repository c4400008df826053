"""The progress of long commands: a line on the terminal that is stderr, written over and over."""

import os
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Self

from layerscan.cli.tables import human

if TYPE_CHECKING:
    from layerscan.prediction.layers import ReadProgress
    from layerscan.publishing.publish import AppsProgress
    from layerscan.walking.walker import Progress

_INTERVAL = 0.1  # seconds between two lines, at the least

_BAR = 24  # columns of the bar

_ERASE = "\r\x1b[K"  # takes away what is on the line


class _Line:
    """A line with a bar, if it is `shown` at all: there when it is started, gone when it ends."""

    noun = "layers"  # what is counted

    def __init__(self, *, shown: bool) -> None:
        self.shown = shown
        self._begun: float | None = None
        self._next = 0.0

    @property
    def _elapsed(self) -> float:
        """Seconds since it was started, which the first call does."""
        if self._begun is None:
            self._begun = monotonic()
        return monotonic() - self._begun

    def _show(self, part: float, *details: str) -> None:
        """Show that `part` of all is done, 1 being all of it."""
        now = self._elapsed
        if now < self._next:
            return
        self._next = now + _INTERVAL
        full = round(part * _BAR)
        bar = f"[{'=' * full}{' ' * (_BAR - full)}]"
        self._write("  ".join((self.noun, bar, *filter(None, details))))

    def _write(self, text: str) -> None:
        # A terminal that has gone away is no fault of the work.
        with suppress(OSError):
            # What is longer than a line could not be taken away again.
            columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            sys.stderr.write(_ERASE + text[: columns - 1])
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._begun is not None:
            self._write("")


class ScanProgress(_Line):
    """A bar of layers done, with the files looked at per second.

    It appears with the first update: a scan that is over by then shows none.
    """

    def update(self, progress: "Progress", layers: int) -> None:
        """Show how far the walk of so many `layers` has come."""
        if self._begun is None and progress.trees_done == layers:
            return
        elapsed = self._elapsed
        rate = f"{progress.entries / elapsed:,.0f} files/s" if elapsed >= _INTERVAL else ""
        self._show(progress.trees_done / layers, f"{progress.trees_done}/{layers}", rate)


class PublishProgress(_Line):
    """A bar of Apps done, with the bytes sent so far; it is there from the beginning."""

    noun = "Apps"

    def update(self, progress: "AppsProgress") -> None:
        """Show how far the run has come."""
        sent = f"{human(progress.sent)} sent" if progress.sent else ""
        self._show(progress.done / progress.apps, f"{progress.done}/{progress.apps}", sent)

    def __enter__(self) -> Self:
        if self.shown:
            self._show(0)
        return self


class PredictProgress(_Line):
    """A bar of the bytes of blobs, with their rate and the time that is left.

    It appears with the first update, and never if nothing is to be read.
    """

    def update(self, progress: "ReadProgress") -> None:
        """Show how far the reading has come."""
        if self._begun is None and progress.done == progress.total:
            return
        elapsed = self._elapsed
        details = [f"{human(progress.done)} of {human(progress.total)}"]
        if elapsed >= _INTERVAL and progress.done:
            rate = progress.done / elapsed
            left = round((progress.total - progress.done) / rate)
            details += (f"{human(round(rate))}/s", f"{left // 60}:{left % 60:02} left")
        self._show(progress.done / progress.total, *details)
