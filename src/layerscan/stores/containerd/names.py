"""containerd's image names: any text, most of it image references.

Owns which names are references, which are another way to say an image's
digest, and which are neither.
"""

from typing import NamedTuple

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.reference import Reference
from layerscan.stores.readings import full_name
from layerscan.text import printable

_DANGLING = "moby-dangling@"
"""What Docker begins the names with of images that have none."""


class Names(NamedTuple):
    """What one name in containerd says.

    Attributes:
        label: what to call it.
        references: the references that it stands for; by digest, too.
        others: it itself, printable, if it is no full reference.
    """

    label: str
    references: tuple[Reference, ...] = ()
    others: tuple[str, ...] = ()


def read_name(name: str, digest: str) -> Names:
    """Read the image name of the manifest or index `digest`."""
    # Kubernetes also names each image by its id.
    if digests.is_digest(name):
        return Names(name[: len("sha256:") + 12])
    if name.startswith(_DANGLING):
        return Names(digest[: len("sha256:") + 12])
    try:
        reference = full_name(name)
    except ReferenceSyntaxError:
        other = printable(name)
        return Names(other, others=(other,))
    by_digest = Reference(reference.registry, reference.path, None, digest)
    return Names(reference.familiar, tuple(dict.fromkeys((reference, by_digest))))
