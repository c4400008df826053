"""Tars as Python's `tarfile` writes them, member by member; other ways to write one:

`tests.builders.tree` makes what a layer's declared content is packed as,
`tests.builders.tars` what no tar program writes.
"""

import io
import tarfile


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of `members`, in one of the formats that `tarfile` knows."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as writer:
        for info, content in members:
            info.size = len(content)
            writer.addfile(info, io.BytesIO(content))
    return out.getvalue()


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    """One of a tar's members; the fields are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content
