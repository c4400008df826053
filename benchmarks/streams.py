"""Reading the layers of an OCI layout inside Python: ``python -P streams.py READER LAYOUT``.

Run as a program of its own, like ``inside.py``, and like it nothing of the
benchmarks is imported. The clock starts after the imports. Prints JSON:
``seconds``, and what was found, of all layers together. The readers beside ours
take one layer after the other, in one thread, with the decompressors and the
chunks of layerscan.
"""

import hashlib
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol

from isal import igzip_lib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# As layerscan.sources reads and unpacks.
_CHUNK = 256 * 1024
_PIECE = 256 * 1024

_Found = dict[str, object]
_Reader = Callable[[str], _Found]


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _unpacker(packing: str) -> _Unpacker:
    if packing == "gzip":
        found: _Unpacker = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return found
    return zstd.ZstdDecompressor()


def _layers(path: str) -> Iterator[tuple[str, str]]:
    """The path of each layer, and how it is packed."""
    (described,) = _load(path, "index.json")["manifests"]
    for layer in _load(_blob(path, described["digest"]))["layers"]:
        yield _blob(path, layer["digest"]), layer["mediaType"].rpartition("+")[2]


def _blob(path: str, digest: str) -> str:
    return os.path.join(path, "blobs", *digest.split(":"))


def _load(*parts: str) -> dict[str, list[dict[str, str]]]:
    with open(os.path.join(*parts), encoding="utf-8") as file:
        found: dict[str, list[dict[str, str]]] = json.load(file)
        return found


def _unpacked(
    path: str, packing: str, on_chunk: Callable[[bytes], object] = lambda _: None
) -> Iterator[bytes]:
    unpacker = _unpacker(packing)
    with open(path, "rb", buffering=0) as file:
        while not unpacker.eof:
            chunk = b""
            if unpacker.needs_input:
                chunk = file.read(_CHUNK)
                on_chunk(chunk)
            yield unpacker.decompress(chunk, _PIECE)


def _ours() -> _Reader:
    from layerscan.prediction.images import predict
    from layerscan.sources import oci_layout, open_source

    # What is loaded when it is first used.
    predict([])
    assert oci_layout is not None

    def no_registry() -> NoReturn:
        raise AssertionError("a layout needs no registry")

    def run(path: str) -> _Found:
        with open_source(f"oci:{path}", no_registry) as source:
            (image,) = predict([source]).images
        return {
            "diff_ids": [layer.diff_id for layer in image.layers],
            "files": sum(layer.files for layer in image.layers),
            "size": sum(layer.size for layer in image.layers),
        }

    return run


def _bare(path: str) -> _Found:
    """Unpacked, and thrown away."""
    return {"tar": sum(len(piece) for layer in _layers(path) for piece in _unpacked(*layer))}


def _hashed(path: str) -> _Found:
    """Unpacked, with the digests that layerscan verifies as well: of the blob and of the tar."""
    diff_ids = []
    for layer, packing in _layers(path):
        blob, tar = hashlib.sha256(), hashlib.sha256()
        for piece in _unpacked(layer, packing, blob.update):
            tar.update(piece)
        if blob.hexdigest() != os.path.basename(layer):
            sys.exit(f"{layer}: does not hash to its name")
        diff_ids.append(f"sha256:{tar.hexdigest()}")
    return {"diff_ids": diff_ids}


def _tarfile(path: str) -> _Found:
    """As one writes it in Python: tarfile on the same stream."""
    files = size = 0
    for layer in _layers(path):
        stream = _Stream(_unpacked(*layer))
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE) as tar:
            for entry in tar:
                files += not entry.isdir()
                size += entry.size + len(entry.linkname if entry.issym() else "")
    return {"files": files, "size": size}


class _Stream(io.RawIOBase):
    """What `pieces` are, as tarfile reads it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, length: int = -1) -> bytes:
        """At most `length` bytes; none only at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = piece
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken


_READERS: dict[str, Callable[[], _Reader]] = {
    "layerscan": _ours,
    "bare": lambda: _bare,
    "hashed": lambda: _hashed,
    "tarfile": lambda: _tarfile,
}


def main(name: str, path: str) -> None:
    reader = _READERS[name]()
    start = time.perf_counter()
    found = reader(path)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
