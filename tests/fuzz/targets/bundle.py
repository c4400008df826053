"""The bundle of a published App, packed without compression: its files and its images."""

from __future__ import annotations

import gzip

from layerscan.apps.published import bundle_files, bundle_images
from layerscan.errors import ComposeError, DocumentError
from tests.fuzz.outcome import Refused, outcome
from tests.fuzz.sealed import sealed_tar

LONGEST = 32 * 1024


def run(data: bytes) -> None:
    raw = gzip.compress(sealed_tar(data), compresslevel=0, mtime=0)
    files = outcome(lambda: bundle_files(raw, "f"), DocumentError)
    images = outcome(lambda: bundle_images(raw, "f"), DocumentError, ComposeError)
    if not isinstance(files, Refused):
        assert all(file.name.isprintable() and file.link.isprintable() for file in files)
        assert all(file.size >= 0 for file in files)
    if not isinstance(images, Refused):
        assert all(image.digest for image in images.values())
