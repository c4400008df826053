"""An iterator that is read ahead by a thread of its own."""

import threading
import time
from collections.abc import Generator, Iterator

import pytest

from layerscan.layerstream import _WAITING, Ahead


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [one for one in threading.enumerate() if one.name == "ahead"]


def ended(ahead: Ahead[int]) -> None:
    ahead.stop()
    ahead.thread.join(10)
    assert not ahead.thread.is_alive()


def test_gives_all_of_it_in_order() -> None:
    ahead = Ahead((number for number in range(1000)), "ahead")
    assert list(ahead) == list(range(1000))
    assert list(ahead) == []
    ended(ahead)


def test_is_so_many_items_ahead() -> None:
    made: list[int] = []

    def items() -> Generator[int, None, None]:
        for number in range(1000):
            made.append(number)
            yield number

    ahead = Ahead(items(), "ahead")
    deadline = time.monotonic() + 10
    while len(made) <= _WAITING and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) == _WAITING + 1
    assert next(ahead) == 0
    ended(ahead)
    assert len(made) <= _WAITING + 2


def test_an_error_comes_where_it_happened() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("no")

    ahead = Ahead(items(), "ahead")
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="no"):
        next(ahead)
    assert next(ahead, None) is None
    ended(ahead)


def test_what_it_reads_is_closed_in_its_own_thread() -> None:
    closed: list[str] = []

    def items() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    ahead = Ahead(items(), "ahead")
    next(ahead)
    ended(ahead)
    assert closed == ["ahead"]


def test_stop_frees_who_waits_for_an_item() -> None:
    come = threading.Event()

    def items() -> Generator[int, None, None]:
        come.wait(10)
        yield 1

    inner = Ahead(items(), "ahead")
    outer = Ahead((number for number in inner), "ahead")
    inner.stop()
    # Its own thread is still waiting; who reads from it is not.
    assert list(outer) == []
    ended(outer)
    come.set()
    ended(inner)
