"""Tokens and passwords: which are asked for, how often, and that nobody sees them."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerscan.errors import RefusedByRegistryError
from layerscan.oci import OCI_MANIFEST
from layerscan.reference import parse
from layerscan.registry import RegistryClient, RegistryOptions
from tests.builders.registry_case import (
    MANIFEST,
    PASSWORD,
    USERS,
    described,
    encoded,
    fault,
    log_in,
    opened,
    repository,
)
from tests.builders.registry_faults import Changed, Headers, Status
from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

BLOB = b"blob"
ENCODED = base64.b64encode(f"me:{PASSWORD}".encode()).decode()


# Tokens.


def test_a_token_is_asked_for_once_and_shown_from_then_on(tokens: OpenRegistry) -> None:
    with repository(tokens) as repo:
        for _ in range(3):
            assert repo.manifest("7").raw == MANIFEST
    scope = "scope=repository%3Aacme%2Fweb%3Apull"
    assert tokens.requests() == [
        "GET /v2/acme/web/manifests/7",
        f"GET /token?service=tests+registry%2C+1&{scope}",
        *["GET /v2/acme/web/manifests/7"] * 3,
    ]
    shown = [one.authorization for one in tokens.seen]
    assert shown[:2] == [None, None]
    assert len(set(shown[2:])) == 1


def test_a_push_takes_one_more_token_for_all_its_requests(
    tokens: OpenRegistry, docker_config: Path
) -> None:
    log_in(docker_config, tokens.address)
    with repository(tokens) as repo:
        repo.manifest("7")
        assert repo.push_blob(described(BLOB), opened(BLOB))
        assert repo.push_blob(described(b"{}"), opened(b"{}"))
        repo.push_manifest(MANIFEST, OCI_MANIFEST, "8")
        assert repo.manifest("8").raw == MANIFEST
    asked = tokens.requests("/token")
    assert [line.rpartition("%3A")[2] for line in asked] == ["pull", "pull%2Cpush"]
    assert tokens.tags("acme/web")["8"] == tokens.tags("acme/web")["7"]
    # The password goes to the token service alone.
    basic = {one.path.partition("?")[0] for one in tokens.seen if ENCODED in str(one.headers)}
    assert basic == {"/token"}


def test_many_threads_wait_for_one_token(tokens: OpenRegistry) -> None:
    tokens.fail("GET", "/token", Status(503))
    with repository(tokens) as repo, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: repo.manifest("7").raw, range(40)))
    assert found == [MANIFEST] * 40
    assert tokens.count("GET", "/token") == 2


def test_one_connection_is_enough_for_registry_and_token_service(
    tokens: OpenRegistry, docker_config: Path
) -> None:
    log_in(docker_config, tokens.address)
    with RegistryClient(RegistryOptions(connections=1)) as client:
        repo = client.repository(parse(f"{tokens.address}/acme/web"))
        assert repo.manifest("7").raw == MANIFEST
        assert repo.push_blob(described(BLOB), opened(BLOB))
    assert tokens.connections == 1


def test_a_token_is_renewed_before_it_ends_and_when_it_is_refused(
    tokens: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with repository(tokens) as repo:
        repo.manifest("7")
        clock[0] += 280
        repo.manifest("7")
        assert tokens.count("GET", "/token") == 1
        clock[0] += 15
        repo.manifest("7")
        assert tokens.count("GET", "/token") == 2
        # The registry forgets it: one more token, one more try.
        tokens.tokens.clear()
        repo.manifest("7")
    assert tokens.count("GET", "/token") == 3
    assert tokens.count("GET", "/manifests/") == 6


@pytest.mark.parametrize(("seconds", "lives"), [(None, 50), (0, 50), (5, 50), (3600, 3590)])
def test_a_token_lives_a_minute_at_least(
    tokens: OpenRegistry, seconds: int | None, lives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    tokens.token_seconds = seconds
    with repository(tokens) as repo:
        for step, count in ((0, 1), (lives - 1, 1), (2, 2)):
            clock[0] += step
            repo.manifest("7")
            assert tokens.count("GET", "/token") == count


def test_an_identity_token_is_exchanged(tokens: OpenRegistry, docker_config: Path) -> None:
    tokens.refresh_tokens["id + secret"] = "me"
    entry = {"auth": "", "identitytoken": "id + secret"}
    docker_config.write_text(json.dumps({"auths": {tokens.address: entry}}))
    with repository(tokens) as repo:
        assert repo.push_blob(described(BLOB), opened(BLOB))
    (asked,) = tokens.requests("/token")
    assert asked == "POST /token"
    with repository(tokens) as repo:
        tokens.refresh_tokens.clear()
        said = fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert "401 (Unauthorized): UNAUTHORIZED: unknown refresh token" in said
    assert said.endswith(f": the credentials are refused (those from {docker_config})")
    assert "secret" not in said


@pytest.mark.parametrize("status", [307, 308, 302])
def test_an_identity_token_follows_no_redirect(
    tokens: OpenRegistry, open_registry: OpenRegistry, docker_config: Path, status: int
) -> None:
    entry = {"identitytoken": "id-secret"}
    docker_config.write_text(json.dumps({"auths": {tokens.address: entry}}))
    location = {"Location": f"http://{open_registry.address}/token"}
    tokens.fail("POST", "/token", Status(status, location))
    with repository(tokens) as repo:
        assert f"answers {status} (" in fault(lambda: repo.manifest("7"))
    assert open_registry.seen == []


# No way in.


def test_a_registry_that_refuses_every_token_is_asked_twice(tokens: OpenRegistry) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{tokens.realm}",service="tests registry, 1"'}
    tokens.fail("GET", "/manifests/", Status(401, challenge, code="UNAUTHORIZED"), times=99)
    with repository(tokens) as repo:
        said = fault(lambda: repo.manifest("7"), RefusedByRegistryError)
        assert said == (
            f"{repo.name}:7: the registry answers 401 (Unauthorized): UNAUTHORIZED: come back "
            f"later; there are no credentials for {tokens.address}: 'docker login' stores some"
        )
        assert tokens.count("GET", "/manifests/") == 2
        # What is known to be wanted is shown at once, and renewed once.
        fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert tokens.count("GET", "/manifests/") == 4
    assert tokens.count("GET", "/token") == 2


def test_a_wrong_password_is_refused_by_the_token_service(
    tokens: OpenRegistry, docker_config: Path
) -> None:
    log_in(docker_config, tokens.address, password="no" + PASSWORD)
    with repository(tokens) as repo:
        said = fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert said == (
        f"{tokens.address}: token service {tokens.address}: the registry answers 401 "
        "(Unauthorized): UNAUTHORIZED: authentication required: the credentials are refused "
        f"(those from {docker_config})"
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"{}", '$: key "access_token" is missing'),
        (b'{"token": 7}', "$.token: must be a string"),
        (b'{"token": "a\\nX: y"}', "gives a token that is not valid"),
        (b'{"token": "t", "expires_in": "soon"}', "$.expires_in: must be an integer"),
        (b"no", "is not JSON"),
        (b"{" + b" " * (1 << 20) + b"}", "sends more than the 1048576 bytes"),
    ],
)
def test_what_is_no_token_is_refused(tokens: OpenRegistry, answer: bytes, message: str) -> None:
    tokens.fail("GET", "/token", Changed(lambda _: answer))
    with repository(tokens) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"{tokens.address}: token service {tokens.address}: ")
    assert message in said


def test_null_in_a_tokens_answer_is_as_what_is_absent(tokens: OpenRegistry) -> None:
    def changed(raw: bytes) -> bytes:
        answer = json.loads(raw)
        more = {"token": None, "access_token": answer["token"]}
        return json.dumps({**more, "expires_in": None, "refresh_token": ""}).encode()

    tokens.fail("GET", "/token", Changed(changed), times=9)
    with repository(tokens) as repo:
        assert repo.manifest("7").raw == MANIFEST


@pytest.mark.parametrize(
    "realm", ["ftp://x/token", "/token", "http://me:pw@x/token", "http://[x/token", "https:///x"]
)
def test_a_token_service_without_an_address_is_not_asked(tokens: OpenRegistry, realm: str) -> None:
    tokens.realm = realm
    with repository(tokens) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"{tokens.address}: names a token service that has no address: ")


def test_no_challenge_that_is_understood_is_an_error(tokens: OpenRegistry) -> None:
    for header in ("Negotiate", 'Bearer service="x"', "", "\"'=,,"):
        tokens.fail("GET", "/manifests/", Status(401, {"WWW-Authenticate": header}))
        with repository(tokens) as repo:
            assert "401 (Unauthorized)" in fault(lambda: repo.manifest("7"))
    assert tokens.count("GET", "/token") == 0


# Passwords.


def test_a_password_is_shown_where_it_is_asked_for(
    basic: OpenRegistry, docker_config: Path
) -> None:
    log_in(docker_config, basic.address)
    with repository(basic) as repo:
        assert repo.manifest("7").raw == MANIFEST
        assert repo.push_blob(described(BLOB), opened(BLOB))
    shown = [one.authorization for one in basic.seen]
    assert shown[0] is None
    assert set(shown[1:]) == {f"Basic {ENCODED}"}


def test_a_wrong_password_is_an_error_that_does_not_show_it(
    basic: OpenRegistry, docker_config: Path
) -> None:
    log_in(docker_config, basic.address, password="no" + PASSWORD)
    with repository(basic) as repo:
        said = fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert said == (
        f"{repo.name}:7: the registry answers 401 (Unauthorized): UNAUTHORIZED: authentication "
        f"required; the credentials are those of user me from {docker_config}"
    )
    assert basic.count("GET") == 2


def test_no_password_is_an_error_that_says_how_to_store_one(basic: OpenRegistry) -> None:
    with repository(basic) as repo:
        said = fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert said.endswith(
        f"; there are no credentials for {basic.address}: 'docker login' stores some"
    )
    assert basic.count("GET") == 1


@pytest.mark.parametrize("kind", ["token", "basic"])
def test_a_registry_that_says_a_secret_aloud_is_not_repeated(
    kind: str, docker_config: Path
) -> None:
    with OpenRegistry(auth=kind, users=USERS) as registry:
        log_in(docker_config, registry.address)
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        with repository(registry) as repo:
            repo.manifest("7")
            (header,) = {one.authorization for one in registry.seen if "/v2/" in one.path} - {None}
            assert header is not None
            secret = header.split()[1]
            words = f"you are {header}, with {PASSWORD}"
            registry.fail("GET", "", Status(403, code=secret, message=words), times=99)
            with pytest.raises(RefusedByRegistryError) as caught:
                repo.manifest("7")
    for text in (str(caught.value), caught.value.code, repr(caught.value)):
        assert secret not in text
        assert PASSWORD not in text
    assert "you are B" in str(caught.value)


def test_a_secret_that_another_one_begins_with_does_not_show_the_rest(
    docker_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = {f"team{number}": f"pw{'.x' * number}" for number in range(10)}
    with OpenRegistry(auth="basic", users=passwords) as registry:
        names = {f"{registry.address}/{user}": f"{user}:{pw}" for user, pw in passwords.items()}
        document = {"auths": {name: {"auth": encoded(pair)} for name, pair in names.items()}}
        path = docker_config.parent / "auth.json"
        path.write_text(json.dumps(document))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
        with RegistryClient() as client:
            for user in passwords:
                registry.put_manifest(user, MANIFEST, OCI_MANIFEST, "7")
                repo = client.repository(parse(f"{registry.address}/{user}"))
                assert repo.manifest("7").raw == MANIFEST
            registry.fail(
                "GET", "", Status(403, message=f"not {' '.join(passwords.values())}"), times=9
            )
            said = fault(lambda: repo.manifest("7"), RefusedByRegistryError)
    assert f"not {' '.join('…' for _ in passwords)};" in said


def test_of_several_challenges_a_token_goes_before_a_password(tokens: OpenRegistry) -> None:
    bearer = f'Bearer realm="{tokens.realm}",service="tests registry, 1"'
    header = {"WWW-Authenticate": f"Basic realm=x, {bearer}"}
    tokens.fail("GET", "/manifests/", Headers(header))
    with repository(tokens) as repo:
        assert repo.manifest("7").raw == MANIFEST
