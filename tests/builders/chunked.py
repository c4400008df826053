"""Layers with a table of contents: eStargz and zstd:chunked, made from a plain tar.

Written by the formats' documents alone, so that a test can have what no real
writer makes; what real ones make, `tests/integration/test_toc.py` has. Nothing of
layerscan is used here::

    layer = estargz(tar)                 # or zstd_chunked(tar, split=TABLE)
    Image.of(layer)                      # it is a layer as others are
    layer.table                          # the JSON

`Blobs` is a source of such layers that counts what is asked of it.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import io
import json
import struct
import tarfile
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from layerscan.errors import SourceError
from layerscan.sources.model import Source, SourceLayer
from tests.builders.documents import sha256
from tests.builders.images import Layer
from tests.builders.tar_split import checksum
from tests.builders.zstd import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NO_PREFETCH = ".no.prefetch.landmark"
TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
PREFIX = "io.github.containers.zstd-chunked."
OLD_PREFIX = "io.containers.zstd-chunked."
CHUNK = 1 << 16

TABLE, ANNOTATION = "table", "annotation"
"""Where a tar-split's digest is."""

Table = dict[str, Any]

# It takes a second for some MB, and tests make the same layer again.
_checksum = functools.lru_cache(maxsize=64)(checksum)

_TYPES = {
    tarfile.REGTYPE: "reg",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
    tarfile.FIFOTYPE: "fifo",
}


@dataclass(frozen=True)
class Chunked(Layer):
    """A layer and its table of contents; see the module."""

    table: bytes = b""

    @property
    def layer(self) -> SourceLayer:
        return SourceLayer(self.digest, self.diff_id, len(self.blob), annotations=self.annotations)

    def with_annotations(self, **changed: str | None) -> Chunked:
        """The same with annotations changed by the ends of their names; None takes one away."""
        annotations = {}
        for key, value in self.annotations.items():
            end = key.rpartition(".")[2].replace("-", "_")
            new = changed.get(end, value)
            if new is not None:
                annotations[key] = new
        return replace(self, annotations=annotations)


def estargz(
    tar: bytes, *, change: Callable[[Table], object] | None = None, old: bool = False
) -> Chunked:
    """An eStargz layer of what is in `tar`.

    Args:
        tar: with a plain end.
        change: called with the table before it is written.
        old: whether the footer is that of stargz, which eStargz was made from.
    """
    landmark = tarfile.TarInfo(NO_PREFETCH)
    landmark.size = 1
    start = landmark.tobuf() + b"\x0f" + bytes(511)
    blob, whole, entries = bytearray(), bytearray(), []
    pending = content = b""
    for header, entry, content in _entries(start + tar):
        pending += header
        found: list[Table] = [entry]
        if content:
            blob += gzip.compress(pending, mtime=0)
            whole += pending + content
            pending = b""
            found = _chunks(entry, content, len(blob), lambda piece: gzip.compress(piece, mtime=0))
            for one in found:
                blob += one.pop("packed")
        entries += [{"NumLink": 0, **one} for one in found]
    pending += bytes(-len(content) % 512)
    blob += gzip.compress(pending, mtime=0)
    whole += pending
    document: Table = {"version": 1, "entries": entries}
    if change is not None:
        change(document)
    table = json.dumps(document, indent="\t").encode()
    file = tarfile.TarInfo("stargz.index.json")
    file.size = len(table)
    end = file.tobuf() + table + bytes(-len(table) % 512) + bytes(1024)
    footer = _footer(len(blob), old=old)
    blob += gzip.compress(end, mtime=0)
    annotations = {TOC_DIGEST: sha256(table)}
    return Chunked(
        bytes(whole) + end, annotations=annotations, ready=bytes(blob) + footer, table=table
    )


def _footer(offset: int, *, old: bool) -> bytes:
    extra = b"%016xSTARGZ" % offset
    if not old:
        extra = b"SG" + struct.pack("<H", len(extra)) + extra
    head = b"\x1f\x8b\x08\x04" + bytes(4) + b"\0\xff"
    return head + struct.pack("<H", len(extra)) + extra + b"\x01\0\0\xff\xff" + bytes(8)


