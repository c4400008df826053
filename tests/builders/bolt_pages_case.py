"""Databases of bbolt of any pages."""

from __future__ import annotations

from tests.builders.bolt import PAGE_SIZE, meta


def with_root(*pages: bytes, root: int = 3, count: int | None = None) -> bytes:
    """A database of these pages, from page 3 on."""
    number = 3 + len(pages) if count is None else count
    metas = [meta(which, PAGE_SIZE, root, number, 7 + which) for which in (0, 1)]
    body = [page.ljust(PAGE_SIZE, b"\0") for page in pages]
    return b"".join([*metas, bytes(PAGE_SIZE), *body])
