"""Certificates of the client: who is shown one, and what is said if the handshake fails."""

import shutil
import ssl
from pathlib import Path

import pytest

from layerscan.registry import tls
from layerscan.registry.faults import CertificateError
from layerscan.text import printable
from tests.builders.certificates import Authority, Issued, put_pair
from tests.builders.registry_case import (
    MANIFEST,
    USERS,
    described,
    fault,
    log_in,
    opened,
    repository,
)
from tests.builders.registry_certificates_case import (
    FOLDERS,
    company,
    context_of,
    demand,
    demanding,
    device,
    folder_of,
    home,
    read,
    refused,
    secure,
    server,
    seven,
    stranger,
)
from tests.builders.registry_faults import Headers, Status
from tests.builders.registry_server import OpenRegistry

__all__ = ["company", "demanding", "device", "home", "secure", "server", "stranger"]  # fixtures

pytestmark = pytest.mark.usefixtures("quick", "docker_config")


@pytest.fixture
def prepared(
    demanding: OpenRegistry, company: Authority, device: Issued, home: Path
) -> OpenRegistry:
    """The same; this machine has all that it takes."""
    folder = folder_of(demanding, home)
    shutil.copy(company.certificate, folder / "ca.crt")
    put_pair(folder, device)
    return demanding


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_shows_its_certificate(
    demanding: OpenRegistry,
    company: Authority,
    device: Issued,
    home: Path,
    version: ssl.TLSVersion,
) -> None:
    context_of(demanding).maximum_version = version
    folder = folder_of(demanding, home)
    shutil.copy(company.certificate, folder / "ca.crt")
    said = refused(demanding)
    assert said.startswith(f"{demanding.address}: refuses a client without a certificate: ")
    assert said.endswith(f"/certs.d/{demanding.address} as *.cert, and its key as *.key")
    put_pair(folder, device)
    assert read(demanding) == MANIFEST


def test_the_machines_authorities_do_with_a_certificate_of_the_client(
    demanding: OpenRegistry,
    company: Authority,
    device: Issued,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(company.certificate))
    put_pair(folder_of(demanding, home), device)
    assert read(demanding) == MANIFEST


def test_a_certificate_that_is_refused_is_named(
    demanding: OpenRegistry, company: Authority, stranger: Authority, home: Path
) -> None:
    folder = folder_of(demanding, home)
    shutil.copy(company.certificate, folder / "ca.crt")
    put_pair(folder, stranger.issue("device"))
    said = refused(demanding)
    assert said.startswith(f"{demanding.address}: refuses the certificate {folder}/client.cert: ")


def test_the_first_of_several_certificates_is_shown(
    demanding: OpenRegistry, company: Authority, stranger: Authority, device: Issued, home: Path
) -> None:
    folder = folder_of(demanding, home)
    shutil.copy(company.certificate, folder / "ca.crt")
    put_pair(folder, stranger.issue("device"), "b")
    put_pair(folder, device, "a")
    assert read(demanding) == MANIFEST


def test_an_insecure_registry_is_shown_the_certificate_too(
    demanding: OpenRegistry, device: Issued, home: Path
) -> None:
    # It speaks TLS: without the certificate, plain HTTP is not tried.
    insecure = (demanding.address,)
    assert "refuses a client without" in refused(demanding, insecure=insecure)
    put_pair(folder_of(demanding, home), device)
    assert read(demanding, insecure=insecure) == MANIFEST


def test_the_certificate_is_shown_to_the_token_service(
    prepared: OpenRegistry, company: Authority, server: Issued, docker_config: Path
) -> None:
    with OpenRegistry(auth="token", users=USERS, certificate=server.both) as service:
        demand(service, company)
        prepared.auth, prepared.users, prepared.service = "token", USERS, service.service
        prepared.realm, prepared.tokens = service.realm, service.tokens
        log_in(docker_config, prepared.address)
        assert read(prepared) == MANIFEST
        assert service.count("GET", "/token") == 1


