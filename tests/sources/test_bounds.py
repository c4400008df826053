"""The bounds of what registries, archives and layers give: what is above them is not read."""

from __future__ import annotations

import gzip
import os
import tarfile
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.digest import sha256
from layerscan.errors import DocumentError, RegistryError, SourceError
from layerscan.jsondoc import Place
from layerscan.oci import OCI_MANIFEST
from layerscan.registry import challenge, credential_helper, faults, login_files, verify
from layerscan.registry.challenge import Challenge
from layerscan.sources import archive, toc_estargz, toc_json, toc_model, toc_zstd_chunked
from layerscan.sources.extents import Extent
from layerscan.sources.toc_model import Content, Part, TableFault, TableOfContents
from tests.builders.bounds_case import refused_if
from tests.builders.members import member, tar
from tests.builders.registry_case import MANIFEST, repository
from tests.builders.registry_faults import Changed
from tests.builders.registry_server import OpenRegistry

if TYPE_CHECKING:
    from pathlib import Path

# Registries.


@pytest.mark.parametrize("length", [9, 10, 11])
def test_what_is_read_of_an_error(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(verify, "MAX_ERROR_BODY", 10)
    parts = iter([bytes(length), b"1", b"2"])
    response: Any = SimpleNamespace(iter_raw=lambda: parts)
    verify.read_error(response)
    assert next(parts, b"") == (b"1" if length >= 10 else b"2")


@pytest.mark.parametrize("length", [9, 10, 11])
def test_what_is_read_for_the_next_request(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(verify, "MAX_ERROR_BODY", 10)
    parts = iter([bytes(length)])
    headers = {"Content-Length": str(length)}
    response: Any = SimpleNamespace(
        headers=headers, is_stream_consumed=False, iter_raw=lambda: parts
    )
    verify.drain(response)
    assert len(next(parts, b"")) == (length if length > 10 else 0)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_what_counts_of_an_error(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    body = b'{"errors": [{"code": "DENIED", "message": "no"}]}'
    monkeypatch.setattr(faults, "MAX_ERROR_BODY", len(body) - more)
    assert str(faults.refusal("r", 403, body)).endswith("DENIED: no") == (more <= 0)


@pytest.mark.parametrize("length", [9, 10, 11])
def test_the_answer_of_a_credential_helper(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(credential_helper, "_LONGEST_ANSWER", 10)
    with refused_if(length > 10, DocumentError, "is longer than 10 bytes"):
        assert credential_helper._answer(b"{}".ljust(length), "p") is None


@pytest.mark.parametrize("length", [19, 20, 21])
def test_a_file_of_logins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: int) -> None:
    monkeypatch.setattr(login_files, "_LONGEST_FILE", 20)
    (tmp_path / "config.json").write_bytes(b'{"auths": {}}'.ljust(length))
    path = str(tmp_path / "config.json")
    with refused_if(length > 20, DocumentError, "is longer than 20 bytes"):
        assert login_files._read(Place(path)) == {"auths": {}}


@pytest.mark.parametrize("length", [16_383, 16_384, 16_385])
def test_a_challenge(length: int) -> None:
    realm = "x" * (length - len('Bearer realm=""'))
    # What is cut off is malformed.
    whole = {"realm": realm} if length <= 16_384 else {}
    assert challenge.parse_challenges([f'Bearer realm="{realm}"']) == [Challenge("bearer", whole)]


@pytest.mark.usefixtures("quick", "docker_config")
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_answer_of_a_token_service(more: int) -> None:
    length = (1 << 20) + more
    with OpenRegistry(auth="token", anonymous_pull=True) as registry:
        registry.put_manifest("acme/web", MANIFEST, OCI_MANIFEST, "7")
        registry.fail("GET", "/token", Changed(lambda raw: raw.ljust(length)), times=9)
        with (
            repository(registry) as found,
            refused_if(more > 0, RegistryError, "sends more than the 1048576 bytes"),
        ):
            assert found.manifest("7").raw == MANIFEST


# Archives.


@pytest.mark.parametrize("number", [2, 3, 4])
def test_members_of_an_archive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    content = tar(*(member(str(one)) for one in range(number)))
    (tmp_path / "a.tar").write_bytes(content)
    with (
        (tmp_path / "a.tar").open("rb") as file,
        refused_if(number > 3, SourceError, "a: has more than 3 members"),
    ):
        assert len(archive._index(file.fileno(), len(content), "a")) == number


@pytest.mark.parametrize("number", [1, 7, 8, 9])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_of_an_archive(tmp_path: Path, kind: bytes, number: int) -> None:
    links = [member(str(one), kind=kind, linkname=str(one + 1)) for one in range(number)]
    content = tar(member(str(number), b"content"), *links)
    (tmp_path / "a.tar").write_bytes(content)
    opened = archive.Archive(str(tmp_path / "a.tar"))
    with (
        closing(opened),
        refused_if(number > 8, SourceError, "0: links to other links more than 8 times"),
    ):
        assert opened.find("0").read(10) == b"content"


@pytest.mark.parametrize("length", [16_383, 16_384, 16_385])
def test_headers_of_an_archive(tmp_path: Path, length: int) -> None:
    (tmp_path / "a").write_bytes(bytes(20_000))
    file = os.open(tmp_path / "a", os.O_RDONLY)
    try:
        headers = archive._Headers(Extent(file, 0, 20_000, "a"))
        with refused_if(length > 16_384, SourceError, "a header of more than 16384 bytes"):
            assert headers.read(length) == bytes(length)
    finally:
        os.close(file)


@pytest.mark.parametrize("back", [-1, 0, 1, 2])
def test_how_far_back_an_archive_is_read(tmp_path: Path, back: int) -> None:
    (tmp_path / "a").write_bytes(b"0123456789x")
    with (tmp_path / "a").open("rb") as file:
        headers = archive._Headers(Extent(file.fileno(), 0, 11, "a"))
        assert headers.read(5) == b"01234"
        with refused_if(back > 1, SourceError, "less than no bytes before byte 5"):
            assert headers.seek(5 - back) == headers.tell() == 5 - back
            assert headers.read(1) == b"%d" % (5 - back)


# Tables of contents.


@pytest.mark.parametrize("length", [9, 10, 11])
def test_content_of_a_layer(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(toc_model, "MAX_CONTENT", 10)
    given: list[Part] = [Content(length - 4), b"x", Content(4)]
    with refused_if(length > 10, TableFault, "has files of more than 10 bytes"):
        assert list(TableOfContents(is_exact=False, make=lambda: iter(given)).parts()) == given


@pytest.mark.parametrize("length", [9, 10, 11])
def test_a_value_of_a_table(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(toc_json, "LONGEST", 10)
    # Where much follows a value, it is known to be whole.
    chunks = ['"'.ljust(length, "x").encode(), b'"'.ljust(100)]
    with refused_if(length > 10, DocumentError, "is longer than 10 characters"):
        assert toc_json.Values(chunks, "it", 1).value() == "x" * (length - 1)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_members_of_a_table(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(toc_json, "_MOST_MEMBERS", 3)
    text = "{" + ",".join(f'"{one}":1' for one in range(number)) + "}"
    values = toc_json.Values([text.encode()], "it", 10_000)
    with refused_if(number > 3, DocumentError, "has more than 3 members"):
        assert len(list(toc_json.members(values, "entries"))) == number


def footer(offset: int) -> bytes:
    """The footer of an eStargz layer whose table begins at `offset`."""
    return b"\x1f\x8b\x08\x04" + bytes(6) + b"\x1a\0SG\x16\0%016xSTARGZ" % offset + bytes(13)


class Blob:
    """A layer's blob that counts the requests for parts of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.archive_size = len(content)
        self.annotations = {toc_estargz.DIGEST: sha256(b"")}
        self.asked: list[tuple[int, int]] = []

    def section(self, _layer: object, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        return self.content[offset : offset + length]


@pytest.mark.parametrize("length", [50, 51, 52])
def test_a_layer_with_a_footer_of_estargz(length: int) -> None:
    blob: Any = Blob(bytes(length))
    words = "is too short for eStargz" if length < 51 else "has no footer of eStargz"
    with pytest.raises(TableFault, match=words):
        toc_estargz.read(blob, blob)
    assert blob.asked == [(length - 51, 51)] * (length > 50)


@pytest.mark.parametrize("offset", [98, 99, 100, 101])
def test_where_a_table_of_estargz_begins(offset: int) -> None:
    with refused_if(offset >= 100, TableFault, "points beyond itself"):
        assert toc_estargz._place(footer(offset), 151) == (offset, 100)


@pytest.mark.parametrize("missing", [-1, 0, 1])
def test_a_table_of_estargz_that_is_cut_off(missing: int) -> None:
    content = bytes(range(100))
    file = tar(member(toc_estargz.FILE, content))[: 512 + 100 - missing]
    with refused_if(missing > 0, TableFault, "is cut off"):
        assert toc_estargz._content(file) == content


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_table_of_estargz(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    """All of its file counts, of which `_AROUND` may be beside the table."""
    monkeypatch.setattr(toc_estargz, "MAX_TABLE", 1000)
    header = tar(member(toc_estargz.FILE))[:512]
    packed = gzip.compress(header.ljust(1000 + 64 * 512 + more, b"\0"))
    blob: Any = Blob(packed + footer(0))
    with refused_if(more > 0, TableFault, f"more than {1000 + 64 * 512} bytes, unpacked"):
        assert toc_estargz.read(blob, blob) is not None


@pytest.mark.parametrize("length", [9, 10, 11])
def test_a_table_of_zstd_chunked(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(toc_zstd_chunked, "MAX_TABLE", 10)
    packed = gzip.compress(bytes(length))
    with refused_if(length > 10, TableFault, f"has {length} bytes; only 10 are read"):
        table = toc_zstd_chunked._unpacked_table(packed, sha256(packed), length)
        assert table == bytes(length)


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("bound", ["_GAP", "MAX_TABLE"])
def test_a_table_and_a_tar_split_by_one_request(
    monkeypatch: pytest.MonkeyPatch, bound: str, more: int
) -> None:
    monkeypatch.setattr(toc_zstd_chunked, "_GAP", 20)
    monkeypatch.setattr(toc_zstd_chunked, "MAX_TABLE", 40)
    # The table has 10 bytes; what is between it and the tar-split is at the bound, or the whole.
    gap, split = (20 + more, 1) if bound == "_GAP" else (10, 20 + more)
    blob: Any = Blob(bytes(range(100)))
    places = [
        toc_zstd_chunked._DocumentPlace(5, 10, 10),
        toc_zstd_chunked._DocumentPlace(15 + gap, split, split),
    ]
    found = toc_zstd_chunked._fetch(blob, blob, places)
    assert found == [blob.content[place.offset : place.end] for place in places]
    assert len(blob.asked) == (2 if more > 0 else 1)
