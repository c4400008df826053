"""The bounds of the tar scanner: what is at each is taken, what is above is refused."""

from __future__ import annotations

import pytest

from layerscan.tar.tree import InodeKind
from tests.builders import tars
from tests.builders.tar_case import fault, scan
from tests.builders.tars import Entry, header, padded, record, special, tar

EXBIBYTE = 1 << 60
MEBIBYTE = 1 << 20
TYPES = [tars.FILE, tars.DIR, tars.SYMLINK, tars.LINK, tars.CHAR, tars.FIFO]


def path(length: int) -> bytes:
    """A path of so many bytes, most of them folders of one."""
    folders = (length - 2) // 2
    return b"d/" * folders + b"f" * (length - 2 * folders)


def entry(name: bytes, kind: bytes) -> bytes:
    """An entry for which `a` must be there."""
    return Entry(name, kind, link=b"a" if kind in (tars.SYMLINK, tars.LINK) else b"").dump()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("length", [1, 2, 254, 255, 256, 257])
def test_a_name_has_at_most_255_bytes(length: int, kind: bytes) -> None:
    data = tar(Entry(b"a"), entry(b"n" * length, kind))
    if length > 255:
        assert "a name longer than 255 bytes" in fault(data)
    else:
        assert scan(data).name_lengths.tolist() == [1, length]


@pytest.mark.parametrize("length", [1, 255, 256])
@pytest.mark.parametrize("name", [b"%s/f", b".wh.%s"])
def test_so_has_one_that_is_made_for_another(name: bytes, length: int) -> None:
    data = tar(Entry(name % (b"n" * length)))
    if length > 255:
        assert "a name longer than 255 bytes" in fault(data)
    else:
        assert length in scan(data).name_lengths


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("length", [4093, 4094, 4095, 4096, 4097, 4098])
def test_a_path_has_at_most_4095_bytes_with_the_slash_before_it(length: int, kind: bytes) -> None:
    data = tar(Entry(b"a"), entry(path(length), kind))
    if length > 4094:
        assert "a path longer than 4,095 bytes" in fault(data)
    else:
        assert scan(data).name_lengths.sum() == 1 + length - path(length).count(b"/")


@pytest.mark.parametrize("length", [4094, 4095, 4096, 4097])
def test_the_path_of_an_opaque_folder_has_at_most_4095_bytes(length: int) -> None:
    data = tar(Entry(path(length) + b"/.wh..wh..opq"))
    if length > 4095:
        assert "a path longer than 4,095 bytes" in fault(data)
    else:
        assert scan(data).xattr_inodes.tolist() == [path(length).count(b"/") + 1]


@pytest.mark.parametrize("length", [1, 4094, 4095, 4096, 4097])
def test_the_target_of_a_symlink_has_at_most_4095_bytes(length: int) -> None:
    data = tar(Entry(b"a", tars.SYMLINK, link=b"t" * length))
    if length > 4095:
        assert "empty or longer than 4,095 bytes" in fault(data)
    else:
        assert scan(data).sizes.tolist() == [0, length]


@pytest.mark.parametrize("length", [4093, 4094, 4095, 4096])
def test_what_a_hard_link_leads_to_has_at_most_4095_bytes(length: int) -> None:
    folder = path(length - 5)
    there = (Entry(folder, tars.DIR), Entry(b"s", tars.SYMLINK, link=folder), Entry(b"s/file"))
    data = tar(*there, Entry(b"l", tars.LINK, link=folder + b"/file"))
    if length > 4094:
        assert "a hard link to what is not there" in fault(data)
    else:
        assert scan(data).name_lengths.tolist()[-1] == 1


@pytest.mark.parametrize("name", [1, 99, 100])
@pytest.mark.parametrize("prefix", [1, 154, 155])
def test_a_header_may_be_full_of_names(name: int, prefix: int) -> None:
    tree = scan(tar(header(b"n" * name, prefix=b"p" * prefix)))
    assert tree.name_lengths.tolist() == [prefix, name]


@pytest.mark.parametrize("length", [1, 99, 100, 101])
def test_a_header_may_be_full_of_a_target(length: int) -> None:
    tree = scan(tar(Entry(b"a", tars.SYMLINK, link=b"t" * length)))
    assert tree.kinds.tolist() == [InodeKind.DIRECTORY, InodeKind.SYMLINK]
    assert tree.sizes.tolist() == [0, length]


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        (254, 65_535, ""),
        (255, 65_536, ""),
        (256, 0, "longer than 255 bytes"),
        (257, 0, "longer than 255 bytes"),
        (10, 65_537, "longer than 64 KiB"),
    ],
)
def test_attributes_have_the_lengths_that_linux_takes(name: int, value: int, refused: str) -> None:
    data = tar(Entry(b"f", xattrs=((b"user.".ljust(name, b"n"), b"v" * value),)))
    if refused:
        assert refused in fault(data)
    else:
        tree = scan(data)
        assert tree.xattr_name_lengths.tolist() == [name - len("user.")]
        assert tree.xattr_value_lengths.tolist() == [value]


@pytest.mark.parametrize("length", [MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1])
def test_the_map_of_a_sparse_file_has_at_most_a_mebibyte(length: int) -> None:
    records = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
    records += record(b"GNU.sparse.realsize", b"100")
    pieces = (length - 20) // 4
    table = b"%0*d\n" % (length - 4 * pieces - 1, pieces) + b"0\n0\n" * pieces
    assert len(table) == length
    content = padded(table)
    data = tar(special(b"x", records) + header(size=len(content)) + content)
    if length > MEBIBYTE:
        assert "map of more than 1 MiB" in fault(data)
    else:
        assert scan(data).sizes.tolist() == [0, 100]


@pytest.mark.parametrize("before", [0, 1, EXBIBYTE])
def test_all_files_have_at_most_an_exbibyte(before: int) -> None:
    first = tars.sparse_1(b"a", before, ())
    assert scan(tar(first + tars.sparse_1(b"b", EXBIBYTE - before, ()))).size == EXBIBYTE
    data = tar(first + tars.sparse_1(b"b", EXBIBYTE - before + 1, ()))
    assert "more content than there can be: 1 EiB" in fault(data)
