"""A scan: the images of a store, and what each of their layers costs.

Alone decides which layers are walked: each once however many images share it,
all in one pool of threads, and again where the engine changed them meanwhile.
It prints nothing; what there is to say is in the result.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES, EPERM
from typing import TYPE_CHECKING

from layerscan.errors import LayerscanError
from layerscan.problem import Problem
from layerscan.scanning.costs import image_usage, layer_inodes, layer_usage
from layerscan.scanning.damage import found_damage
from layerscan.scanning.disk import LayerDisk
from layerscan.scanning.result import LayerCost, Scan, Undigested
from layerscan.scanning.selection import Choice, Chosen, Selection, absence, choose
from layerscan.stores.accounting import Accounting
from layerscan.stores.model import Image, Layer, Store
from layerscan.text import printable_path
from layerscan.walking.walker import Progress, Usage, walk_many

if TYPE_CHECKING:
    from layerscan.scanning.lookup import Looked

_ATTEMPTS = 4  # walks of a layer that changes meanwhile, before it is given up
_ERRORS_TOLD = 10  # unreadable files of one layer that are named one by one


def scan(
    store: Store,
    selection: Selection | None = None,
    *,
    accounting: Accounting | str = Accounting.DOCKER,
    threads: int | None = None,
    on_progress: Callable[[Progress, int], object] | None = None,
    look_up: "Callable[[Sequence[Chosen]], Looked] | None" = None,
    on_phase: Callable[[str], object] | None = None,
) -> Scan:
    """Scan `store`.

    Args:
        store: from `open_store`; opened for the exact rule if that is asked for.
        selection: which images; default: all that have a name.
        accounting: the rule of `usage`, ``docker`` or ``exact``.
        threads: for the walk; default: by the cores and the work at hand.
        on_progress: called about ten times a second with how far the walk has
            come and how many layers there are to walk.
        look_up: completes the digests that the store does not know; default: nobody.
        on_phase: called with what begins: ``store``, ``walk`` or ``registries``.

    Raises:
        LayerscanError: an image that is required is not there, or the selection fits none.
        TypeError: `store` is not a store, but its path say.
        ValueError: there is no such accounting.
    """
    if isinstance(store, str | bytes | os.PathLike):
        raise TypeError(f"scan takes a store: scan(open_store(root={store!r}))")
    return _Scanner(
        store,
        selection or Selection(),
        Accounting(accounting),
        threads,
        on_progress=on_progress,
        on_phase=on_phase,
    ).run(look_up)


class _Scanner:
    """One scan while it runs."""

    def __init__(
        self,
        store: Store,
        selection: Selection,
        accounting: Accounting,
        threads: int | None,
        *,
        on_progress: Callable[[Progress, int], object] | None,
        on_phase: Callable[[str], object] | None,
    ) -> None:
        self.store = store
        self.selection = selection
        self.accounting = accounting
        self.threads = threads
        self.on_progress = on_progress
        self.begin = on_phase or _pass
        self.root_disk = LayerDisk(store.root)
        # By device number: some layers may be in a store elsewhere.
        self.disks: dict[int, LayerDisk] = {}
        self.warnings: list[str] = []
        self.vanished: list[str] = []
        # All of these are of the last attempt.
        self.problems: list[Problem] = []
        self.changed: set[str] = set()
        self.image_usage: dict[str, int] = {}
        # Kept from one attempt to the next.
        self.costs: dict[Layer, LayerCost] = {}

    def run(self, look_up: "Callable[[Sequence[Chosen]], Looked] | None") -> Scan:
        images, first = self._attempt()
        last = first
        for _ in range(_ATTEMPTS - 1):
            if not self.changed:
                break
            images, last = self._attempt()
        whole = tuple(one for one in last.chosen if self._is_whole(one))
        for wanted in last.absent:
            self.warnings.append(
                f"{absence(wanted, images)}: not built for this architecture? skipped"
            )
        self.warnings += self.store.notes
        self._tell_removed(first, last)
        costs = {layer.chain_id: self.costs[layer] for one in whole for layer in one.image.layers}
        self.warnings += [
            f"layer {chain_id}: {damage}"
            for chain_id, cost in costs.items()
            for damage in found_damage(cost.layer, cost.walked, cost.disk.block_size)
        ]
        if look_up is not None:
            self.begin("registries")
            whole, warnings = look_up(whole)
            self.warnings += warnings
        if self.accounting is Accounting.EXACT:
            self.warnings += filter(None, {cost.disk.unknown for cost in costs.values()})
        return Scan(
            store=self.store,
            accounting=self.accounting,
            disk=next((cost.disk for cost in costs.values()), self.root_disk),
            chosen=whole,
            costs=costs,
            image_usage={one.image.image_id: self.image_usage[one.image.image_id] for one in whole},
            sharing=_sharing(images, whole),
            images_in_store=len(images),
            undigested=tuple(_undigested(whole)),
            warnings=tuple(self.warnings),
            problems=tuple(sorted({*self.store.problems, *self.problems})),
        )

    def _attempt(self) -> tuple[list[Image], Choice]:
        """Read the store, and walk what has not been walked whole so far.

        An engine may pull and remove images meanwhile: then `changed` says what
        has to be done once more. Gives all images of the store, and those chosen.
        """
        self.problems.clear()
        self.changed.clear()
        self.image_usage.clear()
        self.begin("store")
        images = list(self.store.images())
        self.vanished += self.store.vanished
        choice = choose(images, self.selection)
        for wanted in choice.absent:
            if wanted.required:
                # The store's notes may say why.
                raise LayerscanError("; ".join([absence(wanted, images), *self.store.notes]))
        layers = [layer for one in choice.chosen for layer in one.image.layers]
        layers = [layer for layer in dict.fromkeys(layers) if layer not in self.costs]
        on_progress = self.on_progress
        self.begin("walk")
        found = walk_many(
            [layer.folder for layer in layers],
            child=layers[0].content if layers else None,
            threads=self.threads,
            on_progress=on_progress and (lambda progress: on_progress(progress, len(layers))),
        )
        for layer, walked in zip(layers, found, strict=True):
            self._take(layer, walked)
        for one in choice.chosen:
            self._take_image(one.image)
        return images, choice

    @contextmanager
    def _reading(self, identity: str) -> Iterator[None]:
        """Tell what cannot be read of a layer or an image; what is gone has changed."""
        try:
            yield
        except FileNotFoundError:
            self.changed.add(identity)
        except OSError as error:
            self._tell(str(error.filename), str(error.strerror))

    def _take(self, layer: Layer, walked: Usage) -> None:
        """Keep what was found of a layer if it is whole.

        Its metadata is read after the walk, and last whether the store still
        has the layer: an engine takes a layer off its records before it
        deletes the first file.
        """
        growth = self.store.growth
        with self._reading(layer.chain_id):
            disk = self.root_disk if walked.child is None else self._disk(layer.folder)
            usage = layer_usage(layer, walked, self.accounting, disk=disk, growth=growth)
            if walked.vanished or not self.store.still_has(layer):
                self.changed.add(layer.chain_id)
            elif walked.errors or walked.child is None:
                self._tell_errors(layer, walked)
            else:
                size = walked.child.size if layer.recorded_size is None else layer.recorded_size
                inodes = layer_inodes(layer, walked, self.accounting, growth)
                self.costs[layer] = LayerCost(layer, size, usage, walked, disk, inodes)

    def _disk(self, folder: str) -> LayerDisk:
        return self.disks.setdefault(os.stat(folder).st_dev, LayerDisk(folder))

    def _take_image(self, image: Image) -> None:
        disk, growth = self.root_disk, self.store.growth
        with self._reading(image.image_id):
            usage = image_usage(image, self.accounting, disk=disk, growth=growth)
            # One config may be in two images, whose archives differ: the larger counts.
            known = self.image_usage.get(image.image_id, 0)
            self.image_usage[image.image_id] = max(usage, known)

    def _is_whole(self, one: Chosen) -> bool:
        """Whether all of an image could be read; tells it if not."""
        image = one.image
        if not self.changed.isdisjoint((image.image_id, *(one.chain_id for one in image.layers))):
            self._tell(f"image {one.label}", "kept changing while it was scanned: scan again")
            return False
        lost = [layer.chain_id for layer in image.layers if layer not in self.costs]
        if lost:
            self._tell(f"image {one.label}", f"is left out: layer {lost[0]} could not be read")
        return not lost and image.image_id in self.image_usage

    def _tell(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))

    def _tell_errors(self, layer: Layer, walked: Usage) -> None:
        if not walked.errors:
            self._tell(layer.folder, f"has no folder {layer.content}")
        for error in walked.errors[:_ERRORS_TOLD]:
            hint = "; use sudo" if error.errno in (EACCES, EPERM) else ""
            self._tell(printable_path(error.path), os.strerror(error.errno) + hint)
        untold = walked.error_count - _ERRORS_TOLD
        if untold > 0:
            self._tell(layer.folder, f"{untold:,} more entries of this layer cannot be read")

    def _tell_removed(self, first: Choice, last: Choice) -> None:
        there = {one.image.image_id for one in last.chosen}
        removed = [one.label for one in first.chosen if one.image.image_id not in there]
        if self.selection.wanted is None:
            # Unless it was pulled again before the last attempt.
            back = {one.label for one in last.chosen}
            removed += [label for label in self.vanished if label not in back]
        self.warnings += [
            f"image {label} was removed or renamed while the scan ran: left out"
            for label in dict.fromkeys(removed)
        ]


def _pass(_: str) -> None:
    """Nobody asks for the phases."""


def _undigested(chosen: Sequence[Chosen]) -> Iterator[Undigested]:
    """What the document will lack, each image's layers by themselves."""
    known = {layer.chain_id for one in chosen for layer, _ in one.digests()}
    for one in chosen:
        missing = [layer.diff_id for layer in one.image.layers if layer.chain_id not in known]
        if missing:
            where = tuple(name for name in one.repositories if name)
            yield Undigested(one.label, where, tuple(missing))


def _sharing(images: Iterable[Image], chosen: Iterable[Chosen]) -> dict[str, int]:
    """How many images keep each layer on the disk.

    An image without a name counts as well, unless it is a step of a build whose
    outcome is there: that one's removal takes the steps with it.
    """
    named = [image for image in images if image.has_name]
    built = {layer.chain_id for image in named for layer in image.layers}
    keeping = {
        image.image_id: image
        for image in images
        if image.has_name or not image.layers or image.layers[-1].chain_id not in built
    }
    keeping.update((one.image.image_id, one.image) for one in chosen)
    return Counter(
        chain for image in keeping.values() for chain in {one.chain_id for one in image.layers}
    )
