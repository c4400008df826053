"""One reading of a containerd store, from names to layers.

Owns how names, documents and snapshots become images: which platforms of an
image there are, which of them is meant, and what is lost with what could not be
read. Reads every document at most once.
"""

from collections import defaultdict
from typing import TYPE_CHECKING

from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Platform
from layerscan.oci.platforms import fits, preference, spelt, this_machine
from layerscan.problem import Problem
from layerscan.stores.containerd.content import ContentStore, Variant
from layerscan.stores.containerd.footprint import image_paths, layer_paths
from layerscan.stores.containerd.layers import LayerFolders
from layerscan.stores.containerd.names import Names, read_name
from layerscan.stores.containerd.records import ContainerdRecords, Namespace
from layerscan.stores.model import Image, Layer
from layerscan.stores.readings import Losses, refuse_shared_folders, some

if TYPE_CHECKING:
    from layerscan.reference import Reference

_SNAPSHOTTER = "overlayfs"


class ContainerdReading:
    """What one reading of the store found.

    Args:
        root: containerd's root.
        records: its databases.
        namespace: which of its namespaces; None where none has an image.
        platform: only images for this one; None for all.
        exact: also find the `exact_paths` of layers and images.

    Attributes:
        images: the images that could be read whole, sorted by image id.
        seen: a label for each name that there is, whether its image could be
            read or not, by that name.
        keys: of each layer that was read, by chain_id, the snapshotter's key.
        notes: what the user should know.
    """

    def __init__(
        self,
        root: Folder,
        records: ContainerdRecords,
        namespace: Namespace | None,
        *,
        platform: Platform | None,
        exact: bool,
    ) -> None:
        self.images: list[Image] = []
        self.seen: dict[str, str] = {}
        self.keys: dict[str, bytes] = {}
        self.notes: list[str] = []
        self._root = root
        self._records = records
        self._platform = platform
        self._machine = this_machine()
        self._exact = exact
        self._losses = Losses()
        self._found: dict[tuple[str, tuple[str, ...]], _GatheredImage] = {}
        self._packed: dict[str, set[str]] = defaultdict(set)
        if namespace is not None:
            self._namespace = namespace
            self._read()

    @property
    def settled(self) -> bool:
        """False if something was missing or changed meanwhile, which another reading may mend."""
        return self._losses.settled

    def problems(self) -> list[Problem]:
        """What could not be read, each with the images lost with it."""
        return self._losses.problems()

    def _read(self) -> None:
        names = self._read_names()
        if not names:
            return
        try:
            with ContentStore(self._root) as content:
                for (digest, media_type), group in names.items():
                    self._find(content, digest, media_type, group)
                layers = self._read_layers(content)
                self._put_together(content, layers)
            self._records.check_unmoved()
        except Fault as fault:
            self.images.clear()
            for label in self.seen.values():
                self._losses.note(fault, lost=label)
        self.notes += [f"{why}: {some(labels)}" for why, labels in sorted(self._packed.items())]

    def _read_names(self) -> dict[tuple[str, str], list[Names]]:
        """The names of each manifest or index, with its media type."""
        try:
            targets, faults = self._namespace.targets()
        except Fault as fault:
            self._losses.note(fault)
            return {}
        for stray in faults:
            self._losses.note(stray)
        names: dict[tuple[str, str], list[Names]] = defaultdict(list)
        for target in targets:
            read = read_name(target.name, target.digest)
            self.seen[target.name] = read.label
            names[target.digest, target.media_type].append(read)
        return names

    # Documents.

    def _find(
        self, content: ContentStore, digest: str, media_type: str, group: list[Names]
    ) -> None:
        """Find the images that the names of `group` stand for."""
        found = content.variants(digest, media_type)
        for fault in found.faults:
            for names in group:
                self._losses.note(fault, lost=names.label)
        variants = list(found.variants)
        if found.absent and not variants:
            self._losses.settled = False
            self._pass_over(group, "left out, not here for any platform")
        asked = self._platform
        if asked is not None and variants:
            variants = [one for one in variants if fits(one.platform, asked)]
            if not variants:
                self._pass_over(group, f"left out, not for {spelt(asked)}")
        unpacked = [one for one in variants if self._is_unpacked(one, group)]
        if variants and not unpacked:
            self._pass_over(group, self._why_packed(variants[0]))
        meant = self._meant(unpacked)
        for one in unpacked:
            key = (one.config_digest, one.layers)
            image = self._found.setdefault(key, _GatheredImage(one))
            image.add(group, one, foreign=meant is not None and one is not meant)

    def _is_unpacked(self, variant: Variant, group: list[Names]) -> bool:
        """Whether the top layer has a snapshot: the last one that is made."""
        stack = variant.chain_ids
        try:
            return not stack or self._namespace.has_snapshot(stack[-1])
        except Fault as fault:
            for names in group:
                self._losses.note(fault, lost=names.label)
            return False

    def _why_packed(self, variant: Variant) -> str:
        try:
            others = self._namespace.snapshotters(variant.config_digest)
        except Fault as fault:
            self._losses.note(fault)
            others = []
        others = [name for name in others if name != _SNAPSHOTTER]
        if others:
            names = ", ".join(others)
            return f"left out, unpacked for snapshotter {names}, and only overlayfs can be read"
        return "left out, not unpacked"

    def _pass_over(self, group: list[Names], why: str) -> None:
        self._packed[why].update(names.label for names in group)

    def _meant(self, variants: list[Variant]) -> Variant | None:
        """The one that a name means on this machine; None if they all may be meant."""
        ranked = [
            (rank, place, one)
            for place, one in enumerate(variants)
            if (rank := preference(one.platform, self._machine)) is not None
        ]
        return min(ranked)[2] if ranked else None

    # Layers.

    def _read_layers(self, content: ContentStore) -> dict[str, Layer | Fault]:
        wanted: dict[str, tuple[str | None, str]] = {}
        variants = [found.variant for found in self._found.values()]
        for one in variants:
            parent = None
            for chain, diff_id in zip(one.chain_ids, one.diff_ids, strict=True):
                wanted.setdefault(chain, (parent, diff_id))
                parent = chain
        if not wanted:
            return {}
        snapshots = self._records.snapshots
        if isinstance(snapshots, Fault):
            return dict.fromkeys(wanted, snapshots)
        layers: dict[str, Layer | Fault] = {}
        try:
            with LayerFolders(self._root, self._namespace, snapshots) as folders:
                for chain, (parent, diff_id) in wanted.items():
                    try:
                        layers[chain] = folders.read(chain, parent, diff_id)
                    except Fault as fault:
                        layers[chain] = fault
                self.keys = folders.keys
        except Fault as fault:
            return dict.fromkeys(wanted, fault)
        refuse_shared_folders(layers)
        if self._exact:
            _add_exact_paths(layers, variants, content)
        return layers

    # Images.

    def _put_together(self, content: ContentStore, layers: dict[str, Layer | Fault]) -> None:
        for found in sorted(self._found.values(), key=lambda one: one.variant):
            stack = [layers[chain] for chain in found.variant.chain_ids]
            whole = tuple(layer for layer in stack if isinstance(layer, Layer))
            for fault in stack:
                if isinstance(fault, Fault):
                    for label in found.labels:
                        self._losses.note(fault, lost=label)
            if len(whole) == len(stack):
                paths = image_paths(found.documents, content) if self._exact else ()
                self.images.append(found.image(whole, paths))


