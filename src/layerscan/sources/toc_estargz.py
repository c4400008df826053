"""The table of contents of an eStargz layer: a file at the end of its tar.

Owns where it is in the blob (stargz-snapshotter, docs/estargz.md, "Footer" and
"TOC and TOCEntries").
"""

import re
import tarfile
from collections.abc import Iterator

from layerscan.digest import is_digest, of_content
from layerscan.sources import toc_model
from layerscan.sources.model import Source, SourceLayer
from layerscan.sources.toc_entries import parts
from layerscan.sources.toc_headers import BLOCK
from layerscan.sources.toc_model import MAX_TABLE, NAME, Part, TableFault, TableOfContents

DIGEST = "containerd.io/snapshot/stargz/toc.digest"
"""The annotation that has the digest of the table, unpacked."""

FILE = "stargz.index.json"  # the name of the table's file in the tar
_FOOTER = 51
# An empty gzip member with the table's offset in its extra field, with the
# subfield's header or, in the older form of 47 bytes, without.
_PATTERN = re.compile(
    rb"\x1f\x8b\x08\x04.{6}(?:\x1a\0SG\x16\0|\x16\0)([0-9a-f]{16})STARGZ.{13}\Z", re.DOTALL
)
_AROUND = 64 * BLOCK
"""Bytes of the table's file beside its content: its header, padding, the tar's end."""


def read(source: Source, layer: SourceLayer) -> TableOfContents | None:
    """The table of a layer whose manifest has the digest of one.

    Two requests: for the footer, and for the table.
    """
    digest = layer.annotations[DIGEST]
    if not is_digest(digest):
        raise TableFault(f"the annotation {DIGEST} is no digest")
    if layer.archive_size < _FOOTER:
        raise TableFault("the layer is too short for eStargz")
    footer = toc_model.section(source, layer, layer.archive_size - _FOOTER, _FOOTER)
    if footer is None:
        return None
    offset, end = _place(footer, layer.archive_size)
    packed = toc_model.section(source, layer, offset, end - offset)
    if packed is None:
        return None
    with toc_model.as_fault():
        file = b"".join(toc_model.unpacked(packed, limit=MAX_TABLE + _AROUND, name=NAME))
    table = _content(file)
    if of_content(table, digest) != digest:
        raise TableFault(f"the table of contents has not the digest of the annotation {DIGEST}")

    def make() -> Iterator[Part]:
        yield from parts(table)
        # The table is the tar's last file, and what is left of the tar follows it.
        yield file

    return TableOfContents(is_exact=False, make=make)


def _place(footer: bytes, size: int) -> tuple[int, int]:
    """Where the table's file begins in the blob, and where it ends."""
    match = _PATTERN.search(footer)
    if match is None:
        raise TableFault("the layer has no footer of eStargz")
    offset, end = int(match[1], 16), size - _FOOTER + match.start()
    if offset >= end:
        raise TableFault("the footer of eStargz points beyond itself")
    return offset, end


def _content(file: bytes) -> bytes:
    """What is in the table's file."""
    try:
        header = tarfile.TarInfo.frombuf(file[:BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise TableFault("the table of contents is no file of a tar") from None
    if header.name != FILE or header.type != tarfile.REGTYPE:
        raise TableFault(f"the table of contents is not the file {FILE}")
    if not 0 <= header.size <= len(file) - BLOCK:
        raise TableFault("the table of contents is cut off")
    return file[BLOCK : BLOCK + header.size]
