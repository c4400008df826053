"""Two Apps, or two documents of metadata, held against each other.

An update keeps the layers that both have, fetches those that only the new one
has, and when it is done removes those that only the old one had. In between
both are there.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan.errors import DocumentError
from layerscan.fit.contents import AppContents
from layerscan.fit.figures import ClientLayer


class Sums(NamedTuple):
    """Layers, and bytes of them.

    Attributes:
        layers: how many.
        archive_size: of their blobs, None where that is not known of each.
        usage: disk that they take.
    """

    layers: int
    archive_size: int | None
    usage: int


class Difference(NamedTuple):
    """What an update changes, for one architecture.

    Attributes:
        architecture: the one.
        kept: the layers that both have, by digest, with the new one's figures.
        added: those that only the new one has.
        removed: those that only the old one has.
    """

    architecture: str
    kept: Mapping[str, ClientLayer]
    added: Mapping[str, ClientLayer]
    removed: Mapping[str, ClientLayer]

    @property
    def peak(self) -> Sums:
        """What is there when both are."""
        return sums({**self.kept, **self.added, **self.removed})

    @property
    def after(self) -> Sums:
        """What is there when the old one is removed."""
        return sums({**self.kept, **self.added})


def sums(layers: Mapping[str, ClientLayer]) -> Sums:
    """The sums of `layers`."""
    sizes = [layer.archive_size for layer in layers.values()]
    known = [size for size in sizes if size is not None]
    return Sums(
        len(layers),
        sum(known) if len(known) == len(sizes) else None,
        sum(layer.usage for layer in layers.values()),
    )


def compare(old: AppContents, new: AppContents, architecture: str) -> Difference:
    """What the update from `old` to `new` changes.

    Raises:
        DocumentError: one of them has no metadata of that architecture.
    """
    before = old.figures(architecture).layers
    after = new.figures(architecture).layers
    return Difference(
        architecture,
        kept={digest: after[digest] for digest in after if digest in before},
        added={digest: after[digest] for digest in after if digest not in before},
        removed={digest: before[digest] for digest in before if digest not in after},
    )


def common_architectures(old: AppContents, new: AppContents, asked: str | None) -> list[str]:
    """The architectures to compare: the one that is asked for, or all that both have.

    Raises:
        DocumentError: there is none.
    """
    if asked is not None:
        return [asked]
    found = [_architectures(app) for app in (old, new)]
    known = [names for names in found if names is not None]
    if not known:
        raise DocumentError(
            "neither document says its architecture; give one with --arch, for the report"
        )
    both = sorted(set.intersection(*map(set, known)))
    if not both:
        raise DocumentError(f"{old.name} and {new.name} have no architecture in common")
    return both


def _architectures(app: AppContents) -> list[str] | None:
    if app.metadata is None:
        raise DocumentError(app.metadata_fault or f"{app.name}: has no layers metadata")
    return app.metadata.architectures
