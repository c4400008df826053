"""Who else can say what is in layers that are not unpacked: how each is run and understood.

Owns the command lines, and what of our answer each of them can be held against:
the digests of the tars, the number of their files, the bytes of content, or only
how much came out.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.contest import Contestant
from benchmarks.layouts import Layout
from benchmarks.peers import Role
from benchmarks.settings import HERE

Answer = dict[str, Any]

STREAMS = os.path.join(HERE, "streams.py")


@dataclass(frozen=True)
class Unpacker:
    """A way to read layers.

    Attributes:
        name: as in the report.
        role: tool or yardstick.
        counts: what is compared, in words.
        reader: of ``streams.py``; without one it is tar.
        part: what it would find, from our answer.
    """

    name: str
    role: Role
    counts: str
    reader: str | None
    part: Callable[[Layout, Answer], object]

    def absent(self, layout: Layout) -> str | None:
        """Why it cannot be run here on `layout`, or None."""
        needed = () if self.reader else ("tar", layout.packing)
        missing = [name for name in needed if shutil.which(name) is None]
        return f"no {' and no '.join(missing)} on PATH" if missing else None

    def on(self, layout: Layout, *, inside: bool) -> Contestant:
        """It as a contestant on `layout`, timed without Python's start-up or with it."""
        if self.reader:
            return reader(self.name, self.reader, layout, inside=inside)
        script = f'for layer; do tar --list --{layout.packing} --file "$layer"; done'
        return Contestant(self.name, ("sh", "-ec", script, "sh", *layout.blobs), read_names)


def reader(name: str, which: str, layout: Layout, *, inside: bool) -> Contestant:
    """A reader of ``streams.py`` on `layout`, timed without Python's start-up or with it."""
    command = (sys.executable, "-P", STREAMS, which, layout.path)
    return Contestant(name, command, read_facts, inside=inside)


def read_facts(output: bytes) -> Answer:
    """What ``streams.py`` found."""
    found: Answer = json.loads(output)
    del found["seconds"]
    return found


def read_report(output: bytes) -> Answer:
    """The same from the report of ``layerscan predict --format json``."""
    report = json.loads(output)
    layers = {layer["chain_id"]: layer for layer in report["layers"]}
    (image,) = report["images"]
    stack = [layers[chain] for chain in image["layers"]]
    return {
        "diff_ids": [layer["diff_id"] for layer in stack],
        "files": sum(layer["files"] for layer in stack),
        "size": sum(layer["size"] for layer in stack),
    }


def read_names(output: bytes) -> Answer:
    """How many names a listing of tars has, folders left out."""
    return {"files": sum(not name.endswith(b"/") for name in output.splitlines())}


def _keys(*keys: str) -> Callable[[Layout, Answer], object]:
    return lambda _, ours: {key: ours[key] for key in keys}


def _tar_bytes(layout: Layout, ours: Answer) -> object:
    lengths = {layer.diff_id: layer.tar for layer in layout.layers}
    return {"tar": sum(lengths[diff_id] for diff_id in ours["diff_ids"])}


BARE = "bare decompressor"
HASHED = "bare decompressor, sha256 of both sides"
TAR = "tar -t"
TARFILE = "tarfile"
ONE_WORKER = "layerscan predict, one layer at a time"

UNPACKERS: dict[str, Unpacker] = {
    one.name: one
    for one in (
        Unpacker(
            BARE,
            Role.YARDSTICK,
            "the bytes that come out",
            "bare",
            _tar_bytes,
        ),
        Unpacker(
            HASHED,
            Role.YARDSTICK,
            "the digests of the tars",
            "hashed",
            _keys("diff_ids"),
        ),
        Unpacker(TAR, Role.TOOL, "the number of files", None, _keys("files")),
        Unpacker(
            TARFILE,
            Role.TOOL,
            "the number of files and their bytes",
            "tarfile",
            _keys("files", "size"),
        ),
    )
}
"""All that read layers, ours apart, by name."""
