"""Proxies of the environment: which hosts are asked over one, and whose fault is whose."""

import socket
import ssl
import sys
from functools import partial

import pytest

from layerscan.oci import OCI_MANIFEST
from layerscan.registry.faults import ProxyError
from tests.builders.registry_case import MANIFEST, fault, remote, repository, secure, tunnels
from tests.builders.registry_certificates_case import context_of
from tests.builders.registry_faults import Status
from tests.builders.registry_server import OpenRegistry

__all__ = ["remote", "secure"]  # fixtures

pytestmark = pytest.mark.usefixtures("quick", "docker_config")


@pytest.fixture
def proxied(open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch) -> OpenRegistry:
    """A registry that the environment names as the proxy."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:proxy-secret@{open_registry.address}")
    monkeypatch.setenv("https_proxy", f"http://user:proxy-secret@{open_registry.address}")
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    return open_registry


def test_the_proxy_of_the_environment_is_used(proxied: OpenRegistry) -> None:
    with repository("registry.example", insecure=("registry.example",)) as repo:
        assert repo.manifest("7").raw == MANIFEST
    assert proxied.requests() == [
        "CONNECT registry.example:443",
        "GET http://registry.example/v2/acme/web/manifests/7",
    ]
    with repository("registry.example") as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"registry.example: the proxy {proxied.address} cannot be used: ")
    assert "it refuses the connection: 404" in said
    assert "secret" not in said
    # Asking again would not help.
    assert proxied.requests()[2:] == ["CONNECT registry.example:443"]


@pytest.mark.parametrize(
    ("status", "attempts"), [(403, 1), (407, 1), (429, 5), (500, 5), (501, 1), (503, 5)]
)
def test_only_a_proxy_that_has_trouble_is_asked_again(
    proxied: OpenRegistry, status: int, attempts: int
) -> None:
    proxied.fail("CONNECT", "", Status(status), times=99)
    with repository("registry.example") as repo:
        said = fault(lambda: repo.manifest("7"))
    assert f"it refuses the connection: {status} " in said
    assert said.endswith(" (tried 5 times)") == (attempts == 5)
    assert proxied.requests() == ["CONNECT registry.example:443"] * attempts


@pytest.fixture
def proxied_over_tls(proxied: OpenRegistry, monkeypatch: pytest.MonkeyPatch) -> OpenRegistry:
    """The same, which TLS is spoken with though it speaks none."""
    monkeypatch.setenv("https_proxy", f"https://user:proxy-secret@{proxied.address}")
    return proxied


NAMED = "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names it"


def refused_by_proxy(proxy: str) -> str:
    """What is said of the proxy, whether or not the registry is insecure."""
    said = set()
    for insecure in ((), ("registry.example",)):
        with repository("registry.example", insecure=insecure) as repo:
            said.add(fault(partial(repo.manifest, "7"), ProxyError))
    (message,) = said
    assert message.startswith(f"registry.example: the proxy {proxy} cannot be used: ")
    for wrong in ("tried", "--insecure-registry", "certs.d", "secret"):
        assert wrong not in message
    return message.partition(" cannot be used: ")[2]


def test_a_proxy_that_speaks_no_tls_is_not_taken_for_the_registry(
    proxied_over_tls: OpenRegistry,
) -> None:
    said = refused_by_proxy(proxied_over_tls.address)
    assert said.startswith(f"it speaks no TLS (WRONG_VERSION_NUMBER); {NAMED}: with http://")
    assert proxied_over_tls.seen == []


@pytest.mark.usefixtures("proxied_over_tls")
def test_the_certificate_of_a_proxy_is_not_taken_for_the_registrys(
    secure: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", f"https://user:proxy-secret@{secure.address}")
    said = refused_by_proxy(secure.address)
    assert said.startswith("its certificate is not trusted: self-signed cert")
    assert said.endswith(f"; {NAMED}, and SSL_CERT_FILE a file with authorities")


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("alert", "tries"),
    [
        (ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME, 1),
        (ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR, 5),
    ],
)
def test_an_alert_of_a_proxy_ends_it_unless_it_is_about_its_own_trouble(
    secure: OpenRegistry, monkeypatch: pytest.MonkeyPatch, alert: ssl.AlertDescription, tries: int
) -> None:
    # Names are asked for where the host is no address.
    proxy = secure.address.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("https_proxy", f"https://user:proxy-secret@{proxy}")
    context_of(secure).sni_callback = lambda *_: alert
    with repository("registry.example") as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"registry.example: the proxy {proxy} cannot be used: TLS failed: ")
    assert said.removesuffix(" (tried 5 times)").endswith(f"; {NAMED}")
    assert secure.connections == tries


@pytest.mark.usefixtures("proxied")
def test_a_proxy_that_is_not_there_is_not_taken_for_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    for scheme in ("http", "https"):
        monkeypatch.setenv("https_proxy", f"{scheme}://user:proxy-secret@{address}")
        assert refused_by_proxy(address) == f"[Errno 111] Connection refused; {NAMED}"
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert refused_by_proxy("proxy.invalid:3128").endswith(f"; {NAMED}")


def test_a_proxy_that_does_not_answer_is_asked_again_and_no_registry_without_tls(
    proxied: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def too_late(*_: object, **__: object) -> None:
        attempts.append(1)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", too_late)
    with repository("registry.example", insecure=("registry.example",)) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"registry.example: the proxy {proxied.address} cannot be used: ")
    assert said.endswith(f"; {NAMED} (tried 5 times)")
    assert len(attempts) == 5


@pytest.mark.usefixtures("remote", "proxied")
def test_the_certificate_of_a_registry_behind_a_proxy_is_its_own(
    secure: OpenRegistry, tls_certificate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnels(secure.address) as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy}")
        with repository(secure) as repo:
            said = fault(lambda: repo.manifest("7"))
        assert said.startswith(f"{secure.address}: its certificate is not trusted: self-signed")
        assert f"certs.d/{secure.address} as *.crt" in said
        with repository(secure, insecure=(secure.address,)) as repo:
            assert repo.manifest("7").raw == MANIFEST
        monkeypatch.setenv("SSL_CERT_FILE", tls_certificate)
        with repository(secure) as repo:
            assert repo.manifest("7").raw == MANIFEST


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("scheme", "words"), [("ftp", "Unknown scheme"), ("socks5", "Using SOCKS")]
)
def test_a_proxy_of_another_kind_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, scheme: str, words: str
) -> None:
    # As where the package for SOCKS is not installed.
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("https_proxy", f"{scheme}://user:proxy-secret@proxy.example:21")
    for insecure in ((), ("registry.example",)):
        with repository("registry.example", insecure=insecure) as repo:
            said = fault(partial(repo.manifest, "7"), ProxyError)
        assert said.startswith(f"the proxies of the environment cannot be used: {words}")
        assert "secret" not in said


def test_no_proxy_is_used_for_hosts_that_need_none(
    proxied: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenRegistry() as registry:
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        for host in (registry.address, registry.address.replace("127.0.0.1", "localhost")):
            with repository(host) as repo:
                assert repo.manifest("7").raw == MANIFEST
    monkeypatch.setenv("no_proxy", "registry.invalid")
    with repository("registry.invalid") as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith("registry.invalid: ")
    assert proxied.seen == []
