"""What a user may say about registries, and how a registry's host is given."""

from typing import NamedTuple

from layerscan.errors import LayerscanError, ReferenceSyntaxError
from layerscan.reference import Reference


class RegistryOptions(NamedTuple):
    """How to deal with registries.

    Attributes:
        insecure: those that may have a certificate that nobody vouches for, or
            none at all; as references name them: ``registry.example:5000``.
        connections: the most connections that are in use at a time.
    """

    insecure: frozenset[str] = frozenset()
    connections: int = 8


def registry_host(text: str) -> str:
    """Check a registry's host, with its port if it has one.

    Raises:
        LayerscanError: `text` is none.
    """
    try:
        return Reference(text, "x", None, None).registry
    except ReferenceSyntaxError:
        raise LayerscanError(
            f"{text!r} is no registry: expected HOST or HOST:PORT, as image names begin"
        ) from None