class _GatheredImage:
    """An image while its names are gathered: a config, and the same archives."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.labels: set[str] = set()
        self.documents: dict[str, None] = {}
        self._names: set[Reference] = set()
        self._others: set[str] = set()
        self._meant: set[Reference | str] = set()

    def add(self, group: list[Names], variant: Variant, *, foreign: bool) -> None:
        """Add names that lead to it; `foreign` if they mean another image on this machine."""
        self.documents.update(dict.fromkeys(variant.documents))
        for one in group:
            names: list[Reference | str] = [*one.references, *one.others]
            self.labels.add(one.label)
            self._names.update(one.references)
            self._others.update(one.others)
            if not foreign:
                self._meant.update(names)

    def image(self, layers: tuple[Layer, ...], exact_paths: tuple[str, ...]) -> Image:
        """It, of `layers`."""
        repositories = dict.fromkeys(name.repository for name in sorted(self._names))
        if self._others or not self._names:
            repositories[""] = None
        all_names: set[Reference | str] = {*self._names, *self._others}
        platform = self.variant.platform
        return Image(
            image_id=self.variant.config_digest,
            names=tuple(sorted(self._names)),
            architecture=platform.architecture,
            os=platform.os,
            variant=platform.variant,
            layers=layers,
            digests=dict.fromkeys(repositories, self.variant.layers),
            exact_paths=exact_paths,
            other_names=tuple(sorted(self._others)),
            foreign_names=frozenset(all_names - self._meant),
        )


def _add_exact_paths(
    layers: dict[str, Layer | Fault], variants: list[Variant], content: ContentStore
) -> None:
    archives: dict[str, dict[str, None]] = defaultdict(dict)
    for one in variants:
        for chain, digest in zip(one.chain_ids, one.layers, strict=True):
            archives[chain][digest] = None
    for chain, layer in layers.items():
        if isinstance(layer, Layer):
            try:
                kept = [content.path(digest) for digest in archives[chain] if content.has(digest)]
            except Fault as fault:
                layers[chain] = fault
            else:
                layers[chain] = layer._replace(exact_paths=layer_paths(layer, kept))
