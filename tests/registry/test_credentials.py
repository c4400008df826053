"""Docker's configuration: which credentials are found in it, and by which program."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.jsondoc import Place
from layerscan.registry import credential_helper, login_files
from layerscan.registry.login import Login, Secret
from layerscan.registry.login_files import Credentials, DockerLogins, config_path
from tests.builders.registry_case import (
    PASSWORD,
    answering,
    encoded,
    fault,
    programs_first,
    put_helper,
)

REGISTRY = "registry.example:5000"


def found(config: Path, document: object, registry: str = REGISTRY) -> tuple[str, str] | None:
    """User and secret; the user ``<token>`` stands for an identity token."""
    config.write_text(document if isinstance(document, str) else json.dumps(document))
    login = Credentials(registry, [DockerLogins(str(config), registry)]).login("acme/web")
    if login is None:
        return None
    return "<token>" if login.is_identity_token else login.user, login.secret.reveal()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH."""
    return programs_first(tmp_path, monkeypatch)


# The file.


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        (REGISTRY, REGISTRY),
        (REGISTRY, f"https://{REGISTRY}"),
        (REGISTRY, f"http://{REGISTRY}/v1/"),
        (REGISTRY, f"https://{REGISTRY}/v2/"),
        ("docker.io", "https://index.docker.io/v1/"),
    ],
)
def test_credentials_are_found_under_any_form_of_the_host(
    tmp_path: Path, registry: str, key: str
) -> None:
    auths = {"other.example": {"auth": encoded("no:no")}, key: {"auth": encoded("me:a:b")}}
    assert found(tmp_path / "config.json", {"auths": auths}, registry) == ("me", "a:b")


@pytest.mark.parametrize(
    "key",
    ["registry.example", f"{REGISTRY}1", f"{REGISTRY}/team", f"sub.{REGISTRY}", "https://x/v1/"],
)
def test_those_of_another_host_or_of_a_part_are_not_used(tmp_path: Path, key: str) -> None:
    auths = {key: {"auth": encoded("me:secret")}}
    assert found(tmp_path / "config.json", {"auths": auths}) is None


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": encoded("me:secret\0\0")}, ("me", "secret")),
        ({"auth": encoded("me:")}, ("me", "")),
        ({"auth": encoded("me:secret") + "\n"}, ("me", "secret")),
        ({"auth": "\r\n".join(encoded("me:secret"))}, ("me", "secret")),
        ({"username": "me", "password": "secret"}, ("me", "secret")),
        ({"auth": encoded("me:secret"), "identitytoken": "it"}, ("<token>", "it")),
        ({"auth": encoded("me:secret"), "email": 7, "more": []}, ("me", "secret")),
        ({"auth": encoded("me:secret"), "identitytoken": None}, ("me", "secret")),
        ({"auth": None, "username": "me", "password": "secret"}, ("me", "secret")),
        ({}, None),
        ({"auth": ""}, None),
        ({"auth": None, "username": None}, None),
        (None, None),
    ],
)
def test_every_form_of_an_entry_is_understood(
    tmp_path: Path, entry: dict[str, object] | None, login: tuple[str, str] | None
) -> None:
    assert found(tmp_path / "config.json", {"auths": {REGISTRY: entry}}) == login


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"auths": None},
        {"auths": {}},
        {"auths": {REGISTRY: None}},
        {"credsStore": "", "credHelpers": None},
        {"credHelpers": {REGISTRY: None}},
        "",
        " \n",
        "null",
    ],
)
def test_a_file_without_credentials_has_none(tmp_path: Path, document: object) -> None:
    assert found(tmp_path / "config.json", document) is None
    nowhere = DockerLogins(str(tmp_path / "no" / "config.json"), REGISTRY)
    assert nowhere.find("acme/web") is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", ": is not JSON: "),
        ("[]", ": $: must be an object"),
        ({"auths": []}, ": $.auths: must be an object"),
        ({"auths": {REGISTRY: "x"}}, f': $.auths["{REGISTRY}"]: must be an object'),
        ({"auths": {REGISTRY: {"auth": 7}}}, '"].auth: must be a string'),
        ({"auths": {REGISTRY: {"auth": "s3cret!"}}}, "is no base64 of UTF-8 text: log in again"),
        ({"auths": {REGISTRY: {"auth": encoded("s3cret")}}}, "of the form user:password: log in"),
        ({"auths": {REGISTRY: {"auth": encoded(b"s3cret:\xff")}}}, "is no base64 of UTF-8 text"),
        ({"credsStore": "../../bin/s3cret"}, ": $.credsStore: is no name of a credential helper"),
        ("{" + " " * (1 << 20) + "}", ": is longer than 1048576 bytes"),
    ],
)
def test_a_file_that_is_wrong_is_an_error_without_what_is_in_it(
    tmp_path: Path, document: object, message: str
) -> None:
    config = tmp_path / "config.json"
    said = fault(lambda: found(config, document))
    assert said.startswith(f"credentials of {REGISTRY}: {config}: ")
    assert message in said
    assert "s3cret" not in said


