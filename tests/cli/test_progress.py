"""The line of progress: what it says, how often, and that it fits on the terminal."""

import os
import pty
import re
import termios
from collections.abc import Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import TextIO

import pytest

from layerscan.cli import progress
from layerscan.cli.progress import PredictProgress, PublishProgress, ScanProgress
from layerscan.prediction.layers import ReadProgress
from layerscan.publishing.publish import AppsProgress
from layerscan.walking.walker import Progress

ERASE = "\r\x1b[K"
BAR = r"\[(=*)( *)\]"


@dataclass
class Terminal:
    """The terminal that is stderr, and a clock."""

    end: int
    stderr: TextIO
    now: float = 0.0

    def resize(self, columns: int) -> None:
        termios.tcsetwinsize(self.end, (24, columns))

    def shows(self) -> redirect_stderr[TextIO]:
        return redirect_stderr(self.stderr)

    def lines(self) -> list[str]:
        """What was written since the last call, each time the line anew."""
        os.set_blocking(self.end, False)
        written = b""
        try:
            while part := os.read(self.end, 65536):
                written += part
        except OSError:
            # There is no more, or nobody at the other end.
            pass
        first, *lines = written.decode().split(ERASE)
        assert first == ""
        return lines


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stderr, open(ours, "rb", buffering=0) as end:
        made = Terminal(end.fileno(), stderr)
        made.resize(80)
        monkeypatch.setattr(progress, "monotonic", lambda: made.now)
        yield made


def test_a_scan_tells_layers_and_files(terminal: Terminal) -> None:
    with terminal.shows(), ScanProgress(shown=True) as shown:
        shown.update(Progress(entries=10, trees_done=0), 4)
        terminal.now = 0.5
        shown.update(Progress(entries=6000, trees_done=1), 4)
        # Too early for another one.
        terminal.now = 0.55
        shown.update(Progress(entries=7000, trees_done=2), 4)
    first, second, last = terminal.lines()
    assert re.fullmatch(rf"layers  {BAR}  0/4", first)
    assert re.fullmatch(rf"layers  {BAR}  1/4  12,000 files/s", second)
    assert last == ""
    full, left = (len(part) for part in re.findall(BAR, second)[0])
    assert (full, left) == (6, 18)


def test_a_prediction_tells_bytes_their_rate_and_what_is_left(terminal: Terminal) -> None:
    with terminal.shows(), PredictProgress(shown=True) as shown:
        shown.update(ReadProgress(done=5, total=5))
        assert terminal.lines() == []
        shown.update(ReadProgress(done=0, total=100 << 20))
        terminal.now = 2.0
        shown.update(ReadProgress(done=2 << 20, total=100 << 20))
    first, second, last = terminal.lines()
    assert re.fullmatch(rf"layers  {BAR}  0 B of 100.0 MiB", first)
    assert re.fullmatch(rf"layers  {BAR}  2.0 MiB of 100.0 MiB  1.0 MiB/s  1:38 left", second)
    assert last == ""


def test_publishing_is_shown_from_the_beginning(terminal: Terminal) -> None:
    with terminal.shows(), PublishProgress(shown=True) as shown:
        terminal.now = 1.0
        shown.update(AppsProgress(done=0, apps=2, sent=3 << 20))
        terminal.now = 2.0
        shown.update(AppsProgress(done=2, apps=2, sent=0))
    first, second, third, last = terminal.lines()
    assert re.fullmatch(rf"Apps  {BAR}", first)
    assert re.fullmatch(rf"Apps  {BAR}  0/2  3.0 MiB sent", second)
    assert re.fullmatch(r"Apps  \[=+\]  2/2", third)
    assert last == ""


NO_BAR, HALF_A_BAR, BAR_OF_ALL = (f"[{('=' * full).ljust(24)}]" for full in (0, 12, 24))


def test_a_bar_goes_from_nothing_to_all_and_is_written_ten_times_a_second(
    terminal: Terminal,
) -> None:
    with terminal.shows(), ScanProgress(shown=True) as shown:
        shown.update(Progress(entries=0, trees_done=0), 4)
        terminal.now = 0.0999
        shown.update(Progress(entries=100, trees_done=1), 4)
        terminal.now = 0.1
        shown.update(Progress(entries=200, trees_done=2), 4)
        terminal.now = 0.1999
        shown.update(Progress(entries=300, trees_done=3), 4)
        terminal.now = 0.25
        shown.update(Progress(entries=500, trees_done=4), 4)
    assert terminal.lines() == [
        f"layers  {NO_BAR}  0/4",
        f"layers  {HALF_A_BAR}  2/4  2,000 files/s",
        f"layers  {BAR_OF_ALL}  4/4  2,000 files/s",
        "",
    ]


