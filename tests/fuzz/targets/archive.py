"""An archive of images: where its files lie. Python's tarfile reads the headers."""

from __future__ import annotations

import os

from layerscan.errors import SourceError
from layerscan.sources.archive import _index
from tests.fuzz.one_file import OneFile
from tests.fuzz.outcome import Refused, outcome
from tests.fuzz.sealed import sealed_tar

LONGEST = 32 * 1024


def run(data: bytes) -> None:
    file = OneFile(sealed_tar(data))
    try:
        members = outcome(lambda: _index(file.fd, len(data), "f.tar"), SourceError)
        if not isinstance(members, Refused):
            for name, member in members.items():
                assert name == os.path.normpath(name)
                assert 0 <= member.offset <= len(data)
                assert member.size >= 0 or not member.is_file
    finally:
        file.end()
