"""Parts of an open file: their bounds, and what is said where they cannot be read."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import SourceError
from layerscan.sources.extents import CHUNK, Extent, FolderFiles
from tests.builders.walk_case import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def extent(tmp_path: Path) -> Iterator[Extent]:
    """The ten bytes in the middle of a file."""
    (tmp_path / "file").write_bytes(b"before0123456789after")
    file = os.open(tmp_path / "file", os.O_RDWR)
    yield Extent(file, 6, 10, "the\nplace")
    os.close(file)


def fault(call: Callable[[], object]) -> str:
    with pytest.raises(SourceError) as raised:
        call()
    return str(raised.value).removeprefix("the\\nplace: ")


def test_files_of_a_folder_are_closed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    files = FolderFiles(str(tmp_path))
    before = open_descriptors()
    for _ in range(3):
        with files.open("file") as extent:
            assert extent.section(0, 7) == b"content"
            assert open_descriptors() == before + 1
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("offset", "length", "content"),
    [
        (0, 10, b"0123456789"),
        (0, 0, b""),
        (10, 0, b""),
        (1, 1, b"1"),
        (9, 1, b"9"),
        (-1, 1, None),
        (0, -1, None),
        (0, 11, None),
        (10, 1, None),
        (11, 0, None),
    ],
)
def test_section(extent: Extent, offset: int, length: int, content: bytes | None) -> None:
    if content is not None:
        assert extent.section(offset, length) == content
        return
    said = fault(lambda: extent.section(offset, length))
    assert said == f"has 10 bytes: none from {offset} to {offset + length}"


def test_section_that_comes_in_parts(extent: Extent, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda file, length, at: read(file, min(length, 3), at))
    assert extent.section(2, 7) == b"2345678"
    assert b"".join(extent.chunks(None)) == b"0123456789"


def test_all_of_it_up_to_a_limit(extent: Extent) -> None:
    assert extent.read(10) == extent.read(11) == b"0123456789"
    assert fault(lambda: extent.read(9)) == "is longer than 9 bytes"


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_chunks(tmp_path: Path, length: int) -> None:
    content = os.urandom(length)
    (tmp_path / "file").write_bytes(b"x" + content + b"x")
    with open(tmp_path / "file", "rb") as file:
        extent = Extent(file.fileno(), 1, length, "the\nplace")
        digest = f"sha256:{sha256(content).hexdigest()}"
        chunks = list(extent.chunks(digest))
        other = f"sha256:{sha256(b'other').hexdigest()}"
        said = fault(lambda: list(extent.chunks(other)))
    assert b"".join(chunks) == content
    assert len(chunks) == -(-length // CHUNK)
    assert said == f"is damaged: it should have the digest {other}"


@pytest.mark.parametrize("length", [9, 11])
def test_another_length(extent: Extent, length: int) -> None:
    extent.check_length(10)
    said = fault(lambda: extent.check_length(length))
    assert said == f"has 10 bytes, not {length}: it was fetched in part, or damaged"


def test_file_that_becomes_shorter(extent: Extent) -> None:
    os.ftruncate(extent.file, 10)
    assert fault(lambda: extent.section(0, 10)) == "became shorter while it was read"
    assert fault(lambda: list(extent.chunks(None))) == "became shorter while it was read"
    assert extent.section(0, 4) == b"0123"


def test_file_that_cannot_be_read(extent: Extent, tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_RDONLY)
    assert fault(lambda: extent._replace(file=file).read(10)) == "cannot be read: Is a directory"
    os.close(file)


def test_what_the_system_refuses_to_read(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        said = fault(lambda: Extent(folder, 0, 1, "the\nplace").section(0, 1))
    finally:
        os.close(folder)
    assert said == "cannot be read: Is a directory"
