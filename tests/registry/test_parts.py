"""Parts of blobs: ranged requests, and registries that serve none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerscan.errors import NotInRegistryError, RegistryError
from tests.builders.registry_case import USERS, described, fault, log_in, repository
from tests.builders.registry_faults import Changed, Cut, Endless, Fault, Headers, Status
from tests.builders.registry_server import OpenRegistry

if TYPE_CHECKING:
    from collections.abc import Callable

BLOB = bytes(range(256)) * 1000


def test_a_part_is_what_was_asked_for(open_registry: OpenRegistry) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    with repository(open_registry) as repo:
        for offset, length in ((0, 1), (0, len(BLOB)), (1000, 70_000), (len(BLOB) - 1, 1)):
            assert repo.part(blob, offset, length) == BLOB[offset : offset + length]
    ranges = [one.headers.get("range") for one in open_registry.seen]
    assert ranges == ["bytes=0-0", "bytes=0-255999", "bytes=1000-70999", "bytes=255999-255999"]


def test_a_registry_that_serves_no_parts_sends_no_blob(open_registry: OpenRegistry) -> None:
    open_registry.knows_ranges = False
    blob = open_registry.put_blob("acme/web", bytes(64 << 20))
    with repository(open_registry) as repo:
        # More often than there are connections: each of them is given back.
        assert [repo.part(blob, 0, 10) for _ in range(20)] == [None] * 20
        open_registry.fail("GET", "/blobs/", Endless())
        assert repo.part(blob, 0, 10) is None


@pytest.mark.parametrize("storage_knows_ranges", [True, False])
def test_redirects_keep_the_range(*, storage_knows_ranges: bool) -> None:
    with OpenRegistry() as storage, OpenRegistry(storage=storage) as registry:
        storage.knows_ranges = storage_knows_ranges
        registry.put_blob("acme/web", BLOB)
        blob = storage.put_blob("acme/web", BLOB)
        with repository(registry) as repo:
            expected = BLOB[5:9] if storage_knows_ranges else None
            assert repo.part(blob, 5, 4) == expected


def test_a_part_needs_a_token_like_the_whole(docker_config: object) -> None:
    with OpenRegistry(auth="token", users=USERS) as registry:
        blob = registry.put_blob("acme/web", BLOB)
        log_in(docker_config, registry.address)  # type: ignore[arg-type]
        with repository(registry) as repo:
            assert repo.part(blob, 3, 3) == b"\3\4\5"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Headers({"Content-Range": "bytes 6-9/256000"}), "it was asked for bytes 5-8/256000"),
        (Headers({"Content-Range": "bytes 5-8/256001"}), "sends bytes 5-8/256001"),
        (Headers({"Content-Range": None}), "sends a part of unknown place"),
        (Headers({"Content-Range": "x\u00ff"}), "it was asked for"),
        (Status(416), "416"),
        (Status(404, code="BLOB_UNKNOWN"), "BLOB_UNKNOWN"),
    ],
)
def test_other_parts_are_refused(open_registry: OpenRegistry, wrong: Fault, words: str) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", wrong)
    with repository(open_registry) as repo:
        kind = NotInRegistryError if "BLOB_UNKNOWN" in words else RegistryError
        assert words in fault(lambda: repo.part(blob, 5, 4), kind)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda part: part[:3], "the registry sends 3 bytes of the 4 asked for (tried 5 times)"),
        (lambda part: part + b"x", "the registry sends more than the 4 bytes that are read"),
    ],
)
def test_a_part_of_another_length_is_refused(
    open_registry: OpenRegistry, change: Callable[[bytes], bytes], words: str
) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", Changed(change), times=9)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.part(blob, 5, 4))
    assert said == f"{repo.name}@{blob.digest}: {words}"


def test_a_server_need_not_know_the_whole_length(open_registry: OpenRegistry) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", Headers({"Content-Range": "bytes 5-8/*"}))
    with repository(open_registry) as repo:
        assert repo.part(blob, 5, 4) == BLOB[5:9]


@pytest.mark.usefixtures("quick")
def test_a_lost_connection_is_taken_up_again(open_registry: OpenRegistry) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", Cut(3))
    open_registry.fail("GET", "/blobs/", Status(503))
    with repository(open_registry) as repo:
        assert repo.part(blob, 5, 4000) == BLOB[5:4005]


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, 0), (0, 11), (10, 1), (5, -1)])
def test_no_part_beyond_the_blob_is_asked_for(
    open_registry: OpenRegistry, offset: int, length: int
) -> None:
    with repository(open_registry) as repo:
        assert "has 10 bytes: none from" in fault(
            lambda: repo.part(described(bytes(10)), offset, length)
        )
    assert not open_registry.seen
