"""What the tests of certificates share: machines that have some, registries that want some.

A test module takes the fixtures that it needs by importing them.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerscan.oci import OCI_MANIFEST
from layerscan.registry import endpoint, tls, transport
from layerscan.registry.faults import CertificateError
from tests.builders.certificates import Authority, Issued
from tests.builders.registry_case import MANIFEST, fault, repository
from tests.builders.registry_server import OpenRegistry
from tests.conftest import require_programs

FOLDERS = [
    ".config/containers/certs.d",
    "xdg/docker/certs.d",
    "etc/containers/certs.d",
    "etc/docker/certs.d",
]
"""Below the folder of `home`, the one that counts most at first."""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of the registry's certificate."""
    require_programs("openssl")
    return Authority(tmp_path_factory.mktemp("company"), "company")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    require_programs("openssl")
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def server(company: Authority) -> Issued:
    return company.issue("server")


@pytest.fixture(scope="module")
def device(company: Authority) -> Issued:
    return company.issue("device")


def isolate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `folder` a machine and a user without any certificates; the loopback is as any host."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "xdg"))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    for module in (endpoint, transport):
        monkeypatch.setattr(module, "is_loopback", lambda _: False)
    system = tuple(str(folder / one) for one in FOLDERS[2:])
    monkeypatch.setattr(tls, "SYSTEM_FOLDERS", system)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine and a user without any certificates; the loopback is as any other host."""
    return isolate(tmp_path, monkeypatch)


def seven(registry: OpenRegistry) -> OpenRegistry:
    registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    return registry


@pytest.fixture
def secure(home: Path, server: Issued) -> Iterator[OpenRegistry]:
    """A registry with a certificate of `company`, and a manifest under 7."""
    assert home.is_dir()
    with OpenRegistry(certificate=server.both) as registry:
        yield seven(registry)


@pytest.fixture
def demanding(secure: OpenRegistry, company: Authority) -> OpenRegistry:
    """The same, which answers only who has a certificate of `company`."""
    return demand(secure, company)


def demand(registry: OpenRegistry, authority: Authority) -> OpenRegistry:
    context_of(registry).verify_mode = ssl.CERT_REQUIRED
    context_of(registry).load_verify_locations(cafile=authority.certificate)
    return registry


def context_of(registry: OpenRegistry) -> ssl.SSLContext:
    listening = registry._server.socket
    assert isinstance(listening, ssl.SSLSocket)
    return listening.context


def folder_of(registry: OpenRegistry | str, home: Path, place: str = FOLDERS[-1]) -> Path:
    address = registry if isinstance(registry, str) else registry.address
    folder = home / place / address
    folder.mkdir(parents=True)
    return folder


def read(registry: OpenRegistry, *, insecure: tuple[str, ...] = ()) -> bytes:
    with repository(registry, insecure=insecure) as repo:
        return repo.manifest("7").raw


def refused(registry: OpenRegistry, *, insecure: tuple[str, ...] = ()) -> str:
    """The message of the error, of which no second attempt was made."""
    before = registry.connections
    said = fault(lambda: read(registry, insecure=insecure), CertificateError)
    assert "tried" not in said
    assert registry.connections - before <= 1
    assert registry.seen == []
    return said
