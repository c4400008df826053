"""Tars made to harm: they must cost little, and be refused in one line."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerscan.tar._tar import TarFault, TarScanner
from tests.builders import tars
from tests.builders.tar_case import fault, scan
from tests.builders.tars import Entry, header, padded, record, special, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

SANITIZED = os.environ.get("LAYERSCAN_SANITIZED")


def resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def peak() -> int:
    """The most memory in KiB that this process has had at a time."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0])


@contextlib.contextmanager
def at_most(*, seconds: float, mebibytes: int) -> Iterator[None]:
    """Fail if the code inside takes more of the processor, or at any time more memory."""
    # The peak begins anew (proc(5), "clear_refs"): other tests may have needed more.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, start = peak(), time.thread_time()
    yield
    if SANITIZED:
        return
    assert time.thread_time() - start < seconds
    assert peak() - before < mebibytes * 1024


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_header_about_the_next_entry_has_at_most_a_mebibyte(kind: bytes) -> None:
    most = 1 << 20
    with at_most(seconds=1, mebibytes=64):
        assert "more than 1 MiB" in fault(header(type=kind, size=most + 1))
        assert "more than 1 MiB" in fault(header(type=kind, size=(1 << 62)))
        assert "ends within a header's content" in fault(header(type=kind, size=most) + b"x")


def test_many_headers_about_the_next_entry_take_the_place_of_one() -> None:
    content = record(b"SCHILY.xattr.user.a", b"v" * 60_000) * 17
    scanner = TarScanner()
    with at_most(seconds=5, mebibytes=64):
        for _ in range(200):
            scanner.feed(special(b"x", content))
            scanner.feed(special(b"L", b"n" * 1_000_000, tars.GNU))
    assert "longer than 255 bytes" in fault(special(b"L", b"n" * 300) + header())


@pytest.mark.parametrize(
    "wrong",
    [
        b"9999999999999999999999 path=a\n",
        b"-5 path=a\n",
        b"4 a=\n",
        b"8 path=a\n",
        b"11 path=a\n",
        b"11 path:ab\n",
        b"11path=abc\n",
        b"13 path=a\0bc\n",
        b"   7 a=b\n",
        b"0x9 a=bcd\n",
        b"12 size=abc\n",
        b"14 size=1e100\n",
        b"27 size=999999999999999999\n",
        b"11 uid=1.5\n",
        b"13 mtime=now\n",
        b"14 mtime=1.5x\n",
        b"25 GNU.sparse.numbytes=1\n",
        b"26 GNU.sparse.offset=1,2\n",
    ],
)
def test_records_that_are_none(wrong: bytes) -> None:
    assert "at byte " in fault(tar(special(b"x", wrong), Entry(b"a")))


@pytest.mark.parametrize("size", [b"777777777777", b"\x80" + (2**63 - 1).to_bytes(11, "big")])
def test_huge_sizes_are_only_counted(size: bytes) -> None:
    data = header(size=size, magic=tars.GNU)
    if size[0] == 0x80:
        assert "more content than there can be" in fault(data)
    else:
        assert "ends within its content" in fault(data)


def test_sparse_files_cannot_be_of_more_bytes_than_can_be_added_up() -> None:
    exbibyte = 1 << 60
    assert scan(tars.sparse_1(b"a", exbibyte, ())).size == exbibyte
    both = tars.sparse_1(b"a", exbibyte - 1, ()) + tars.sparse_1(b"b", 2, ())
    assert "more content than there can be" in fault(both)
    assert "less than no bytes" in fault(tars.sparse_1(b"a", -1, ()))
    assert "size is no number" in fault(tars.sparse_1(b"a", 1 << 63, ()))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"1\n0\n", "ends within its map"),
        (b"-1\n", "impossible number of pieces"),
        (b"9223372036854775807\n", "impossible number of pieces"),
        (b"2000000000\n" + b"0\n0\n" * 300_000, "map of more than 1 MiB"),
        (b"0" * 1_100_000, "map of more than 1 MiB"),
        (b"1\n\n0\n", "no number"),
        (b"1\n0\n9\n", "other content than its pieces"),
    ],
)
def test_maps_of_sparse_files_that_are_none(table: bytes, reason: str) -> None:
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.realsize", b"100")
    content = padded(table)
    data = special(b"x", records) + header(size=len(content)) + content
    with at_most(seconds=1, mebibytes=64):
        assert reason in fault(tar(data))


