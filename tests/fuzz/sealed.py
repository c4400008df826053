"""Inputs with their checksums made right: a fuzzer would hardly ever hit one."""

import struct

from tests.builders.bolt import META_END, reseal
from tests.builders.tars import BLOCK, with_checksum

_MAGIC = 257
"""Where a tar header has its magic."""


def sealed_tar(data: bytes) -> bytes:
    """A tar in which each header that has a magic has the right sum."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    return b"".join(
        with_checksum(block)
        if block.startswith(b"ustar", _MAGIC) and len(block) == BLOCK
        else block
        for block in blocks
    )


def sealed_database(data: bytes) -> bytes:
    """A bbolt database both of whose meta pages are valid, if they have a magic."""
    found = bytearray(data)
    (page_size,) = struct.unpack_from("<I", found.ljust(28, b"\0"), 24)
    if META_END <= page_size <= len(found) - META_END:
        reseal(found, page_size)
    return bytes(found)
