"""The tar scanner: what streams of all formats make, rule by rule."""

from __future__ import annotations

import numpy as np
import pytest

from layerscan.tar._tar import TarFault, TarScanner
from layerscan.tar.tree import InodeKind, LayerTree, XattrNamespace
from tests.builders import tars
from tests.builders.tar_case import fault, kinds, lengths, same, scan, sizes
from tests.builders.tars import Entry, header, padded, record, special, tar

ROOT = int(InodeKind.DIRECTORY)


def test_columns_of_a_small_layer() -> None:
    tree = scan(
        tar(
            Entry(b"./", tars.DIR),
            Entry(b"./bin/", tars.DIR),
            Entry(b"./bin/tool", content=b"x" * 700),
            Entry(b"./bin/alias", tars.SYMLINK, link=b"tool"),
            Entry(b"./bin/again", tars.LINK, link=b"./bin/tool"),
            Entry(b"./dev/null", tars.CHAR),
            Entry(b"./bin/ping", xattrs=((b"user.why", b"because"),)),
        )
    )
    assert tree.kinds.tolist() == [1, 1, 0, 2, 1, 3, 0]
    assert tree.sizes.tolist() == [0, 0, 700, 4, 0, 0, 0]
    assert tree.name_directories.tolist() == [0, 1, 1, 1, 0, 4, 1]
    assert tree.name_inodes.tolist() == [1, 2, 3, 2, 4, 5, 6]
    assert tree.name_lengths.tolist() == [3, 4, 5, 5, 3, 4, 4]
    assert tree.xattr_inodes.tolist() == [6]
    assert tree.xattr_namespaces.tolist() == [XattrNamespace.USER]
    assert tree.xattr_name_lengths.tolist() == [3]
    assert tree.xattr_value_lengths.tolist() == [7]
    assert tree.size == 704
    types = ["u1", "i8", "i4", "i4", "i4", "i4", "u1", "i4", "i4"]
    assert [column.dtype for column in tree] == [np.dtype(name) for name in types]
    assert all(column.flags.owndata for column in tree)


def test_an_empty_stream_is_an_empty_layer() -> None:
    for end in (b"", bytes(512), tars.END, tars.END + b"what comes after is passed over"):
        tree = scan(end)
        assert tree.kinds.tolist() == [ROOT]
        assert len(tree.name_inodes) == 0


@pytest.mark.parametrize("end", [b"", bytes(512), tars.END, tars.END + bytes(8192)])
def test_the_end_is_where_go_sees_it(end: bytes) -> None:
    assert scan(header(size=3) + padded(b"abc") + end).sizes.tolist() == [0, 3]
    # In the padding, too, if all that follows is missing.
    assert scan(header(size=3) + b"abc").sizes.tolist() == [0, 3]
    # Headers about an entry that does not come are about nothing.
    assert scan(special(b"x", record(b"path", b"a")) + end).kinds.tolist() == [ROOT]
    assert scan(special(b"L", b"a\0") + end).kinds.tolist() == [ROOT]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (Entry(b"a", content=b"old"), Entry(b"a", content=b"new!"), [InodeKind.FILE]),
        (Entry(b"a", content=b"old"), Entry(b"a", tars.DIR), [InodeKind.DIRECTORY]),
        (Entry(b"a/b/c"), Entry(b"a", tars.SYMLINK, link=b"x"), [InodeKind.SYMLINK]),
        (Entry(b"a/b"), Entry(b"a", tars.DIR), [InodeKind.DIRECTORY, InodeKind.FILE]),
        (Entry(b".wh.a"), Entry(b"a"), [InodeKind.FILE]),
    ],
)
def test_an_entry_replaces_another(first: Entry, second: Entry, kept: list[InodeKind]) -> None:
    assert kinds(first, second) == kept


def test_what_hard_links_share_stays_while_a_name_is_left() -> None:
    parts = [Entry(b"a", content=b"1234"), Entry(b"b", tars.LINK, link=b"a"), Entry(b"a")]
    assert sizes(*parts) == [4, 0]
    assert sizes(*parts, Entry(b"b", tars.DIR)) == [0, 0]
    # A symlink has hard links of its own.
    linked = (Entry(b"a", tars.SYMLINK, link=b"nowhere"), Entry(b"b", tars.LINK, link=b"/a"))
    assert kinds(*linked) == [InodeKind.SYMLINK]