def test_the_file_is_where_docker_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert config_path({"DOCKER_CONFIG": "/etc/docker-me"}) == "/etc/docker-me/config.json"
    assert config_path({"DOCKER_CONFIG": ""}) == "/home/me/.docker/config.json"
    assert config_path({}) == "/home/me/.docker/config.json"


@given(st.text(min_size=1).filter(lambda text: ":" not in text), st.text())
def test_user_and_password_come_out_as_they_went_in(user: str, password: str) -> None:
    read = login_files._decode(encoded(f"{user}:{password}"), Place("x"))
    assert read == (user, password.rstrip("\0"))


# Helpers.


@pytest.mark.parametrize(
    ("registry", "key"),
    [(REGISTRY, REGISTRY), ("docker.io", "https://index.docker.io/v1/")],
)
def test_a_helper_is_asked_for_the_host_on_its_stdin(
    tmp_path: Path, programs: Path, registry: str, key: str
) -> None:
    put_helper(programs, "mine", answering("me", PASSWORD))
    assert found(tmp_path / "c", {"credsStore": "mine"}, registry) == ("me", PASSWORD)
    assert (programs / "docker-credential-mine.asked").read_text() == f"get {key}"


def test_a_helper_of_the_registry_goes_before_the_store_and_both_before_the_file(
    tmp_path: Path, programs: Path
) -> None:
    put_helper(programs, "mine", answering("helper", "1"))
    put_helper(programs, "all", answering("<token>", "2"))
    document: dict[str, object] = {
        "auths": {REGISTRY: {"auth": encoded("file:3")}},
        "credsStore": "all",
        "credHelpers": {REGISTRY: "mine"},
    }
    assert found(tmp_path / "c", document) == ("helper", "1")
    document["credHelpers"] = {"other.example": "mine"}
    assert found(tmp_path / "c", document) == ("<token>", "2")
    del document["credsStore"]
    assert found(tmp_path / "c", document) == ("file", "3")


@pytest.mark.parametrize(
    "script",
    [
        "echo 'credentials not found in native keychain'; exit 1",
        'echo \'{"Username": "", "Secret": ""}\'',
    ],
)
def test_a_helper_that_knows_none_leaves_it_to_the_file(
    tmp_path: Path, programs: Path, script: str
) -> None:
    put_helper(programs, "mine", script)
    auths = {REGISTRY: {"auth": encoded("me:secret")}}
    assert found(tmp_path / "c", {"credsStore": "mine"}) is None
    assert found(tmp_path / "c", {"credsStore": "mine", "auths": auths}) == ("me", "secret")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo s3cret; echo s3cret >&2; exit 3",
         "fails with exit status 3; 'echo registry.example:5000 | docker-credential-mine get' "),
        ("echo s3cret", "docker-credential-mine: is not JSON: "),
        ("echo '[]'", "docker-credential-mine: $: must be an object"),
        ('echo \'{"Username": "s3cret"}\'', 'docker-credential-mine: $: key "Secret" is missing'),
        ("head -c 2000000 /dev/zero", "docker-credential-mine: $: is longer than 1048576 bytes"),
        ("sleep 60", "docker-credential-mine does not answer in 0.2 seconds"),
    ],
)  # fmt: skip
def test_a_helper_that_fails_is_an_error_without_what_it_says(
    tmp_path: Path,
    programs: Path,
    script: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "sleep" in script:
        monkeypatch.setattr(credential_helper, "HELPER_SECONDS", 0.2)
    put_helper(programs, "mine", f"exec {script}" if "sleep" in script else script)
    said = fault(lambda: found(tmp_path / "c", {"credsStore": "mine"}))
    assert said.startswith(f"credentials of {REGISTRY}: ")
    assert message in said
    assert "s3cret" not in said


def test_a_helper_that_is_not_there_is_named(tmp_path: Path, programs: Path) -> None:
    said = fault(lambda: found(tmp_path / "c", {"credHelpers": {REGISTRY: "mine"}}))
    assert said.endswith("names docker-credential-mine, which is not on PATH")
    put_helper(programs, "mine", "")
    (programs / "docker-credential-mine").write_bytes(b"no program")
    said = fault(lambda: found(tmp_path / "c", {"credHelpers": {REGISTRY: "mine"}}))
    assert "docker-credential-mine cannot be run: " in said


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("s3cret")
    assert "s3cret" not in f"{secret} {secret!r} {[secret]}"
    assert "s3cret" not in repr(Login("me", secret, is_identity_token=False, source="x"))
    assert secret.reveal() == "s3cret"
