"""Headers of tar: names, numbers, kinds and records of every format."""

from __future__ import annotations

import pytest

from layerscan.tar._tar import TarScanner
from layerscan.tar.tree import InodeKind
from tests.builders import tars
from tests.builders.tar_case import fault, kinds, lengths, scan, sizes
from tests.builders.tars import Entry, header, padded, record, special, tar


def test_pax_records_win_over_the_header_and_long_names_over_both() -> None:
    records = record(b"path", b"p" * 120) + record(b"size", b"700") + record(b"mtime", b"1.5")
    first = special(b"x", records) + header(b"short", size=3) + padded(b"x" * 700)
    assert lengths(first) == [120]
    assert sizes(first) == [700]
    long = special(b"L", b"l" * 130 + b"\0rest", tars.GNU)
    assert lengths(special(b"x", records), long, header(b"s"), padded(b"x" * 700)) == [130]
    # The last of several records counts, and an empty one is as none.
    twice = special(b"x", record(b"path", b"abc") + record(b"path", b""))
    assert lengths(twice, header(b"short")) == [5]
    # A second header of records takes the place of the first.
    assert lengths(special(b"x", record(b"path", b"abc")), special(b"x", b""), header(b"s")) == [1]


def test_records_for_all_entries_are_passed_over() -> None:
    everyone = special(b"g", record(b"path", b"g" * 20) + record(b"size", b"999"))
    assert lengths(everyone, Entry(b"abc")) == [3]
    assert lengths(special(b"x", record(b"path", b"lost")), everyone, Entry(b"abc")) == [3]


def test_the_old_kinds_of_headers() -> None:
    assert kinds(header(b"old/", type=b"\0", magic=tars.V7)) == [InodeKind.DIRECTORY]
    assert kinds(header(b"old", type=b"\0", magic=tars.V7)) == [InodeKind.FILE]
    # What the oldest format has there is no prefix.
    assert lengths(header(b"name", magic=tars.V7, rest={345: b"noprefix"})) == [4]
    assert lengths(header(b"name", prefix=b"a/prefix")) == [1, 6, 4]
    star = {508: b"tar\0", 476: tars.number(1, 12), 488: tars.number(2, 12)}
    assert lengths(header(b"name", prefix=b"star", rest=star)) == [4, 4]
    # The longest prefix ends where the times begin.
    assert lengths(header(b"name", prefix=b"s" * 131, rest=star)) == [131, 4]
    # A prefix in GNU's format is a mistake of old Go, which it still reads.
    assert lengths(header(b"name", magic=tars.GNU, prefix=b"notime")) == [6, 4]
    assert lengths(header(b"name", magic=tars.GNU, prefix=tars.number(7, 12))) == [4]


def test_numbers_in_base_256() -> None:
    big = (1 << 33) + 5
    tree = TarScanner()
    tree.feed(header(size=b"\x80" + big.to_bytes(11, "big")))
    tree.skip(big - 1)
    tree.feed(b"x")
    assert tree.finish().sizes.tolist() == [0, big]
    assert "less than no bytes" in fault(tar(header(size=-1)))
    assert "number that is none" in fault(tar(header(size=b"\x80" + b"\xff" * 11)))
    # The first byte has seven bits of the number: here they are beyond 64.
    for bit in range(6):
        size = bytes([0x80 | 1 << bit]) + (5).to_bytes(11, "big")
        assert "number that is none" in fault(tar(header(size=size)))
    # A folder has no content, whatever its header says.
    assert kinds(header(b"d", type=tars.DIR, size=-1), Entry(b"f")) == [
        InodeKind.DIRECTORY,
        InodeKind.FILE,
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((b"00000000003\0", 3), (b"00000000003 ", 3), (b"000000000003", 3), (b"3", 3)),
        *((b"0000000003 \0", 3), (b"0000000003\0 ", 3), (b"  3 \0 \0", 3), (b"\0\0 3", 3)),
        *((b" " * 12, 0), (bytes(12), 0), (b"00000000017\0", 15)),
        # What follows a NUL is not looked at.
        *((b"000000003\0 4", 3), (b"000000003\09x", 3)),
        *((b"0000000003 4", None), (b"00000003 4\0 ", None), (b"3 4 ", None), (b"3x", None)),
        *((b"00000000008\0", None), (b"0000000000/\0", None), (b"00000000003x", None)),
        *((b"x0000000003\0", None), (b"-3", None), (b"+3", None), (b"3 x", None)),
    ],
)
def test_octal_numbers_stand_between_blanks_and_nuls(field: bytes, value: int | None) -> None:
    first = header(b"f", size=field.ljust(12, b"\0"))
    if value is None:
        assert "number that is none" in fault(tar(first))
    else:
        assert sizes(first, padded(b"x" * value), Entry(b"g")) == [value, 0]


@pytest.mark.parametrize("at", [100, 108, 116, 136])
def test_numbers_that_nothing_needs_are_checked_too(at: int) -> None:
    # Mode, owner, group, time.
    assert "number that is none" in fault(tar(header(b"f", rest={at: b"9x\0"})))


@pytest.mark.parametrize("make", [tars.sparse_0, tars.sparse_0_1, tars.sparse_1])
def test_sparse_files_have_the_size_of_all_their_bytes(make: object) -> None:
    assert callable(make)
    pieces = ((0, 700), (5000, 0), (9000, 1000))
    assert sizes(make(b"s", 1 << 40, pieces), Entry(b"f", content=b"1")) == [1 << 40, 1]
    assert lengths(make(b"name", 10_000, pieces)) == [4]
    for wrong in (((0, 10), (5, 10)), ((0, 20_000),), ((-5, 10),)):
        assert "pieces overlap or are outside" in fault(tar(make(b"s", 10_000, wrong)))
    many = tuple((place * 10, 5) for place in range(3000))
    assert sizes(make(b"s", 1 << 20, many)) == [1 << 20]


def test_what_only_looks_sparse_is_a_file() -> None:
    # A file that is one hole has a map only in format 1.0.
    assert sizes(tars.sparse_1(b"s", 1 << 40, ())) == [1 << 40]
    assert sizes(tars.sparse_0(b"s", 1 << 40, ())) == [0]
    version_2 = special(b"x", record(b"GNU.sparse.major", b"2") + record(b"GNU.sparse.size", b"9"))
    assert sizes(version_2, header(b"f", size=3), padded(b"abc")) == [3]


def test_sums_of_signed_bytes_are_taken_as_old_tars_wrote_them() -> None:
    for name in (b"\xc3\xa9", b"\xff" * 90, b"f"):
        block = header(name)
        blank = block[:148] + b" " * 8 + block[156:]
        signed = sum(blank) - 256 * sum(byte >> 7 for byte in blank)
        assert signed == sum(blank) or name != b"f"
        if signed >= 0:
            old = blank[:148] + b"%06o\0 " % signed + blank[156:]
            assert len(scan(old).kinds) == 2
        for wrong in (signed - 1, signed + 1, sum(blank) + 256):
            if wrong >= 0:
                assert "checksum" in fault(blank[:148] + b"%06o\0 " % wrong + blank[156:])
