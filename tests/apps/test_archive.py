"""The archive that a bundle is, against gzip and tarfile."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan.apps.archive import FILE, FOLDER, SYMLINK, BundleArchive, BundleEntry
from layerscan.apps.published import bundle_files
from tests.builders.bundle_case import app_folder, bundled

# The archive itself, against gzip and tarfile.


def archived(*entries: tuple[BundleEntry, bytes]) -> bytes:
    target = io.BytesIO()
    archive = BundleArchive(target)
    for entry, content in entries:
        archive.add(entry)
        archive.write(content)
        archive.pad(len(content))
    archive.finish()
    return target.getvalue()


@given(st.binary(max_size=300), st.integers(0, 300_000))
def test_any_content_is_read_back(content: bytes, length: int) -> None:
    data = (content * (length // max(len(content), 1) + 1))[:length] + content
    raw = archived((BundleEntry("f", FILE, 0o644, len(data)), data))
    assert zlib.decompressobj(wbits=31).decompress(raw) == gzip.decompress(raw)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        extracted = tar.extractfile("f")
        assert extracted is not None
        assert extracted.read() == data


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=300
).filter(lambda name: name not in (".", ".."))


@given(TEXT, TEXT, st.integers(0, 0o7777))
def test_any_name_and_link_is_read_back(name: str, link: str, mode: int) -> None:
    raw = archived(
        (BundleEntry(name, SYMLINK, mode, link=link), b""),
        (BundleEntry(name, FOLDER, mode), b""),
    )
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        symlink, folder = tar.getmembers()
    assert (symlink.name, symlink.linkname, symlink.mode) == (name, link, mode)
    assert (folder.name, folder.isdir()) == (name, True)


@pytest.mark.parametrize("length", [1, 99, 100, 101, 102, 255, 256])
@pytest.mark.parametrize("of_folders", [False, True])
def test_names_and_links_of_a_hundred_bytes_need_no_record(
    length: int, *, of_folders: bool
) -> None:
    name = "d/" * ((length - 1) // 2) + "n" * (2 - length % 2) if of_folders else "n" * length
    assert len(name) == length
    file = BundleEntry(name, FILE, 0o644)
    link = BundleEntry("l", SYMLINK, 0o777, link=name)
    # The slash behind its name counts.
    folder = BundleEntry(name[1:] or "f", FOLDER, 0o755)
    raws = [archived((entry, b"")) for entry in (file, link, folder)]
    needed = [length > 100, length > 100, len(folder.name) + 1 > 100]
    assert [b"././@PaxHeader" in gzip.decompress(raw) for raw in raws] == needed
    for raw, entry in zip(raws, (file, link, folder), strict=True):
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            (read,) = tar.getmembers()
        assert (read.name, read.linkname) == (entry.name, entry.link)


@pytest.mark.parametrize("length", [99, 100, 101])
def test_files_with_names_of_a_hundred_bytes_are_in_it(tmp_path: Path, length: int) -> None:
    path = "d" * 40 + "/" + "f" * (length - 41)
    folder = app_folder(tmp_path, **{path: "content"})
    (folder / path).with_name("l").symlink_to("f" * (length - 41))
    there = {entry.name: entry for entry in bundle_files(bundled(folder), "b")}
    assert there[path].size == 7
    assert "d" * 40 + "/l" in there


@pytest.mark.parametrize("size", [0o77777777777 - 1, 0o77777777777, 0o77777777777 + 1])
def test_a_size_of_eleven_octal_digits_needs_no_record(size: int) -> None:
    raw = archived((BundleEntry("f", FILE, 0o644, size), b""))
    assert (b"././@PaxHeader" in gzip.decompress(raw)) == (size > 0o77777777777)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        first = tar.next()
    assert first is not None
    assert first.size == size


def test_headers_of_what_needs_a_record() -> None:
    size = 0o77777777777 + 1
    entry = BundleEntry("n" * 101, FILE, 0o751, size)
    record, content, header = (
        gzip.decompress(archived((entry, b"")))[start : start + 512] for start in (0, 512, 1024)
    )
    lines = b"111 path=%b\n19 size=%d\n" % (b"n" * 101, size)
    assert content == lines.ljust(512, b"\0")
    for block, name, mode, length, kind in (
        (record, b"././@PaxHeader", 0o644, len(lines), b"x"),
        (header, b"n" * 100, 0o751, 0, b"0"),
    ):
        numbers = b"%07o\0" % mode + b"0000000\0" * 2 + b"%011o\0" % length + b"00000000000\0"
        assert block[:148] == name.ljust(100, b"\0") + numbers
        assert block[156:] == (kind + bytes(100) + b"ustar\x0000").ljust(356, b"\0")


def test_a_file_larger_than_an_octal_field_holds() -> None:
    raw = archived((BundleEntry("f", FILE, 0o644, 9 << 30), b""))
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        first = tar.next()
    assert first is not None
    assert first.size == 9 << 30
