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
from layerscan.fit.figures import is_of_one, lacks
from layerscan.jsondoc import Place
from layerscan.layersmeta import LayerMeta, LayersMeta
from layerscan.oci.blobs import Blobs


class Sums(NamedTuple):
    """Layers, and bytes of them."""

    layers: int  # how many
    archive_size: int | None  # of their blobs, None where that is not known of each
    usage: int  # disk that they take
    inodes: int | None  # how many they need, None where that is not known of each


class Difference(NamedTuple):
    """What an update changes, for one architecture."""

    architecture: str
    kept: Mapping[str, LayerMeta]  # by digest: the layers of both, with the new one's figures
    added: Mapping[str, LayerMeta]  # those that only the new one has
    removed: Mapping[str, LayerMeta]  # those that only the old one has
    inodes: Mapping[str, int] = {}  # how many each needs, by digest, so far as it is known

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
    """What the layers of an App cost, read as strictly as `merge` reads it."""

    name: str  # what to call it in messages
    metas: Mapping[str, LayersMeta] | LayersMeta  # by architecture, or for whatever one

    def meta(self, architecture: str) -> LayersMeta:
        """What is known of one architecture; DocumentError where that is nothing."""
        if isinstance(self.metas, LayersMeta):
            return self.metas
        if architecture not in self.metas:
            raise lacks(self.name, architecture, self.metas)
        return self.metas[architecture]


def of_metadata(raw: bytes, source: str) -> Measured:
    """What metadata alone says, of one architecture or several; DocumentError if malformed."""
    document = jsondoc.mapping(jsondoc.decode(raw, source), Place(source))
    loads = layersmeta.loads if is_of_one(document) else layersmeta.loads_by_arch
    return Measured(source, loads(raw, source))


def of_app(app: PublishedApp, documents: Blobs) -> Measured:
    """What the metadata of an App says; LayerscanError where it has none of any use."""
    metas = load_metadata(app, documents)
    if metas is None:
        raise DocumentError(f"{app.source}: the App has no layers metadata")
    return Measured(app.source, metas)


def compare(old: Measured, new: Measured, architecture: str) -> Difference:
    """What the update changes; DocumentError where one has no metadata of `architecture`."""
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
    """The one that is asked for, or all that both have; DocumentError where there is none."""
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
