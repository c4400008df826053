"""One reading of a containerd store, from names to layers.

Owns how names, documents and snapshots become images: which platforms of an
image there are, which of them is meant, and what is lost with what could not be
read. Reads every document at most once.
"""

from collections import defaultdict
from typing import NamedTuple

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Platform
from layerscan.oci.platforms import fits, preference, spelt, this_machine
from layerscan.reference import Reference
from layerscan.stores.containerd.content import ContentStore, Variant
from layerscan.stores.containerd.footprint import image_paths, layer_paths
from layerscan.stores.containerd.layers import LayerFolders
from layerscan.stores.containerd.records import ContainerdRecords, Namespace, snapshotter
from layerscan.stores.model import Image, Layer
from layerscan.stores.readings import LayerPosition, Reading, full_name, read_layers, some
from layerscan.text import printable

_DANGLING = "moby-dangling@"
"""What Docker begins the names with of images that have none."""

_SHORT_ID = len("sha256:") + 12


class _Names(NamedTuple):
    """What one name says: what to call it, and the names that it stands for."""

    label: str
    references: tuple[Reference, ...] = ()
    others: tuple[str, ...] = ()  # it itself, printable, if it is no full reference


class ContainerdReading(Reading):
    """What one reading of the store found; it has seen images by their names.

    Of the `namespace`, None where none has an image, it takes the images for `platform`,
    None for all. Of each layer that was read, `keys` has the snapshotter's key, by chain_id.
    """

    def __init__(
        self,
        root: Folder,
        records: ContainerdRecords,
        namespace: Namespace | None,
        *,
        platform: Platform | None,
        exact: bool,
        elsewhere: str | None = None,
    ) -> None:
        super().__init__()
        self.keys: dict[str, bytes] = {}
        self._root = root
        self._records = records
        self._platform = platform
        self._machine = this_machine()
        self._exact = exact
        self._elsewhere = elsewhere
        self._found: dict[tuple[str, tuple[str, ...]], _GatheredImage] = {}
        self._packed: dict[str, set[str]] = defaultdict(set)
        if namespace is not None:
            self._namespace = namespace
            self._read()

    def _read(self) -> None:
        names = self._read_names()
        if not names:
            return
        try:
            with ContentStore(self._root) as content:
                for (digest, media_type), group in names.items():
                    self._find(content, digest, media_type, group)
                self._put_together(content, self._read_layers(content))
            self._records.check_unmoved()
        except Fault as fault:
            self.images.clear()
            self._note(fault, *self.seen.values())
        self.notes += [f"{why}: {some(labels)}" for why, labels in sorted(self._packed.items())]

    def _read_names(self) -> dict[tuple[str, str], list[_Names]]:
        """The names of each manifest or index, with its media type."""
        try:
            targets, faults = self._namespace.targets()
        except Fault as fault:
            self._note(fault)
            return {}
        for stray in faults:
            self._note(stray)
        names: dict[tuple[str, str], list[_Names]] = defaultdict(list)
        for target in targets:
            read = _read_name(target.name, target.digest)
            self.seen[target.name] = read.label
            names[target.digest, target.media_type].append(read)
        return names

    def _find(
        self, content: ContentStore, digest: str, media_type: str, group: list[_Names]
    ) -> None:
        """Find the images that the names of `group` stand for."""
        variants, faults, absent = content.variants(digest, media_type)
        for fault in faults:
            self._note(fault, *(names.label for names in group))
        if absent and not variants:
            self.settled = False
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

    def _is_unpacked(self, variant: Variant, group: list[_Names]) -> bool:
        """Whether the top layer has a snapshot: the last one that is made."""
        stack = variant.chain_ids
        try:
            return not stack or self._namespace.has_snapshot(stack[-1])
        except Fault as fault:
            self._note(fault, *(names.label for names in group))
            return False

    def _why_packed(self, variant: Variant) -> str:
        try:
            others = ", ".join(self._namespace.other_snapshotters(variant.config_digest))
        except Fault as fault:
            self._note(fault)
            others = ""
        if others:
            return f"left out, unpacked for snapshotter {others}, and only overlayfs can be read"
        return "left out, not unpacked"

    def _pass_over(self, group: list[_Names], why: str) -> None:
        self._packed[why].update(names.label for names in group)

    def _meant(self, variants: list[Variant]) -> Variant | None:
        """The one that a name means on this machine; None if they all may be meant."""
        ranked = [
            (rank, place, one)
            for place, one in enumerate(variants)
            if (rank := preference(one.platform, self._machine)) is not None
        ]
        return min(ranked)[2] if ranked else None

    def _read_layers(self, content: ContentStore) -> dict[str, Layer | Fault]:
        wanted: dict[str, LayerPosition] = {}
        archives: dict[str, dict[str, None]] = defaultdict(dict)
        for found in self._found.values():
            one, parent = found.variant, None
            for chain, diff_id, digest in zip(
                one.chain_ids, one.config.diff_ids, one.layers, strict=True
            ):
                wanted.setdefault(chain, (parent, diff_id))
                archives[chain][digest] = None
                parent = chain
        if not wanted:
            return {}
        snapshots = self._records.snapshots
        if isinstance(snapshots, Fault):
            return dict.fromkeys(wanted, snapshots)

        def exact_paths(layer: Layer) -> tuple[str, ...]:
            kept = filter(content.has, archives[layer.chain_id])
            return layer_paths(layer, map(content.path, kept))

        try:
            with (
                snapshotter(self._root, self._elsewhere) as top,
                top.folder("snapshots") as folder,
            ):
                folders = LayerFolders(folder, self._namespace, snapshots)
                self.keys = folders.keys
                return read_layers(wanted, folders.read, exact_paths if self._exact else None)
        except Fault as fault:
            return dict.fromkeys(wanted, fault)

    def _put_together(self, content: ContentStore, layers: dict[str, Layer | Fault]) -> None:
        for found in sorted(self._found.values(), key=lambda one: one.variant):
            stack = [layers[chain] for chain in found.variant.chain_ids]
            whole = self._whole(stack, *found.labels)
            if whole is not None:
                paths = image_paths(found.documents, content) if self._exact else ()
                self.images.append(found.image(whole, paths))


