"""A layer's table of contents gives the tree that the whole layer makes."""

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.errors import NotInRegistryError, SourceError
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from layerscan.sources import toc_zstd_chunked
from layerscan.sources.model import SourceLayer
from layerscan.sources.registry import RegistrySource
from layerscan.sources.toc import TableFault, TableOfContents, table_of_contents
from tests.builders import chunked
from tests.builders.chunked import (
    ANNOTATION,
    NO_PREFETCH,
    OLD_PREFIX,
    TABLE,
    TOC_DIGEST,
    Blobs,
    Chunked,
    estargz,
    zstd_chunked,
)
from tests.builders.members import member, tar
from tests.builders.registry_faults import Headers, Status
from tests.builders.registry_server import OpenRegistry
from tests.builders.toc_case import of_the_table, of_the_whole, scanned, without_checksums
from tests.builders.tree import made_up

CAPABILITY = "\x01\x00\x00\x02\x00\x04" + 14 * "\0"
XATTRS = {"SCHILY.xattr.security.capability": CAPABILITY, "SCHILY.xattr.user.note": "\udcff\udcfe"}
CONTENT = tar(
    member("bin/", kind=tarfile.DIRTYPE, mode=0o755),
    member("bin/large", made_up(3_000_000, 1), mtime=1_700_000_000.25, uname="root", gname="wheel"),
    member("bin/holes", b"x" * 5000 + bytes(100_000) + b"y"),
    member("bin/hard", kind=tarfile.LNKTYPE, linkname="bin/large"),
    member("bin/ü", kind=tarfile.SYMTYPE, linkname="ö" * 40),
    member("bin/ping", b"ping", pax_headers=XATTRS),
    member("dev/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
    member("dev/sda", kind=tarfile.BLKTYPE, devmajor=8),
    member("dev/fifo", kind=tarfile.FIFOTYPE),
    member("etc/" + "n" * 120 + "/" + "m" * 150, b"deep", uid=3_000_000),
    member("etc/empty", mtime=-5),
    member(".wh.gone"),
    member("var/.wh..wh..opq"),
)
FORMS: dict[str, Callable[[bytes], Chunked]] = {
    "estargz": estargz,
    "stargz": partial(estargz, old=True),
    "zstd": zstd_chunked,
    "zstd until 2022": partial(zstd_chunked, prefix=OLD_PREFIX),
    "zstd with a tar-split": partial(zstd_chunked, split=TABLE),
    "zstd of 2023": partial(zstd_chunked, split=ANNOTATION),
}
with_forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def table_of(layer: Chunked) -> TableOfContents:
    table = table_of_contents(Blobs.of(layer), layer.layer)
    assert table is not None
    return table


@pytest.mark.slow
@with_forms
def test_the_tree_is_that_of_the_whole_layer(form: Callable[[bytes], Chunked]) -> None:
    layer = form(CONTENT)
    assert of_the_table(layer) == of_the_whole(layer) != "refused"


@with_forms
def test_an_empty_layer_has_a_table(form: Callable[[bytes], Chunked]) -> None:
    layer = form(bytes(1024))
    assert of_the_table(layer) == of_the_whole(layer) != "refused"


@pytest.mark.slow
@with_forms
def test_it_costs_two_requests_and_the_bytes_of_the_table(
    form: Callable[[bytes], Chunked],
) -> None:
    layer = form(CONTENT)
    source = Blobs.of(layer)
    table = table_of_contents(source, layer.layer)
    assert table is not None
    list(table.parts())
    assert len(source.requests) <= 2
    asked = sum(length for _, length in source.requests)
    assert asked < 0.01 * len(layer.blob)


def test_the_tar_split_is_that_of_the_stream() -> None:
    exact, made = zstd_chunked(CONTENT, split=TABLE), zstd_chunked(CONTENT)
    assert table_of(exact).is_exact
    assert not table_of(made).is_exact
    assert b"".join(_bytes(table_of(exact))) == b"".join(_without_content(CONTENT))
    whole = scanned([CONTENT])[1]
    by_table = scanned(table_of(exact).parts())[1]
    assert without_checksums(by_table) == without_checksums(whole)
    made_anew = len(gzip.compress(scanned(table_of(made).parts())[1]))
    # Python's headers and those that Go would write, for some names of this size.
    assert made_anew == pytest.approx(len(gzip.compress(whole)), rel=0.05)


def _bytes(table: TableOfContents) -> list[bytes]:
    return [part for part in table.parts() if isinstance(part, bytes)]


def _without_content(raw: bytes) -> list[bytes]:
    pieces, at = [], 0
    with tarfile.open(fileobj=io.BytesIO(raw)) as reader:
        for one in reader:
            pieces.append(raw[at : one.offset_data])
            at = one.offset_data + (one.size if one.isreg() else 0)
    return [*pieces, raw[at:]]


def test_what_an_engine_unpacks_beside_the_image_is_there() -> None:
    # Docker unpacks the table itself, and the landmark.
    layer = estargz(tar(member("a", b"a")))
    plain = scanned([tar(member("a", b"a"))])[0]
    tree = of_the_table(layer)
    assert sorted(tree[1]) == sorted([*plain[1], 1, len(layer.table)])
    assert sorted(tree[4]) == sorted([1, len(NO_PREFETCH), len("stargz.index.json")])


@pytest.mark.parametrize("split", [None, TABLE])
def test_names_that_are_no_utf8_need_the_tar_split(split: str | None) -> None:
    layer = zstd_chunked(tar(member("caf\udce9", b"x")), split=split)
    if split:
        assert of_the_table(layer) == of_the_whole(layer) != "refused"
    else:
        with pytest.raises(TableFault, match=r"\$\.entries\[0\]\.name: is a name that JSON cannot"):
            of_the_table(layer)


# Any tar.

NAMES = st.sampled_from(["a", "b", "é", ".wh.a", ".wh..wh..opq", "x" * 90, "y" * 120, "..", "."])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from(
    [
        *(tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE),
        *(tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE),
    ]
)
MEMBERS = st.builds(
    member,
    PATHS,
    st.integers(0, 1500).map(bytes),
    KINDS,
    linkname=PATHS,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    mtime=st.integers(0, 2**35) | st.just(1.5),
    devmajor=st.integers(0, 255),
    pax_headers=st.just({}) | st.just(XATTRS),
).map(lambda one: one if one[0].isreg() else (one[0], b""))


@settings(max_examples=60)
@given(st.lists(MEMBERS, max_size=8), st.sampled_from(sorted(FORMS)))
def test_any_layer_is_what_its_table_says(
    members: list[tuple[tarfile.TarInfo, bytes]], form: str
) -> None:
    layer = FORMS[form](tar(*members))
    assert of_the_table(layer) == of_the_whole(layer)


# Who has none.


def test_a_layer_without_annotations_has_no_table() -> None:
    layer = estargz(CONTENT)
    source = Blobs.of(layer)
    for annotations in (
        {},
        {"org.example": "1"},
        {chunked.PREFIX + "manifest-position": "1:1:1:1"},
    ):
        assert table_of_contents(source, layer.layer._replace(annotations=annotations)) is None
    assert source.requests == []


@with_forms
def test_a_source_without_parts_gives_none(form: Callable[[bytes], Chunked]) -> None:
    layer = form(CONTENT)
    source = Blobs.of(layer, knows_parts=False)
    assert table_of_contents(source, layer.layer) is None
    assert len(source.requests) == 1


@with_forms
def test_a_layer_that_is_not_there_is_an_error(form: Callable[[bytes], Chunked]) -> None:
    with pytest.raises(SourceError, match="has no blob"):
        table_of_contents(Blobs(), form(CONTENT).layer)


def test_of_both_forms_the_second_counts() -> None:
    # stargz-snapshotter gives zstd:chunked layers the annotation of eStargz, too.
    layer = zstd_chunked(CONTENT)
    both = layer.layer._replace(annotations={**layer.annotations, TOC_DIGEST: "sha256:" + 64 * "0"})
    table = table_of_contents(Blobs.of(layer), both)
    assert table is not None
    assert scanned(table.parts())[0] == of_the_whole(layer)


def test_a_tar_split_elsewhere_is_fetched_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toc_zstd_chunked, "_GAP", -1)
    layer = zstd_chunked(CONTENT, split=TABLE)
    source = Blobs.of(layer)
    table = table_of_contents(source, layer.layer)
    assert table is not None
    assert table.is_exact
    assert len(source.requests) == 2


