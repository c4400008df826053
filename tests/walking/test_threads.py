"""Several walks at once, trees that change, and walks that are stopped."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import pytest

from layerscan import Usage, walk, walk_many
from layerscan.walking.walker import Progress
from tests.builders.tree import Dir, File, apply, many
from tests.builders.walk_case import open_descriptors
from tests.cli_runner import interruptible


def test_walks_in_several_threads_at_once(tmp_path: Path) -> None:
    apply(tmp_path, *many("a", 3000, size=10), *many("b/c", 2000, size=20))
    expected = walk(tmp_path)
    results: list[Usage] = []
    threads = [threading.Thread(target=lambda: results.append(walk(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def test_a_tree_that_changes_is_no_error(tmp_path: Path) -> None:
    stop = threading.Event()
    numbers = itertools.count()
    apply(tmp_path, *many("stays", 2000, size=1))

    def churn() -> None:
        while not stop.is_set():
            goes = tmp_path / f"goes{next(numbers)}"
            goes.mkdir()
            apply(goes, *(File(f"{number}/f", size=1) for number in range(50)))
            subprocess.run(["rm", "-rf", goes], check=True)

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(30):
            usage = walk(tmp_path)
            assert usage.errors == ()
            assert usage.files >= 2000
    finally:
        stop.set()
        churning.join()


INTERRUPTED = """
import sys, time
from layerscan import walk_many
print("walking", flush=True)
try:
    walk_many([sys.argv[1]] * 100_000)
except KeyboardInterrupt:
    print(time.monotonic())
    sys.exit(7)
"""


# ThreadSanitizer delivers signals late, and all else slowly.
timed = pytest.mark.skipif(
    os.environ.get("LAYERSCAN_SANITIZED") == "thread", reason="timing is not TSan's matter"
)


def seconds_to_interrupt(folder: Path) -> float:
    """How long a walk goes on after a Ctrl-C."""
    command = [sys.executable, "-c", INTERRUPTED, str(folder)]
    with (
        interruptible(),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as walking,
    ):
        assert walking.stdout is not None
        assert walking.stdout.readline() == "walking\n"
        time.sleep(0.5)
        sent = time.monotonic()
        walking.send_signal(signal.SIGINT)
        caught = float(walking.stdout.readline())
        assert walking.wait() == 7
    return caught - sent


@timed
@pytest.mark.alone
def test_ctrl_c_stops_the_walk_at_once(tmp_path: Path) -> None:
    apply(tmp_path, *many("flat", 5000))
    # The machine may be busy just then, but not most of the times.
    assert median(seconds_to_interrupt(tmp_path) for _ in range(5)) < 0.2


def threads_of_the_process() -> int:
    """Those that Python does not know of, too: a library may have some."""
    return len(os.listdir("/proc/self/task"))


@timed
@pytest.mark.alone
def test_a_callback_stops_a_long_walk_and_leaves_nothing_open(tmp_path: Path) -> None:
    apply(tmp_path, *many("flat", 5000), *(Dir(f"wide/{number}/x") for number in range(500)))
    before = open_descriptors(), threading.active_count(), threads_of_the_process()
    started = time.monotonic()

    class Enough(Exception):
        pass

    def enough(progress: Progress) -> None:
        assert progress.entries > 0
        raise Enough

    with pytest.raises(Enough):
        walk_many([tmp_path] * 100_000, on_progress=enough)
    assert time.monotonic() - started < 2
    assert (open_descriptors(), threading.active_count(), threads_of_the_process()) == before


def test_the_first_descriptor_is_given_back_as_well(tmp_path: Path) -> None:
    apply(tmp_path, *(Dir(f"{number}/x") for number in range(20)))
    script = (
        "import os, sys; from layerscan import walk; os.close(0); walk(sys.argv[1], threads=1);"
        "sys.exit(os.open(os.devnull, os.O_RDONLY))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert done.returncode == 0
