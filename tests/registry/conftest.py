"""Registries that ask who one is."""

from collections.abc import Iterator

import pytest

from layerscan.oci import OCI_MANIFEST
from tests.builders.registry_case import MANIFEST, USERS
from tests.builders.registry_server import OpenRegistry


@pytest.fixture
def tokens() -> Iterator[OpenRegistry]:
    """A registry that wants tokens, with a manifest under 7."""
    with OpenRegistry(auth="token", users=USERS, anonymous_pull=True) as registry:
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        yield registry


@pytest.fixture
def basic() -> Iterator[OpenRegistry]:
    """A registry that wants a password, with a manifest under 7."""
    with OpenRegistry(auth="basic", users=USERS) as registry:
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        yield registry
