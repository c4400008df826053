"""Bundles as bytes, with any entries."""

import gzip
import io
import tarfile
from typing import Any

from layerscan.digest import sha256
from layerscan.oci import Descriptor

BUNDLE = Descriptor("application/octet-stream", sha256(b"bundle"), 6)


def tar_of(*entries: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:  # noqa: ANN401
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", **options) as tar:
        for entry, content in entries:
            entry.size = len(content) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def with_compose_file(text: str | bytes, name: str = "docker-compose.yml") -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    return gzip.compress(tar_of((entry("a"), b"x" * 5000), (entry(name), content)))
