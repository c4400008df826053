"""The tar-split document and the length of its file, against the format's own rules.

That real engines keep files of such lengths, `tests/integration/test_predict_stores.py` shows.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.tar import tarsplit
from layerscan.tar._tar import TarScanner
from layerscan.tar.tarsplit import TarSplit, TarSplitLength
from tests.builders.tar_split import ODDITIES, member, packed
from tests.builders.tars import header

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK = 512
END = bytes(2 * BLOCK)
CHECKSUM = re.compile(rb'(?<="payload":")[^"]{11}=(?=")')


def document(tar: bytes, *cuts: int) -> bytes:
    """What the scanner makes of `tar`, fed in pieces that end at `cuts`."""
    scanner = TarScanner(tar_split=True)
    made = []
    for start, stop in zip((0, *cuts), (*cuts, len(tar)), strict=True):
        scanner.feed(tar[start:stop])
        made.append(scanner.take_tar_split())
    scanner.finish()
    return b"".join((*made, scanner.take_tar_split()))


# The document again, from where Python's tarfile says that contents are.


def segment(raw: bytes) -> bytes:
    return b'{"type":2,"payload":"%s"' % base64.b64encode(raw)


def entry(name: bytes, content: bytes) -> bytes:
    shown = re.sub(rb'[\0-\x1f"\\]', b"_", name)
    if content:
        return b'{"type":1,"name":"%s","size":%d,"payload":"CHECKSUM"' % (shown, len(content))
    return b'{"type":1,"name":"%s","payload":null' % shown


def expected(tar: bytes) -> tuple[bytes, list[bytes]]:
    """The document, and the contents whose checksums are in it."""
    lines: list[bytes] = []
    contents = []
    done = 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for found in archive:
            size = found.size if found.isreg() else 0
            name = found.name.encode("utf-8", "surrogateescape") + b"/" * found.isdir()
            lines.append(segment(tar[done : found.offset_data]))
            done = found.offset_data + size
            lines.append(entry(name, tar[found.offset_data : done]))
            contents += [tar[found.offset_data : done]] if size else []
    lines.append(segment(tar[done:]))
    numbered = (b'%s,"position":%d}\n' % (line, number) for number, line in enumerate(lines))
    return b"".join(numbered), contents


def assert_document(made: bytes, tar: bytes) -> None:
    lines, contents = expected(tar)
    # No segment is as short as a checksum.
    assert CHECKSUM.sub(b"CHECKSUM", made) == lines
    sums = CHECKSUM.findall(made)
    assert len(set(zip(sums, contents, strict=True))) == len(set(sums)) == len(set(contents))


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_document_has_what_a_tar_split_has(tar_format: int) -> None:
    tar = packed(ODDITIES, tar_format)
    made = document(tar)
    assert_document(made, tar)
    assert made.count(b"\n") == 2 * len(ODDITIES) + 1
    for line in made.splitlines():
        json.loads(line.decode("latin-1"))


@pytest.mark.parametrize("more", [0, 9_000, 100_000])
def test_what_follows_the_end_is_in_the_document(more: int) -> None:
    tar = packed([member("file", b"x" * 700)], tarfile.GNU_FORMAT)[: 3 * BLOCK] + END
    tar += bytes([7]) * more
    assert_document(document(tar, 500, 2_000), tar)


def test_stream_without_an_end_has_what_there_is() -> None:
    tar = packed([member("file", b"x" * BLOCK)], tarfile.USTAR_FORMAT)[: 2 * BLOCK]
    lines = [json.loads(line) for line in document(tar).splitlines()]
    assert [line["type"] for line in lines] == [2, 1]


@pytest.mark.parametrize("length", [1, 7, 8, 31, 32, 33, 191, 192, 1000, 100_003])
def test_equal_contents_and_no_others_have_equal_checksums(length: int) -> None:
    content = random.Random(length).randbytes(length)  # noqa: S311 - the same in every run
    others = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in (0, length - 1)]
    contents = [content, content, bytes(length), bytes(length + 1), *others]
    tar = packed([member(f"f{at}", one) for at, one in enumerate(contents)], tarfile.USTAR_FORMAT)
    for cuts in ((), (513,), (512 + length // 2, 512 + length)):
        assert_document(document(tar, *cuts), tar)


def test_each_byte_counts_in_a_checksum() -> None:
    content = random.Random(4).randbytes(96)  # noqa: S311 - the same in every run
    changed = [content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] for at in range(96)]
    contents = [content, *changed]
    tar = packed([member(f"f{at}", one) for at, one in enumerate(contents)], tarfile.USTAR_FORMAT)
    assert_document(document(tar), tar)


def test_checksums_of_what_is_not_at_hand_do_not_repeat() -> None:
    scanner = TarScanner(tar_split=True)
    for number in range(500):
        header = member(f"file{number}", b"same")[0].tobuf(tarfile.USTAR_FORMAT)
        scanner.feed(header)
        scanner.skip(4)
        scanner.feed(bytes(508))
    assert len(set(CHECKSUM.findall(scanner.take_tar_split()))) == 500


def test_the_largest_size_and_no_name() -> None:
    scanner = TarScanner(tar_split=True)
    size = 1 << 60
    scanner.feed(header(b"huge", size=b"\x80" + size.to_bytes(11, "big")))
    scanner.skip(size)
    scanner.feed(header(b""))
    scanner.feed(END)
    scanner.finish()
    lines = scanner.take_tar_split().splitlines()
    assert lines[1].startswith(b'{"type":1,"name":"huge","size":%d,"payload":"' % size)
    assert len(json.loads(lines[1])["payload"]) == 12
    assert lines[3] == b'{"type":1,"payload":null,"position":3}'


def test_without_tar_split_there_is_no_document() -> None:
    scanner = TarScanner()
    scanner.feed(packed(ODDITIES, tarfile.PAX_FORMAT))
    scanner.finish()
    assert scanner.take_tar_split() == b""


names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    found = [
        member(f"{number}{'/deep' * draw(st.sampled_from([0, 1, 40]))}/{name}", content)
        for number, (name, content) in enumerate(
            draw(st.lists(st.tuples(names, st.binary(max_size=1100)), max_size=8))
        )
    ]
    return packed(found, draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])))


@given(tars(), st.data())
def test_any_tar_in_any_pieces(tar: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(tar)), max_size=12)))
    whole = document(tar)
    assert_document(whole, tar)
    assert document(tar, *cuts) == whole


# The length of the file.


def layer(count: int, tar_format: int, *, seed: int) -> bytes:
    """The document of a layer of `count` files with names and times as they are in such."""
    chance = random.Random(seed)  # noqa: S311 - the same in every run
    words = ["lib", "python", "module", "test", "core", "util", "data", "index", "view", "api"]
    found = []
    for number in range(count):
        folder = "/".join(chance.choices(words, k=chance.randint(1, 5)))
        name = f"usr/{folder}/{chance.choice(words)}{number:x}.py"
        mtime = 1_600_000_000 + chance.randrange(10**8)
        fields = {"mtime": mtime + 0.5 if tar_format == tarfile.PAX_FORMAT else mtime}
        content = chance.randbytes(chance.choice([0, 10, 700, 2000]))
        found.append(member(name, content, **fields))
    return document(packed(found, tar_format))


def predicted(text: bytes, kind: TarSplit, pieces: Sequence[int] = (65_536,)) -> int:
    length = TarSplitLength(kind)
    start = number = 0
    while start < len(text):
        stop = start + pieces[number % len(pieces)]
        length.add(text[start:stop])
        start, number = stop, number + 1
    return length.end()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "tar_format", "gzip", "pgzip"),
    [
        # What Go 1.19's compress/gzip and pgzip 1.2.5 make of the engines' documents.
        (1, tarfile.GNU_FORMAT, 275, 292),
        (30, tarfile.GNU_FORMAT, 2_333, 2_673),
        (1_000, tarfile.GNU_FORMAT, 61_803, 77_128),
        (1_000, tarfile.PAX_FORMAT, 90_959, 105_866),
        (12_000, tarfile.GNU_FORMAT, 750_652, 939_882),
        (12_000, tarfile.PAX_FORMAT, 1_102_232, 1_284_104),
    ],
)
def test_length_is_near_that_of_the_engines_compressors(
    count: int, tar_format: int, gzip: int, pgzip: int
) -> None:
    text = layer(count, tar_format, seed=count)
    assert predicted(text, TarSplit.GZIP) == pytest.approx(gzip, rel=0.01, abs=64)
    assert predicted(text, TarSplit.PGZIP) == pytest.approx(pgzip, rel=0.05, abs=64)


@pytest.mark.parametrize("kind", [TarSplit.GZIP, TarSplit.PGZIP])
@pytest.mark.parametrize("pieces", [(997,), (131_071, 1, 262_145), (9_999_999,)])
def test_length_does_not_depend_on_the_pieces(kind: TarSplit, pieces: Sequence[int]) -> None:
    text = layer(2_000, tarfile.GNU_FORMAT, seed=7)
    assert predicted(text, kind, pieces) == predicted(text, kind)


def test_of_a_very_long_document_the_rest_counts_by_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = layer(2_000, tarfile.GNU_FORMAT, seed=7)
    exact = predicted(text, TarSplit.GZIP)
    monkeypatch.setattr(tarsplit, "_MOST_COUNTED", len(text))
    assert predicted(text, TarSplit.GZIP) == exact
    monkeypatch.setattr(tarsplit, "_MOST_COUNTED", len(text) // 3)
    told = predicted(text, TarSplit.GZIP)
    assert told != exact
    assert told == pytest.approx(exact, rel=0.02)
    assert predicted(text, TarSplit.GZIP, (997, 131_071)) == told
