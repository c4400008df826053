"""Documents by their digest: where an App's or an image's parts may lie.

Owns the interface that a registry's repository has too, and two places on disk: a folder
of blobs, as a device or an OCI layout has it, and that of a dry run. All bytes are verified.
"""

import os
import stat
from typing import Protocol

from layerscan import digest as digests
from layerscan.errors import AbsentBlobError, DocumentError
from layerscan.files.safefs import IrregularFileError, open_regular
from layerscan.oci import MAX_MANIFEST, Descriptor
from layerscan.text import printable

APP_MANIFEST_FILE = "manifest.json"  # name of the App manifest in the folder of a dry run
MOST_FILES = 1000  # files in the folder of a dry run that are looked at


class Blobs(Protocol):
    """Whoever holds documents by digest; `layerscan.registry.Repository` is one."""

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """The document of at most `limit` bytes, verified against the descriptor's digest and size.

        Raises LayerscanError where it is not there, is longer, or is something else.
        """


class BlobFolder:
    """A folder with ``blobs/<algorithm>/<hex>``: a device's store, or an OCI image layout."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._folder = os.path.join(root, "blobs")

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """The blob, verified; see `Blobs`."""
        path = self._path(descriptor.digest)
        return verified(_read(path, limit, descriptor), descriptor, path)

    def has(self, digest: str) -> bool:
        """Whether there is a file of that name, whatever is in it."""
        return os.path.lexists(self._path(digest))

    def partial(self, digest: str) -> int:
        """How many bytes of the blob are there: the length of its file, 0 without one."""
        return _regular_size(self._path(digest)) or 0

    def digests(self) -> frozenset[str]:
        """The digests that files here are named after; none if there is no such folder."""
        return frozenset(
            digest
            for algorithm in digests.ALGORITHMS
            for name in _names(os.path.join(self._folder, algorithm))
            if (digest := digests.from_blob_path(algorithm, name)) is not None
        )

    def _path(self, digest: str) -> str:
        if not digests.is_digest(digest):
            raise DocumentError(f"{printable(self.root)}: {printable(digest)} is no digest")
        return os.path.join(self._folder, digests.blob_path(digest))


class DryRunFolder:
    """What ``layerscan publish --dry-run --out-dir`` wrote for one App: ``OUT/<app>``."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def app_manifest(self) -> bytes:
        """The App manifest."""
        return _read(os.path.join(self.folder, APP_MANIFEST_FILE), MAX_MANIFEST)

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """The document, which may have any name here; see `Blobs`."""
        for path in self._files(descriptor.size):
            content = _read(path, limit, descriptor)
            if digests.of_content(content, descriptor.digest) == descriptor.digest:
                return content
        raise AbsentBlobError(
            f"{printable(self.folder)}: has no file that is {printable(descriptor.digest)}"
        )

    def _files(self, size: int) -> list[str]:
        """The regular files here of `size` bytes, sorted."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError as error:
            raise _unreadable(self.folder, error) from None
        if len(names) > MOST_FILES:
            raise DocumentError(f"{printable(self.folder)}: has more than {MOST_FILES} files")
        paths = [os.path.join(self.folder, name) for name in names]
        return [path for path in paths if _regular_size(path) == size]


def _names(folder: str) -> list[str]:
    """What is in `folder`; nothing if there is no such folder."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(folder, error) from None


def _regular_size(path: str) -> int | None:
    """Bytes of a regular file, None if there is none, or none any more since it was listed."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _read(path: str, limit: int, descriptor: Descriptor | None = None) -> bytes:
    """Content of the regular file `path`, of at most `limit` bytes."""
    if descriptor is not None and descriptor.size > limit:
        raise DocumentError(f"{printable(path)}: is longer than {limit} bytes")
    file, length = open_file(path)
    try:
        if length > limit:
            raise DocumentError(f"{printable(path)}: is longer than {limit} bytes")
        with open(file, "rb", closefd=False) as opened:
            return opened.read(limit + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(file)


def open_file(path: str, *, follow: bool = False) -> tuple[int, int]:
    """Open the regular file `path` to read it, without waiting for a FIFO's writer.

    Gives its descriptor, for the caller to close, and its length in bytes. A path that the
    user gave may be a symbolic link (`follow`). Raises AbsentBlobError where nothing is there.
    """
    try:
        file, found = open_regular(path, follow=follow)
    except FileNotFoundError as error:
        raise AbsentBlobError(str(_unreadable(path, error))) from None
    except IrregularFileError as error:
        raise DocumentError(f"{printable(path)}: {error.strerror}") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return file, found.st_size


def verified(content: bytes, descriptor: Descriptor, path: str) -> bytes:
    """`content`, which is to be what the descriptor says."""
    if len(content) != descriptor.size:
        raise DocumentError(
            f"{printable(path)}: has {len(content)} bytes, not {descriptor.size}: "
            "it was fetched in part, or damaged"
        )
    if digests.of_content(content, descriptor.digest) != descriptor.digest:
        raise DocumentError(f"{printable(path)}: is damaged: it has another digest than its name")
    return content


def _unreadable(path: str, error: OSError | ValueError) -> DocumentError:
    # A path with a NUL character is a ValueError.
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return DocumentError(f"{printable(path)}: cannot be read: {reason}")
