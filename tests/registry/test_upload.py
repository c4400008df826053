"""The registry client writes: whole, in chunks, resumed, mounted, or not at all."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from layerscan.digest import sha256
from layerscan.errors import NotInRegistryError, RefusedByRegistryError
from layerscan.oci import OCI_INDEX, OCI_MANIFEST
from layerscan.reference import parse
from layerscan.registry import RegistryClient, upload
from tests.builders.registry_case import (
    MANIFEST,
    USERS,
    described,
    fault,
    log_in,
    opened,
    repository,
)
from tests.builders.registry_faults import Drop, Headers, Lost, Status
from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.usefixtures("quick", "docker_config")

BLOB = bytes(range(256)) * 12_000
"""Some three times what is read of a file at a time."""

MEBIBYTE = 1 << 20
SESSION = "/blobs/uploads/[0-9a-f]"


def push(
    registry: OpenRegistry,
    content: bytes = BLOB,
    path: str = "acme/web",
    *,
    mount_from: tuple[str, ...] = (),
) -> tuple[bool, list[int]]:
    """Push a blob; whether it was uploaded, and what was told of bytes sent."""
    told: list[int] = []
    with repository(registry, path) as repo:
        done = repo.push_blob(
            described(content), opened(content), mount_from=mount_from, on_bytes=told.append
        )
    assert registry.blobs(path)[sha256(content)] == content
    return done, told


def methods(registry: OpenRegistry) -> list[str]:
    return [one.method for one in registry.seen]


@pytest.mark.parametrize("content", [b"", b"x", BLOB], ids=["empty", "one", "large"])
def test_a_blob_is_uploaded_in_one_piece_and_not_again(
    open_registry: OpenRegistry, content: bytes
) -> None:
    done, told = push(open_registry, content)
    assert done
    assert sum(told) == len(content)
    assert methods(open_registry) == ["HEAD", "POST", "PUT"]
    assert push(open_registry, content) == (False, [])
    assert methods(open_registry)[3:] == ["HEAD"]
    assert open_registry.uploads == [sha256(content)]


def test_a_registry_that_takes_no_large_body_gets_chunks(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK", MEBIBYTE)
    open_registry.chunked_only = True
    done, told = push(open_registry)
    assert done
    assert sum(told) == len(BLOB)
    assert methods(open_registry) == ["HEAD", "POST", "PUT", "POST", *["PATCH"] * 3, "PUT"]
    ranges = [one.headers["content-range"] for one in open_registry.seen if one.method == "PATCH"]
    assert ranges == ["0-1048575", "1048576-2097151", f"2097152-{len(BLOB) - 1}"]


def test_chunks_are_as_long_as_the_registry_asks_for(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK", 1000)
    open_registry.chunked_only = True
    least = Headers({"OCI-Chunk-Min-Length": "2000000"})
    open_registry.fail("POST", "", least, times=2)
    push(open_registry)
    lengths = [one.headers["content-length"] for one in open_registry.seen if one.method == "PATCH"]
    assert lengths == ["2000000", str(len(BLOB) - 2_000_000)]


# Broken off.


@pytest.mark.parametrize("kept", [0, 1, 2, MEBIBYTE, len(BLOB) - 1])
def test_an_upload_goes_on_where_it_broke_off(open_registry: OpenRegistry, kept: int) -> None:
    open_registry.fail("PUT", SESSION, Drop(kept))
    done, told = push(open_registry)
    assert done
    assert sum(told) == len(BLOB)
    # Nothing that arrived is sent again; of one byte it is not known.
    patches = [one for one in open_registry.seen if one.method == "PATCH"]
    sent = [int(one.headers["content-length"]) for one in patches]
    assert sent == ([len(BLOB) - kept] if kept > 1 else [])
    assert methods(open_registry)[3:5] == ["HEAD", "GET"]
    assert open_registry.uploads == [sha256(BLOB)]


def test_an_upload_that_breaks_off_again_and_again_goes_on_as_long_as_it_comes_farther(
    open_registry: OpenRegistry,
) -> None:
    open_registry.fail("PUT", SESSION, Drop(200_000))
    open_registry.fail("PATCH", SESSION, Drop(200_000), times=9)
    done, told = push(open_registry)
    assert done
    assert sum(told) == len(BLOB)
    assert open_registry.count("PATCH") == 10


def test_an_upload_that_comes_no_farther_is_given_up(open_registry: OpenRegistry) -> None:
    open_registry.fail("PUT", SESSION, Drop(), times=99)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.push_blob(described(BLOB), opened(BLOB)))
    assert said.endswith("(tried 5 times)")
    assert open_registry.count("PUT") == 5
    assert open_registry.uploads == []


def test_an_upload_whose_answer_was_lost_is_not_done_again(open_registry: OpenRegistry) -> None:
    open_registry.fail("PUT", SESSION, Lost())
    done, told = push(open_registry)
    assert done
    assert sum(told) == len(BLOB)
    assert methods(open_registry) == ["HEAD", "POST", "PUT", "HEAD"]
    assert len(open_registry.uploads) == 1


def test_a_chunk_whose_answer_was_lost_is_not_sent_again(
    open_registry: OpenRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CHUNK", MEBIBYTE)
    open_registry.chunked_only = True
    open_registry.fail("PATCH", SESSION, Lost())
    push(open_registry)
    ranges = [one.headers["content-range"] for one in open_registry.seen if one.method == "PATCH"]
    assert [text.partition("-")[0] for text in ranges] == ["0", "1048576", "2097152"]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_fault_of_the_server_in_the_midst_is_overcome(
    open_registry: OpenRegistry, status: int
) -> None:
    open_registry.fail("PUT", SESSION, Status(status), times=2)
    open_registry.fail("POST", "", Status(status), times=2)
    done, told = push(open_registry)
    assert done
    assert sum(told) == len(BLOB)


@pytest.mark.parametrize("answer", [404, 405, 400])
def test_a_session_that_cannot_be_asked_for_is_begun_anew(
    open_registry: OpenRegistry, answer: int
) -> None:
    open_registry.fail("PUT", SESSION, Drop(MEBIBYTE))
    open_registry.fail("GET", SESSION, Status(answer))
    done, told = push(open_registry)
    assert done
    assert sum(told) == len(BLOB)
    # What was told of before counts no more.
    assert min(told) < 0
    assert methods(open_registry) == ["HEAD", "POST", "PUT", "HEAD", "GET", "POST", "PUT"]


def test_a_session_that_is_gone_is_begun_anew(open_registry: OpenRegistry) -> None:
    open_registry.fail("PUT", SESSION, Status(404, code="BLOB_UPLOAD_UNKNOWN"))
    assert push(open_registry)[0]
    assert open_registry.count("POST") == 2
    open_registry.fail("PUT", SESSION, Status(404, code="BLOB_UPLOAD_UNKNOWN"), times=99)
    with repository(open_registry) as repo:
        fault(lambda: repo.push_blob(described(b"other"), opened(b"other")))


@pytest.mark.parametrize("answer", [400, 405, 501])
def test_a_registry_that_does_not_say_what_it_has_gets_it(
    open_registry: OpenRegistry, answer: int
) -> None:
    open_registry.fail("HEAD", "", Status(answer))
    assert push(open_registry)[0]
    assert methods(open_registry) == ["HEAD", "POST", "PUT"]


# Taken from elsewhere.


def test_a_blob_is_mounted_from_where_it_is(open_registry: OpenRegistry) -> None:
    open_registry.put_blob("acme/base", BLOB)
    done, told = push(open_registry, mount_from=("acme/web", "acme/none", "acme/base"))
    assert (done, told) == (False, [])
    assert open_registry.mounts == [("acme/base", sha256(BLOB))]
    assert open_registry.uploads == []


def test_a_blob_that_cannot_be_mounted_is_uploaded_in_the_session_offered(
    open_registry: OpenRegistry,
) -> None:
    assert push(open_registry, mount_from=("acme/none",))[0]
    assert methods(open_registry) == ["HEAD", "POST", "PUT"]
    open_registry.fail("POST", "mount", Status(403, code="DENIED"))
    assert push(open_registry, b"other", mount_from=("acme/none",))[0]
    assert methods(open_registry)[3:] == ["HEAD", "POST", "POST", "PUT"]


def test_mounting_asks_for_a_token_that_may_read_there(docker_config: Path) -> None:
    with OpenRegistry(auth="token", users=USERS) as registry:
        log_in(docker_config, registry.address)
        registry.put_blob("acme/base", BLOB)
        assert push(registry, mount_from=("acme/base",)) == (False, [])
        asked = registry.requests("/token")[-1]
    assert "repository%3Aacme%2Fweb%3Apull%2Cpush&scope=repository%3Aacme%2Fbase%3Apull" in asked


def test_a_manifest_is_put_with_a_token_that_may_write(docker_config: Path) -> None:
    with OpenRegistry(auth="token", users=USERS) as registry:
        log_in(docker_config, registry.address)
        registry.put_blob("acme/web", b"{}")
        with repository(registry) as repo:
            repo.push_manifest(MANIFEST, OCI_MANIFEST, "7")
        asked = registry.requests("/token")
    assert ["pull%2Cpush" in request for request in asked] == [True] * len(asked) != []


# What cannot be pushed.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BLOB[:-1], f"the content to upload ends after {len(BLOB) - 1} of {len(BLOB)} bytes"),
        (BLOB + b"x", f"the content to upload has more than {len(BLOB)} of {len(BLOB)} bytes"),
        (b"", f"the content to upload ends after 0 of {len(BLOB)} bytes"),
        (BLOB[:-1] + b"x", "400 (Bad Request): DIGEST_INVALID: "),
    ],
    ids=["short", "long", "empty", "other"],
)
def test_content_that_is_not_the_blob_is_not_pushed(
    open_registry: OpenRegistry, content: bytes, message: str
) -> None:
    with repository(open_registry) as repo:
        said = fault(lambda: repo.push_blob(described(BLOB), opened(content)))
    assert said.startswith(f"{repo.name}@{sha256(BLOB)}: ")
    assert message in said
    assert open_registry.blobs("acme/web") == {}
    assert open_registry.count("PUT") <= 1


def test_content_that_cannot_be_read_is_named(open_registry: OpenRegistry, tmp_path: Path) -> None:
    def absent() -> BinaryIO:
        return open(tmp_path / "absent", "rb")

    def broken() -> BinaryIO:
        class Broken(io.BytesIO):
            def read(self, *_: object) -> bytes:
                raise OSError(5, "Input/output error", "disk")

        return Broken()

    with repository(open_registry) as repo:
        said = fault(lambda: repo.push_blob(described(BLOB), absent))
        assert said.endswith(f"{tmp_path}/absent cannot be read: No such file or directory")
        said = fault(lambda: repo.push_blob(described(BLOB), broken))
        assert said.endswith("disk cannot be read: Input/output error")


@pytest.mark.parametrize(
    ("method", "pattern", "headers", "message"),
    [
        ("POST", "", {"Location": None}, "does not say where to upload to"),
        ("POST", "", {"Location": "http://x:y/"}, "redirects to no address: http://x:y/"),
        ("POST", "", {"Location": "ftp://x/y"}, "redirects to ftp://x, which is no HTTP address"),
        ("POST", "", {"Location": "http://a:b@x/y"}, "with a user name in the address"),
        ("PUT", SESSION, {"Docker-Content-Digest": "sha256:" + "0" * 64}, "that it got sha256:00"),
    ],
)
def test_a_registry_that_answers_an_upload_wrongly_is_an_error(
    open_registry: OpenRegistry,
    method: str,
    pattern: str,
    headers: dict[str, str | None],
    message: str,
) -> None:
    open_registry.fail(method, pattern, Headers(headers))
    with repository(open_registry) as repo:
        assert message in fault(lambda: repo.push_blob(described(BLOB), opened(BLOB)))


def test_an_upload_on_another_host_gets_no_secret(docker_config: Path) -> None:
    with (
        OpenRegistry(auth="token", users=USERS) as registry,
        OpenRegistry() as other,
    ):
        log_in(docker_config, registry.address)
        other.sessions["f00"] = bytearray()
        elsewhere = f"http://{other.address}/v2/acme/web/blobs/uploads/f00?_state=a%3Db"
        # The first of the two is answered with 401.
        registry.fail("POST", "", Headers({"Location": elsewhere}), times=2)
        with repository(registry) as repo:
            assert repo.push_blob(described(BLOB), opened(BLOB))
        assert other.blobs("acme/web") == {sha256(BLOB): BLOB}
        assert [one.authorization for one in other.seen] == [None]


def test_many_blobs_at_a_time_over_few_connections(open_registry: OpenRegistry) -> None:
    contents = [b"%d" % number * 50_000 for number in range(40)]

    def push_one(content: bytes) -> bool:
        return repo.push_blob(described(content), opened(content))

    with repository(open_registry) as repo, ThreadPoolExecutor(16) as pool:
        assert all(pool.map(push_one, contents))
    assert open_registry.blobs("acme/web") == {sha256(one): one for one in contents}
    assert open_registry.connections <= 8


# Manifests.


def test_a_manifest_is_pushed_under_a_tag_and_a_digest(open_registry: OpenRegistry) -> None:
    push(open_registry, b"{}")
    with repository(open_registry) as repo:
        repo.push_manifest(MANIFEST, OCI_MANIFEST, sha256(MANIFEST))
        assert open_registry.tags("acme/web") == {}
        repo.push_manifest(MANIFEST, OCI_MANIFEST, "7")
        assert repo.manifest("7").raw == MANIFEST
        said = fault(lambda: repo.push_manifest(MANIFEST, OCI_MANIFEST, sha256(b"")))
    assert said.endswith(f"the document to push has the digest {sha256(MANIFEST)}")
    assert open_registry.count("PUT", "/manifests/") == 2


def test_a_manifest_that_lacks_its_parts_is_refused_in_the_registrys_words(
    open_registry: OpenRegistry,
) -> None:
    with repository(open_registry) as repo:
        said = fault(lambda: repo.push_manifest(MANIFEST, OCI_MANIFEST, "7"), NotInRegistryError)
    assert "MANIFEST_BLOB_UNKNOWN: blob unknown: sha256:" in said


def test_a_manifest_that_the_registry_changed_is_an_error(open_registry: OpenRegistry) -> None:
    push(open_registry, b"{}")
    other = Headers({"Docker-Content-Digest": "sha256:" + "0" * 64})
    open_registry.fail("PUT", "/manifests/", other)
    with repository(open_registry) as repo:
        said = fault(lambda: repo.push_manifest(MANIFEST, OCI_MANIFEST, "7"))
    assert "says that its digest is sha256:0" in said


LAYERS = b'{"schemaVersion":2,"mediaType":"%s","layers":[{"digest":"%s"}]}' % (
    OCI_INDEX.encode(),
    sha256(b"layer").encode(),
)


def test_what_only_some_registries_take_is_taken_or_refused() -> None:
    parts = b',"manifests":[{"digest":"%s"}]}' % sha256(LAYERS).encode()
    manifest = MANIFEST[:-1] + parts
    for takes in (True, False):
        with OpenRegistry(takes_apps=takes) as registry, RegistryClient() as client:
            repo = client.repository(parse(f"{registry.address}/acme/app"))
            repo.push_blob(described(b"{}"), opened(b"{}"))
            if takes:
                repo.push_manifest(LAYERS, OCI_INDEX, sha256(LAYERS))
                repo.push_manifest(manifest, OCI_MANIFEST, "1")
                continue
            for raw, media_type in ((LAYERS, OCI_INDEX), (manifest, OCI_MANIFEST)):
                with pytest.raises(RefusedByRegistryError) as caught:
                    repo.push_manifest(raw, media_type, "1")
                assert (caught.value.status, caught.value.code) == (400, "MANIFEST_INVALID")
