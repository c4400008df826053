"""Readers of layers that run inside Python: ``python -P streams.py READER LAYOUT``.

Like ``inside.py`` a program of its own that imports nothing of the benchmarks.
Prints JSON: ``seconds``, and what was found, of all layers together. The readers
beside ours take one layer after the other, in one thread, with the decompressors
and the chunks of layerscan.
"""

import hashlib
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from isal import igzip, igzip_lib

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHUNK = 256 * 1024
"""As layerscan.sources reads and unpacks."""

_Read = Callable[[str], dict[str, Any]]


def _layers(layout: str) -> list[Path]:
    return sorted(Path(layout, "layers").iterdir())


def _unpacked(layer: Path, on_chunk: Callable[[bytes], object] = lambda _: None) -> Iterator[bytes]:
    unpacker: Any = (
        zstd.ZstdDecompressor()
        if layer.suffix == ".zstd"
        else igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    )
    with open(layer, "rb", buffering=0) as file:
        while not unpacker.eof:
            chunk = b""
            if unpacker.needs_input:
                chunk = file.read(_CHUNK)
                on_chunk(chunk)
            yield unpacker.decompress(chunk, _CHUNK)


def _ours() -> _Read:
    from layerscan.prediction.images import predict
    from layerscan.sources import oci_layout, open_source

    # What is loaded when it is first used.
    predict([])
    assert oci_layout is not None

    def no_registry() -> NoReturn:
        raise AssertionError("a layout needs no registry")

    def read(layout: str) -> dict[str, Any]:
        with open_source(f"oci:{layout}", no_registry) as source:
            (image,) = predict([source]).images
        return {
            "diff_ids": [layer.diff_id for layer in image.layers],
            "files": sum(layer.files for layer in image.layers),
            "size": sum(layer.size for layer in image.layers),
        }

    return read


def _bare(layout: str) -> dict[str, Any]:
    """Unpacked, and thrown away."""
    return {"lengths": [sum(map(len, _unpacked(layer))) for layer in _layers(layout)]}


def _hashed(layout: str) -> dict[str, Any]:
    """Unpacked, with the digests that layerscan verifies as well: of the blob and of the tar."""
    diff_ids = []
    for layer in _layers(layout):
        blob, tar = hashlib.sha256(), hashlib.sha256()
        for piece in _unpacked(layer, blob.update):
            tar.update(piece)
        assert blob.hexdigest() == layer.resolve().name
        diff_ids.append(f"sha256:{tar.hexdigest()}")
    return {"diff_ids": diff_ids}


def _tarfile(layout: str) -> dict[str, Any]:
    """As one writes it in Python: tarfile on a file of the same library."""
    files = size = 0
    for layer in _layers(layout):
        library: Any = zstd if layer.suffix == ".zstd" else igzip
        with (
            library.open(layer) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK) as tar,
        ):
            for entry in tar:
                files += not entry.isdir()
                size += entry.size + len(entry.linkname if entry.issym() else "")
    return {"files": files, "size": size}


_READERS: dict[str, Callable[[], _Read]] = {
    "layerscan": _ours,
    "bare": lambda: _bare,
    "hashed": lambda: _hashed,
    "tarfile": lambda: _tarfile,
}


def main(name: str, layout: str) -> None:
    read = _READERS[name]()
    start = time.perf_counter()
    found = read(layout)
    seconds = time.perf_counter() - start
    if "lengths" in found:
        # No two layers have one length, so it tells which of them came out.
        known = json.loads(Path(layout, "tars.json").read_text(encoding="utf-8"))
        found = {"diff_ids": [known[str(length)] for length in found["lengths"]]}
    print(json.dumps({"seconds": seconds, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
