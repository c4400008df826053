"""A table of contents that is damaged or hostile: the layer is read as a whole then."""

import gzip
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.sources import toc_entries, toc_zstd_chunked
from layerscan.sources.model import SourceLayer
from layerscan.sources.toc import Content, TableFault, table_of_contents
from layerscan.tar._tar import TarFault
from tests.builders.chunked import (
    ANNOTATION,
    PREFIX,
    TABLE,
    TOC_DIGEST,
    Blobs,
    Chunked,
    Table,
    estargz,
    zstd_chunked,
)
from tests.builders.documents import sha256
from tests.builders.members import member, tar
from tests.builders.toc_case import scanned
from tests.builders.zstd import zstd

CONTENT = tar(member("a", b"content"), member("b", kind=tarfile.SYMTYPE, linkname="a"), member("c"))
XATTRS = {"user.a": "YQ=="}


def read(layer: Chunked) -> list[bytes | Content]:
    table = table_of_contents(Blobs.of(layer), layer.layer)
    assert table is not None
    return list(table.parts())


def fault_of(layer: Chunked) -> str:
    with pytest.raises(TableFault) as raised:
        read(layer)
    said = str(raised.value)
    assert said
    assert said.isprintable()
    assert len(said) < 300
    return said


def entry(**changed: object) -> Callable[[Table], object]:
    """Changes the first entry of a table."""
    return lambda table: table["entries"][0].update(changed)


# What is in the table; its maker vouches for it, so its digest is right.


@pytest.mark.parametrize("form", [estargz, zstd_chunked])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda table: table.update(version=2), "$.version: must be 1"),
        (lambda table: table.pop("version"), "$.version: must be 1"),
        (lambda table: table.update(entries={}), '"entries" must be an array'),
        (lambda table: table["entries"].insert(0, 7), "$.entries[0]: must be an object"),
        (entry(type="socket"), '$.entries[0].type: is "socket", which is no type'),
        (entry(type=None), "$.entries[0].type: must be a string"),
        (entry(name=7), "$.entries[0].name: must be a string"),
        (entry(name="a\0b"), "$.entries[0].name: is no name"),
        (entry(name="\ud800"), "$.entries[0].name: is no name"),
        (entry(name="\ufffd"), "$.entries[0].name: is a name that JSON cannot hold"),
        (entry(linkName="\ufffd"), "$.entries[0].linkName: is a name that JSON cannot hold"),
        (entry(size=-1), "$.entries[0].size: must not be negative"),
        (entry(size=2**63), "$.entries[0].size: must be at most"),
        (entry(size=2**61), "has files of more than"),
        (entry(size="7"), "$.entries[0].size: must be an integer"),
        (entry(mode=8**7), "$.entries[0]: does not fit into a tar header"),
        (entry(devMajor=8**7), "$.entries[0]: does not fit into a tar header"),
        (entry(digest=7), "$.entries[0].digest: must be a string"),
        (entry(digest="sha256:1"), "$.entries[0].digest: is no digest"),
        (entry(uid=1.5), "$.entries[0].uid: must be an integer"),
        (entry(modtime="yesterday"), "$.entries[0].modtime: is no time"),
        (entry(modtime="2024-01-01T00:00:00"), "$.entries[0].modtime: is no time: it has no zone"),
        (entry(changetime=5), "$.entries[0].changetime: must be a string"),
        (entry(xattrs=[]), "$.entries[0].xattrs: must be an object"),
        (entry(xattrs={"user.a": "?"}), '$.entries[0].xattrs["user.a"]: is no base64'),
        (entry(xattrs={"user.a=": ""}), "is no name of an extended attribute"),
        (entry(xattrs={"": ""}), "is no name of an extended attribute"),
        (entry(xattrs={"user.\ud800": ""}), "is no name of an extended attribute"),
    ],
)
def test_a_wrong_table_is_refused(
    form: Callable[..., Chunked], change: Callable[[Table], object], what: str
) -> None:
    assert what in fault_of(form(CONTENT, change=change))


