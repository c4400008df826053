"""The files of engines and of who administers them: JSON, settings, and what is wrong with them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from layerscan import jsondoc
from layerscan.errors import DocumentError, StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.text import printable

_LONGEST_SETTINGS = 1 << 20


def parse_json(content: bytes, where: str) -> object:
    """The JSON value that is the whole of `content`.

    Raises:
        Fault: it is no JSON, or more than can be read safely.
    """
    with document_fault(where):
        return jsondoc.decode(content, where)


def read_settings(path: str) -> bytes | None:
    """A file of settings, None where there is none.

    Raises:
        StoreError: it cannot be read.
        ValueError: the path has a null character.
    """
    # An administrator's file, not the store's: it may be a symbolic link.
    real = os.path.realpath(path)
    try:
        with Folder(os.path.dirname(real)) as folder:
            return folder.read(os.path.basename(real), _LONGEST_SETTINGS)
    except Fault as fault:
        if fault.gone:
            return None
        raise StoreError(str(fault)) from fault


@contextmanager
def document_fault(where: str) -> Iterator[None]:
    """What is wrong with the document `where` that is read in this block is a `Fault`."""
    try:
        yield
    except DocumentError as error:
        raise Fault(where, str(error).removeprefix(f"{printable(where)}: ")) from error


@contextmanager
def store_error() -> Iterator[None]:
    """A `Fault` in this block is one of the whole store: a `StoreError`."""
    try:
        yield
    except Fault as fault:
        raise StoreError(str(fault)) from fault
