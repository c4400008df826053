"""One layer's stream: from the chunks of its blob to the tree that it makes.

Owns the pipeline: one thread fetches and decompresses a layer, while the one that
called scans it; and that the tar is the one that the image's config names. What
comes out of a blob is ``sources``' matter, what a tar means the scanner's. All that
waits between the two threads are some chunks.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from typing import Generic, NamedTuple, Self, TypeVar

from layerscan import digest as digests
from layerscan.errors import SourceError
from layerscan.parallel import join
from layerscan.prediction.shared_hash import SharedHash
from layerscan.sources.decompress import LONGEST_MAGIC, decompressed, is_packed
from layerscan.sources.model import Source, SourceLayer
from layerscan.sources.toc_model import Content, TableFault, TableOfContents
from layerscan.tar._tar import TarFault, TarScanner
from layerscan.tar.tarsplit import TarSplit, TarSplitLength
from layerscan.tar.tree import LayerTree

T = TypeVar("T")

# Chunks that wait for another thread, at the most: some MiB.
_WAITING = 16
# Bytes of a tar after which what restores it is taken from the scanner: it may be longer.
_DRAINED = 2 * 1024 * 1024


class LayerContent(NamedTuple):
    """What a layer's stream makes.

    Where a store keeps a file that restores the tar, `tar_split` is its length in bytes, and
    `repeated` the first path that the tar has twice, fit for a message.
    """

    tree: LayerTree
    tar_split: int = 0
    repeated: str = ""


class StoppedError(Exception):
    """The reading was told to stop."""


def read_layer(
    source: Source,
    layer: SourceLayer,
    *,
    tar_split: TarSplit,
    limit: int,
    on_bytes: Callable[[int], object],
    cancel: threading.Event,
) -> LayerContent:
    """Read a layer to its end; its blob and its tar are verified.

    `limit` is the most bytes that the tar may have. `on_bytes` is called, from some thread,
    with how many more bytes of the blob came. Raises LayerscanError where the layer cannot be
    had, is damaged, or is nothing that an engine can unpack; StoppedError if `cancel` was set.
    """
    _keep_freed_memory()
    hashing = SharedHash(layer.digest, _WAITING)
    tar = Ahead(_tar(source, layer, hashing, on_bytes, limit), "decompress")
    try:
        return _scanned(tar, layer, hashing, cancel, tar_split=tar_split)
    except TarFault as fault:
        raise SourceError(f"layer {layer.digest}: {fault}") from None
    finally:
        tar.stop()
        join((tar.thread,))


def _keep_freed_memory() -> None:
    """Let the C library keep what is freed of pieces that come and go.

    glibc learns from a large block that is freed how much of its heap not to give
    back (mallopt(3), M_MMAP_THRESHOLD). Otherwise most pieces would be of pages that
    the kernel has to clear first: some 8 % of the time. These zeros are never touched.
    """
    bytes(8 << 20)


def _tar(
    source: Source,
    layer: SourceLayer,
    hashing: SharedHash,
    on_bytes: Callable[[int], object],
    limit: int,
) -> Generator[bytes, None, None]:
    where = f"layer {layer.digest}"
    with source.layer(layer, hashing) as chunks:
        blob = _counted(chunks, on_bytes)
        plain = _plain(blob, where) if _is_plain(layer) else blob
        yield from decompressed(plain, limit=limit, where=where)


def _counted(chunks: Iterator[bytes], on_bytes: Callable[[int], object]) -> Iterator[bytes]:
    for chunk in chunks:
        on_bytes(len(chunk))
        yield chunk


def _is_plain(layer: SourceLayer) -> bool:
    """Whether the blob is said to be the tar itself, which need not be hashed again then."""
    return layer.digest == layer.diff_id


def _plain(blob: Iterator[bytes], where: str) -> Iterator[bytes]:
    """The blob, which must be no packed one: its tar would have another digest."""
    head = b""
    for chunk in blob:
        if len(head) < LONGEST_MAGIC:
            head += chunk[:LONGEST_MAGIC]
            if is_packed(head):
                raise SourceError(
                    f"{where}: its blob is packed, and the image's config says the blob's own "
                    "digest of the tar in it"
                )
        yield chunk


class _LayerScan:
    """A scanner, and beside it the length of the file that restores the tar."""

    def __init__(self, *, tar_split: TarSplit) -> None:
        self._length = None if tar_split is TarSplit.NONE else TarSplitLength(tar_split)
        self.scanner = TarScanner(tar_split=self._length is not None)
        self._fed = 0

    def feed(self, data: bytes) -> None:
        self.scanner.feed(data)
        self._fed += len(data)
        if self._fed >= _DRAINED and self._length is not None:
            self._length.add(self.scanner.take_tar_split())
            self._fed = 0

    def finish(self) -> LayerContent:
        tree = self.scanner.finish()
        if self._length is None:
            return LayerContent(tree)
        self._length.add(self.scanner.take_tar_split())
        return LayerContent(tree, self._length.end(), self.scanner.repeated)


def _scanned(
    tar: "Ahead[bytes]",
    layer: SourceLayer,
    of_blob: SharedHash,
    cancel: threading.Event,
    *,
    tar_split: TarSplit,
) -> LayerContent:
    digest = None if _is_plain(layer) else digests.hashing(layer.diff_id)
    scan = _LayerScan(tar_split=tar_split)
    for chunk in tar:
        if cancel.is_set():
            raise StoppedError
        if digest is not None:
            digest.update(chunk)
        scan.feed(chunk)
        # Which thread has time for the blob's digest depends on how it is packed.
        while not tar.is_ready and of_blob.catch_up():
            pass
    diff_id = layer.diff_id if digest is None else digests.computed(digest, layer.diff_id)
    if diff_id != layer.diff_id:
        raise SourceError(
            f"layer {layer.digest}: its tar has the digest {diff_id}, and the image's config says "
            f"{layer.diff_id}"
        )
    return scan.finish()


def read_table(
    table: TableOfContents, *, tar_split: TarSplit, cancel: threading.Event
) -> LayerContent:
    """Read a layer's table of contents in its place. Nothing is verified.

    Raises as `read_layer`, and TableFault where the layer itself has to be read.
    """
    scan = _LayerScan(tar_split=tar_split)
    try:
        for part in table.parts():
            if cancel.is_set():
                raise StoppedError
            if isinstance(part, Content):
                scan.scanner.skip(part.length, checksum=part.checksum)
            else:
                scan.feed(part)
        return scan.finish()
    except TarFault as fault:
        raise TableFault(str(fault)) from None


class Ahead(Generic[T]):
    """`items`, read ahead by a thread that alone runs and closes them; `stop` it in the end."""

    def __init__(self, items: Generator[T, None, None], name: str) -> None:
        self._items = items
        # What ended it comes last: an error, or StopIteration.
        self._read: SimpleQueue[T | BaseException] = SimpleQueue()
        # Two of these are half as dear as one queue of bounded length.
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(_WAITING):
            self._places.put(None)
        self._is_stopped = False
        self._has_ended = False
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        item = StopIteration() if self._has_ended else self._read.get()
        if isinstance(item, BaseException):
            self._has_ended = True
            raise item
        self._places.put(None)
        return item

    @property
    def is_ready(self) -> bool:
        """Whether the next item need not be waited for."""
        return not self._read.empty()

    def stop(self) -> None:
        """End it; who waits for an item, or for a place for one, does so no longer."""
        self._is_stopped = True
        self._places.put(None)
        self._read.put(StopIteration())

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            with closing(self._items):
                for item in self._items:
                    self._places.get()
                    if self._is_stopped:
                        break
                    self._read.put(item)
        except BaseException as error:  # noqa: BLE001 - who reads it raises it
            end = error
        self._read.put(end)
