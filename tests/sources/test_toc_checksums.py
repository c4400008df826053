"""What a table of contents knows of the content of files, in the tar-split document."""

import base64
import gzip
import tarfile
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.sources.toc import Content, table_of_contents
from tests.builders.chunked import (
    ANNOTATION,
    CHUNK,
    TABLE,
    Blobs,
    Chunked,
    Table,
    estargz,
    zstd_chunked,
)
from tests.builders.members import member, tar
from tests.builders.tar_split import checksum
from tests.builders.toc_case import checksums, repeats, scanned, without_checksums
from tests.builders.tree import made_up

FORMS: dict[str, Callable[[bytes], Chunked]] = {
    "estargz": estargz,
    "zstd": zstd_chunked,
    "zstd with a tar-split": partial(zstd_chunked, split=TABLE),
    "zstd of 2023": partial(zstd_chunked, split=ANNOTATION),
}
BY_TABLE = ["estargz", "zstd"]

CHUNKS = made_up(CHUNK + 1, 1)
"""In two chunks, of which the first is that of the next."""
CONTENTS = (b"", b"a", b"b", bytes(600), CHUNKS, CHUNKS[:CHUNK] + b"!")


def parts(layer: Chunked) -> list[bytes | Content]:
    table = table_of_contents(Blobs.of(layer), layer.layer)
    assert table is not None
    return list(table.parts())


def documents(layer: Chunked) -> tuple[bytes, bytes]:
    """The tar-split document by the table, and that of the whole layer."""
    return scanned(parts(layer))[1], scanned([layer.tar])[1]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(CONTENTS), max_size=12), st.sampled_from(sorted(FORMS)))
def test_equal_contents_and_no_others_have_equal_digits(contents: list[bytes], form: str) -> None:
    layer = FORMS[form](tar(*(member(f"f{at}", one) for at, one in enumerate(contents))))
    by_table, whole = documents(layer)
    assert repeats(by_table) == repeats(whole)
    if form not in BY_TABLE:
        assert without_checksums(by_table) == without_checksums(whole)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_layer_of_the_same_few_files_packs_as_well(form: str) -> None:
    few = [made_up(50, seed) for seed in range(3)]
    names = [f"{at * 2654435761 % 2**32:08x}" for at in range(3000)]
    members = [member(name, few[at % 3], mode=0o644) for at, name in enumerate(names)]
    by_table, whole = documents(FORMS[form](tar(*members)))
    # Other digits for each file would be a fifth more. Python's headers are not Go's.
    assert len(gzip.compress(by_table)) == pytest.approx(len(gzip.compress(whole)), rel=0.01)


@pytest.mark.parametrize("form", BY_TABLE)
@pytest.mark.parametrize("digest", [None, ""])
def test_of_files_without_a_digest_no_two_have_equal_digits(form: str, digest: str | None) -> None:
    def change(table: Table) -> None:
        for entry in table["entries"]:
            entry.pop("digest", None)
            if digest is not None:
                entry["digest"] = digest

    make = {
        "estargz": partial(estargz, change=change),
        "zstd": partial(zstd_chunked, change=change),
    }[form]
    layer = make(tar(*(member(f"f{at}", b"same") for at in range(9))))
    by_table, _ = documents(layer)
    assert len(set(checksums(by_table))) == len(checksums(by_table)) >= 9


@pytest.mark.parametrize("payload", [b"null", b'""'])
def test_a_tar_split_may_lack_checksums(payload: bytes) -> None:
    def change(document: bytes) -> bytes:
        line = b'"payload": "%s"' % base64.b64encode(checksum(b"same"))
        assert document.count(line) == 9
        return document.replace(line, b'"payload": ' + payload)

    content = tar(*(member(f"f{at}", b"same") for at in range(9)))
    by_table, _ = documents(zstd_chunked(content, split=TABLE, change_split=change))
    assert len(set(checksums(by_table))) == 9


# The scanner's part.


def checksum_by(*parts: bytes | Content) -> str:
    """The checksum of a file that comes in such parts."""
    length = sum(one.length if isinstance(one, Content) else len(one) for one in parts)
    file = member("a")[0]
    file.size = length
    rest = bytes(-length % 512 + 1024)
    (found,) = checksums(scanned([file.tobuf(tarfile.USTAR_FORMAT), *parts, rest])[1])
    return found


@pytest.mark.parametrize("number", [0, 1, 2**63, 2**64 - 1])
def test_a_checksum_is_written_as_it_is(number: int) -> None:
    expected = base64.b64encode(number.to_bytes(8, "big")).decode()
    assert checksum_by(Content(7, number)) == expected
    assert checksum_by(b"xy", Content(5, 99), Content(2, number)) == expected


def test_content_after_it_goes_into_it() -> None:
    whole = checksum_by(Content(3, 7), b"def")
    assert checksum_by(Content(3, 7), b"d", b"ef") == whole
    assert len({whole, checksum_by(Content(3, 8), b"def"), checksum_by(Content(3, 7), b"deg")}) == 3


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_checksum_has_64_bits(number: int) -> None:
    with pytest.raises(OverflowError):
        checksum_by(Content(1, number))


def test_without_the_document_a_checksum_is_for_nothing() -> None:
    layer = estargz(tar(member("a", b"x")))
    assert scanned(parts(layer), tar_split=False) == (scanned([layer.tar])[0], b"")