def test_whiteouts_are_devices_and_opaque_folders_have_an_attribute() -> None:
    assert kinds(Entry(b".wh.gone")) == [InodeKind.OTHER]
    assert lengths(Entry(b".wh.gone")) == [4]
    tree = scan(tar(Entry(b"d/.wh..wh..opq"), Entry(b"d/.wh..wh..opq"), Entry(b"d", tars.DIR)))
    assert tree.kinds.tolist() == [ROOT, InodeKind.DIRECTORY]
    assert tree.xattr_namespaces.tolist() == [XattrNamespace.TRUSTED]
    assert tree.xattr_name_lengths.tolist() == [len("overlay.opaque")]
    assert tree.xattr_value_lengths.tolist() == [1]
    # The name on the disk is four bytes shorter than the one in the stream.
    assert lengths(Entry(b".wh." + b"n" * 255)) == [255]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/a", [1]),
        (b"./a/", [1]),
        (b"x/../a", [1]),
        (b"../../a", [1]),
        (b"/../a//b/./", [1, 1]),
        (b".", []),
        (b"./.", []),
        (b"", []),
        (b"a/..", []),
    ],
)
def test_names_are_cleaned_and_stay_within_the_root(name: bytes, expected: list[int]) -> None:
    assert lengths(Entry(name, tars.DIR)) == expected


def test_a_dot_is_passed_over_and_a_slash_is_the_root() -> None:
    xattrs = ((b"user.a", b"1"),)
    for name, count in ((b".", 0), (b"a/..", 0), (b"/", 1), (b"..", 1), (b"/..", 1)):
        assert len(scan(tar(Entry(name, tars.DIR, xattrs=xattrs))).xattr_inodes) == count
    assert "/: would replace the root" in fault(tar(Entry(b"/")))
    # Docker does not even look what a dot is.
    assert kinds(Entry(b".", tars.FIFO)) == []


def test_symlinks_on_the_way_are_followed_within_the_root() -> None:
    tree = scan(
        tar(
            Entry(b"usr/lib", tars.DIR),
            Entry(b"lib", tars.SYMLINK, link=b"/usr/lib"),
            Entry(b"usr/up", tars.SYMLINK, link=b"../../../usr"),
            Entry(b"lib/a"),
            Entry(b"usr/up/lib/b/c"),
            Entry(b"hard", tars.LINK, link=b"usr/up/up/lib/a"),
        )
    )
    lib, file = 2, 5
    assert tree.kinds[file] == InodeKind.FILE
    assert tree.name_directories.tolist() == [0, 1, 0, 1, lib, lib, 6, 0]
    assert tree.name_inodes.tolist()[-1] == file


def test_a_path_is_followed_anew_once_it_leads_elsewhere() -> None:
    # `s/f` is in the root, and `s/s` is `s` itself: the link is replaced through itself.
    to_root = (Entry(b"d", tars.DIR), Entry(b"s", tars.SYMLINK, link=b"."), Entry(b"s/f"))
    tree = scan(tar(*to_root, Entry(b"s/s", tars.SYMLINK, link=b"d"), Entry(b"s/gg")))
    assert tree.name_lengths.tolist() == [1, 1, 1, 2]
    assert tree.name_directories.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([Entry(b"a", tars.SYMLINK, link=b"b"), Entry(b"a/c")], "symlink to nowhere"),
        ([Entry(b"a", tars.SYMLINK, link=b"a"), Entry(b"a/c")], "symlink to nowhere"),
        ([Entry(b"a"), Entry(b"a/c")], "in a folder that is none"),
        ([Entry(b"a", tars.LINK, link=b"b")], "hard link to what is not there"),
        ([Entry(b"a", tars.LINK, link=b"a")], "hard link to what is not there"),
        ([Entry(b"a", tars.DIR), Entry(b"b", tars.LINK, link=b"a")], "hard link to a folder"),
        ([Entry(b"a", tars.SYMLINK)], "target is empty"),
        ([Entry(b"a"), Entry(b".wh.a")], "whiteout of what the same layer has"),
        ([Entry(b".wh.")], "whiteout of what the same layer has"),
        ([Entry(b"a", b"S")], "sparse file of GNU's old format"),
        ([Entry(b"a", b"7")], "of a kind that no engine unpacks"),
        ([Entry(b"a", b"X")], "of a kind that no engine unpacks"),
        ([Entry(b"n" * 256)], "longer than 255 bytes"),
        ([Entry(b"n" * 256 + b"/a")], "longer than 255 bytes"),
        ([Entry(b"n/" * 2047 + b"no")], "longer than 4,095 bytes"),
        ([Entry(b"a/l", tars.SYMLINK, link=b"/"), Entry(b"a/l/a")], "folder that it replaces"),
        ([Entry(b"d", tars.DIR), Entry(b"d", tars.SYMLINK, link=b"-")], "replaced by something"),
    ],
)
def test_what_no_engine_unpacks_is_refused(parts: list[Entry], reason: str) -> None:
    assert reason in fault(tar(*parts))


