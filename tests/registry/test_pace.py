"""Servers that are too slow: every request ends."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerscan.errors import RegistryError
from layerscan.oci import OCI_MANIFEST
from layerscan.registry import Repository, pace
from layerscan.registry.faults import TemporaryError
from layerscan.registry.pace import TooSlowError
from layerscan.registry.retry import ATTEMPTS, Waits
from tests.builders.registry_case import (
    MANIFEST,
    USERS,
    described,
    fault,
    log_in,
    opened,
    repository,
)
from tests.builders.registry_faults import Endless, Stall, Trickle
from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

BLOB = b"blob" * 1000
LIMIT = 1 << 20
PARTS = ["head", "body", "chunk"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "GRACE_SECONDS", 0.3)


def read_manifest(repo: Repository) -> object:
    return repo.manifest("7")


def read_part(repo: Repository) -> object:
    return repo.part(described(BLOB), 0, len(BLOB))


def read_blob(repo: Repository) -> object:
    with repo.stream(described(BLOB)) as chunks:
        return b"".join(chunks)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("call", [read_manifest, read_part, read_blob])
def test_a_byte_at_a_time_is_given_up(
    open_registry: OpenRegistry, part: str, call: Callable[[Repository], object]
) -> None:
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "", Trickle(part), times=99)
    with repository(open_registry) as repo:
        said = fault(lambda: call(repo), TooSlowError)
    assert said.startswith(f"{open_registry.address}: sends too slowly: ")
    assert said.endswith(" seconds; given up")
    # Another attempt would only wait as long again.
    assert open_registry.count("GET") == 1


def test_an_answer_without_a_body_is_given_up(open_registry: OpenRegistry) -> None:
    open_registry.fail("HEAD", "", Trickle("head"), times=99)
    with repository(open_registry) as repo:
        fault(lambda: repo.push_blob(described(BLOB), opened(BLOB)), TooSlowError)


@pytest.mark.parametrize("part", PARTS)
def test_so_is_a_token_service(part: str, docker_config: Path) -> None:
    with OpenRegistry(auth="token", users=USERS) as registry:
        log_in(docker_config, registry.address)
        registry.fail("GET", "/token", Trickle(part), times=99)
        with repository(registry) as repo:
            assert "sends too slowly" in fault(lambda: repo.manifest("7"), TooSlowError)


def test_an_error_at_a_byte_a_time_is_given_up(open_registry: OpenRegistry) -> None:
    open_registry.fail("GET", "", Trickle("body"), times=99)
    with repository(open_registry) as repo:
        fault(lambda: repo.manifest("none"), TooSlowError)


def test_a_reader_that_lets_the_server_wait_is_not_blamed_on_it(
    open_registry: OpenRegistry,
) -> None:
    blob = open_registry.put_blob("acme/web", bytes(1 << 20))
    with repository(open_registry) as repo, repo.stream(blob) as chunks:
        assert next(chunks)
        time.sleep(0.5)
        assert sum(map(len, chunks)) > 0


def test_each_answer_over_a_connection_has_a_time_of_its_own(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FLOOR", 1 << 40)
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    clock = [0.0]

    def ticking() -> float:
        clock[0] += 0.1
        return clock[0]

    monkeypatch.setattr(time, "monotonic", ticking)
    with repository(open_registry) as repo:
        for _ in range(20):
            assert repo.manifest("7").raw == MANIFEST
    assert open_registry.connections == 1


@pytest.mark.slow
def test_a_document_has_a_deadline(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch, docker_config: Path
) -> None:
    monkeypatch.setattr(pace, "GRACE_SECONDS", 60.0)
    monkeypatch.setattr(pace, "DOCUMENT_SECONDS", 0.2)
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "", Trickle("body"), times=99)
    with repository(open_registry) as repo:
        for call in (lambda: repo.manifest("7"), lambda: repo.fetch(blob, limit=LIMIT)):
            assert "is not here after " in fault(call, RegistryError)
    with OpenRegistry(auth="token", users=USERS) as registry:
        log_in(docker_config, registry.address)
        registry.fail("GET", "/token", Trickle("body"), times=99)
        with repository(registry) as repo:
            said = fault(lambda: repo.manifest("7"), RegistryError)
        assert "token service" in said
        assert "is not here after" in said


@pytest.mark.slow
def test_a_body_that_ends_short_on_an_open_connection_ends(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from layerscan.registry import transport

    monkeypatch.setattr(transport, "_IDLE_SECONDS", 0.2)
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    open_registry.fail("GET", "", Stall(10), times=99)
    with repository(open_registry) as repo:
        for call in (lambda: repo.manifest("7"), lambda: read_blob(repo)):
            said = fault(call)
            assert said.endswith("does not answer any more (tried 5 times)")
    # A byte more with each attempt is no reason to go on for ever.
    assert blob.size == len(BLOB)
    assert open_registry.count("GET", "/blobs/") == 5


def test_endless_words_of_an_error_are_cut(open_registry: OpenRegistry) -> None:
    open_registry.fail("GET", "/manifests/", Endless(), times=1)
    with repository(open_registry) as repo:
        fault(lambda: repo.manifest("none"))


@pytest.mark.parametrize(
    ("position", "seconds", "goes_on"),
    [(0, 0, False), (1, 0, True), (4096, 1, True), (4095, 1, False), (40960, 10, True)],
)
def test_progress_is_what_keeps_up_with_the_floor(
    monkeypatch: pytest.MonkeyPatch, position: int, seconds: float, *, goes_on: bool
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    waits = Waits(threading.Event())

    def fail_until_the_last() -> None:
        for _ in range(ATTEMPTS - 1):
            waits.wait(TemporaryError("x", 0))

    fail_until_the_last()
    clock[0] += seconds
    waits.reached(position)
    if goes_on:
        fail_until_the_last()
        # What was there before counts once.
        waits.begin()
        waits.reached(position)
    with pytest.raises(RegistryError, match="tried 5 times"):
        waits.wait(TemporaryError("x", 0))
