"""What the tests of the registry client share."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from layerscan.digest import sha256
from layerscan.errors import RegistryError
from layerscan.oci import OCI_CONFIG, OCI_MANIFEST, Descriptor
from layerscan.reference import parse
from layerscan.registry import RegistryClient, RegistryOptions, Repository
from tests.builders.registry_server import OCTETS, OpenRegistry

PASSWORD = "correct horse"  # noqa: S105 - the tests' own
USERS = {"me": PASSWORD}
MANIFEST = b'{"schemaVersion":2,"mediaType":"%s","config":{"mediaType":"%s","digest":"%s",' % (
    OCI_MANIFEST.encode(),
    OCI_CONFIG.encode(),
    sha256(b"{}").encode(),
) + (b'"size":2},"layers":[]}')
"""A manifest that needs only the config ``{}``."""


def log_in(config: Path, registry: str, user: str = "me", password: str = PASSWORD) -> None:
    """Write the credentials as ``docker login`` does."""
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    config.write_text(json.dumps({"auths": {registry: {"auth": encoded}}}))


@contextmanager
def repository(
    registry: OpenRegistry | str, path: str = "acme/web", *, insecure: tuple[str, ...] = ()
) -> Iterator[Repository]:
    address = registry if isinstance(registry, str) else registry.address
    with RegistryClient(RegistryOptions(frozenset(insecure))) as client:
        yield client.repository(parse(f"{address}/{path}"))


def described(content: bytes, media_type: str = OCTETS) -> Descriptor:
    return Descriptor(media_type, sha256(content), len(content))


def opened(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)


def fault(call: Callable[[], object], kind: type[RegistryError] = RegistryError) -> str:
    """The message of the error that `call` ends with: one printable, bounded line."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 1000
    return message
