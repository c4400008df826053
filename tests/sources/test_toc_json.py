"""Long JSON documents in pieces, and tar headers, against Python's own readers."""

import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscan.errors import DocumentError
from layerscan.sources import toc_headers, toc_json
from layerscan.sources.toc_headers import Header, encoded
from layerscan.sources.toc_json import Values, members

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ENTRIES = st.lists(JSON) | st.none()


@st.composite
def cut(draw: st.DrawFn, text: bytes) -> list[bytes]:
    """`text` in pieces of any length."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def read(pieces: list[bytes]) -> list[tuple[str, object]]:
    return list(members(Values(pieces, "it", 10_000), "entries"))


@settings(max_examples=30)
@given(st.data(), st.dictionaries(st.text(), JSON), ENTRIES, st.none() | st.just(2))
def test_a_document_in_pieces_is_the_document(
    data: st.DataObject, rest: dict[str, object], entries: object, indent: int | None
) -> None:
    document = {**rest, "entries": entries}
    text = json.dumps(document, ensure_ascii=indent is None, indent=indent).encode()
    expected: list[tuple[str, object]] = []
    for key, value in json.loads(text).items():
        if key == "entries" and isinstance(value, list):
            expected += [(key, one) for one in value]
        else:
            expected.append((key, value))
    assert read(data.draw(cut(text))) == expected


@given(st.data(), st.binary(max_size=60) | st.text('{}[]":,\\ e1.-+truen\n', max_size=30))
def test_what_is_no_json_is_refused(data: st.DataObject, text: bytes | str) -> None:
    raw = text.encode() if isinstance(text, str) else text
    raw = b'{"entries":[' + raw + b"]}"
    try:
        document = json.loads(raw.decode())
    except ValueError:
        document = None
    try:
        found = read(data.draw(cut(raw)))
    except DocumentError:
        # Of what Python takes, keys given twice and NaN are no JSON.
        assert document is None or b"{" in raw[12:] or b"N" in raw or b"I" in raw
    else:
        assert found == [("entries", one) for one in document["entries"]]


@settings(max_examples=30)
@given(st.data(), st.lists(JSON))
def test_values_follow_each_other(data: st.DataObject, values: list[object]) -> None:
    text = "\n".join(json.dumps(value) for value in values).encode() + b"\n"
    stream = Values(data.draw(cut(text)), "it", 10_000)
    found = []
    while not stream.at_end():
        found.append(stream.value())
    assert found == values


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", 'is not JSON: "{" is missing'),
        (b"[]", 'is not JSON: "{" is missing'),
        (b'{"a":1', 'is not JSON: "," is missing'),
        (b'{"a" 1}', 'is not JSON: ":" is missing'),
        (b"{1:1}", "is not JSON: a key is no string"),
        (b'{"a":1,}', "is not JSON: Expecting value"),
        (b'{"a":1}x', "is not JSON: something follows its end"),
        (b'{"a":1,"a":1}', 'key "a" is given twice'),
        (b'{"entries":[],"entries":[]}', 'key "entries" is given twice'),
        (b'{"entries":{}}', '"entries" must be an array'),
        (b'{"entries":[{"b":1,"b":1}]}', '$: key "b" is given twice'),
        (b'{"entries":[NaN]}', "$: NaN is no JSON number"),
        (b'{"a":"\xff"}', "is not UTF-8"),
        (b'{"a":"\xc3', "is not UTF-8"),
        (b'{"a":' + b"[" * 100_000, "is nested too deeply"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(101)) + b"}", "has more than 100 members"),
    ],
)
def test_its_faults_are_named(text: bytes, what: str) -> None:
    with pytest.raises(DocumentError) as raised:
        read([text])
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [b"[[],", b'["\\u0000",', b"[1234567,"])
def test_a_value_that_never_ends_takes_bounded_memory(
    unit: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toc_json, "LONGEST", 1 << 18)

    def endless() -> Iterator[bytes]:
        yield b'{"entries":['
        while True:
            yield unit[:1] + unit[1:] * 4096

    tracemalloc.start()
    try:
        with pytest.raises(DocumentError, match=r"nested too deeply|longer than 262144"):
            list(members(Values(endless(), "it", 10_000), "entries"))
        assert tracemalloc.get_traced_memory()[1] < 40 * toc_json.LONGEST
    finally:
        tracemalloc.stop()


def test_a_long_document_takes_the_memory_of_one_entry() -> None:
    entry = json.dumps({"name": "n" * 200, "type": "chunk"}).encode()

    def long() -> Iterator[bytes]:
        yield b'{"entries":[' + entry
        for _ in range(50):
            yield (b"," + entry) * 100
        yield b"]}"

    tracemalloc.start()
    try:
        assert sum(1 for _ in members(Values(long(), "it", 10_000), "entries")) == 5_001
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


# Headers.

NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=120)
PATHS = st.lists(NAMES.map(lambda name: name.replace("/", "") or "x"), min_size=1).map("/".join)
HEADERS = st.builds(
    Header,
    name=PATHS.map(lambda path: path[:3000]),
    kind=st.sampled_from([toc_headers.FILE, toc_headers.LINK, toc_headers.SYMLINK]),
    size=st.integers(0, 2**62),
    mode=st.integers(0, 0o7777777),
    uid=st.integers(0, 2**40),
    gid=st.integers(0, 2**40),
    mtime=st.integers(-(2**40), 2**40),
    link=PATHS,
    user=NAMES,
    group=NAMES,
    device=st.tuples(st.integers(0, 8**7 - 1), st.integers(0, 8**7 - 1)),
    records=st.dictionaries(
        st.sampled_from(["user.a", "security.capability"]).map(toc_headers.xattr),
        st.binary(max_size=200),
    ),
)


@given(HEADERS)
def test_a_tar_reader_reads_the_header_back(header: Header) -> None:
    raw = encoded(header)
    assert len(raw) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(raw + bytes(1024)), errors="surrogateescape") as tar:
        found = tar.next()
    assert found is not None
    assert found.offset_data == len(raw)
    assert (found.name, found.type) == (header.name.rstrip("/"), header.kind)
    assert (found.size, found.mode, found.mtime) == (header.size, header.mode, header.mtime)
    assert (found.uid, found.gid) == (header.uid, header.gid)
    assert (found.linkname, found.uname, found.gname) == (header.link, header.user, header.group)
    assert (found.devmajor, found.devminor) == header.device
    for key, value in header.records.items():
        assert found.pax_headers[key].encode("utf-8", "surrogateescape") == value


def test_a_number_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="octal digits"):
        encoded(Header("a", toc_headers.FILE, mode=8**7))


def test_a_short_name_needs_no_pax_header() -> None:
    assert len(encoded(Header("p" * 155 + "/" + "n" * 100, toc_headers.FILE))) == 512
    assert len(encoded(Header("p" * 156 + "/" + "n" * 100, toc_headers.FILE))) == 1536
