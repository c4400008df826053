"""Tars with all that a tar-split document may have to say, and the checksums in one."""

import io
import tarfile
from collections.abc import Iterable

Member = tuple[tarfile.TarInfo, bytes]


def checksum(content: bytes) -> bytes:
    """CRC-64/ISO, bit by bit, as the document has it."""
    remainder = (1 << 64) - 1
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0xD800000000000000 if remainder & 1 else 0)
    return (remainder ^ (1 << 64) - 1).to_bytes(8, "big")


def member(name: str, content: bytes = b"", **fields: object) -> Member:
    """An entry of a tar, and its content. `fields` are those of `tarfile.TarInfo`."""
    found = tarfile.TarInfo(name)
    found.size = len(content)
    for field, value in fields.items():
        setattr(found, field, value)
    return found, content


def packed(members: Iterable[Member], tar_format: int) -> bytes:
    """A tar of `members`, in one of the formats of `tarfile`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        for found, content in members:
            archive.addfile(found, io.BytesIO(content))
    return out.getvalue()


_LONG = "/".join(["long" * 20] * 3)

ODDITIES = (
    member("etc", type=tarfile.DIRTYPE, mode=0o755),
    member("etc/passwd", b"root\n"),
    member("etc/empty"),
    member("etc/block", b"x" * 512),
    member("etc/link", type=tarfile.LNKTYPE, linkname="etc/passwd"),
    member("etc/symlink", type=tarfile.SYMTYPE, linkname=_LONG),
    member("etc/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    member("etc/pipe", type=tarfile.FIFOTYPE),
    member(_LONG, type=tarfile.DIRTYPE, mode=0o755),
    member(f"{_LONG}/file", b"long"),
    member("etc/.wh.gone"),
    member('etc/<&>"\\\n\r\t\b\f\x01\x7f \u2028\u2029 \xfc \u2603 \U0001d11e', b"special"),
    member("etc/not utf-8 \udcff\udcfe", b"raw"),
    member("etc/late", b"z" * 1300, mtime=1_700_000_000.25),
)
"""Names, links and lengths that need care, each once."""
