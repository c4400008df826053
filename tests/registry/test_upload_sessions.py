"""Upload sessions: what a registry says of one, and chunks of the length that it asks for."""

import pytest

from layerscan.digest import sha256
from layerscan.registry import upload
from tests.builders.registry_case import described, fault, opened, repository
from tests.builders.registry_faults import Drop, Headers, Status
from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

BLOB = bytes(range(256)) * 40
SESSION = "/blobs/uploads/[0-9a-f]"


def push(registry: OpenRegistry) -> list[str]:
    """Push the blob; the methods of the requests."""
    told: list[int] = []
    with repository(registry) as repo:
        assert repo.push_blob(described(BLOB), opened(BLOB), on_bytes=told.append)
    assert registry.blobs("acme/web") == {sha256(BLOB): BLOB}
    assert sum(told) == len(BLOB)
    return [one.method for one in registry.seen]


def chunks(registry: OpenRegistry) -> list[int]:
    return [int(one.headers["content-length"]) for one in registry.seen if one.method == "PATCH"]


def test_a_session_that_has_all_is_only_ended(open_registry: OpenRegistry) -> None:
    open_registry.fail("PUT", SESSION, Drop(len(BLOB)))
    assert push(open_registry) == ["HEAD", "POST", "PUT", "HEAD", "GET", "PUT"]
    assert open_registry.seen[-1].headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("0-99", len(BLOB) - 100),
        ("bytes=0-99", len(BLOB) - 100),
        # More than the blob has, none, not from the beginning, or nothing to be understood.
        (f"0-{len(BLOB)}", None),
        (None, None),
        ("1-99", None),
        ("0-99,200-299", None),
    ],
)
def test_what_a_registry_says_that_it_has(
    open_registry: OpenRegistry, given: str | None, sent: int | None
) -> None:
    open_registry.fail("PUT", SESSION, Drop(100))
    open_registry.fail("GET", SESSION, Headers({"Range": given}))
    methods = push(open_registry)
    assert methods[:5] == ["HEAD", "POST", "PUT", "HEAD", "GET"]
    assert methods[5:] == (["POST", "PUT"] if sent is None else ["PATCH", "PUT"])
    assert chunks(open_registry) == ([] if sent is None else [sent])


def test_a_session_that_stands_elsewhere_is_begun_anew(open_registry: OpenRegistry) -> None:
    open_registry.fail("PUT", SESSION, Status(416, code="RANGE_INVALID"))
    assert push(open_registry) == ["HEAD", "POST", "PUT", "HEAD", "POST", "PUT"]


@pytest.mark.parametrize("status", [405, 413, 415, 501])
def test_a_registry_says_in_several_ways_that_it_wants_chunks(
    open_registry: OpenRegistry, status: int
) -> None:
    open_registry.fail("PUT", SESSION, Status(status))
    assert push(open_registry) == ["HEAD", "POST", "PUT", "POST", "PATCH", "PUT"]


@pytest.mark.parametrize("status", [400, 403, 409, 411])
def test_any_other_refusal_of_a_blob_is_final(open_registry: OpenRegistry, status: int) -> None:
    open_registry.fail("PUT", SESSION, Status(status))
    with repository(open_registry) as repo:
        said = fault(lambda: repo.push_blob(described(BLOB), opened(BLOB)))
    assert f"the registry answers {status} " in said
    assert open_registry.count("POST") == open_registry.count("PUT") == 1


def test_an_empty_blob_that_is_refused_is_not_cut_into_chunks(open_registry: OpenRegistry) -> None:
    open_registry.fail("PUT", SESSION, Status(413))
    with repository(open_registry) as repo:
        fault(lambda: repo.push_blob(described(b""), opened(b"")))
    assert open_registry.count("POST") == 1


@pytest.mark.parametrize(
    ("least", "length"),
    [
        (None, 3000),
        ("2999", 3000),
        ("3001", 3001),
        ("4001", 4000),
        ("9" * 30, 4000),
        ("soon", 3000),
        ("-5000", 3000),
        ("", 3000),
    ],
)
def test_chunks_are_of_a_bounded_length(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch, least: str | None, length: int
) -> None:
    monkeypatch.setattr(upload, "CHUNK", 3000)
    monkeypatch.setattr(upload, "_LARGEST_CHUNK", 4000)
    open_registry.chunked_only = True
    open_registry.fail("POST", "", Headers({"OCI-Chunk-Min-Length": least}), times=2)
    push(open_registry)
    assert chunks(open_registry)[:2] == [length, length]
    assert sum(chunks(open_registry)) == len(BLOB)


def test_a_session_may_stay_where_it_is(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK", 5000)
    open_registry.chunked_only = True
    open_registry.fail("PATCH", SESSION, Headers({"Location": None}), times=9)
    push(open_registry)
    assert chunks(open_registry) == [5000, 5000, 240]


@pytest.mark.parametrize("digest", [None, "sha512:" + "0" * 128])
def test_a_registry_need_not_say_the_digest_of_a_blob(
    open_registry: OpenRegistry, digest: str | None
) -> None:
    open_registry.fail("PUT", SESSION, Headers({"Docker-Content-Digest": digest}))
    assert push(open_registry) == ["HEAD", "POST", "PUT"]


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_repository_that_may_not_be_read_is_not_mounted_from(
    open_registry: OpenRegistry, status: int
) -> None:
    open_registry.put_blob("acme/base", BLOB)
    open_registry.fail("POST", "mount=", Status(status))
    with repository(open_registry) as repo:
        assert repo.push_blob(described(BLOB), opened(BLOB), mount_from=("acme/base",))
    assert open_registry.mounts == []
    assert open_registry.uploads == [sha256(BLOB)]
