"""Redirects, TLS and proxies: where a request goes, and where no secret does."""

from pathlib import Path

import httpx
import pytest

from layerscan.digest import sha256
from layerscan.errors import LayerscanError, RegistryError
from layerscan.oci import OCI_MANIFEST
from layerscan.reference import parse
from layerscan.registry import RegistryClient, RegistryOptions, faults, transport
from layerscan.registry.faults import Peer, told
from layerscan.registry.options import registry_host
from layerscan.registry.transport import MOST_REDIRECTS, follow, is_loopback, origin
from tests.builders.registry_case import (
    MANIFEST,
    USERS,
    described,
    fault,
    log_in,
    only_over_tls,
    opened,
    remote,
    repository,
    secure,
    tunnels,
)
from tests.builders.registry_faults import Changed, Status, flipped
from tests.builders.registry_server import OpenRegistry

__all__ = ["remote", "secure"]  # fixtures

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

BLOB = b"blob" * 1000
LIMIT = 1 << 20


# What httpx says that is no trouble with the connection.


@pytest.mark.parametrize(
    "error",
    [
        httpx.DecodingError("Error -3 while decompressing"),
        httpx.TooManyRedirects("Exceeded maximum allowed redirects."),
        httpx.InvalidURL("Invalid port: 'x\n'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_httpx_refuses_is_an_error_of_the_registry(error: Exception) -> None:
    peer = faults.Peer("r.example", "r.example", None, is_foreign=False)
    with pytest.raises(RegistryError) as raised, faults.told(peer):
        raise error
    said = str(error).replace("\n", "\\n")
    assert str(raised.value) == f"r.example: {type(error).__name__}: {said}"
    assert not isinstance(raised.value, faults.TemporaryError)


# Redirects.


@pytest.mark.parametrize("auth", ["token", "basic"])
def test_a_blob_elsewhere_is_fetched_without_the_secret(auth: str, docker_config: Path) -> None:
    with (
        OpenRegistry() as storage,
        OpenRegistry(auth=auth, users=USERS, storage=storage) as registry,
    ):
        log_in(docker_config, registry.address)
        blob = registry.put_blob("acme/web", BLOB)
        with repository(registry) as repo:
            assert repo.has(blob)
            assert repo.fetch(blob, limit=LIMIT) == BLOB
        assert [one.method for one in storage.seen] == ["HEAD", "GET"]
        assert [one.authorization for one in storage.seen] == [None, None]
        assert registry.seen[-1].authorization is not None


def test_a_storage_that_lies_or_refuses_is_an_error_without_the_key_in_its_address() -> None:
    with OpenRegistry() as storage, OpenRegistry(storage=storage) as registry:
        blob = registry.put_blob("acme/web", BLOB)
        storage.fail("GET", "", Changed(flipped))
        with repository(registry) as repo:
            assert "it was damaged or exchanged" in fault(lambda: repo.fetch(blob, limit=LIMIT))
            # It is no registry: what it asks for is not given.
            challenge = {"WWW-Authenticate": f'Bearer realm="{storage.realm}"'}
            storage.fail("GET", "", Status(401, challenge))
            said = fault(lambda: repo.fetch(blob, limit=LIMIT))
        assert "redirected to 127.0.0.1: the registry answers 401" in said
        assert "confidential" not in said
        assert storage.count("GET", "/token") == 0


def test_a_secret_does_not_come_back_with_a_redirect_that_does(docker_config: Path) -> None:
    with OpenRegistry(auth="basic", users=USERS) as registry, OpenRegistry() as other:
        log_in(docker_config, registry.address)
        blob = registry.put_blob("acme/web", BLOB)
        with repository(registry) as repo:
            repo.has(blob)
            seen = len(registry.seen)
            there = {"Location": f"http://{other.address}/v2/x"}
            registry.fail("GET", "/blobs/", Status(302, there))
            other.fail("GET", "", Status(302, {"Location": f"http://{registry.address}/v2/back"}))
            fault(lambda: repo.fetch(blob, limit=LIMIT))
        shown = [one.authorization for one in registry.seen[seen:]]
        assert shown[0] is not None
        assert set(shown[1:]) == {None}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_end(open_registry: OpenRegistry, status: int) -> None:
    away = Status(status, {"Location": "/v2/acme/web/manifests/7?again"})
    open_registry.fail("GET", "", away, times=99)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"http://{open_registry.address}: redirects more than 5 times, last to ")
    assert open_registry.count("GET") == MOST_REDIRECTS + 1


def test_as_many_redirects_as_there_may_be_are_followed(open_registry: OpenRegistry) -> None:
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    location = {"Location": "../manifests/7"}
    open_registry.fail("GET", "", Status(307, location), times=MOST_REDIRECTS)
    with repository(open_registry) as repo:
        assert repo.manifest("7").raw == MANIFEST


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("file:///etc/passwd", "which is no HTTP address"),
        ("http://x:y/", "cannot be asked: Invalid URL in location header"),
        ("http://me:pw@127.0.0.1/", "http://127.0.0.1 with a user name in the address"),
        (None, "answers 302 (Found), which is out of place"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(
    open_registry: OpenRegistry, location: str | None, message: str
) -> None:
    open_registry.fail("GET", "", Status(302, {} if location is None else {"Location": location}))
    with repository(open_registry) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert message in said
    assert "pw" not in said.replace("passwd", "")


def test_an_upload_follows_only_a_redirect_that_keeps_its_method(
    open_registry: OpenRegistry,
) -> None:
    location = {"Location": "/v2/acme/web/blobs/uploads/"}
    open_registry.fail("POST", "", Status(307, location))
    with repository(open_registry) as repo:
        assert repo.push_blob(described(BLOB), opened(BLOB))
        open_registry.fail("POST", "", Status(302, location))
        said = fault(lambda: repo.push_blob(described(b"x"), opened(b"x")))
    assert "answers 302 (Found), which is out of place" in said


# TLS.


@pytest.mark.usefixtures("remote")
def test_a_certificate_that_nobody_vouches_for_is_refused(secure: OpenRegistry) -> None:
    with repository(secure) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"{secure.address}: its certificate is not trusted: self-signed cert")
    assert "SSL_CERT_FILE" in said
    assert "--insecure-registry" in said
    assert secure.seen == []


@pytest.mark.usefixtures("remote")
def test_an_authority_of_ones_own_is_trusted(
    secure: OpenRegistry, tls_certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", tls_certificate)
    with repository(secure) as repo:
        assert repo.manifest("7").raw == MANIFEST
        assert repo.push_blob(described(BLOB), opened(BLOB))


def test_this_machines_own_registry_may_speak_tls(secure: OpenRegistry) -> None:
    with tunnels(secure.address, only_over_tls) as address, RegistryClient() as client:
        repo = client.repository(parse(f"{address}/acme/web:7"))
        assert repo.manifest("7").raw == MANIFEST
        assert repo.push_blob(described(BLOB), opened(BLOB))
    assert secure.blobs("acme/web") == {sha256(BLOB): BLOB}


def test_an_insecure_registry_is_taken_with_any_certificate_and_without_one(
    secure: OpenRegistry, open_registry: OpenRegistry
) -> None:
    with repository(secure, insecure=(secure.address,)) as repo:
        assert repo.manifest("7").raw == MANIFEST
    assert [one.path for one in secure.seen] == ["/v2/", "/v2/acme/web/manifests/7"]
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    with repository(open_registry, insecure=(open_registry.address,)) as repo:
        assert repo.manifest("7").raw == MANIFEST


@pytest.mark.usefixtures("remote")
def test_only_the_registry_named_is_insecure(secure: OpenRegistry) -> None:
    with repository(secure, insecure=("127.0.0.1", "127.0.0.1:1")) as repo:
        assert "its certificate is not trusted" in fault(lambda: repo.manifest("7"))


def test_tls_is_not_left_on_the_way(secure: OpenRegistry, open_registry: OpenRegistry) -> None:
    blob = secure.put_blob("acme/web", BLOB)
    open_registry.put_blob("acme/web", BLOB)
    secure.storage = open_registry
    with repository(secure, insecure=(secure.address,)) as repo:
        said = fault(lambda: repo.fetch(blob, limit=LIMIT))
        assert said.endswith("redirects to http://127.0.0.1, which is without TLS")
    secure.auth = "token"
    secure.realm = open_registry.realm
    with repository(secure, insecure=(secure.address,)) as repo:
        said = fault(lambda: repo.manifest("7"))
        assert said.endswith("names a token service without TLS: 127.0.0.1")
    assert open_registry.seen == []


def test_what_speaks_tls_is_no_plain_registry(secure: OpenRegistry) -> None:
    with repository(secure) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"{secure.address}: the connection broke off: ")


# Hosts.


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("::1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("128.0.0.1", False),
        ("[::2]", False),
        ("registry", False),
    ],
)
def test_the_loopback_is_known_by_its_names(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) == loopback


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("nginx", "https://registry-1.docker.io/v2/library/nginx"),
        ("index.docker.io/acme/x", "https://registry-1.docker.io/v2/acme/x"),
        ("registry.example:5000/x", "https://registry.example:5000/v2/x"),
        ("localhost/x", "http://localhost/v2/x"),
        ("localhost:5000/x", "http://localhost:5000/v2/x"),
        ("[::1]/x", "http://[::1]/v2/x"),
        ("[::1]:5000/x", "http://[::1]:5000/v2/x"),
        ("[::2]:5000/x", "https://[::2]:5000/v2/x"),
    ],
)
def test_each_registry_has_its_address(name: str, url: str) -> None:
    reference = parse(name)
    with RegistryClient() as client:
        repo = client.repository(reference)
        assert repo._endpoint.url(repo.path) == url
        assert repo.name == reference.repository


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b", True),
        ("https://h/a", "https://h:443/b", True),
        ("http://h:443", "http://h", False),
        ("https://h:80", "https://h", False),
        ("http://h:80", "https://h:80", False),
        ("http://h:443", "https://h:443", False),
        ("http://h:81", "http://h:80", False),
        ("http://h:8080", "http://h", False),
        ("http://h", "http://h.example", False),
        ("http://[::1]", "http://[::1]:80", True),
    ],
)
def test_a_port_that_is_not_given_is_that_of_the_scheme(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert (origin(httpx.URL(one)) == origin(httpx.URL(other))) == same


@pytest.mark.parametrize(
    ("registry", "port"), [("localhost", 80), ("h.example", 443), ("localhost:5000", 5000)]
)
def test_an_address_with_the_usual_port_is_the_registrys_own(registry: str, port: int) -> None:
    with RegistryClient() as client:
        endpoint = client.repository(parse(f"{registry}/x"))._endpoint
        scheme = "https" if port == 443 else "http"
        host = registry.partition(":")[0]
        assert endpoint._owns(f"{scheme}://{host}:{port}/v2/x/blobs/uploads/1")
        assert not endpoint._owns(f"{scheme}://{host}:{port + 1}/v2/x/blobs/uploads/1")


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443), ("http", 5000)])
def test_a_connection_to_the_usual_port_is_to_no_proxy(scheme: str, port: int) -> None:
    given = "" if port in (80, 443) else f":{port}"
    for host, connected, proxy in [
        ("h", port, None),
        ("h", port + 1, f"h:{port + 1}"),
        ("proxy", port, f"proxy:{port}"),
    ]:
        peer = Peer("h", "h", None, is_foreign=False)
        info = {"host": host, "port": connected}
        url = httpx.URL(f"{scheme}://h{given}/v2/")
        follow(peer, url, "connection.connect_tcp.started", info)
        assert peer.proxy == proxy