# Through a registry.


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    with RegistryClient() as made:
        yield made


def source_of(open_registry: OpenRegistry, client: RegistryClient) -> RegistrySource:
    return RegistrySource("it", parse(f"{open_registry.address}/acme/web:1"), lambda: client)


@with_forms
def test_a_registry_sends_little_more_than_the_table(
    form: Callable[[bytes], Chunked], open_registry: OpenRegistry, client: RegistryClient
) -> None:
    layer = form(CONTENT)
    open_registry.put_blob("acme/web", layer.blob)
    table = table_of_contents(source_of(open_registry, client), layer.layer)
    assert table is not None
    assert scanned(table.parts())[0] == of_the_whole(layer)
    gets = [one for one in open_registry.seen if one.method == "GET" and "/blobs/" in one.path]
    assert len(gets) <= 2
    spans = [one.headers["range"].removeprefix("bytes=").split("-") for one in gets]
    assert sum(int(last) - int(first) + 1 for first, last in spans) < 0.01 * len(layer.blob)


def test_a_registry_without_ranges_gives_none(
    open_registry: OpenRegistry, client: RegistryClient
) -> None:
    layer = estargz(CONTENT)
    open_registry.knows_ranges = False
    open_registry.put_blob("acme/web", layer.blob)
    assert table_of_contents(source_of(open_registry, client), layer.layer) is None


def test_a_registry_without_the_blob_is_an_error(
    open_registry: OpenRegistry, client: RegistryClient
) -> None:
    with pytest.raises(NotInRegistryError):
        table_of_contents(source_of(open_registry, client), estargz(CONTENT).layer)


@pytest.mark.parametrize("fault", [Headers({"Content-Range": "bytes 0-50/51"}), Status(416)])
def test_a_registry_that_serves_parts_badly_may_serve_the_whole(
    fault: Headers | Status, open_registry: OpenRegistry, client: RegistryClient
) -> None:
    layer = estargz(CONTENT)
    open_registry.put_blob("acme/web", layer.blob)
    open_registry.fail("GET", "/blobs/", fault)
    with pytest.raises(TableFault):
        table_of_contents(source_of(open_registry, client), layer.layer)


def test_the_layers_own_length_is_not_exceeded() -> None:
    layer = zstd_chunked(CONTENT)
    short = SourceLayer(*layer.layer[:2], 1000, annotations=layer.annotations)
    source = Blobs.of(layer)
    with pytest.raises(TableFault, match="beyond the layer's end"):
        table_of_contents(source, short)
    assert source.requests == []
