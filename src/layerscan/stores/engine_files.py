"""The files of engines and of who administers them: JSON, settings, and what is wrong with them."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from layerscan import jsondoc
from layerscan.digest import of_content
from layerscan.errors import DocumentError, StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.text import printable, shown

_LONGEST_SETTINGS = 1 << 20


def read_verified(folder: Folder, name: str, limit: int, digest: str) -> bytes:
    """The file `name` in `folder`, which is named after `digest`; a `Fault` if it has another."""
    raw = folder.read(name, limit)
    if of_content(raw, digest) != digest:
        what = "does not hash to its name: it was damaged or tampered with"
        raise Fault(folder.where(name), what)
    return raw


def parse_json(content: bytes, where: str, *, as_go: bool = False) -> object:
    """The JSON value that is the whole of `content`, or a `Fault`; see `jsondoc.decode`."""
    with document_fault(where):
        return jsondoc.decode(content, where, as_go=as_go)


def require_tar_split(folder: Folder, name: str) -> None:
    """Make sure that a layer has its tar-split file `name`; a `Fault` if it has not."""
    if not folder.require(name, stat.S_IFREG).st_size:
        what = "is empty, as after a loss of power: the layer cannot be pushed or saved again"
        raise Fault(folder.where(name), what)


def read_settings(path: str) -> bytes | None:
    """A file of settings, None where there is none; a `StoreError` if it cannot be read."""
    # An administrator's file, not the store's: it may be a symbolic link.
    try:
        real = os.path.realpath(path)
        with Folder(os.path.dirname(real)) as folder:
            return folder.read(os.path.basename(real), _LONGEST_SETTINGS)
    except Fault as fault:
        if fault.gone:
            return None
        raise StoreError(str(fault)) from fault
    except ValueError:  # a null character
        raise StoreError(f"{shown(path)}: is no path") from None


def read_absolute(root: object, what: str) -> str:
    """The path of a folder in settings, which `what` says; a `StoreError` if it is none."""
    if not isinstance(root, str) or not os.path.isabs(root) or not root.isprintable():
        raise StoreError(f"{what} is no absolute path: {shown(root)}")
    return root


def parse_toml(raw: bytes, path: str) -> dict[str, object]:
    """What the settings `raw` say, from the file `path`; a `StoreError` if they are no TOML."""
    # Loaded here: most machines have no such file.
    import tomllib

    try:
        return tomllib.loads(raw.decode())
    except RecursionError:
        raise StoreError(f"{path}: is no TOML: nested too deeply") from None
    except ValueError as error:
        raise StoreError(f"{path}: is no TOML: {error}") from None


@contextmanager
def document_fault(where: str) -> Iterator[None]:
    """What is wrong with the document `where` that is read in this block is a `Fault`."""
    try:
        yield
    except DocumentError as error:
        raise fault_of(error, where) from error


def fault_of(error: DocumentError, where: str) -> Fault:
    """What `error` says is wrong with the document `where`."""
    return Fault(where, str(error).removeprefix(f"{printable(where)}: "))


@contextmanager
def store_error() -> Iterator[None]:
    """A `Fault` in this block is one of the whole store: a `StoreError`."""
    try:
        yield
    except Fault as fault:
        raise StoreError(str(fault)) from fault