@pytest.mark.parametrize(
    "change",
    [
        entry(xattrs=None),
        entry(xattrs=XATTRS),
        entry(digest=""),
        lambda table: table["entries"][0].pop("digest"),
        entry(mode=0o100644),
        entry(modtime=""),
        entry(modtime="0001-01-01T00:00:00Z"),
        entry(modtime="2024-01-01T00:00:00.123456789+02:00"),
        entry(unknown={"deep": [1, 2]}),
        lambda table: table.update(entries=None),
        lambda table: table.update(other={"a": 1}),
    ],
)
def test_what_other_writers_put_there_is_taken(change: Callable[[Table], object]) -> None:
    scanned(read(zstd_chunked(CONTENT, change=change)))


def test_sums_of_sizes_are_bounded() -> None:
    def many(table: Table) -> None:
        table["entries"] = [{"type": "reg", "name": str(n), "size": 2**59} for n in range(3)]

    assert "has files of more than" in fault_of(estargz(CONTENT, change=many))


def test_what_no_engine_unpacks_is_refused_by_the_scanner() -> None:
    with pytest.raises(TarFault):
        scanned(read(estargz(CONTENT, change=entry(type="hardlink", linkName="nowhere"))))


# Where it is, and its digest.

POSITION, CHECKSUM = "manifest_position", "manifest_checksum"


@pytest.mark.parametrize(
    ("annotations", "what"),
    [
        ({CHECKSUM: "md5:1"}, "manifest-checksum is no digest"),
        ({CHECKSUM: sha256(b"")}, "has not the digest of the annotation manifest-checksum"),
        ({POSITION: None}, "manifest-position must be 4 numbers"),
        ({POSITION: ""}, "manifest-position must be 4 numbers"),
        ({POSITION: "1:2:3"}, "manifest-position must be 4 numbers"),
        ({POSITION: "1:2:3:4:5"}, "manifest-position must be 4 numbers"),
        ({POSITION: "1:2:-3:1"}, "manifest-position must be 4 numbers"),
        ({POSITION: "1:2:٣:1"}, "manifest-position must be 4 numbers"),
        ({POSITION: "1" * 5000 + ":2:3:1"}, "manifest-position must be 4 numbers"),
        ({POSITION: "1:2:3:2"}, "is of type 2"),
        ({POSITION: "1:0:3:1"}, "beyond the layer's end"),
        ({POSITION: "999999999999999999:1:3:1"}, "beyond the layer's end"),
        ({POSITION: "1:99999999999:3:1"}, "only 67108864 are read"),
        ({POSITION: "0:9:9:1"}, "has not the digest"),
    ],
)
def test_wrong_annotations_are_refused(annotations: dict[str, str | None], what: str) -> None:
    assert what in fault_of(zstd_chunked(CONTENT).with_annotations(**annotations))


@pytest.mark.parametrize(
    ("length", "what"), [(-1, "has more than"), (1, "has"), (2**40, "only 67108864 are read")]
)
def test_its_length_must_be_as_it_says(length: int, what: str) -> None:
    layer = zstd_chunked(CONTENT)
    offset, packed, unpacked, kind = layer.annotations[PREFIX + "manifest-position"].split(":")
    position = f"{offset}:{packed}:{int(unpacked) + length}:{kind}"
    said = fault_of(layer.with_annotations(manifest_position=position))
    assert what in said
    assert said.startswith("the table of contents has")


@pytest.mark.parametrize("split", [TABLE, ANNOTATION])
def test_a_wrong_tar_split_is_refused(split: str) -> None:
    layer = zstd_chunked(CONTENT, split=split)
    offset, length, unpacked = layer.annotations[PREFIX + "tarsplit-position"].split(":")
    for position in (f"{int(offset) - 8}:{length}:{unpacked}", f"0:{length}:{unpacked}"):
        changed = layer.with_annotations(tarsplit_position=position)
        assert "has not the digest that it must have" in fault_of(changed)
    said = fault_of(layer.with_annotations(tarsplit_position=f"{offset}:{length}"))
    assert "tarsplit-position must be 3 numbers" in said


def test_a_tar_split_without_a_digest_is_not_used() -> None:
    layer = zstd_chunked(CONTENT, split=ANNOTATION).with_annotations(tarsplit_checksum=None)
    table = table_of_contents(Blobs.of(layer), layer.layer)
    assert table is not None
    assert not table.is_exact