def test_what_follows_the_end_is_bounded() -> None:
    scanner = TarScanner()
    scanner.feed(tars.END + bytes(16 << 20))
    with pytest.raises(TarFault, match="more than 16 MiB after the end"):
        scanner.feed(b"\0")
    assert "zeros that is not the end" in fault(bytes(512) + header())


def test_loops_and_chains_of_symlinks_end() -> None:
    loop = [Entry(b"a", tars.SYMLINK, link=b"b"), Entry(b"b", tars.SYMLINK, link=b"a/x")]
    assert "symlink to nowhere" in fault(tar(*loop, Entry(b"a/f")))
    chain = [Entry(b"l0", tars.DIR)]
    chain += [Entry(b"l%d" % n, tars.SYMLINK, link=b"l%d" % (n - 1)) for n in range(1, 42)]
    assert len(scan(tar(*chain, Entry(b"l40/f"))).kinds) == 44
    assert "symlink to nowhere" in fault(tar(*chain, Entry(b"l41/f")))


def test_hard_links_through_as_many_symlinks_as_linux_follows() -> None:
    chain = [Entry(b"l0/f")]
    chain += [Entry(b"l%d" % n, tars.SYMLINK, link=b"l%d" % (n - 1)) for n in range(1, 42)]
    tree = scan(tar(*chain, Entry(b"again", tars.LINK, link=b"l40/f")))
    assert (tree.name_inodes == 2).sum() == 2
    assert "not there" in fault(tar(*chain, Entry(b"again", tars.LINK, link=b"l41/f")))


def test_folders_behind_as_many_symlinks_as_linux_follows_are_there_in_the_end() -> None:
    chain = [Entry(b"l0", tars.DIR), Entry(b"gone")]
    chain += [Entry(b"l%d" % n, tars.SYMLINK, link=b"l%d" % (n - 1)) for n in range(1, 41)]
    # Where something is replaced, all folders are looked for at the end.
    tree = scan(tar(*chain, Entry(b"l40/d", tars.DIR), Entry(b"gone", tars.DIR)))
    assert len(tree.kinds) == 44


def test_symlinks_that_multiply_are_given_up() -> None:
    # Each step through one is 2,000 others: hours, if all were followed.
    loops = [Entry(b"d/l", tars.SYMLINK, link=b"./" * 2000 + b"../d"), Entry(b"d", tars.DIR)]
    deep = b"d/" + b"l/" * 39
    scanner = TarScanner()
    scanner.feed(b"".join(entry.dump() for entry in loops))
    with at_most(seconds=20, mebibytes=64):
        for number in range(200):
            scanner.feed(Entry(deep + b"x%d/.wh..wh..opq" % number).dump())


def test_a_hundred_thousand_folders_deep() -> None:
    # One name takes 2,047 at most; symlinks lead on from there.
    down = b"/".join([b"d"] * 1000)
    parts: list[Entry] = []
    here = b""
    for number in range(100):
        parts += [
            Entry(here + down + b"/f"),
            Entry(b"s%d" % number, tars.SYMLINK, link=here + down),
        ]
        here = b"s%d/" % number
    # Only so many symlinks are followed: from the 40th on they lead nowhere.
    assert "symlink to nowhere" in fault(tar(*parts))
    tree = scan(tar(*parts[:80]))
    assert len(tree.kinds) == 40 * (1000 + 2) + 1
    with at_most(seconds=5, mebibytes=64):
        assert scan(tar(*parts[:80], Entry(b"d"))).kinds.tolist().count(1) == 1


