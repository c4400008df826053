"""From the blob of a layer to its tar: what gzip and zstd pack, bounded and checked.

Owns which formats there are, told by the first bytes as the engines do, and what is
refused. What is in the tar, others read. Memory is bounded whatever a stream says: pieces
have at most `PIECE` bytes, and a window of zstd at most ``2**WINDOW_LOG``.
"""

import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from layerscan.errors import SourceError
from layerscan.extras import is_installed, needed

PIECE = 256 * 1024  # bytes of the longest piece that comes out of packed data
WINDOW_LOG = 27  # of zstd's largest window: 128 MiB, what ``zstd`` takes without being told to

_FIRST_STEP = 4 * 1024
"""Packed bytes that a member of gzip, or a frame of zstd, is given at first: there
may be many short ones, and what follows one of them is copied."""

_LONGEST_STEP = 1024 * 1024
_GZIP_MEMBER = 16 + zlib.MAX_WBITS
"""The ``wbits`` of zlib for a member of gzip with its header and trailer."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18(.{0,4})", re.DOTALL)
"""How a frame that unpacks to nothing begins (RFC 8878, section 3.1.2), with its length."""

# What no writer makes costs time and gives nothing: members without content, blocks of
# headers alone. eStargz and zstd:chunked, which cut finest, have a member for each part
# of a tar's entry, and an entry has at least 512 bytes.
_FREE_MEMBERS = 10_000
_LEAST_OF_MEMBER = 512
_FREE_PACKED = 4 * 1024 * 1024
MOST_MEMBERS = 1_000_000  # as many as a layer of a million files has in eStargz
_BZIP2, _XZ = b"BZh", b"\xfd7zXZ\x00"
_REFUSED = {
    _BZIP2: "bzip2",
    _XZ: "xz",
    b"\x04\x22\x4d\x18": "lz4",
    # Of zlib's four levels, one could begin the name of a tar's first file: "x^".
    b"\x78\x01": "zlib",
    b"\x78\x9c": "zlib",
    b"\x78\xda": "zlib",
}
_XZ_MEMORY = 256 << 20  # bytes that unpacking xz may take; 65 MiB are usual at the most
LONGEST_MAGIC = 8  # first bytes that tell a format, and how long a frame to skip is


class DamagedLayer(SourceError):  # noqa: N818 - what it is about, as TarFault
    """The packed data of a layer are damaged, or end too early or too late."""


class _Unpacker(Protocol):
    """Unpacks one member of gzip, or one frame of zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Format(NamedTuple):
    """A packed format."""

    name: str  # for messages
    unpacker: Callable[[], _Unpacker]  # makes one for a member or frame
    error: type[Exception]  # what it raises
    magic: bytes  # what they begin with


def decompressed(
    chunks: Iterator[bytes],
    *,
    limit: int,
    where: str = "layer",
    advice: str = "--max-layer-size takes a higher limit",
    of_archive: bool = False,
) -> Iterator[bytes]:
    """The tar in a layer's blob: unpacked from gzip or zstd, or the blob as it is.

    It reads `chunks`, which may have any length, to the end, unless something is wrong. No part
    that it gives is empty. `advice` is what the user can do where more than `limit` bytes come
    out. An archive (`of_archive`) may be packed with bzip2 or xz as well. Raises, from the
    iterator, DamagedLayer where the data are damaged, end too early, or something follows;
    SourceError where they are packed as no layer is, or too long.
    """
    length = 0
    for piece in _unpacked(_Input(chunks), where, of_archive=of_archive):
        length += len(piece)
        if length > limit:
            raise SourceError(f"{where}: unpacks to more than {limit} bytes; {advice}")
        yield piece


def is_packed(head: bytes) -> bool:
    """Whether data that begin with `head`, its first `LONGEST_MAGIC` bytes, are packed."""
    return head.startswith((_GZIP, *_REFUSED)) or _begins_zstd(head)