def _read_name(name: str, digest: str) -> _Names:
    """Read the name, which may be any text, of the manifest or index `digest`."""
    # Kubernetes also names each image by its id.
    if digests.is_digest(name):
        return _Names(name[:_SHORT_ID])
    if name.startswith(_DANGLING):
        return _Names(digest[:_SHORT_ID])
    try:
        reference = full_name(name)
    except ReferenceSyntaxError:
        other = printable(name)
        return _Names(other, others=(other,))
    by_digest = Reference(reference.registry, reference.path, None, digest)
    return _Names(reference.familiar, tuple(dict.fromkeys((reference, by_digest))))


class _GatheredImage:
    """An image while its names are gathered: a config, and the same archives."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.labels: set[str] = set()
        self.documents: dict[str, None] = {}
        self._names: set[Reference] = set()
        self._others: set[str] = set()
        self._meant: set[Reference | str] = set()

    def add(self, group: list[_Names], variant: Variant, *, foreign: bool) -> None:
        """Add names that lead to it; `foreign` if they mean another image on this machine."""
        self.documents.update(dict.fromkeys(variant.documents))
        for one in group:
            self.labels.add(one.label)
            self._names.update(one.references)
            self._others.update(one.others)
            if not foreign:
                self._meant.update(one.references, one.others)

    def image(self, layers: tuple[Layer, ...], exact_paths: tuple[str, ...]) -> Image:
        """It, of `layers`."""
        repositories = dict.fromkeys(name.repository for name in sorted(self._names))
        if self._others or not self._names:
            repositories[""] = None
        return Image(
            image_id=self.variant.config_digest,
            names=tuple(sorted(self._names)),
            layers=layers,
            digests=dict.fromkeys(repositories, self.variant.layers),
            exact_paths=exact_paths,
            other_names=tuple(sorted(self._others)),
            foreign_names=frozenset((self._names | self._others) - self._meant),
            created=self.variant.config.created,
            steps=self.variant.config.steps,
            **self.variant.platform._asdict(),
        )
