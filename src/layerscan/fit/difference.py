"""Two Apps, or two documents of metadata, held against each other.

An update keeps the layers that both have, fetches those that only the new one
has, and when it is done removes those that only the old one had. In between
both are there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from layerscan import jsondoc, layersmeta
from layerscan.apps.published import PublishedApp, load_metadata
from layerscan.errors import DocumentError
from layerscan.fit.figures import is_of_one
from layerscan.jsondoc import Place
from layerscan.layersmeta import LayerMeta, LayersMeta
from layerscan.oci.blobs import Blobs
from layerscan.text import printable, quoted


class Sums(NamedTuple):
    """Layers, and bytes of them.

    Attributes:
        layers: how many.
        archive_size: of their blobs, None where that is not known of each.
        usage: disk that they take.
        inodes: how many they need, None where that is not known of each.
    """

    layers: int
    archive_size: int | None
    usage: int
    inodes: int | None


class Difference(NamedTuple):
    """What an update changes, for one architecture.

    Attributes:
        architecture: the one.
        kept: the layers that both have, by digest, with the new one's figures.
        added: those that only the new one has.
        removed: those that only the old one has.
        inodes: how many each needs, by digest, so far as it is known.
    """

    architecture: str
    kept: Mapping[str, LayerMeta]
    added: Mapping[str, LayerMeta]
    removed: Mapping[str, LayerMeta]
    inodes: Mapping[str, int] = {}

    @property
    def peak(self) -> Sums:
        """What is there when both are."""
        return self.sums({**self.kept, **self.added, **self.removed})

    @property
    def after(self) -> Sums:
        """What is there when the old one is removed."""
        return self.sums({**self.kept, **self.added})

    def sums(self, layers: Mapping[str, LayerMeta]) -> Sums:
        """The sums of `layers`, which are some of these."""
        return Sums(
            len(layers),
            _sum_if_known([layer.archive_size for layer in layers.values()]),
            sum(layer.usage for layer in layers.values()),
            _sum_if_known([self.inodes.get(digest) for digest in layers]),
        )


def _sum_if_known(figures: Sequence[int | None]) -> int | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None


class Measured(NamedTuple):
    """What the layers of an App cost, read as strictly as `merge` reads it.

    Attributes:
        name: what to call it in messages.
        metas: by architecture, or the one for whatever architecture.
    """

    name: str
    metas: Mapping[str, LayersMeta] | LayersMeta

    def meta(self, architecture: str) -> LayersMeta:
        """What is known of one architecture.

        Raises:
            DocumentError: it has none.
        """
        if isinstance(self.metas, LayersMeta):
            return self.metas
        if architecture not in self.metas:
            known = ", ".join(map(quoted, self.metas)) or "none"
            raise DocumentError(f"{printable(self.name)}: has no {architecture}; it has: {known}")
        return self.metas[architecture]


def of_metadata(raw: bytes, source: str) -> Measured:
    """What metadata alone says, of one architecture or of several.

    Raises:
        DocumentError: it is malformed.
    """
    document = jsondoc.mapping(jsondoc.decode(raw, source), Place(source))
    loads = layersmeta.loads if is_of_one(document) else layersmeta.loads_by_arch
    return Measured(source, loads(raw, source))


def of_app(app: PublishedApp, documents: Blobs) -> Measured:
    """What the metadata of an App says.

    Raises:
        LayerscanError: it has none, or that cannot be had or is malformed.
    """
    metas = load_metadata(app, documents)
    if metas is None:
        raise DocumentError(f"{app.source}: the App has no layers metadata")
    return Measured(app.source, metas)


def compare(old: Measured, new: Measured, architecture: str) -> Difference:
    """What the update from `old` to `new` changes.

    Raises:
        DocumentError: one of them has no metadata of that architecture.
    """
    old_meta, new_meta = old.meta(architecture), new.meta(architecture)
    before, after = old_meta.layers, new_meta.layers
    return Difference(
        architecture,
        kept={digest: after[digest] for digest in after if digest in before},
        added={digest: after[digest] for digest in after if digest not in before},
        removed={digest: before[digest] for digest in before if digest not in after},
        inodes={**old_meta.inodes, **new_meta.inodes},
    )


def common_architectures(old: Measured, new: Measured, asked: str | None) -> list[str]:
    """The architectures to compare: the one that is asked for, or all that both have.

    Raises:
        DocumentError: there is none.
    """
    if asked is not None:
        return [asked]
    known = [one.metas for one in (old, new) if not isinstance(one.metas, LayersMeta)]
    if not known:
        raise DocumentError(
            "neither document says its architecture; give one with --arch, for the report"
        )
    both = sorted(set.intersection(*map(set, known)))
    if not both:
        raise DocumentError(f"{old.name} and {new.name} have no architecture in common")
    return both