@pytest.mark.parametrize(
    ("digest", "split"), [("sha256:1", TABLE), (None, TABLE), (7, TABLE), ("sha256:x", ANNOTATION)]
)
def test_the_digest_of_a_tar_split_must_be_one(digest: object, split: str) -> None:
    if split == TABLE:
        layer = zstd_chunked(
            CONTENT, split=split, change=lambda table: table.update(tarSplitDigest=digest)
        )
    else:
        layer = zstd_chunked(CONTENT, split=split).with_annotations(tarsplit_checksum=str(digest))
    if digest is None:
        read(layer)
    else:
        assert "digest of the tar-split is no digest" in fault_of(layer)


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (b"{", "the tar-split: is not JSON"),
        (b"[]", "must be an object"),
        (b"{}", 'key "type" is missing'),
        (b'{"type":3}', "$.type: 3 is not known"),
        (b'{"type":2,"payload":"?"}', "$.payload: is no base64"),
        (b'{"type":1,"size":9,"payload":"?"}', "$.payload: is no base64"),
        (b'{"type":1,"size":9,"payload":7}', "$.payload: must be a string"),
        (b'{"type":1,"size":9,"payload":"YQ=="}', "$.payload: is no checksum of 8 bytes"),
        (b'{"type":1,"size":9,"payload":"QUFBQUFBQUFB"}', "$.payload: is no checksum of 8 bytes"),
        (b'{"type":1,"size":-1}', "$.size: must not be negative"),
        (b'{"type":1,"size":1152921504606846977}', "has files of more than"),
    ],
)
def test_a_tar_split_that_is_none_is_refused(written: bytes, what: str) -> None:
    layer = zstd_chunked(CONTENT, split=TABLE, change_split=lambda _: written)
    assert what in fault_of(layer)


@pytest.mark.parametrize("written", [b"", b'{"type":1,"size":5}', b'{"type":2,"payload":"YQ=="}'])
def test_a_tar_split_of_something_else_is_refused_by_the_scanner(written: bytes) -> None:
    layer = zstd_chunked(CONTENT, split=TABLE, change_split=lambda _: written)
    if written:
        with pytest.raises(TarFault):
            scanned(read(layer))
    else:
        assert len(scanned(read(layer))[0][0]) == 1


# eStargz: footer and file.


def with_end(
    file: bytes,
    table: bytes,
    *,
    packed: bytes | None = None,
    offset: int = 0,
    magic: bytes = b"STARGZ",
) -> Chunked:
    """An eStargz blob of nothing but an end: `file`, packed, and a footer."""
    packed = gzip.compress(file) if packed is None else packed
    extra = b"SG\x16\0%016x" % offset + magic
    footer = b"\x1f\x8b\x08\x04" + bytes(6) + b"\x1a\0" + extra + b"\x01\0\0\xff\xff" + bytes(8)
    annotations = {TOC_DIGEST: sha256(table)}
    return Chunked(file, annotations=annotations, ready=packed + footer, table=table)


def file_of(table: bytes, name: str = "stargz.index.json", kind: bytes = tarfile.REGTYPE) -> bytes:
    return tar(member(name, table, kind=kind))


EMPTY = json.dumps({"version": 1, "entries": []}).encode()


def test_a_table_alone_is_taken() -> None:
    assert scanned(read(with_end(file_of(EMPTY), EMPTY)))[0][1] == [0, len(EMPTY)]


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (with_end(file_of(EMPTY), EMPTY, magic=b"STARGX"), "no footer of eStargz"),
        (with_end(file_of(EMPTY), EMPTY, offset=2**63), "points beyond itself"),
        (with_end(file_of(EMPTY), EMPTY, offset=1), "the table of contents"),
        (with_end(file_of(EMPTY), EMPTY + b" "), "has not the digest of the annotation"),
        (with_end(file_of(EMPTY, "other"), EMPTY), "is not the file stargz.index.json"),
        (with_end(file_of(EMPTY, kind=tarfile.SYMTYPE), EMPTY), "is not the file"),
        (with_end(file_of(EMPTY)[:520], EMPTY), "is cut off"),
        (with_end(b"", EMPTY), "is no file of a tar"),
        (with_end(bytes(2048), EMPTY), "is no file of a tar"),
        (with_end(b"", EMPTY, packed=gzip.compress(file_of(EMPTY))[:-9]), "the table of contents"),
        (with_end(b"", EMPTY, packed=b"BZh91AY&SY"), "is packed with bzip2"),
    ],
)
def test_a_wrong_end_is_refused(layer: Chunked, what: str) -> None:
    assert what in fault_of(layer)


