"""The registry client reads: what it takes from a registry, and what it refuses to."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.digest import sha256
from layerscan.errors import NotInRegistryError, RefusedByRegistryError
from layerscan.oci import DOCKER_LIST, DOCKER_MANIFEST, MAX_MANIFEST, OCI_INDEX, OCI_MANIFEST
from layerscan.registry import Fetched, Repository
from tests.builders.registry_case import MANIFEST, described, fault, repository
from tests.builders.registry_faults import (
    Changed,
    Cut,
    Endless,
    Headers,
    Length,
    Lost,
    Status,
    flipped,
)
from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

BLOB = bytes(range(256)) * 1000
LIMIT = 1 << 20
ABSENT = described(b"nowhere")


@pytest.mark.parametrize("media_type", [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST])
def test_a_manifest_comes_by_tag_and_by_digest_as_it_was_put_there(
    open_registry: OpenRegistry, media_type: str
) -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": media_type}, indent=7).encode()
    open_registry.put_manifest("acme/web", raw, media_type, "7")
    with repository(open_registry) as repo:
        expected = Fetched(raw, sha256(raw), media_type)
        assert repo.manifest("7") == expected
        assert repo.manifest(sha256(raw)) == expected
        assert repo.name == f"{open_registry.address}/acme/web"
    (accepted,) = {one.headers["accept"] for one in open_registry.seen}
    assert all(known in accepted for known in (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST))


def test_blobs_come_whole_and_in_chunks_and_documents_from_where_they_are(
    open_registry: OpenRegistry,
) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    empty = open_registry.put_blob("acme/web", b"")
    manifest = open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST)
    with repository(open_registry) as repo:
        assert repo.fetch(blob, limit=LIMIT) == BLOB
        assert repo.fetch(empty, limit=0) == b""
        assert repo.fetch(manifest, limit=LIMIT) == MANIFEST
        with repo.stream(blob) as chunks:
            assert b"".join(chunks) == BLOB
        assert [repo.has(one) for one in (blob, empty, manifest, ABSENT)] == [True] * 3 + [False]
        # What a document says about a type goes into no header.
        assert repo.has(blob._replace(media_type="a\r\nX: y\u2028"))
    assert open_registry.count("GET", "/manifests/") == 1


def test_one_connection_serves_many_requests_and_many_threads_share_few(
    open_registry: OpenRegistry,
) -> None:
    blobs = [open_registry.put_blob("acme/web", b"%d" % number) for number in range(64)]
    with repository(open_registry) as repo, ThreadPoolExecutor(16) as pool:
        contents = list(pool.map(lambda blob: repo.fetch(blob, limit=10), blobs))
    assert contents == [b"%d" % number for number in range(64)]
    assert 1 <= open_registry.connections <= 8


def test_what_is_not_there_is_told_so(open_registry: OpenRegistry) -> None:
    where = f"{open_registry.address}/acme/web"
    with repository(open_registry) as repo:
        assert fault(lambda: repo.manifest("7"), NotInRegistryError) == (
            f"{where}:7: not found in the registry (404): MANIFEST_UNKNOWN: manifest unknown"
        )
        assert fault(lambda: repo.fetch(ABSENT, limit=LIMIT), NotInRegistryError) == (
            f"{where}@{ABSENT.digest}: not found in the registry (404): "
            "BLOB_UNKNOWN: blob unknown to registry"
        )
    assert len(open_registry.seen) == 2


# What a registry says that is not so.


BAD_BLOBS = {
    "wrong digest": (Changed(flipped), "it was damaged or exchanged"),
    "too long": (Changed(lambda blob: blob + b"x"), "says that it has 256001 bytes, and it must"),
    "too short": (Changed(lambda blob: blob[:-1]), "says that it has 255999 bytes, and it must"),
    "announced longer": (Length(1), "says that it has 256001 bytes, and it must have 256000"),
    "announced shorter": (Length(-1), "says that it has 255999 bytes, and it must have 256000"),
    "announced huge": (Length(10**15), "says that it has 1000000000256000 bytes"),
    "without end": (Endless(), "sends more than the 256000 bytes that it must have"),
    "encoded": (Headers({"Content-Encoding": "gzip"}), "sends it encoded as gzip"),
    "no length": (Headers({"Content-Length": None, "Connection": "close"}), None),
}


@pytest.mark.parametrize("name", BAD_BLOBS)
def test_a_blob_that_is_not_what_was_asked_for_is_refused(
    open_registry: OpenRegistry, name: str
) -> None:
    misbehaviour, message = BAD_BLOBS[name]
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", misbehaviour)
    with repository(open_registry) as repo:
        if message is None:
            assert repo.fetch(blob, limit=LIMIT) == BLOB
        else:
            said = fault(lambda: repo.fetch(blob, limit=LIMIT))
            assert said.startswith(f"{repo.name}@{blob.digest}: ")
            assert message in said
    assert open_registry.count("GET") == 1


def test_a_blob_is_not_even_asked_for_beyond_the_limit(open_registry: OpenRegistry) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.fetch(blob, limit=255_999))
    assert said.endswith("has 256000 bytes; only 255999 are read")
    assert open_registry.seen == []


def test_a_blob_whose_size_differs_is_not_taken_for_the_one_wanted(
    open_registry: OpenRegistry,
) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)._replace(size=7)
    with repository(open_registry) as repo:
        assert "says that it has 256000 bytes, and it must have 7" in fault(lambda: repo.has(blob))


TOO_LONG = b"{" + b" " * MAX_MANIFEST + b"}"
BAD_MANIFESTS = {
    "page": (Headers({"Content-Type": "text/html"}), "type text/html, no image manifest: is it a"),
    "no type": (Headers({"Content-Type": None}), "sends something without a type, no image"),
    "schema 1": (
        Headers({"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}),
        "of type application/vnd.docker.distribution.manifest.v1+prettyjws, no image manifest",
    ),
    "other digest": (
        Headers({"Docker-Content-Digest": ABSENT.digest}),
        f"says that its digest is {ABSENT.digest}, its bytes have {sha256(MANIFEST)}",
    ),
    "changed": (Changed(flipped), "its bytes have sha256:"),
    "without end": (Endless(), f"sends more than the {MAX_MANIFEST} bytes that are read"),
    "too long": (Changed(lambda _: TOO_LONG), f"sends more than the {MAX_MANIFEST} bytes"),
    "announced huge": (Length(10**12), f"sends more than the {MAX_MANIFEST} bytes"),
    "encoded": (Headers({"Content-Encoding": "br"}), "sends it encoded as br"),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_manifest_that_is_none_is_refused(open_registry: OpenRegistry, name: str) -> None:
    misbehaviour, message = BAD_MANIFESTS[name]
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    open_registry.fail("GET", "/manifests/", misbehaviour)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.manifest("7"))
    assert said.startswith(f"{repo.name}:7: ")
    assert message in said
    assert open_registry.count("GET") == 1


def test_a_manifest_asked_for_by_digest_has_it_even_if_the_registry_names_none(
    open_registry: OpenRegistry,
) -> None:
    manifest = open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST)
    other = MANIFEST + b" "
    open_registry.repository("acme/web").manifests[manifest.digest] = (other, OCI_MANIFEST)
    larger = manifest._replace(size=manifest.size + 1)
    for header in (None, "sha512:" + "0" * 128):
        open_registry.fail("GET", "", Headers({"Docker-Content-Digest": header}), times=2)
        with repository(open_registry) as repo:
            said = fault(lambda: repo.manifest(manifest.digest))
            assert f"sends has the digest {sha256(other)}: it was damaged or exchanged" in said
            assert "it was damaged or exchanged" in fault(lambda: repo.fetch(larger, limit=LIMIT))


def test_a_document_has_the_type_that_what_refers_to_it_says(open_registry: OpenRegistry) -> None:
    manifest = open_registry.put_manifest("acme/web", MANIFEST, DOCKER_MANIFEST)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.fetch(manifest._replace(media_type=OCI_MANIFEST), limit=LIMIT))
    assert said.endswith(f"gives it as {DOCKER_MANIFEST}, what refers to it as {OCI_MANIFEST}")


# Connections that break off.


@pytest.mark.parametrize("kept", [0, 1, 1000, len(BLOB) - 1])
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_is_taken_up_where_it_broke_off(
    open_registry: OpenRegistry, kept: int, *, knows_ranges: bool
) -> None:
    open_registry.knows_ranges = knows_ranges
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", Cut(kept))
    with repository(open_registry) as repo, repo.stream(blob) as chunks:
        assert b"".join(chunks) == BLOB
    first, second = open_registry.seen
    assert "range" not in first.headers
    assert second.headers.get("range") == (f"bytes={kept}-" if kept else None)


def test_a_download_that_always_breaks_off_goes_on_as_long_as_it_comes_farther(
    open_registry: OpenRegistry,
) -> None:
    blob = open_registry.put_blob("acme/web", BLOB)
    open_registry.fail("GET", "/blobs/", Cut(20_000), times=12)
    with repository(open_registry) as repo:
        assert repo.fetch(blob, limit=LIMIT) == BLOB
        open_registry.fail("GET", "/blobs/", Cut(0), times=99)
        said = fault(lambda: repo.fetch(blob, limit=LIMIT))
    assert said.startswith(f"{open_registry.address}: the connection broke off: ")
    assert said.endswith("(tried 5 times)")
    assert open_registry.count("GET") == 13 + 5


def test_a_manifest_is_asked_for_again_if_the_connection_is_lost(
    open_registry: OpenRegistry,
) -> None:
    open_registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
    for misbehaviour in (Cut(10), Lost(), Length(1)):
        open_registry.fail("GET", "/manifests/", misbehaviour)
        with repository(open_registry) as repo:
            assert repo.manifest("7").raw == MANIFEST
    assert open_registry.count("GET") == 6


def test_a_download_that_is_given_up_leaves_the_connections_usable(
    open_registry: OpenRegistry,
) -> None:
    blob = open_registry.put_blob("acme/web", BLOB * 20)
    with repository(open_registry) as repo:
        for _ in range(20):
            with repo.stream(blob) as chunks:
                assert next(chunks)
        assert repo.fetch(blob, limit=1 << 24) == BLOB * 20


# The registry's own words.


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (400, b'{"errors":[{"code":"MANIFEST_INVALID","message":"no"}]}', "MANIFEST_INVALID",
         "400 (Bad Request): MANIFEST_INVALID: no"),
        (400, b'{"errors":[{"code":"A"},{"message":"b"},{"code":"C","message":"d"},{"code":"E"}]}',
         "A", "400 (Bad Request): A; b; C: d"),
        (418, b'{"errors":[{"code":"\\u001b[31mRED\\n"}]}', r"\x1b[31mRED\n",
         r"418 (I'm a Teapot): \x1b[31mRED\n"),
        (499, b"<html>", "", "499 (an unknown status)"),
        (400, b'{"errors":[7, {"code": 7, "message": null}, "x"]}', "", "400 (Bad Request)"),
        (400, b'{"errors":{}}', "", "400 (Bad Request)"),
        (400, b"[" * 100_000, "", "400 (Bad Request)"),
        (400, b"\xff", "", "400 (Bad Request)"),
        (501, b"", "", "501 (Not Implemented)"),
    ],
)  # fmt: skip
def test_refusals_say_in_bounds_what_the_registry_said(
    open_registry: OpenRegistry, status: int, body: bytes, code: str, words: str
) -> None:
    open_registry.fail("GET", "", Status(status, {}, body))
    with repository(open_registry) as repo, pytest.raises(RefusedByRegistryError) as caught:
        repo.manifest("7")
    assert (caught.value.status, caught.value.code) == (status, code)
    assert str(caught.value) == f"{repo.name}:7: the registry answers {words}"


def test_an_error_body_is_not_read_for_ever(open_registry: OpenRegistry) -> None:
    words = json.dumps({"errors": [{"code": "X", "message": "y" * 50_000}]}).encode()
    open_registry.fail("GET", "", Status(400, {}, words))
    open_registry.fail("GET", "", Status(400, {"Content-Length": str(10**12)}, bytes(1 << 20)))
    with repository(open_registry) as repo:
        assert fault(lambda: repo.manifest("7")).endswith("y…")
        assert fault(lambda: repo.manifest("7")).endswith("400 (Bad Request)")


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.integers(200, 599), st.binary(max_size=200))
def test_whatever_is_answered_is_an_error_of_this_program(status: int, body: bytes) -> None:
    with OpenRegistry() as registry:
        registry.fail("GET", "", Status(status, {}, body), times=99)

        def ask(call: Callable[[Repository], object]) -> None:
            with repository(registry) as repo:
                fault(lambda: call(repo))

        ask(lambda repo: repo.manifest("7"))
        if status != 200:
            ask(lambda repo: repo.fetch(ABSENT, limit=LIMIT))
