"""Tasks in threads: all of them or none, and nobody is waited for in vain."""

import threading
import time
from functools import partial

import pytest

from layerscan.parallel import cores, in_parallel


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("worker-")]


def test_results_are_in_the_order_of_the_tasks() -> None:
    begun: list[int] = []

    def task(number: int, _: threading.Event) -> int:
        begun.append(number)
        time.sleep(0.002 * (10 - number))
        return number

    tasks = [partial(task, number) for number in range(10)]
    assert in_parallel(tasks, workers=3) == list(range(10))
    assert begun == sorted(begun)
    assert not threads()


def test_nothing_to_do_starts_no_thread() -> None:
    assert in_parallel([], workers=3) == []


def test_one_at_a_time_is_the_calling_thread_unless_it_has_to_tick() -> None:
    def runs_in(_: threading.Event) -> str:
        return threading.current_thread().name

    here = threading.current_thread().name
    assert in_parallel([runs_in] * 2, workers=1) == [here] * 2
    assert in_parallel([runs_in] * 2, workers=1, on_tick=lambda: None) == ["worker-0"] * 2
    assert here not in in_parallel([runs_in] * 2, workers=2)


def test_so_many_run_at_a_time() -> None:
    barrier = threading.Barrier(3, timeout=10)
    running: list[int] = []
    lock = threading.Lock()

    def task(_: threading.Event) -> int:
        with lock:
            running.append(1)
            most = len(running)
        barrier.wait()
        with lock:
            running.pop()
        return most

    assert max(in_parallel([task] * 6, workers=3)) == 3


def test_the_first_failure_ends_the_rest() -> None:
    begun: list[str] = []

    def good(cancel: threading.Event) -> None:
        begun.append("good")
        assert cancel.wait(10), "it was not told to stop"

    def bad(_: threading.Event) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        in_parallel([good, bad, good, good], workers=2)
    assert begun == ["good"]
    assert not threads()


@pytest.mark.slow
def test_who_does_not_stop_is_not_waited_for() -> None:
    end = threading.Event()

    def stubborn(_: threading.Event) -> None:
        end.wait(30)

    def bad(_: threading.Event) -> None:
        raise ValueError

    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"^$"):
        in_parallel([stubborn, bad], workers=2)
    assert time.monotonic() - begun < 20
    assert [one.daemon for one in threads()] == [True]
    end.set()
    for one in threads():
        one.join(10)


def test_what_the_tick_raises_ends_the_run() -> None:
    stopped = threading.Event()

    def task(cancel: threading.Event) -> None:
        cancel.wait(10)
        stopped.set()

    def tick() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_parallel([task], workers=1, on_tick=tick)
    assert stopped.is_set()
    assert not threads()


def test_cores_are_those_that_may_be_used() -> None:
    assert 1 <= cores() <= 4096


def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    begun: list[str] = []

    def limited(thread: threading.Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_parallel([lambda cancel: cancel.wait(10)] * 3, workers=3)
    assert begun == ["worker-0"]
    assert not threads()
