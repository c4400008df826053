"""The tar-split document and the length of its file, against the format's own rules.

That real engines write the same documents, `tests/integration/test_predict_stores.py` shows.
"""

from __future__ import annotations

import base64
import io
import json
import random
import re
import tarfile
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.tar import tarsplit
from layerscan.tar._tar import TarScanner
from layerscan.tar.tarsplit import TarSplit, tar_split_length
from tests.builders.tar_split import (
    ENDS,
    ODDITIES,
    WINDOW,
    checksum,
    member,
    packed,
    read_at_once,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK = 512
END = bytes(2 * BLOCK)


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


def segment(raw: bytes) -> dict[str, object]:
    return {"type": 2, "payload": base64.b64encode(raw).decode()}


def entry(name: bytes, content: bytes) -> dict[str, object]:
    line: dict[str, object] = {"type": 1}
    try:
        line["name"] = name.decode()
    except UnicodeDecodeError:
        line["name_raw"] = base64.b64encode(name).decode()
    if content:
        payload = base64.b64encode(checksum(content)).decode()
        return {**line, "size": len(content), "payload": payload}
    return {**line, "payload": None}


def go_json(line: dict[str, object]) -> str:
    """As Go's encoding/json writes it, where that differs from Python's."""
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    # Go before 1.22 has no short form for these two.
    text = text.replace("\\b", "\\u0008").replace("\\f", "\\u000c")
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def reads_past(tar: bytes, end: int) -> list[bytes]:
    """What reads of Go's compress/gzip give from `end` on, the last with word of the end."""
    windows = [tar[at : at + WINDOW] for at in range(0, len(tar), WINDOW)]
    if len(tar) % WINDOW == 0:
        windows.append(b"")
    reads = [window[max(end - at * WINDOW, 0) :] for at, window in enumerate(windows)]
    return [read for read in reads[:-1] if read] + reads[-1:]


def expected(tar: bytes) -> bytes:
    lines = []
    done = 0
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for found in archive:
            size = found.size if found.isreg() else 0
            name = found.name.encode("utf-8", "surrogateescape") + b"/" * found.isdir()
            lines.append(segment(tar[done : found.offset_data]))
            done = found.offset_data + size
            lines.append(entry(name, tar[found.offset_data : done]))
    end = tar.index(END, -(-done // BLOCK) * BLOCK) + len(END)
    lines.append(segment(tar[done:end]))
    lines += [segment(read) for read in reads_past(tar, end)]
    return "".join(
        go_json({**line, "position": position}) + "\n" for position, line in enumerate(lines)
    ).encode()


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_document_is_that_of_tar_split(tar_format: int) -> None:
    tar = packed(ODDITIES, tar_format)
    made = document(tar)
    assert made == expected(tar)
    # After the entries the end, and what pads the tar to 10,240 bytes.
    assert made.count(b"\n") == 2 * len(ODDITIES) + 2


def test_names_that_are_no_utf8_are_kept_raw() -> None:
    # Half of a surrogate pair, an overlong slash, a cut character, and past the last one.
    wrong = [b"\xed\xa0\x80", b"\xc0\xaf", b"a\xe2\x82", b"\xf4\x90\x80\x80", b"\xff\xfe", b"\x80"]
    right = [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xf0\x90\x80\x80"]
    names = [name.decode("utf-8", "surrogateescape") for name in (*wrong, *right)]
    tar = packed([member(name) for name in names], tarfile.GNU_FORMAT)
    lines = [json.loads(line) for line in document(tar).splitlines()]
    assert [base64.b64decode(line["name_raw"]) for line in lines if "name_raw" in line] == wrong
    assert [line["name"].encode() for line in lines if "name" in line] == right
    assert document(tar) == expected(tar)


@pytest.mark.parametrize(
    ("end", "reads"),
    [
        ("nothing", [0]),
        ("the rest of 10,240 bytes", [7_680]),
        ("the rest of 40,960 bytes, of two windows", [1_536, 8_192]),
        ("the rest of 163,840 bytes, five full windows", [6_656, 0]),
        ("nothing, at the end of a full window", [0]),
        ("a full window", [WINDOW, 0]),
        ("many windows", [1_536, *[WINDOW] * 91, 26_304]),
    ],
)
def test_what_follows_the_end_is_kept_as_it_is_read(end: str, reads: list[int]) -> None:
    tar = ENDS[end]
    made = document(tar, 500, 2_000)
    lines = [json.loads(line) for line in made.splitlines()]
    assert [len(base64.b64decode(line["payload"])) for line in lines[3:]] == reads
    assert made == expected(tar)
    assert read_at_once(made).endswith(base64.b64encode(bytes(sum(reads))))


def test_stream_without_an_end_has_what_there_is() -> None:
    tar = packed([member("file", b"x" * BLOCK)], tarfile.USTAR_FORMAT)[: 2 * BLOCK]
    lines = [json.loads(line) for line in document(tar).splitlines()]
    assert [line["type"] for line in lines] == [2, 1, 2]
    assert lines[2]["payload"] == ""


@pytest.mark.parametrize("length", [1, 7, 8, 127, 128, 191, 192, 1000, 100_003])
def test_checksums_are_those_of_the_content(length: int) -> None:
    content = random.Random(length).randbytes(length)  # noqa: S311 - the same in every run
    tar = packed([member("file", content), member("again", content)], tarfile.USTAR_FORMAT)
    for cuts in ((), (513,), (512 + length // 2, 512 + length)):
        sums = re.findall(rb'"payload":"([^"]{12})"', document(tar, *cuts))
        assert [base64.b64decode(one) for one in sums] == [checksum(content)] * 2


def test_checksums_of_what_is_not_at_hand_do_not_repeat() -> None:
    scanner = TarScanner(tar_split=True)
    for number in range(500):
        header = member(f"file{number}", b"same")[0].tobuf(tarfile.USTAR_FORMAT)
        scanner.feed(header)
        scanner.skip(4)
        scanner.feed(bytes(508))
    sums = re.findall(rb'"size":4,"payload":"([^"]*)"', scanner.take_tar_split())
    assert len(set(sums)) == 500
    assert {len(base64.b64decode(one)) for one in sums} == {8}


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
    assert whole == expected(tar)
    assert document(tar, *cuts) == whole


# The length of the file.


def layer(count: int, tar_format: int, *, seed: int) -> bytes:
    """The document of a layer of `count` files with names and times as they are in such.

    Its last line is that of a read of nothing.
    """
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
    text = document(packed(found, tar_format))
    position = text.count(b"\n")
    return text + b'{"type":2,"payload":"","position":%d}\n' % position


def predicted(text: bytes, kind: TarSplit, pieces: Sequence[int] = (65_536,)) -> int:
    length = tar_split_length(kind)
    assert length is not None
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
        # What Go 1.19's compress/gzip and pgzip 1.2.5 make of these documents.
        (1, tarfile.GNU_FORMAT, 275, 292),
        (30, tarfile.GNU_FORMAT, 2_333, 2_673),
        (1_000, tarfile.GNU_FORMAT, 61_803, 77_128),
        (1_000, tarfile.PAX_FORMAT, 90_959, 105_866),
        (12_000, tarfile.GNU_FORMAT, 750_652, 939_882),
        (12_000, tarfile.PAX_FORMAT, 1_102_232, 1_284_104),
    ],
)
def test_length_is_that_of_the_engines_compressors(
    count: int, tar_format: int, gzip: int, pgzip: int
) -> None:
    text = layer(count, tar_format, seed=count)
    assert predicted(text, TarSplit.GZIP) == gzip
    assert predicted(text, TarSplit.PGZIP) == pytest.approx(pgzip, rel=0.03, abs=64)


@pytest.mark.parametrize("kind", [TarSplit.GZIP, TarSplit.PGZIP])
@pytest.mark.parametrize("pieces", [(997,), (131_072,), (131_071, 1, 262_145), (9_999_999,)])
def test_length_does_not_depend_on_the_pieces(kind: TarSplit, pieces: Sequence[int]) -> None:
    text = layer(2_000, tarfile.GNU_FORMAT, seed=7)
    assert predicted(text, kind, pieces) == predicted(text, kind)


def noted(blocks: list[int], add: Callable[[memoryview], None], block: memoryview) -> None:
    blocks.append(block[0] if len(block) else -1)
    add(block)


def test_the_slow_compressor_reads_the_first_blocks_and_every_eighth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    length = tarsplit.PgzipLength()
    read: dict[str, list[int]] = {"_all": [], "_fast": [], "_slow": []}
    for name, blocks in read.items():
        measure = getattr(length, name)
        monkeypatch.setattr(measure, "add", partial(noted, blocks, measure.add))
    for number in range(34):
        length.add(bytes([number]) * (128 << 10))
    length.end()
    assert read["_all"] == [*range(34), -1]
    assert read["_slow"] == read["_fast"] == [*range(8), 8, 16, 24, 32]


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
