"""Folders with certificates: whom a registry's connections trust, and what is amiss in them."""

import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

from layerscan.registry import tls
from layerscan.registry.faults import CertificateError
from tests.builders.certificates import Authority, Issued, put_pair, with_password
from tests.builders.registry_case import MANIFEST, USERS, log_in, repository
from tests.builders.registry_certificates_case import (
    FOLDERS,
    company,
    device,
    folder_of,
    home,
    isolate,
    read,
    refused,
    secure,
    server,
    seven,
    stranger,
)
from tests.builders.registry_server import OpenRegistry
from tests.builders.user import as_nobody
from tests.cli_runner import error, run
from tests.requirements import require_root

__all__ = ["company", "device", "home", "secure", "server", "stranger"]  # fixtures

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

ADD = "add that certificate, or remove the key"


# Authorities.


@pytest.mark.parametrize("place", FOLDERS)
def test_an_authority_in_the_folder_of_the_registry_is_trusted(
    secure: OpenRegistry, company: Authority, home: Path, place: str
) -> None:
    shutil.copy(company.certificate, folder_of(secure, home, place) / "any name.crt")
    assert read(secure) == MANIFEST


def test_authorities_are_trusted_beside_those_of_the_machine(
    secure: OpenRegistry,
    company: Authority,
    stranger: Authority,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(stranger.certificate, folder_of(secure, home) / "ca.crt")
    monkeypatch.setenv("SSL_CERT_FILE", str(company.certificate))
    assert read(secure) == MANIFEST


def test_another_authority_is_of_no_use_and_that_is_said_at_once(
    secure: OpenRegistry, stranger: Authority, home: Path
) -> None:
    shutil.copy(stranger.certificate, folder_of(secure, home) / "ca.crt")
    said = refused(secure)
    assert said.startswith(f"{secure.address}: its certificate is not trusted: unable to get local")
    assert f"/etc/docker/certs.d/{secure.address} as *.crt" in said


def test_the_folder_of_another_registry_is_of_no_use(
    secure: OpenRegistry, company: Authority, home: Path
) -> None:
    for address in ("127.0.0.1", "127.0.0.1:1", "docker.io", f"{secure.address}0"):
        shutil.copy(company.certificate, folder_of(address, home) / "ca.crt")
    assert "its certificate is not trusted" in refused(secure)


def test_the_first_folder_counts_alone(
    secure: OpenRegistry, company: Authority, home: Path
) -> None:
    for place in reversed(FOLDERS[1:]):
        shutil.copy(company.certificate, folder_of(secure, home, place) / "ca.crt")
        assert read(secure) == MANIFEST
    secure.seen.clear()
    folder_of(secure, home, FOLDERS[0])
    assert "its certificate is not trusted" in refused(secure)


def test_every_file_of_authorities_counts_and_each_may_have_several(
    secure: OpenRegistry, company: Authority, stranger: Authority, home: Path
) -> None:
    folder = folder_of(secure, home)
    shutil.copy(stranger.certificate, folder / "a.crt")
    both = stranger.certificate.read_bytes() + company.certificate.read_bytes()
    (folder / "b.crt").write_bytes(b"# who we trust: \xc3\xa9\n" + both)
    (folder / "README").write_text("not a certificate")
    assert read(secure) == MANIFEST


def test_the_authority_that_is_trusted_may_be_one_that_another_vouches_for(
    company: Authority, home: Path
) -> None:
    factory = company.subordinate("factory")
    with OpenRegistry(certificate=factory.issue("server").both) as registry:
        shutil.copy(factory.certificate, folder_of(registry, home) / "ca.crt")
        assert read(seven(registry)) == MANIFEST


def test_certificates_need_not_be_as_strict_as_new_pythons_want_them(
    secure: OpenRegistry, company: Authority, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_machine = tls._of_machine

    def strict() -> ssl.SSLContext:
        context = of_machine()
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(tls, "_of_machine", strict)
    shutil.copy(company.certificate, folder_of(secure, home) / "ca.crt")
    assert read(secure) == MANIFEST


def test_token_service_and_storage_are_trusted_as_the_registry_is(
    secure: OpenRegistry, company: Authority, server: Issued, home: Path, docker_config: Path
) -> None:
    with (
        OpenRegistry(certificate=server.both) as storage,
        OpenRegistry(auth="token", users=USERS, certificate=server.both) as service,
    ):
        secure.auth, secure.users, secure.storage = "token", USERS, storage
        secure.realm, secure.tokens, secure.service = service.realm, service.tokens, service.service
        log_in(docker_config, secure.address)
        blob = secure.put_blob("acme/web", b"blob")
        shutil.copy(company.certificate, folder_of(secure, home) / "ca.crt")
        with repository(secure) as repo:
            assert repo.fetch(blob, limit=100) == b"blob"
        assert storage.count("GET") == 1
        assert service.count("GET", "/token") == 1


# Files that cannot be used.


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.key",), "a.key: there is no a.cert beside it; add that certificate, or remove the "),
        (("ca.cert",), "ca.cert: there is no ca.key beside it; certificates of authorities are "),
        (("a.key", "b.cert"), "a.key: there is no a.cert beside it"),
        (("bad.crt",), "bad.crt: cannot be used: NO_CERTIFICATE_OR_CRL_FOUND"),
        (("torn.crt",), "torn.crt: cannot be used: not in PEM format"),
        (("bad.cert", "bad.key"), "bad.cert: cannot be used: with the key {}/bad.key: not in PEM "),
        (("a.cert", "b.key->a.key"), "a.cert: cannot be used: with the key {}/a.key: KEY_VALUES"),
        (("a.cert", "locked.key->a.key"), "a.key: needs a password; store it without one"),
        (("folder.crt",), "folder.crt: cannot be used: Is a directory"),
        (("lost.crt",), "lost.crt: cannot be used: No such file or directory"),
        (("a.cert", "lost.key->a.key"), "a.key: cannot be used: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    secure: OpenRegistry, company: Authority, home: Path, names: tuple[str, ...], message: str
) -> None:
    """In `names` ``x->y`` is the material x under the name y."""
    folder = folder_of(secure, home)
    shutil.copy(company.certificate, folder / "good.crt")
    for name in names:
        material, _, target = name.partition("->")
        put_material(folder / (target or name), material, company)
    said = refused(secure)
    assert said.startswith(f"{folder}/{message.format(folder)}")
    assert secure.connections == 0
    insecure = (secure.address,)
    if names[0].endswith(".crt"):
        # Any certificate will do: the authorities are not looked at.
        assert read(secure, insecure=insecure) == MANIFEST
    else:
        assert refused(secure, insecure=insecure) == said


@pytest.mark.parametrize("lost", ["client.cert", "client.key"])
def test_a_file_that_is_lost_while_it_is_read_is_an_error_of_one_line(
    secure: OpenRegistry,
    device: Issued,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    folder = folder_of(secure, home)
    put_pair(folder, device)
    monkeypatch.setattr(tls, "_check_readable", lambda _: (folder / lost).unlink(missing_ok=True))
    pair = f"{folder}/client.cert: cannot be used: with the key {folder}/client.key"
    assert refused(secure) == f"{pair}: No such file or directory"


def put_material(path: Path, material: str, company: Authority) -> None:
    match material.split("."):
        case ["bad", _]:
            path.write_text("s3cret")
        case ["torn", _]:
            path.write_bytes(
                company.certificate.read_bytes()[:300] + b"\n-----END CERTIFICATE-----"
            )
        case ["lost", _]:
            path.symlink_to("nowhere")
        case ["folder", _]:
            path.mkdir()
        case ["locked", _]:
            path.write_bytes(with_password(company.issue("a").key, "s3cret"))
        case [name, "cert"]:
            shutil.copy(company.issue(name).certificate, path)
        case [name, _]:
            shutil.copy(company.issue(name).key, path)


@pytest.mark.root
def test_a_folder_that_cannot_be_read_is_named_and_one_that_cannot_be_seen_is_not_there(
    open_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_root()
    folder = folder_of("registry.example", isolate(open_path, monkeypatch))

    def found() -> str:
        try:
            return str(tls.find_certificates("registry.example"))
        except CertificateError as fault:
            return str(fault)

    assert as_nobody(found) == str(tls.Certificates("registry.example"))
    folder.chmod(0o700)
    assert as_nobody(found) == f"{folder}: cannot be used: Permission denied"
    folder.parent.chmod(0o700)
    assert as_nobody(found) == str(tls.Certificates("registry.example"))


# The program.


def test_this_machines_own_registry_is_asked_over_tls_where_there_are_certificates(
    tmp_path: Path, server: Issued, company: Authority, device: Issued
) -> None:
    with OpenRegistry(certificate=server.both) as registry:
        name = f"{seven(registry).address}/acme/web:7"
        registry.put_blob("acme/web", b"{}")
        folder = folder_of(registry, tmp_path, FOLDERS[0])
        env = {"HOME": str(tmp_path)}
        shutil.copy(company.certificate, folder / "ca.crt")
        put_pair(folder, device)
        assert run("inspect", name, "--raw", env=env).status == 0
        (folder / "client.cert").unlink()
        result = run("inspect", name, "--raw", env=env)
        message = f"{folder}/client.key: there is no client.cert beside it; {ADD}"
        assert (result.status, result.lines) == (2, [error(message)])


def test_the_folders_are_those_of_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert tls.folders({}) == (
        "/home/me/.config/containers/certs.d",
        "/home/me/.config/docker/certs.d",
        "/etc/containers/certs.d",
        "/etc/docker/certs.d",
    )
    assert tls.folders({"XDG_CONFIG_HOME": "/x"})[:2] == (
        "/home/me/.config/containers/certs.d",
        "/x/docker/certs.d",
    )


def test_where_the_machine_has_no_authorities_those_of_httpx_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nowhere: dict[str, Any] = {"cafile": None, "capath": None}
    paths = ssl.get_default_verify_paths()._replace(**nowhere)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    found = tls.settings(tls.Certificates("registry.example", (), None), verified=True)
    assert found.verify_mode == ssl.CERT_REQUIRED
    assert found.cert_store_stats()["x509_ca"] > 100
