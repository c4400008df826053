"""What the tests of the registry client share."""

import base64
import io
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from layerscan.digest import sha256
from layerscan.errors import RegistryError
from layerscan.oci import OCI_MANIFEST, Descriptor
from layerscan.reference import parse
from layerscan.registry import RegistryClient, RegistryOptions, Repository, endpoint, transport
from tests.builders.documents import CONFIG, OCTETS, descriptor, manifest
from tests.builders.registry_server import OpenRegistry

PASSWORD = "correct horse"  # noqa: S105 - the tests' own
USERS = {"me": PASSWORD}
MANIFEST = manifest(descriptor(b"{}", CONFIG), [])
"""A manifest that needs only the config ``{}``."""


def encoded(pair: str | bytes) -> str:
    """``user:password`` as files of credentials have it."""
    raw = pair if isinstance(pair, bytes) else pair.encode()
    return base64.b64encode(raw).decode()


def log_in(config: Path, registry: str, user: str = "me", password: str = PASSWORD) -> None:
    """Write the credentials as ``docker login`` does."""
    config.write_text(json.dumps({"auths": {registry: {"auth": encoded(f"{user}:{password}")}}}))


def programs_first(parent: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder in `parent` at the head of PATH."""
    folder = parent / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def put_helper(programs: Path, name: str, script: str) -> None:
    """A credential helper in the folder `programs`, as a shell script."""
    path = programs / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def answering(user: str, secret: str) -> str:
    """A helper that also keeps what it was asked, and how."""
    answer = json.dumps({"ServerURL": "x", "Username": user, "Secret": secret})
    return f'printf "%s " "$@" >> "$0.asked"; cat >> "$0.asked"; echo \'{answer}\''


@contextmanager
def repository(
    registry: OpenRegistry | str, path: str = "acme/web", *, insecure: tuple[str, ...] = ()
) -> Iterator[Repository]:
    address = registry if isinstance(registry, str) else registry.address
    with RegistryClient(RegistryOptions(frozenset(insecure))) as client:
        yield client.repository(parse(f"{address}/{path}"))


def _to_a_tunnel(near: socket.socket) -> bool:
    while b"\r\n\r\n" not in near.recv(1 << 16):
        pass
    near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    return True


def only_over_tls(near: socket.socket) -> bool:
    """Answers plain HTTP as servers of Go do that speak TLS."""
    if near.recv(1, socket.MSG_PEEK) == b"\x16":
        return True
    near.recv(1 << 16)
    said = b"Client sent an HTTP request to an HTTPS server.\n"
    near.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + said)
    near.close()
    return False


@contextmanager
def tunnels(target: str, taken: Callable[[socket.socket], bool] = _to_a_tunnel) -> Iterator[str]:
    """The address of a proxy that takes whoever asks for a tunnel to `target`, host and port."""
    host, _, port = target.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    near = listening.accept()[0]
                except OSError:
                    return
                if not taken(near):
                    continue
                far = socket.create_connection((host, int(port)))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        # Closing alone would leave the thread waiting.
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), target:
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback is taken for any other host."""
    for module in (endpoint, transport):
        monkeypatch.setattr(module, "is_loopback", lambda _: False)


@pytest.fixture
def secure(tls_certificate: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenRegistry]:
    """A registry that speaks TLS, with a manifest under 7."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with OpenRegistry(certificate=tls_certificate) as registry:
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        yield registry


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