def test_attributes_that_linux_sets() -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    acl = b"\2\0\0\0" + bytes(8)
    attributes = (
        (b"security.capability", capability),
        (b"system.posix_acl_access", acl * 1 + bytes(24)),
        (b"trusted.t", b"22"),
        (b"user.twice", b"1"),
        (b"user.twice", b"333"),
        (b"com.apple.quarantine", b"unknown"),
    )
    tree = scan(tar(Entry(b"f", xattrs=attributes), Entry(b"l", tars.FIFO, xattrs=attributes)))
    of_file = tree.xattr_inodes == 1
    assert tree.xattr_namespaces[of_file].tolist() == [3, 4, 2, 1]
    assert tree.xattr_name_lengths[of_file].tolist() == [10, 0, 1, 5]
    assert tree.xattr_value_lengths[of_file].tolist() == [20, 36, 2, 3]
    # What is no file and no folder has none of a user.
    assert tree.xattr_namespaces[~of_file].tolist() == [3, 4, 2]


def test_an_acl_that_says_what_the_mode_says_is_not_kept() -> None:
    for entries, kept in ((3, []), (4, [XattrNamespace.ACL_ACCESS])):
        acl = b"\2\0\0\0" + bytes(8) * entries
        tree = scan(tar(Entry(b"f", xattrs=((b"system.posix_acl_access", acl),))))
        assert tree.xattr_namespaces.tolist() == kept


def test_attributes_follow_what_replaces_links_and_merges() -> None:
    xattrs = ((b"user.a", b"1"),)
    assert len(scan(tar(Entry(b"f", xattrs=xattrs), Entry(b"f"))).xattr_inodes) == 0
    merged = scan(tar(Entry(b"d", tars.DIR, xattrs=xattrs), Entry(b"d", tars.DIR)))
    assert merged.xattr_inodes.tolist() == [1]
    # chown(2) takes away capabilities, and Docker does it for each name.
    capability = ((b"security.capability", b"\0\0\0\2" + bytes(16)), *xattrs)
    linked = (Entry(b"f", xattrs=capability), Entry(b"g", tars.LINK, link=b"f"))
    assert scan(tar(*linked)).xattr_namespaces.tolist() == [XattrNamespace.USER]


@pytest.mark.parametrize(
    ("xattr", "reason"),
    [
        ((b"", b"1"), "name is empty"),
        ((b"user." + b"n" * 251, b"1"), "longer than 255"),
        ((b"user.", b"1"), "without a name"),
        ((b"user.a", b"v" * 65537), "longer than 64 KiB"),
        ((b"security.capability", b"1"), "capabilities that are none"),
        ((b"system.posix_acl_access", b"\2\0\0\0" + bytes(9)), "an ACL that is none"),
        ((b"system.posix_acl_default", b"\2\0\0\0" + bytes(32)), "default ACL"),
    ],
)
def test_attributes_that_linux_refuses(xattr: tuple[bytes, bytes], reason: str) -> None:
    assert reason in fault(tar(Entry(b"f", xattrs=(xattr,))))