def test_a_prediction_goes_to_its_end(terminal: Terminal) -> None:
    # A machine has been running for a while.
    begun = terminal.now = 1000.0
    with terminal.shows(), PredictProgress(shown=True) as shown:
        shown.update(ReadProgress(done=0, total=6 << 20))
        terminal.now = begun + 0.2
        shown.update(ReadProgress(done=0, total=6 << 20))
        terminal.now = begun + 119
        shown.update(ReadProgress(done=3 << 20, total=6 << 20))
        terminal.now = begun + 238
        shown.update(ReadProgress(done=6 << 20, total=6 << 20))
    assert terminal.lines() == [
        f"layers  {NO_BAR}  0 B of 6.0 MiB",
        f"layers  {NO_BAR}  0 B of 6.0 MiB",
        f"layers  {HALF_A_BAR}  3.0 MiB of 6.0 MiB  25.8 KiB/s  1:59 left",
        f"layers  {BAR_OF_ALL}  6.0 MiB of 6.0 MiB  25.8 KiB/s  0:00 left",
        "",
    ]


def test_a_rate_is_told_after_a_tenth_of_a_second(terminal: Terminal) -> None:
    with terminal.shows(), PredictProgress(shown=True) as shown:
        shown.update(ReadProgress(done=0, total=2048))
        terminal.now = 0.1
        shown.update(ReadProgress(done=1024, total=2048))
    _, line, _ = terminal.lines()
    assert line == f"layers  {HALF_A_BAR}  1.0 KiB of 2.0 KiB  10.0 KiB/s  0:00 left"


def test_what_is_done_at_once_shows_nothing(terminal: Terminal) -> None:
    with terminal.shows(), ScanProgress(shown=True) as scanned:
        scanned.update(Progress(entries=10, trees_done=4), 4)
    with terminal.shows(), PredictProgress(shown=True) as read:
        read.update(ReadProgress(done=5, total=5))
    assert terminal.lines() == []


def test_publishing_begins_with_an_empty_bar(terminal: Terminal) -> None:
    with terminal.shows(), PublishProgress(shown=True) as shown:
        terminal.now = 1.0
        shown.update(AppsProgress(done=1, apps=2, sent=0))
    assert terminal.lines() == [f"Apps  {NO_BAR}", f"Apps  {HALF_A_BAR}  1/2", ""]


def test_a_terminal_that_does_not_know_its_width_has_80_columns(terminal: Terminal) -> None:
    terminal.resize(0)
    with terminal.shows(), ScanProgress(shown=True) as shown:
        shown.update(Progress(entries=0, trees_done=10**24), 10**25)
    first, _ = terminal.lines()
    assert len(first) == 79


def test_nothing_is_shown_where_nothing_is_to_be(terminal: Terminal) -> None:
    for progress_line in (PublishProgress(shown=False), ScanProgress(shown=True)):
        with terminal.shows(), progress_line:
            pass
    assert terminal.lines() == []


@pytest.mark.parametrize("columns", [1, 20, 40])
def test_a_line_that_is_too_long_is_cut(terminal: Terminal, columns: int) -> None:
    terminal.resize(columns)
    with terminal.shows(), ScanProgress(shown=True) as shown:
        shown.update(Progress(entries=10, trees_done=1000), 4000)
    first, _ = terminal.lines()
    # The last column is free: some terminals begin a new line behind it.
    assert len(first) == columns - 1
    assert "layers  [======                  ]  1000/4000".startswith(first)


def test_a_terminal_that_goes_away_ends_nothing(terminal: Terminal) -> None:
    with terminal.shows(), ScanProgress(shown=True) as shown:
        shown.update(Progress(entries=10, trees_done=1), 4)
        # As if it were closed: no such terminal, no width, nowhere to write to.
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, terminal.stderr.fileno())
        os.close(full)
        terminal.now = 1.0
        shown.update(Progress(entries=20, trees_done=2), 4)
    assert len(terminal.lines()) == 1
