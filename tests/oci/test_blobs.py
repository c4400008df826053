"""Blobs by digest on disk: a folder of blobs, and what a dry run wrote."""

import os
from pathlib import Path

import pytest

from layerscan.digest import sha256
from layerscan.errors import DocumentError
from layerscan.oci import Descriptor
from layerscan.oci import blobs as documents
from layerscan.oci.blobs import BlobFolder, Blobs, DryRunFolder

BLOB = b"content"
DESCRIPTOR = Descriptor("x", sha256(BLOB), len(BLOB))
LIMIT = 1000


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs/sha256"
    folder.mkdir(parents=True)
    return folder


def hex_of(content: bytes) -> str:
    return sha256(content).removeprefix("sha256:")


def fault(documents: Blobs, descriptor: Descriptor = DESCRIPTOR, limit: int = LIMIT) -> str:
    with pytest.raises(DocumentError) as caught:
        documents.fetch(descriptor, limit=limit)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_blob_is_fetched_and_known(tmp_path: Path, blobs: Path) -> None:
    (blobs / hex_of(BLOB)).write_bytes(BLOB)
    (blobs / "other").write_bytes(b"")
    folder = BlobFolder(str(tmp_path))
    assert folder.fetch(DESCRIPTOR, limit=LIMIT) == BLOB
    assert folder.has(DESCRIPTOR.digest)
    assert not folder.has(sha256(b""))
    assert folder.digests() == {DESCRIPTOR.digest}
    assert (folder.partial(DESCRIPTOR.digest), folder.partial(sha256(b""))) == (len(BLOB), 0)


def test_nothing_there(tmp_path: Path) -> None:
    folder = BlobFolder(str(tmp_path))
    assert folder.digests() == frozenset()
    assert not folder.has(DESCRIPTOR.digest)
    assert fault(folder).endswith(": cannot be read: No such file or directory")


def test_a_blob_that_is_not_what_it_should_be(tmp_path: Path, blobs: Path) -> None:
    folder, path = BlobFolder(str(tmp_path)), blobs / hex_of(BLOB)
    path.write_bytes(BLOB[:3])
    assert fault(folder) == f"{path}: has 3 bytes, not 7: it was fetched in part, or damaged"
    assert folder.partial(DESCRIPTOR.digest) == 3
    path.write_bytes(BLOB.upper())
    assert fault(folder) == f"{path}: is damaged: it has another digest than its name"
    path.write_bytes(bytes(LIMIT + 1))
    assert fault(folder) == f"{path}: is longer than {LIMIT} bytes"
    assert (
        fault(folder, DESCRIPTOR._replace(size=LIMIT + 1)) == f"{path}: is longer than 1000 bytes"
    )
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert "cannot be read" in fault(folder)
    assert folder.partial(DESCRIPTOR.digest) == 0
    path.unlink()
    os.mkfifo(path)
    assert fault(folder) == f"{path}: is no regular file"
    path.unlink()
    path.mkdir()
    assert fault(folder) == f"{path}: is no regular file"


def test_a_blob_of_the_longest_that_is_read(tmp_path: Path, blobs: Path) -> None:
    (blobs / hex_of(BLOB)).write_bytes(BLOB)
    folder = BlobFolder(str(tmp_path))
    assert folder.fetch(DESCRIPTOR, limit=len(BLOB)) == BLOB
    assert fault(folder, limit=len(BLOB) - 1).endswith(": is longer than 6 bytes")
    # By its descriptor: the file is not even looked at.
    longer = DESCRIPTOR._replace(size=LIMIT + 1)
    assert fault(folder, longer).endswith(f": is longer than {LIMIT} bytes")


def test_what_was_read_is_closed(tmp_path: Path, blobs: Path) -> None:
    path = blobs / hex_of(BLOB)
    path.write_bytes(BLOB)
    assert BlobFolder(str(tmp_path)).fetch(DESCRIPTOR, limit=LIMIT) == BLOB
    opened = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert path.resolve() not in [link.resolve() for link in opened]


def test_what_cannot_be_read_is_told() -> None:
    # A regular file whose first bytes cannot be read.
    with pytest.raises(DocumentError, match=r"^/proc/self/mem: cannot be read: "):
        documents._read("/proc/self/mem", LIMIT)
    with pytest.raises(DocumentError, match="cannot be read: embedded null byte"):
        documents.open_file("a\0b")


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../x", "sha512:" + "0" * 64])
def test_a_digest_never_leads_out(tmp_path: Path, digest: str) -> None:
    folder = BlobFolder(str(tmp_path))
    assert "is no digest" in fault(folder, DESCRIPTOR._replace(digest=digest))
    with pytest.raises(DocumentError, match="is no digest"):
        folder.has(digest)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("")
    folder = BlobFolder(str(tmp_path))
    with pytest.raises(DocumentError, match="cannot be read: Not a directory"):
        folder.digests()
    with pytest.raises(DocumentError, match="cannot be read: Not a directory"):
        folder.partial(DESCRIPTOR.digest)


# A dry run.


def test_documents_of_a_dry_run_are_found_by_digest(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"{}")
    (tmp_path / "a").write_bytes(BLOB.upper())
    (tmp_path / "any name").write_bytes(BLOB)
    os.mkfifo(tmp_path / "pipe")
    folder = DryRunFolder(str(tmp_path))
    assert folder.app_manifest() == b"{}"
    assert folder.fetch(DESCRIPTOR, limit=LIMIT) == BLOB
    missing = Descriptor("x", sha256(b"other"), 5)
    assert fault(folder, missing) == f"{tmp_path}: has no file that is {missing.digest}"
    assert "is longer than 3 bytes" in fault(folder, limit=3)


def test_a_file_that_is_gone_since_it_was_listed_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"123")
    assert documents._regular_size(str(tmp_path / "f")) == 3
    assert documents._regular_size(str(tmp_path / "gone")) is None


def test_a_dry_run_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DocumentError, match=r"manifest.json: cannot be read: No such file"):
        DryRunFolder(str(tmp_path)).app_manifest()
    assert "No such file" in fault(DryRunFolder(str(tmp_path / "none")))
    monkeypatch.setattr(documents, "MOST_FILES", 2)
    for name in "abc":
        (tmp_path / name).touch()
    assert fault(DryRunFolder(str(tmp_path))) == f"{tmp_path}: has more than 2 files"