@pytest.mark.parametrize(
    "error", [httpx.InvalidURL("no\naddress"), httpx.DecodingError("no\naddress")]
)
def test_any_other_error_of_httpx_is_one_of_the_registry(error: Exception) -> None:
    said = rf"^h: {type(error).__name__}: no\\naddress$"
    with pytest.raises(RegistryError, match=said), told(Peer("h", "h", None, False)):  # noqa: FBT003
        raise error


def test_a_host_is_checked_as_it_is_given() -> None:
    assert registry_host("registry.example:5000") == "registry.example:5000"
    for text in ("", "http://x", "x/y", "x:y", "x y"):
        with pytest.raises(LayerscanError, match="is no registry: expected HOST or HOST:PORT"):
            registry_host(text)


def test_no_text_leads_out_of_the_repository(open_registry: OpenRegistry) -> None:
    with repository(open_registry) as repo:
        fault(lambda: repo.manifest("../../../x?y#z"))
    assert open_registry.requests() == ["GET /v2/acme/web/manifests/..%2F..%2F..%2Fx%3Fy%23z"]


def test_who_gets_no_connection_is_told(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_SLOT_SECONDS", 0.01)
    blob = open_registry.put_blob("acme/web", BLOB)
    with RegistryClient(RegistryOptions(connections=1)) as client:
        repo = client.repository(parse(f"{open_registry.address}/acme/web"))
        with repo.stream(blob) as chunks:
            assert next(chunks)
            said = fault(lambda: repo.has(blob))
        assert said == f"{open_registry.address}: all 1 connections are in use"
        assert repo.has(blob)


def test_options_are_shared_by_all_repositories(open_registry: OpenRegistry) -> None:
    with RegistryClient(RegistryOptions(connections=1)) as client:
        for path in ("a", "b"):
            open_registry.put_manifest(path, MANIFEST, OCI_MANIFEST, "7")
            repo = client.repository(parse(f"{open_registry.address}/{path}"))
            assert repo.manifest("7").raw == MANIFEST
    assert open_registry.connections == 1
