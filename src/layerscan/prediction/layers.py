"""The figures of layers: from their streams, or as they were found before.

Owns which layers are read and how: the largest first, several at a time, none
whose figures are known, and the table of contents alone where there is one. The
first that fails ends it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from layerscan.errors import LayerscanError, SourceError
from layerscan.parallel import cores, in_parallel
from layerscan.prediction.cache import CacheConditions, KnownLayer, PredictionCache
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.prediction.stores.model import LayerFigures, StoreModel
from layerscan.prediction.stream import LayerContent, read_layer, read_table
from layerscan.sources.model import Source, SourceLayer
from layerscan.sources.toc import TableFault, table_of_contents
from layerscan.tar.tree import InodeKind

MAX_LAYER = 64 << 30  # bytes of the longest tar that is read, by default
_MOST_WORKERS = 8  # as many as there are connections to registries, by default


class ReadProgress(NamedTuple):
    """How far the reading of layers has come."""

    done: int  # bytes of blobs that were read, or need not be
    total: int  # bytes of all blobs that are to be read


class ReadOptions(NamedTuple):
    """How layers are read."""

    cache: PredictionCache | None
    workers: int | None  # layers that are read at a time; None for one a core, at most 8
    limit: int  # the most bytes that a layer's tar may have
    with_toc: bool  # whether the table of contents is enough where a registry has one
    # Called some ten times a second, in the thread that called.
    on_progress: Callable[[ReadProgress], object] | None


class WantedLayer(NamedTuple):
    """A layer whose figures are wanted."""

    layer: SourceLayer
    source: Source
    owner: str  # what to call the image that it is of

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.owner}: layer {self.layer.digest}"


class LayerReader:
    """One reading of layers: their figures are of a file system and a kind of store."""

    def __init__(self, fs: FileSystem, store: StoreModel, reading: ReadOptions) -> None:
        self.fs = fs
        self.tar_split = store.tar_split
        self.reading = reading
        self.cache = reading.cache or PredictionCache()
        self.conditions = CacheConditions(fs.name, str(store.tar_split))
        self.notes: list[str] = []
        self.total = 0
        self.done = 0
        self.lock = threading.Lock()

    def figures(self, wanted: Sequence[WantedLayer]) -> tuple[dict[str, LayerFigures], list[str]]:
        """The figures of each layer by its digest, and what the user should know of them.

        Each digest is wanted once. Raises LayerscanError where a layer cannot be had, or is
        damaged.
        """
        found = {one.layer.digest: self._known(one.layer) for one in wanted}
        known = {digest: one for digest, one in found.items() if one is not None}
        left = [one for one in wanted if one.layer.digest not in known]
        left.sort(key=lambda one: -one.layer.archive_size)
        self.total = sum(one.layer.archive_size for one in left)
        read = in_parallel(
            [partial(self._read, one) for one in left],
            workers=self.reading.workers or min(cores(), _MOST_WORKERS),
            on_tick=self._tell,
        )
        known.update((one.layer.digest, now) for one, now in zip(left, read, strict=True))
        figures = {digest: one.figures for digest, one in known.items()}
        of_layers = (
            f"{one.name}: {note}" for one in wanted for note in known[one.layer.digest].notes
        )
        return figures, [*self.notes, *of_layers, *self.cache.notes]

    def _tell(self) -> None:
        if self.reading.on_progress is not None:
            self.reading.on_progress(ReadProgress(self.done, self.total))

    def _count(self, received: int) -> None:
        with self.lock:
            self.done += received

    def _known(self, layer: SourceLayer) -> KnownLayer | None:
        """What is known of a layer that was read before."""
        known = self.cache.find(layer, self.conditions)
        return known if known and (known.is_whole or self.reading.with_toc) else None

    def _read(self, wanted: WantedLayer, cancel: threading.Event) -> KnownLayer:
        """What is known of a layer that is read now."""
        try:
            content = self._by_table(wanted, cancel) if self.reading.with_toc else None
            is_whole = content is None
            if content is None:
                content = read_layer(
                    wanted.source,
                    wanted.layer,
                    tar_split=self.tar_split,
                    limit=self.reading.limit,
                    on_bytes=self._count,
                    cancel=cancel,
                )
            figures = _figures(wanted.layer, content, self.fs)
            known = KnownLayer(figures, is_whole, tuple(_refusals(content, self.fs)))
        except LayerscanError as error:
            raise SourceError(f"{wanted.owner}: {error}") from None
        except MemoryError:
            raise SourceError(
                f"{wanted.name}: there is not enough memory for all that is in it"
            ) from None
        self.cache.keep(wanted.layer, self.conditions, known)
        return known

    def _by_table(self, wanted: WantedLayer, cancel: threading.Event) -> LayerContent | None:
        """What a layer's table of contents says, None if there is none of use."""
        try:
            table = table_of_contents(wanted.source, wanted.layer)
            if table is None:
                return None
            content = read_table(table, tar_split=self.tar_split, cancel=cancel)
        except TableFault as fault:
            self.notes.append(f"{wanted.name}: {fault}; all of it was read instead")
            return None
        self._count(wanted.layer.archive_size)
        return content


def _figures(layer: SourceLayer, content: LayerContent, fs: FileSystem) -> LayerFigures:
    tree = content.tree
    return LayerFigures(
        size=tree.size,
        content=fs.tree(tree),
        overhead=fs.overhead(tree),
        files=int((tree.kinds != InodeKind.DIRECTORY).sum()),
        archive_size=layer.archive_size,
        tar_split=content.tar_split,
        inodes=len(tree.kinds),
    )


def _refusals(content: LayerContent, fs: FileSystem) -> Iterator[str]:
    """Why a device would not take a layer."""
    if content.repeated:
        yield (
            f"has a path twice, {content.repeated}: Docker and Podman refuse such a layer; have "
            "it built again, or give --store containerd if that is what will unpack it"
        )
    if refused := fs.refused(content.tree):
        yield f"cannot be unpacked onto {fs.name}: {refused}"
