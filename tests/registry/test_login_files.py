"""Podman's files of credentials: which are read, in which order, and what is in them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.errors import RefusedByRegistryError
from layerscan.oci import OCI_MANIFEST
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from layerscan.registry.login_files import ContainersLogins, Credentials, DockerLogins, login_files
from tests.builders.registry_case import (
    MANIFEST,
    PASSWORD,
    USERS,
    answering,
    encoded,
    fault,
    log_in,
    programs_first,
    put_helper,
)
from tests.builders.registry_faults import Changed
from tests.builders.registry_server import OpenRegistry

REGISTRY = "registry.example:5000"
PLACES = {
    "named": "named.json",
    "docker": "docker/config.json",
    "run": "run/containers/auth.json",
    "config": "config/containers/auth.json",
}


class User:
    """Somebody's files below `root`, and the variables that lead to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variables = {
            "DOCKER_CONFIG": str(root / "docker"),
            "XDG_RUNTIME_DIR": str(root / "run"),
            "XDG_CONFIG_HOME": str(root / "config"),
        }

    def put(self, place: str, document: object) -> Path:
        path = self.root / PLACES[place]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        if place == "named":
            self.variables["REGISTRY_AUTH_FILE"] = str(path)
        return path

    def found(self, repository: str = "acme/web", registry: str = REGISTRY) -> str | None:
        """``user:secret`` that is found."""
        login = Credentials(registry, login_files(registry, self.variables)).login(repository)
        return None if login is None else f"{login.user}:{login.secret.reveal()}"

    def fault(self) -> str:
        return fault(self.found)


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH."""
    return programs_first(tmp_path, monkeypatch)


def auths(**users: str) -> dict[str, object]:
    """A document with a password for each key; ``_`` stands for a slash, ``r`` for the registry."""
    return {
        "auths": {
            key.replace("_", "/").replace("r", REGISTRY, 1): {"auth": encoded(f"{name}:pw")}
            for key, name in users.items()
        }
    }


def at(key: str, pair: str = "me:pw") -> dict[str, object]:
    return {"auths": {key: {"auth": encoded(pair)}}}


# Which files, and in which order.


@pytest.mark.parametrize("place", PLACES)
def test_each_file_is_read(user: User, place: str) -> None:
    assert user.found() is None
    user.put(place, auths(r="me"))
    assert user.found() == "me:pw"


def test_the_file_that_is_named_counts_most_and_then_dockers(user: User) -> None:
    for place in reversed(PLACES):
        user.put(place, auths(r=place))
        assert user.found() == f"{place}:pw"


def test_a_named_file_takes_the_place_of_the_one_at_run_time(user: User) -> None:
    user.put("run", auths(r="run"))
    user.put("named", auths(other="named"))
    assert user.found() is None
    user.put("config", auths(r="config"))
    assert user.found() == "config:pw"
    user.put("docker", auths(r="docker"))
    assert user.found() == "docker:pw"


def test_a_user_of_docker_has_what_docker_has_whatever_else_there_is(user: User) -> None:
    user.put("docker", auths(r="docker", r_acme="no"))
    for place in ("run", "config"):
        user.put(place, "not JSON")
    assert user.found() == "docker:pw"
    # Docker knows no parts of registries.
    user.put("docker", auths(r_acme_web="no"))
    for place in ("run", "config"):
        user.put(place, {})
    assert user.found() is None


def test_a_named_file_must_be_there(user: User) -> None:
    path = user.put("named", {})
    path.unlink()
    assert user.fault() == (
        f"credentials of {REGISTRY}: {path}: $: REGISTRY_AUTH_FILE names this file, "
        "and it is not there"
    )


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({}, ["~/.docker/config.json", "/run/containers/{}/auth.json", "~/.config/containers/"]),
        (
            {"XDG_RUNTIME_DIR": "/r", "XDG_CONFIG_HOME": "/c", "REGISTRY_AUTH_FILE": ""},
            ["~/.docker/config.json", "/r/containers/auth.json", "/c/containers/"],
        ),
        (
            {"REGISTRY_AUTH_FILE": "f.json", "DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/r"},
            ["f.json", "/d/config.json", "~/.config/containers/"],
        ),
    ],
)
def test_the_files_are_where_the_programs_have_them(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], paths: list[str]
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = [file._place.source for file in login_files(REGISTRY, variables)]
    expected = [path.replace("~", "/home/me").format(os.getuid()) for path in paths]
    assert found == [*expected[:2], f"{expected[2]}auth.json"]


# Parts of registries.


def test_the_longest_key_counts(user: User) -> None:
    user.put("run", auths(r="all", r_acme="acme", r_acme_web="web", r_acme_web_x="x", other="no"))
    user.put("config", auths(r_team="config"))
    for repository, name in (
        ("acme/web", "web"),
        ("acme/web/y", "web"),
        ("acme/web/x", "x"),
        ("acme/webs", "acme"),
        ("acme", "acme"),
        ("acmes/web", "all"),
        # A file that has something for the registry is not gone past.
        ("team/x", "all"),
    ):
        assert user.found(repository) == f"{name}:pw"


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.data())
def test_a_key_counts_for_what_is_below_it_and_for_nothing_else(
    parts: list[str], data: st.DataObject
) -> None:
    keys = data.draw(st.lists(st.lists(st.sampled_from("abc"), max_size=5).map("/".join)))
    repository = "/".join(parts)
    file = ContainersLogins("x", REGISTRY)
    names = [f"{REGISTRY}/{key}".rstrip("/") for key in keys]
    file.__dict__["_config"] = {"auths": {name: {"auth": encoded(f"me:{name}")} for name in names}}
    above = [key for key in keys if not key or f"{repository}/".startswith(f"{key}/")]
    login = file.find(repository)
    if above:
        assert login is not None
        assert login.user == "me"
        assert login.secret.reveal() == f"{REGISTRY}/{max(above, key=len)}".rstrip("/")
    else:
        assert login is None


@pytest.mark.parametrize(
    ("registry", "key", "is_found"),
    [
        (REGISTRY, f"https://{REGISTRY}", True),
        (REGISTRY, f"https://{REGISTRY}/v1/", True),
        (REGISTRY, f"https://{REGISTRY}/acme", False),
        (REGISTRY, "registry.example", False),
        ("docker.io", "docker.io", True),
        ("docker.io", "docker.io/acme", True),
        ("docker.io", "index.docker.io", True),
        ("docker.io", "https://index.docker.io/v1/", True),
        ("docker.io", "docker.io/library", False),
    ],
)
def test_the_host_has_many_names(user: User, registry: str, key: str, *, is_found: bool) -> None:
    user.put("run", at(key))
    assert user.found(registry=registry) == ("me:pw" if is_found else None)


def test_where_a_login_is_from_is_told_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.json"
    path.write_text(json.dumps(at(REGISTRY)))
    for file in (ContainersLogins(str(path), REGISTRY), DockerLogins(str(path), REGISTRY)):
        login = file.find("acme/web")
        assert login is not None
        assert login.source == str(path).replace("\n", "\\n")


def test_an_entry_without_anything_leaves_it_to_the_next_file(user: User) -> None:
    document = auths(r="run")
    document["auths"][f"{REGISTRY}/acme"] = {}  # type: ignore[index]
    user.put("run", document)
    user.put("config", auths(r="config"))
    assert user.found("acme/web") == "config:pw"
    assert user.found("team/web") == "run:pw"


# Helpers.


@pytest.mark.parametrize("registry", [REGISTRY, "docker.io"])
def test_a_helper_is_asked_once_for_the_registry(user: User, programs: Path, registry: str) -> None:
    put_helper(programs, "mine", answering("me", PASSWORD))
    path = user.put("run", {**at(f"{registry}/acme"), "credHelpers": {registry: "mine"}})
    file = ContainersLogins(str(path), registry)
    for repository in ("acme/web", "other/web"):
        login = file.find(repository)
        assert login is not None
        assert (login.user, login.secret.reveal()) == ("me", PASSWORD)
    assert (programs / "docker-credential-mine.asked").read_text() == f"get {registry}"


def test_a_helper_that_knows_none_leaves_it_to_the_next_file(user: User, programs: Path) -> None:
    put_helper(programs, "mine", "echo 'credentials not found in native keychain'; exit 1")
    user.put("run", {**auths(r="no"), "credHelpers": {REGISTRY: "mine"}})
    assert user.found() is None
    user.put("config", auths(r="config"))
    assert user.found() == "config:pw"


def test_a_store_for_all_registries_is_dockers_alone(user: User, programs: Path) -> None:
    put_helper(programs, "mine", answering("me", PASSWORD))
    user.put("run", {"credsStore": "mine"})
    assert user.found() is None


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("s3cret", "is not JSON: "),
        ({"auths": {f"{REGISTRY}/acme": "s3cret"}}, f'["{REGISTRY}/acme"]: must be an object'),
        (at(f"{REGISTRY}/acme", "s3cret"), ".auth: is not of the form user:password: log in again"),
        ({"credHelpers": {REGISTRY: "../s3cret"}}, "is no name of a credential helper"),
    ],
)
def test_a_file_that_is_wrong_is_an_error_without_what_is_in_it(
    user: User, document: object, message: str
) -> None:
    path = user.put("run", document)
    said = user.fault()
    assert said.startswith(f"credentials of {REGISTRY}: {path}: ")
    assert message in said
    assert "s3cret" not in said.replace("../s3cret", "")


def test_a_helper_that_is_not_there_is_named_with_the_file_that_names_it(
    user: User, programs: Path
) -> None:
    assert programs.is_dir()
    path = user.put("run", {"credHelpers": {REGISTRY: "mine"}})
    assert user.fault() == (
        f"credentials of {REGISTRY}: {path} names docker-credential-mine, which is not on PATH"
    )


# With a registry.


@pytest.fixture
def environment(user: User, docker_config: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    """The variables of `user` are those of the tests."""
    assert not docker_config.exists()
    for name, value in user.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    return user


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_each_repository_is_asked_with_its_own_credentials(environment: User, auth: str) -> None:
    users = {"left": "1", "right": "2"}
    with OpenRegistry(auth=auth, users=users) as registry, RegistryClient() as client:
        for name in ("acme/left", "acme/right"):
            registry.put_manifest(name, MANIFEST, OCI_MANIFEST, "7")
        keys = {"acme/left": "left:1", "acme/right": "right:2", "acme": "left:s3cret"}
        document = {
            f"{registry.address}/{key}": {"auth": encoded(pair)} for key, pair in keys.items()
        }
        path = environment.put("run", {"auths": document})
        for name in ("acme/left", "acme/right", "acme/left"):
            repo = client.repository(parse(f"{registry.address}/{name}"))
            assert repo.manifest("7").raw == MANIFEST
        used = {
            one.authorization
            for one in registry.seen
            if one.authorization and one.authorization.startswith("Basic ")
        }
        assert used == {f"Basic {encoded(pair)}" for pair in ("left:1", "right:2")}
        other = client.repository(parse(f"{registry.address}/acme/other"))
        said = fault(lambda: other.manifest("7"), RefusedByRegistryError)
        nothing = client.repository(parse(f"{registry.address}/team/other"))
        unknown = fault(lambda: nothing.manifest("7"), RefusedByRegistryError)
    assert f'from {path}: "{registry.address}/acme"' in said
    assert "s3cret" not in said
    assert f"there are no credentials for {registry.address}: 'docker login' stores" in unknown


def test_identity_tokens_of_two_repositories_are_kept_apart(environment: User) -> None:
    with OpenRegistry(auth="token", users=USERS) as registry, RegistryClient() as client:
        registry.refresh_tokens.update({"one": "me", "two": "me"})
        document = {f"{registry.address}/{key}": {"identitytoken": key} for key in ("one", "two")}
        environment.put("config", {"auths": document})
        # In place of the first token, another is given that is then unknown.
        renewal = b', "refresh_token": "gone"}'
        registry.fail("POST", "/token", Changed(lambda raw: raw.rstrip(b"}") + renewal))

        def read(path: str) -> bytes:
            registry.put_manifest(path, MANIFEST, OCI_MANIFEST, "7")
            return client.repository(parse(f"{registry.address}/{path}")).manifest("7").raw

        assert read("one/x") == read("two/x") == read("two/y") == MANIFEST
        assert "unknown refresh token" in fault(lambda: read("one/y"), RefusedByRegistryError)


def test_dockers_credentials_are_used_before_podmans(
    environment: User, docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenRegistry(auth="basic", users=USERS) as registry, RegistryClient() as client:
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        environment.put("run", at(registry.address, "me:wrong"))
        monkeypatch.setenv("DOCKER_CONFIG", str(docker_config.parent))
        log_in(docker_config, registry.address)
        repo = client.repository(parse(f"{registry.address}/acme/web"))
        assert repo.manifest("7").raw == MANIFEST