def test_the_certificate_is_shown_to_nobody_else_whom_the_registry_names(
    prepared: OpenRegistry, company: Authority, server: Issued
) -> None:
    blob = prepared.put_blob("acme/web", b"blob")
    with OpenRegistry(certificate=server.both) as storage:
        prepared.storage = storage
        with repository(prepared) as repo:
            assert repo.fetch(blob, limit=100) == b"blob"
        demand(storage, company)
        there = {"Location": f"{storage.url}/v2/acme/web/blobs/uploads/f00"}
        prepared.fail("POST", "", Headers(there))
        with repository(prepared) as repo:
            refusals = [
                fault(lambda: repo.fetch(blob, limit=100), CertificateError),
                fault(lambda: repo.push_blob(described(b"x"), opened(b"x")), CertificateError),
            ]
        for said in refusals:
            assert said.startswith(f"{storage.address}: refuses a client without a certificate: ")
            assert said.endswith(f"; one for {prepared.address} is not shown here")


def test_the_certificate_does_not_come_back_with_a_redirect_that_does(
    prepared: OpenRegistry, server: Issued
) -> None:
    with OpenRegistry(certificate=server.both) as other:
        prepared.fail("GET", "", Status(302, {"Location": f"{other.url}/v2/x"}))
        other.fail("GET", "", Status(302, {"Location": f"{prepared.url}/v2/back"}))
        with repository(prepared) as repo:
            said = fault(lambda: repo.manifest("7"), CertificateError)
    assert said.startswith(f"{prepared.address}: refuses a client without a certificate: ")
    assert prepared.requests() == ["GET /v2/acme/web/manifests/7"]


def test_a_folder_with_a_strange_name_is_told_on_one_line(
    demanding: OpenRegistry,
    company: Authority,
    stranger: Authority,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(home / "a\nb"))
    folder = folder_of(demanding, home / "a\nb", FOLDERS[0])
    shutil.copy(company.certificate, folder / "ca.crt")
    put_pair(folder, stranger.issue("device"))
    said = refused(demanding)
    assert f": refuses the certificate {printable(str(folder / 'client.cert'))}: " in said
    (folder / "x\ny.key").write_text("")
    assert "there is no x\\ny.cert beside it" in refused(demanding)


def test_a_server_of_another_version_of_tls_is_asked_once(
    secure: OpenRegistry, company: Authority, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(company.certificate, folder_of(secure, home) / "ca.crt")
    of_machine = tls._of_machine

    def old() -> ssl.SSLContext:
        context = of_machine()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    monkeypatch.setattr(tls, "_of_machine", old)
    context_of(secure).minimum_version = ssl.TLSVersion.TLSv1_3
    with repository(secure) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said == f"{secure.address}: TLS failed: TLSV1_ALERT_PROTOCOL_VERSION"
    assert secure.connections == 1


@pytest.mark.parametrize(
    ("alert", "tries"),
    [
        (ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME, 1),
        (ssl.AlertDescription.ALERT_DESCRIPTION_INSUFFICIENT_SECURITY, 1),
        (ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR, 5),
    ],
)
def test_an_alert_ends_it_unless_it_is_about_the_servers_own_trouble(
    secure: OpenRegistry, home: Path, alert: ssl.AlertDescription, tries: int
) -> None:
    assert home.is_dir()
    # Names are asked for where the host is no address.
    address = secure.address.replace("127.0.0.1", "localhost")
    context_of(secure).sni_callback = lambda *_: alert
    with repository(address) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"{address}: TLS failed: ")
    assert secure.connections == tries
    assert said.endswith("(tried 5 times)") == (tries == 5)


def test_what_speaks_no_tls_is_told_at_once(open_registry: OpenRegistry, home: Path) -> None:
    folder_of(open_registry, home)
    with repository(seven(open_registry)) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said == (
        f"{open_registry.address}: speaks no TLS (WRONG_VERSION_NUMBER); "
        "--insecure-registry does without"
    )
    assert open_registry.connections == 1
