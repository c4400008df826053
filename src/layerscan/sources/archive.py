"""The tar archive around images: where its files lie, without unpacking it.

Owns its index by name: only headers are read, and content by position. Names and
links in it are untrusted, and lead nowhere but to other names in it.
"""

import io
import os
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from layerscan.errors import AbsentBlobError, SourceError
from layerscan.oci.blobs import open_file
from layerscan.sources.decompress import LONGEST_MAGIC, decompressed, is_packed
from layerscan.sources.extents import Extent
from layerscan.text import printable, quoted

MOST_MEMBERS = 100_000  # members of an archive that are looked at; an image has some for each layer
MAX_UNPACKED = 1 << 40  # bytes that a packed archive may unpack to; most disks are full before
_LONGEST_HEADER = 16 * 1024  # bytes of an extended header: a long name, or PAX records
_BLOCK = 512
_MOST_LINKS = 8
_TEMPORARY = "/var/tmp"  # noqa: S108 - the file has no name there
"""Where large files go, for /tmp may be in memory."""


class _Member(NamedTuple):
    """What is known of a member."""

    is_file: bool  # whether it is a regular file
    offset: int  # where its content begins
    size: int  # bytes of its content
    link: str | None  # a name in the archive; None if it is no link


class Archive:
    """Files in an archive that the user named, as `FolderFiles` has those in a folder.

    A packed one is unpacked into a temporary file without a name. `opened` is an open one,
    which `path` only names: its descriptor, closed with this, and its length.
    """

    def __init__(self, path: str, opened: tuple[int, int] | None = None) -> None:
        self._path = path
        self._file, length = opened or _opened(path)
        try:
            self._members = _index(self._file, length, path)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def open(self, path: str) -> Iterator[Extent]:
        """The regular file `path` of the archive; links in it are followed."""
        yield self.find(path)

    def find(self, path: str) -> Extent:
        """Where the content of the regular file `path` lies, links being followed."""
        where = f"{self._path}: {printable(path)}"
        shown, name = printable(where), path
        for _ in range(_MOST_LINKS + 1):
            member = self._members.get(name)
            if member is None:
                how = "is" if name == path else f"links to {quoted(name)}, which is"
                raise AbsentBlobError(f"{shown}: {how} missing")
            if member.link is None:
                if not member.is_file:
                    raise SourceError(f"{shown}: is no regular file")
                return Extent(self._file, member.offset, member.size, where)
            name = member.link
            if name.startswith(("/", "../")) or name == "..":
                raise SourceError(f"{shown}: links to {quoted(name)}, out of the archive")
        raise SourceError(f"{shown}: links to other links more than {_MOST_LINKS} times")

    def has(self, path: str) -> bool:
        """Whether there is a member of that name."""
        return path in self._members

    def close(self) -> None:
        """Close the archive. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Headers(io.RawIOBase):
    """The headers of an archive, for tarfile: read forwards only, and never much at once."""

    def __init__(self, whole: Extent) -> None:
        self._extent = whole
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes; fewer at the end."""
        size = max(min(size, self._extent.length - self._position), 0)
        if size > _LONGEST_HEADER:
            raise self._fault(f"a header of more than {_LONGEST_HEADER} bytes at")
        content = self._extent.section(self._position, size) if size else b""
        self._position += size
        return content

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, position: int, _whence: int = os.SEEK_SET) -> int:
        """Go on to `position`."""
        # To see that content is all there, its last byte is read; a byte back at most.
        if position < self._position - 1:
            raise self._fault("a member of less than no bytes before")
        self._position = position
        return position

    def _fault(self, what: str) -> SourceError:
        where = printable(self._extent.where)
        return SourceError(f"{where}: has {what} byte {self._position}")


def _index(file: int, length: int, path: str) -> dict[str, _Member]:
    """The members of an archive by name; of several of one name the last counts."""
    members: dict[str, _Member] = {}
    count = 0
    whole, where = Extent(file, 0, length, path), printable(path)
    try:
        with tarfile.open(fileobj=_Headers(whole), mode="r:") as archive:
            while (found := archive.next()) is not None:
                count += 1
                if count > MOST_MEMBERS:
                    raise SourceError(f"{where}: has more than {MOST_MEMBERS} members")
                if found.size < 0 and found.isreg():
                    # Of less than a block, tarfile does not look for the next member before it.
                    what = f"has a member of less than no bytes at byte {found.offset}"
                    raise SourceError(f"{where}: {what}")
                members[normal(found.name)] = _member(found)
                # It keeps them all, with all that is in their headers.
                archive.members = []  # type: ignore[attr-defined]
            end = archive.offset
    except RecursionError:
        # tarfile reads a header within the one before it, if that is an extended one.
        raise SourceError(f"{where}: has too many extended headers in a row") from None
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise SourceError(f"{where}: is no tar archive, damaged, or cut off: {error}") from None
    # Where a header is damaged, tarfile just ends.
    if end > length or any(whole.section(end, min(_BLOCK, length - end))):
        raise SourceError(f"{where}: is damaged or cut off at byte {end}")
    return members


def _member(found: tarfile.TarInfo) -> _Member:
    link = None
    if found.islnk():
        link = posixpath.normpath(found.linkname)
    elif found.issym():
        link = posixpath.normpath(posixpath.join(posixpath.dirname(found.name), found.linkname))
    return _Member(found.isreg() and not found.issparse(), found.offset_data, found.size, link)


def normal(name: str) -> str:
    """A member's name in the one form in which it is looked up: as engines, from the root."""
    return posixpath.normpath(name).lstrip("/")


def _opened(path: str) -> tuple[int, int]:
    """The archive as a plain tar: its descriptor and length in bytes."""
    if not os.path.lexists(path):
        raise SourceError(f"{printable(path)}: there is no such file")
    if os.path.isdir(path):
        raise SourceError(
            f"{printable(path)}: is a folder; did you mean {printable(f'oci:{path}')}?"
        )
    file, length = open_file(path, follow=True)
    try:
        extent = Extent(file, 0, length, path)
        head = extent.section(0, min(length, LONGEST_MAGIC))
        if not is_packed(head):
            return os.dup(file), length
        return _unpacked(extent)
    finally:
        os.close(file)


def _unpacked(packed: Extent) -> tuple[int, int]:
    """A packed archive, unpacked into a file without a name."""
    where = printable(packed.where)
    pieces = decompressed(
        packed.chunks(None),
        limit=MAX_UNPACKED,
        where=where,
        advice="unpack it before",
        of_archive=True,
    )
    return spooled(pieces, where)


def spooled(pieces: Iterable[bytes], where: str) -> tuple[int, int]:
    """A large file without a name that has `pieces`: its descriptor and length.

    Raises SourceError where there is no room for it.
    """
    import tempfile

    folder = tempfile.gettempdir()
    if "TMPDIR" not in os.environ and os.path.isdir(_TEMPORARY):
        folder = _TEMPORARY
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            return os.dup(file.fileno()), file.tell()
    except OSError as error:
        raise SourceError(
            f"{where}: cannot be unpacked into {printable(folder)}: {error.strerror}; "
            "TMPDIR can name another folder"
        ) from None