class _Input:
    """The packed bytes, of which those given last can be put back."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._position = 0

    def peek(self, length: int) -> bytes:
        """The next `length` bytes or more, which stay; fewer only at the end."""
        while len(self._chunk) - self._position < length and self._read_on():
            pass
        return self._chunk[self._position : self._position + length]

    def take(self, most: int) -> bytes:
        """At most `most` bytes; none only at the end."""
        while self._position == len(self._chunk) and self._read_on():
            pass
        taken = self._chunk[self._position : self._position + most]
        self._position += len(taken)
        return taken

    def skip(self, length: int) -> bool:
        """Pass over `length` bytes; whether there were so many."""
        while length > len(self._chunk) - self._position:
            length -= len(self._chunk) - self._position
            self._position = len(self._chunk)
            if not self._read_on():
                return False
        self._position += length
        return True

    def _read_on(self) -> bool:
        """Get the next chunk behind what is left; whether there was one."""
        following = next(self._chunks, None)
        if following is not None:
            self._chunk, self._position = self._chunk[self._position :] + following, 0
        return following is not None

    def put_back(self, length: int) -> None:
        """Have the last `length` bytes of what `take` gave last again."""
        self._position -= length


def _unpacked(data: _Input, where: str, *, of_archive: bool) -> Iterator[bytes]:
    head = data.peek(LONGEST_MAGIC)
    if of_archive and head.startswith((_BZIP2, _XZ)):
        return _members(data, _bzip2() if head.startswith(_BZIP2) else _xz(), where)
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            raise SourceError(
                f"{where}: is packed with {name}; only gzip, zstd and plain tars can be read"
            )
    if head.startswith(_GZIP):
        return _members(data, _gzip(), where)
    if _begins_zstd(head):
        return _members(data, _zstd(), where)
    return iter(lambda: data.take(_LONGEST_STEP), b"")


def _members(data: _Input, packed: _Format, where: str) -> Iterator[bytes]:
    """What the members of a stream, or its frames, unpack to, one after the other."""
    count = _Count()
    while head := data.peek(LONGEST_MAGIC):
        # Their lengths say it all; a decompressor would look at each byte.
        skippable = _SKIPPABLE.match(head) if packed.name == "zstd" else None
        if not head.startswith(packed.magic) and not skippable:
            raise DamagedLayer(f"{where}: after its {packed.name} data follows something else")
        count.members += 1
        if skippable is None:
            yield from _member(data, packed, count, where)
        elif not data.skip(LONGEST_MAGIC + int.from_bytes(skippable[1], "little")):
            raise _cut_off(packed, where)
        count.check(where)


@dataclass(slots=True)
class _Count:
    """What a packed stream had so far: members or frames, bytes in them, and out of them."""

    members: int = 0
    packed: int = 0
    unpacked: int = 0

    def check(self, where: str) -> None:
        """Refuse what was made to cost time."""
        most = min(_FREE_MEMBERS + self.unpacked // _LEAST_OF_MEMBER, MOST_MEMBERS)
        if self.members > most:
            raise SourceError(
                f"{where}: is packed in more than {most} parts for {self.unpacked} bytes of content"
            )
        if self.packed > _FREE_PACKED + self.unpacked + self.unpacked // 4:
            raise SourceError(
                f"{where}: {self.packed} packed bytes have only {self.unpacked} of content"
            )


def _member(data: _Input, packed: _Format, count: _Count, where: str) -> Iterator[bytes]:
    unpacker = packed.unpacker()
    step = _FIRST_STEP
    while not unpacker.eof:
        part = b""
        if unpacker.needs_input:
            part = data.take(step)
            count.packed += len(part)
            count.check(where)
            step = min(step * 4, _LONGEST_STEP)
            if not part:
                raise _cut_off(packed, where)
        try:
            # For a short one no long piece of memory is to be had.
            piece = unpacker.decompress(part, min(step, PIECE))
        except packed.error as error:
            raise _refused(packed, str(error), where) from None
        if piece:
            count.unpacked += len(piece)
            yield piece
    unused = len(unpacker.unused_data)
    count.packed -= unused
    data.put_back(unused)


def _cut_off(packed: _Format, where: str) -> DamagedLayer:
    return DamagedLayer(f"{where}: its {packed.name} data end too early")


def _refused(packed: _Format, reason: str, where: str) -> SourceError:
    if "requires too much memory" in reason:
        return SourceError(
            f"{where}: its zstd data need a window of more than {2**WINDOW_LOG} bytes"
        )
    # Without the library's own words before it.
    reason = re.sub(r"^(Error -?\d+ )?([^:]*: )?", "", reason)
    return DamagedLayer(f"{where}: its {packed.name} data are damaged: {reason}")


def _gzip() -> _Format:
    if not is_installed("isal"):
        return _Format("gzip", _ZlibUnpacker, zlib.error, _GZIP)
    # Twice as fast.
    from isal import igzip_lib

    def unpacker() -> _Unpacker:
        return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)

    # Its types say that this is an exception, not a class.
    error = cast("type[Exception]", igzip_lib.IsalError)
    return _Format("gzip", unpacker, error, _GZIP)


def _bzip2() -> _Format:
    import bz2

    return _Format("bzip2", bz2.BZ2Decompressor, OSError, _BZIP2)


def _xz() -> _Format:
    import lzma

    def unpacker() -> _Unpacker:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    return _Format("xz", unpacker, lzma.LZMAError, _XZ)


class _ZlibUnpacker:
    """A member of gzip, unpacked by the standard library."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=_GZIP_MEMBER)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        # A piece that is as long as it may be can have more behind it.
        self.needs_input = len(piece) < max_length and not self._member.unconsumed_tail
        return piece


def _begins_zstd(head: bytes) -> bool:
    return head.startswith(_ZSTD) or _SKIPPABLE.match(head) is not None


def _zstd() -> _Format:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        with needed("backports.zstd"):
            from backports import zstd

    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}

    def unpacker() -> _Unpacker:
        return zstd.ZstdDecompressor(options=options)

    return _Format("zstd", unpacker, zstd.ZstdError, _ZSTD)