@pytest.mark.parametrize("length", [0, 10, 50])
def test_a_layer_shorter_than_a_footer_is_refused(length: int) -> None:
    layer = Chunked(b"", ready=b"x" * length, annotations={TOC_DIGEST: sha256(b"")})
    assert "too short for eStargz" in fault_of(layer)


def test_another_digest_is_refused() -> None:
    layer = estargz(CONTENT)
    for digest in ("", "sha512:" + "0" * 64):
        changed = replace(layer, annotations={TOC_DIGEST: digest})
        assert "is no digest" in fault_of(changed)


# Size.


def test_a_table_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = zstd.compress(bytes(70 << 20))
    position = f"0:{len(packed)}:{64 << 20}:1"
    names = {"manifest-checksum": sha256(packed), "manifest-position": position}
    annotations = {PREFIX + name: value for name, value in names.items()}
    blob = Chunked(b"", ready=packed, annotations=annotations)
    assert "has more than 67108864 bytes, unpacked" in fault_of(blob)
    large = with_end(bytes(66 << 20), EMPTY)
    assert "has more than" in fault_of(large)
    monkeypatch.setattr(toc_zstd_chunked, "_MOST_SPLIT", 100_000)
    layer = zstd_chunked(CONTENT, split=TABLE, change_split=lambda _: b" " * 200_000)
    assert "the tar-split has more than 100000 bytes" in fault_of(layer)


@pytest.mark.slow
def test_a_table_takes_the_memory_of_its_entries_one_by_one() -> None:
    many = b'{"type":"chunk","x":[[],[],[],[]]},' * 10_000
    table = b'{"version":1,"entries":[' + many + b'{"type":"chunk"}]}'
    layer = with_end(file_of(table), table)
    found = table_of_contents(Blobs.of(layer), layer.layer)
    assert found is not None
    tracemalloc.start()
    try:
        assert len(list(found.parts())) == 2
        # All at once it is 6 MB.
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_table_or_tar_split_of_too_many_entries_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(toc_zstd_chunked, "MOST_LINES", 100)
    monkeypatch.setattr(toc_entries, "MOST_ENTRIES", 100)
    split = zstd_chunked(CONTENT, split=TABLE, change_split=lambda _: b'{"type":1}' * 101)
    assert "the tar-split: has more than 100 entries" in fault_of(split)
    large = estargz(CONTENT, change=lambda table: table["entries"].extend([{"type": "chunk"}] * 99))
    assert "the table of contents: has more than 100 entries" in fault_of(large)


class Short(Blobs):
    """A source whose sections are not as long as they must be."""

    def section(self, layer: SourceLayer, offset: int, length: int) -> bytes | None:
        found = super().section(layer, offset, length)
        return None if found is None else found[:-1]


@pytest.mark.parametrize("form", [estargz, zstd_chunked])
def test_a_source_that_gives_too_little_is_noticed(form: Callable[..., Chunked]) -> None:
    layer = form(CONTENT)
    with pytest.raises(TableFault, match=r"\d+ bytes of the layer were asked for, \d+ came"):
        table_of_contents(Short.of(layer), layer.layer)


# Anything.


@settings(max_examples=150)
@given(
    st.sampled_from([estargz(CONTENT), zstd_chunked(CONTENT), zstd_chunked(CONTENT, split=TABLE)]),
    st.data(),
)
def test_a_changed_byte_is_noticed_or_does_not_matter(layer: Chunked, data: st.DataObject) -> None:
    expected = scanned(read(layer))
    at = data.draw(st.integers(0, len(layer.blob) - 1))
    blob = bytearray(layer.blob)
    blob[at] ^= data.draw(st.integers(1, 255))
    changed = replace(layer, ready=bytes(blob))
    try:
        found = scanned(read(changed))
    except (TableFault, TarFault):
        return
    assert found[0] == expected[0]


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5), st.data())
def test_any_value_in_any_place_is_taken_or_refused(value: object, data: st.DataObject) -> None:
    keys = "type name size mode modtime linkName uid xattrs devMinor digest"
    key = data.draw(st.sampled_from(keys.split()))
    layer = zstd_chunked(CONTENT, change=entry(**{key: value}))
    try:
        scanned(read(layer))
    except (TableFault, TarFault) as fault:
        said = str(fault)
    else:
        said = ""
    assert said.isprintable()