def zstd_chunked(
    tar: bytes,
    *,
    change: Callable[[Table], object] | None = None,
    split: str | None = None,
    change_split: Callable[[bytes], bytes] = bytes,
    prefix: str = PREFIX,
) -> Chunked:
    """A zstd:chunked layer of what is in `tar`.

    Args:
        tar: with any end.
        change: called with the table before it is written.
        split: where the digest of the tar-split is, None for no tar-split.
        change_split: what is written for the JSON of the tar-split.
        prefix: what the annotations' names begin with.
    """
    pack = zstd.compress
    blob, entries, lines = bytearray(), [], []
    pending, at = b"", 0
    for header, entry, content in _entries(tar):
        pending += header
        at += len(header)
        lines.append({"type": 2, "payload": base64.b64encode(header).decode()})
        line = {"type": 1, "name": entry["name"], "size": len(content), "payload": None}
        if content and split is not None:
            line["payload"] = base64.b64encode(_checksum(content)).decode()
        lines.append(line)
        found: list[Table] = [entry]
        if content:
            blob += pack(pending)
            pending = b""
            found = _chunks(entry, content, len(blob), pack)
            for one in found:
                blob += one.pop("packed")
            at += len(content)
        entries += found
    rest = tar[at:]
    blob += pack(pending + rest)
    lines.append({"type": 2, "payload": base64.b64encode(rest).decode()})
    packed_split = pack(change_split(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    document: Table = {"version": 1, "entries": entries}
    if split == TABLE:
        document["tarSplitDigest"] = sha256(packed_split)
    if change is not None:
        change(document)
    table = json.dumps(document, separators=(",", ":")).encode()
    packed = pack(table)
    annotations = {
        prefix + "manifest-checksum": sha256(packed),
        prefix + "manifest-position": f"{len(blob) + 8}:{len(packed)}:{len(table)}:1",
    }
    footer = [len(blob) + 8, len(packed), len(table), 1]
    blob += _frame(packed)
    if split is not None:
        position = len(blob) + 8
        annotations[prefix + "tarsplit-position"] = f"{position}:{len(packed_split)}:1"
        if split == ANNOTATION:
            annotations[prefix + "tarsplit-checksum"] = sha256(packed_split)
        blob += _frame(packed_split)
        footer += [position, len(packed_split), 1]
    blob += _frame(b"".join(number.to_bytes(8, "little") for number in footer) + b"GNUlInUx")
    return Chunked(tar, "zstd", None, annotations, ready=bytes(blob), table=table)


def _frame(content: bytes) -> bytes:
    """What decompressors of zstd skip."""
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(content)) + content


def _chunks(
    entry: Table, content: bytes, offset: int, pack: Callable[[bytes], bytes]
) -> list[Table]:
    """The entries of one file: the first is its own, the others are its chunks."""
    pieces = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)]
    found = []
    for number, piece in enumerate(pieces):
        first = entry | {"digest": sha256(content)} if not number else {}
        packed = pack(piece)
        found.append(
            {
                "type": "chunk",
                "name": entry["name"],
                "offset": offset,
                "chunkOffset": number * CHUNK,
                "chunkSize": len(piece) if len(pieces) > 1 else 0,
                "chunkDigest": sha256(piece),
                "packed": packed,
                **first,
            }
        )
        offset += len(packed)
    return found


def _entries(tar: bytes) -> Iterator[tuple[bytes, Table, bytes]]:
    """For each entry what is before its content, as JSON, and its content.

    What follows the content, up to the next block, is part of the next one's.
    """
    at = 0
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as members:
        for member in members:
            content = tar[member.offset_data :][: member.size if member.isreg() else 0]
            yield tar[at : member.offset_data], _entry(member), content
            at = member.offset_data + len(content)


def _entry(member: tarfile.TarInfo) -> Table:
    entry: Table = {
        "type": _TYPES[member.type],
        "name": _text(member.name + "/" if member.isdir() else member.name),
        "mode": member.mode,
        "modtime": _time(member.pax_headers.get("mtime", str(int(member.mtime)))),
    }
    fields = {
        "size": member.size if member.isreg() else 0,
        "linkName": _text(member.linkname),
        "uid": member.uid,
        "gid": member.gid,
        "userName": _text(member.uname),
        "groupName": _text(member.gname),
        "devMajor": member.devmajor,
        "devMinor": member.devminor,
    }
    entry |= {key: value for key, value in fields.items() if value}
    xattrs = {
        key.removeprefix("SCHILY.xattr."): base64.b64encode(
            value.encode("utf-8", "surrogateescape")
        ).decode()
        for key, value in member.pax_headers.items()
        if key.startswith("SCHILY.xattr.")
    }
    return {**entry, "xattrs": xattrs} if xattrs else entry


def _text(text: str) -> str:
    """As Go writes it into JSON."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _time(seconds: str) -> str:
    whole, dot, fraction = seconds.partition(".")
    return time.strftime(f"%Y-%m-%dT%H:%M:%S{dot}{fraction}Z", time.gmtime(int(whole)))


@dataclass
class Blobs(Source):
    """A source of blobs in memory.

    Attributes:
        blobs: by digest.
        knows_parts: whether `section` gives any.
        requests: offset and length of each section that was asked for.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    knows_parts: bool = True
    requests: list[tuple[int, int]] = field(default_factory=list)
    name: str = "blobs"
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, layer: Chunked, *, knows_parts: bool = True) -> Blobs:
        return cls({layer.digest: layer.blob}, knows_parts)

    def images(self, _architectures: object = None) -> tuple[()]:
        return ()

    def layer(
        self, layer: SourceLayer, _hashing: object = None
    ) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        return contextlib.nullcontext(iter([self._blob(layer)]))

    def section(self, layer: SourceLayer, offset: int, length: int) -> bytes | None:
        blob = self._blob(layer)
        self.requests.append((offset, length))
        return blob[offset : offset + length] if self.knows_parts else None

    def _blob(self, layer: SourceLayer) -> bytes:
        if layer.digest not in self.blobs:
            raise SourceError(f"{self.name}: has no blob {layer.digest}")
        return self.blobs[layer.digest]