def test_folders_without_an_entry_are_bounded_by_the_entries() -> None:
    # 100,000 are free, and 16 for each entry, that which needs them included.
    deep = [Entry(b"%d/" % number + b"d/" * 1_999 + b"f") for number in range(50)]
    border = Entry(b"e/" * 51 * 16 + b"f")
    assert scan(tar(*deep, border)).kinds.tolist().count(1) == 100_000 + 51 * 16 + 1
    over = Entry(b"e/" * (51 * 16 + 1) + b"f")
    message = fault(tar(*deep, over))
    assert ", e/e/" in message
    assert "more folders without an entry than can be taken in: 100,000, and 16" in message
    # Another entry makes room for 16, but that it removes 2,000 does not count.
    assert len(scan(tar(*deep, Entry(b"0"), over)).kinds) == 98_000 + 51 * 16 + 1 + 51 + 1
    over = Entry(b"e/" * (52 * 16 + 1) + b"f")
    assert "more folders without an entry" in fault(tar(*deep, Entry(b"0"), over))
    # A folder whose entry comes is none of them.
    made = [Entry(b"e/" * number, tars.DIR) for number in range(1, 52 * 16 + 2)]
    assert len(scan(tar(*deep, *made, over)).kinds) == 100_000 + 52 * 16 + 1 + 51 + 1
    opaque = Entry(b"e/" * (51 * 16 + 1) + b".wh..wh..opq")
    assert "more folders without an entry" in fault(tar(*deep, opaque))


def test_many_deep_paths_cost_little() -> None:
    path = b"/d" * 1_900
    with at_most(seconds=5, mebibytes=64):
        data = b"".join(Entry(b"%x" % number + path).dump() for number in range(200))
        assert "more folders without an entry" in fault(data)


@pytest.mark.slow
def test_files_that_each_have_folders_of_their_own() -> None:
    files = [Entry(b"store/%05d/f" % number) for number in range(50_000)]
    assert len(scan(tar(*files)).kinds) == 2 * 50_000 + 2
    files = [Entry(b"store/%05d/a/b/f" % number) for number in range(50_000)]
    assert len(scan(tar(*files)).kinds) == 4 * 50_000 + 2


def test_removing_and_making_again_stays_linear() -> None:
    many = [Entry(b"d/e/%d" % number) for number in range(5000)]
    links = [Entry(b"l", tars.LINK, link=b"d/e/%d" % number) for number in range(5000)]
    again = Entry(b"f").dump() * 100_000
    with at_most(seconds=5, mebibytes=64):
        assert len(scan(tar(*many, *links, Entry(b"d"))).kinds) == 3
        assert len(scan(tar(again)).kinds) == 2


def test_names_cannot_be_made_to_fall_on_one_place() -> None:
    # They differ in few bits only, and in the last.
    names = [b"%0200d" % number for number in range(20_000)]
    data = b"".join(Entry(name).dump() for name in names)
    with at_most(seconds=5, mebibytes=128):
        assert len(scan(data).kinds) == 20_001


def test_attributes_of_one_inode_are_bounded() -> None:
    xattrs = tuple((b"user.%d" % number, b"") for number in range(257))
    assert len(scan(tar(Entry(b"f", xattrs=xattrs[:256]))).xattr_inodes) == 256
    assert "more than 256 extended attributes" in fault(tar(Entry(b"f", xattrs=xattrs)))


def test_every_byte_of_a_header_can_be_anything() -> None:
    good = header(b"name", size=5, prefix=b"p")
    for place in range(512):
        for value in (0, 1, 0x20, 0x2F, 0x38, 0x80, 0xFF):
            changed = good[:place] + bytes([value]) + good[place + 1 :]
            with contextlib.suppress(TarFault):
                scan(tar(changed, b"12345" + bytes(507)))
            with contextlib.suppress(TarFault):
                scan(tar(tars.with_checksum(changed), b"12345" + bytes(507)))
        if place not in range(148, 156):
            changed = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
            assert "checksum is wrong" in fault(tar(changed))


@pytest.mark.slow
@pytest.mark.skipif(bool(SANITIZED), reason="sanitizers take memory of their own")
def test_memory_for_each_file() -> None:
    count = 100_000
    folders = count // 100
    feeds = [
        b"".join(header(b"usr/lib/node/d%d/file-%d.js" % (folder, n)) for n in range(100))
        for folder in range(folders)
    ]
    scanner = TarScanner()
    before = resident()
    for data in feeds:
        scanner.feed(data)
    assert resident() - before < 120 * count
    assert len(scanner.finish().kinds) == count + folders + 4
