"""What a user may say about registries, and how a registry's host is given."""

from typing import NamedTuple

from layerscan.errors import LayerscanError, ReferenceSyntaxError
from layerscan.reference import Reference


class RegistryOptions(NamedTuple):
    """How to deal with registries."""

    insecure: frozenset[str] = frozenset()  # as references name them: no certificate is checked
    connections: int = 8  # the most that are in use at a time


def registry_host(text: str) -> str:
    """Check a registry's host, with its port if it has one."""
    try:
        return Reference(text, "x", None, None).registry
    except ReferenceSyntaxError:
        raise LayerscanError(
            f"{text!r} is no registry: expected HOST or HOST:PORT, as image names begin"
        ) from None