@pytest.mark.parametrize("links", [1, 39, 40])
def test_an_opaque_file_is_reached_through_as_many_symlinks_as_linux_follows(links: int) -> None:
    chain = [Entry(b"l0")]
    chain += [Entry(b"l%d" % n, tars.SYMLINK, link=b"l%d" % (n - 1)) for n in range(1, links + 1)]
    tree = scan(tar(*chain, Entry(b"l%d/.wh..wh..opq" % links)))
    assert tree.kinds[1:].tolist() == [InodeKind.FILE] + [InodeKind.SYMLINK] * links
    assert tree.xattr_inodes.tolist() == [1]


@pytest.mark.parametrize(
    ("major", "minor", "is_sparse"),
    [
        *((b"0", b"0", True), (b"0", b"1", True), (b"", b"", True)),
        *((b"0", b"2", False), (b"0", b"", False), (b"0", b"00", False), (b"0", b"10", False)),
        *((b"", b"0", False), (b"00", b"0", False), (b"1", b"1", False), (b"2", b"0", False)),
    ],
)
def test_the_version_says_if_records_are_a_map(
    major: bytes,
    minor: bytes,
    is_sparse: bool,  # noqa: FBT001
) -> None:
    version = record(b"GNU.sparse.major", major) + record(b"GNU.sparse.minor", minor)
    one = record(b"GNU.sparse.size", b"100") + record(b"GNU.sparse.numblocks", b"1")
    parts = record(b"GNU.sparse.offset", b"7") + record(b"GNU.sparse.numbytes", b"3")
    for places in (parts, record(b"GNU.sparse.map", b"7,3")):
        stream = special(b"x", version + one + places), header(b"f", size=3), padded(b"abc")
        assert sizes(*stream) == [100 if is_sparse else 3]


def test_content_that_is_not_at_hand_is_skipped() -> None:
    scanner = TarScanner()
    scanner.feed(header(b"a", size=1000))
    scanner.skip(900)
    scanner.feed(padded(b"x" * 1000)[900:] + header(b"b", size=512))
    scanner.skip(512)
    scanner.skip(0)
    scanner.feed(tars.END)
    assert scanner.finish().sizes.tolist() == [0, 1000, 512]


def test_only_content_can_be_skipped() -> None:
    for fed, length in ((b"", 1), (header(size=10), 11), (header(size=3) + b"abc", 1)):
        scanner = TarScanner()
        scanner.feed(fed)
        with pytest.raises(TarFault, match="no content of that length"):
            scanner.skip(length)


def test_a_fault_says_where_and_stays() -> None:
    scanner = TarScanner()
    scanner.feed(Entry(b"a").dump())
    for data in (header(b"dir/\xffnew\nline", type=b"7"), tars.END, b""):
        with pytest.raises(TarFault, match=r"^at byte 512, dir/\\xffnew\\nline: of a kind that"):
            scanner.feed(data)
    with pytest.raises(TarFault, match="of a kind"):
        scanner.finish()


def test_a_scanner_is_used_once() -> None:
    scanner = TarScanner()
    scanner.feed(memoryview(bytearray(tars.END)))
    scanner.finish()
    for again in (lambda: scanner.feed(b""), scanner.finish, lambda: scanner.skip(1)):
        with pytest.raises(ValueError, match="come to its end"):
            again()
    with pytest.raises(TypeError):
        TarScanner().feed("text")  # type: ignore[arg-type]


def test_the_tar_split_document_does_not_change_the_tree() -> None:
    data = tar(special(b"g", record(b"a", b"b")), Entry(b"f" * 120, content=b"12"))
    scanner = TarScanner(tar_split=True)
    taken = b""
    for place in range(0, len(data), 100):
        scanner.feed(data[place : place + 100])
        taken += scanner.take_tar_split()
    tree: LayerTree = scanner.finish()
    taken += scanner.take_tar_split()
    assert same(tree, scan(data))
    assert taken.count(b'"type":1') == 2
    assert scanner.take_tar_split() == b""
    assert TarScanner().take_tar_split() == b""
