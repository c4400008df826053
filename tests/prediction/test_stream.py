"""A layer's stream, and the iterator that is read ahead by a thread of its own."""

import contextlib
import gzip
import threading
import time
from collections.abc import Generator, Iterator

import pytest

from layerscan.digest import sha256
from layerscan.errors import SourceError
from layerscan.prediction.stream import (
    _WAITING,
    Ahead,
    LayerContent,
    StoppedError,
    read_layer,
    read_table,
)
from layerscan.sources.model import Source, SourceImage, SourceLayer
from layerscan.sources.toc_model import TableFault, TableOfContents
from layerscan.tar.tarsplit import TarSplit
from tests.builders.tars import Entry, tar


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [one for one in threading.enumerate() if one.name in ("ahead", "decompress")]


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
    while len(made) <= _WAITING:
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
    waited: list[bool] = []

    def items() -> Generator[int, None, None]:
        waited.append(come.wait(10))
        yield 1

    inner = Ahead(items(), "ahead")
    outer = Ahead((number for number in inner), "ahead")
    inner.stop()
    # Its own thread is still waiting; who reads from it is not.
    assert list(outer) == []
    assert waited == []
    ended(outer)
    come.set()
    ended(inner)


def test_stop_frees_its_thread_that_waits_for_a_place() -> None:
    made: list[int] = []

    def items() -> Generator[int, None, None]:
        for number in range(1000):
            made.append(number)
            yield number

    ahead = Ahead(items(), "ahead")
    while len(made) <= _WAITING:
        time.sleep(0.001)
    ended(ahead)
    assert len(made) == _WAITING + 1


def test_is_ready_when_there_is_an_item() -> None:
    come = threading.Event()

    def items() -> Generator[int, None, None]:
        come.wait(10)
        yield 1

    ahead = Ahead(items(), "ahead")
    assert ahead.is_ready is False
    come.set()
    ahead.thread.join(10)
    assert ahead.is_ready is True
    ended(ahead)


class OneBlob(Source):
    """A source of a blob in pieces of `step` bytes, not verified."""

    name = "it"

    def __init__(self, blob: bytes, step: int) -> None:
        self._blob = blob
        self._step = step

    def images(self, _: object = None) -> tuple[SourceImage, ...]:
        return ()

    def layer(
        self, _: SourceLayer, _hashing: object = None
    ) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        pieces = range(0, len(self._blob), self._step)
        return contextlib.nullcontext(self._blob[at : at + self._step] for at in pieces)


def content_of(
    blob: bytes, diff_id: str, *, step: int, cancel: threading.Event | None = None
) -> LayerContent:
    return read_layer(
        OneBlob(blob, step),
        SourceLayer(sha256(blob), diff_id, len(blob)),
        tar_split=TarSplit.NONE,
        limit=1 << 20,
        on_bytes=lambda _: None,
        cancel=cancel or threading.Event(),
    )


@pytest.mark.parametrize("step", [1, 5, 6, 1 << 20])
def test_a_blob_that_should_be_the_tar_itself(step: int) -> None:
    plain = tar(Entry(b"a", content=b"1234"))
    assert content_of(plain, sha256(plain), step=step).tree.size == 4
    packed = gzip.compress(plain)
    assert content_of(packed, sha256(plain), step=step).tree.size == 4
    with pytest.raises(SourceError, match="its blob is packed, and the image's config says"):
        content_of(packed, sha256(packed), step=step)
    with pytest.raises(SourceError, match="its tar has the digest"):
        content_of(plain, sha256(packed), step=step)


def test_table_that_is_no_tar_is_a_fault_of_the_table() -> None:
    table = TableOfContents(is_exact=False, make=lambda: iter([b"x" * 512]))
    with pytest.raises(TableFault, match=r"."):
        read_table(table, tar_split=TarSplit.NONE, cancel=threading.Event())


def test_what_is_told_to_stop_ends() -> None:
    cancel = threading.Event()
    cancel.set()
    plain = tar(Entry(b"a"))
    with pytest.raises(StoppedError):
        content_of(plain, sha256(plain), step=512, cancel=cancel)
    table = TableOfContents(is_exact=True, make=lambda: iter([plain]))
    with pytest.raises(StoppedError):
        read_table(table, tar_split=TarSplit.NONE, cancel=cancel)
