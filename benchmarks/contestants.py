"""Who takes part: how each is run, and what its output says.

Answers about a tree are ``usage``: bytes of disk, rounded up to whole KiB as
``du -sk`` prints them. Who reads layers gives ``diff_ids``, ``files`` and ``size``,
bytes of content, or as much of it as it knows.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from benchmarks import process
from benchmarks.settings import HERE
from benchmarks.stores import ARCHITECTURES

Answer = dict[str, Any]
Read = Callable[[bytes], Answer]


@dataclass(frozen=True)
class Contestant:
    """Something that does the work of a group.

    Attributes:
        name: as in the report.
        command: the program and its arguments; ``{}`` is the path.
        read: its answer from its output.
        needs: a program on PATH or a Python module, or nothing.
        inside: its output is JSON, which has ``seconds`` without Python's start-up.
        exact: another answer than ours is a fault, not a property of it.
        yardstick: shows what is possible; it does not compete for being the fastest.
    """

    name: str
    command: tuple[str, ...]
    read: Read
    needs: str = ""
    inside: bool = False
    exact: bool = True
    yardstick: bool = False

    @property
    def is_here(self) -> bool:
        """Whether it can be run."""
        return not self.needs or bool(shutil.which(self.needs) or find_spec(self.needs))

    def run(self, path: str) -> process.Finished:
        """Run it on `path`."""
        done = process.run([word.replace("{}", path) for word in self.command])
        return replace(done, seconds=json.loads(done.output)["seconds"]) if self.inside else done

    def answer(self, path: str) -> Answer:
        """What it says of `path`."""
        return self.read(self.run(path).output)


# What outputs say.


def _usage(size: int) -> Answer:
    return {"usage": -(-size // 1024) * 1024}


def read_inside(output: bytes) -> Answer:
    """Of ``inside.py`` and ``streams.py``."""
    return {key: value for key, value in json.loads(output).items() if key != "seconds"}


def read_kib(output: bytes) -> Answer:
    """From ``12156 <tab> path``: KiB."""
    return _usage(int(output.split()[0]) * 1024)


def read_bytes(output: bytes) -> Answer:
    """The first number of the output."""
    found = re.search(rb"\d+", output)
    if found is None:
        raise process.FailedError(f"no number in {output[:100]!r}")
    return _usage(int(found[0]))


def read_blocks(output: bytes) -> Answer:
    """The sum of all lines, each a number of blocks of 512 bytes."""
    return _usage(sum(map(int, output.split())) * 512)


def read_ncdu(output: bytes) -> Answer:
    """The sum of ncdu's export: an entry a line, those with several names once."""
    total = 0
    seen: set[int] = set()
    for line in output.splitlines()[1:]:
        start, end = line.find(b"{"), line.rfind(b"}")
        entry = json.loads(line[start : end + 1] or b"{}")
        if entry.get("hlnkc"):
            if entry["ino"] in seen:
                continue
            seen.add(entry["ino"])
        total += entry.get("dsize", 0)
    return _usage(total)


def read_report(output: bytes) -> Answer:
    """Of ``layerscan predict --format json``."""
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


def read_document(output: bytes) -> Answer:
    """All of it."""
    return {"document": json.loads(output)}


def read_nothing(_: bytes) -> Answer:
    """There is no answer to compare."""
    return {}


# Walks.


def walk(name: str, *threads: str) -> Contestant:
    """One of ``inside.py``."""
    command = (sys.executable, "-P", os.path.join(HERE, "inside.py"), name, "{}", *threads)
    return Contestant(name, command, read_inside, inside=True)


def bare_loop(threads: int) -> Contestant:
    """getdents64 and statx and nothing else."""
    command = ("bare_loop", str(threads), "{}")
    return Contestant("bare loop in C", command, read_blocks, yardstick=True)


OURS = walk("layerscan")
FILE_TABLE = walk("layerscan.file_table")
OURS_ALONE = replace(OURS, name="layerscan.walk", yardstick=True)
LEDGER = walk("layerscan df")
# As many threads as our walk starts by default.
BARE_LOOP = bare_loop(min(len(os.sched_getaffinity(0)) * 16, 256))
DU = Contestant("du -sk", ("du", "-sk", "{}"), read_kib)
NCDU = Contestant("ncdu", ("ncdu", "-0", "-o", "-", "{}"), read_ncdu, needs="ncdu", exact=False)
_GDU = ("gdu", "--non-interactive", "--no-progress", "--no-color", "--no-prefix", "--summarize")
GDU = Contestant("gdu", (*_GDU, "{}"), read_bytes, needs="gdu", exact=False)
BFS = Contestant("bfs", ("bfs", "{}", "-printf", "%b\\n"), read_blocks, needs="bfs", exact=False)
BFS_UNIQUE = replace(BFS, name="bfs -unique", command=("bfs", "-unique", *BFS.command[1:]))
SCANDIR_RS = replace(walk("scandir-rs"), needs="scandir_rs", exact=False)
OS_SCANDIR = walk("os.scandir")

# Readers of layers.


def _reader(name: str, which: str, *, yardstick: bool = False) -> Contestant:
    command = (sys.executable, "-P", os.path.join(HERE, "streams.py"), which, "{}")
    return Contestant(name, command, read_inside, inside=True, yardstick=yardstick)


OUR_READER = _reader("layerscan", "layerscan")
BARE = _reader("bare decompressor", "bare", yardstick=True)
HASHED = _reader("bare decompressor, sha256 of both sides", "hashed", yardstick=True)
_LIST = 'for layer in "$1"/layers/*; do tar --list --file "$layer"; done'
TAR = Contestant("tar -t", ("sh", "-ec", _LIST, "sh", "{}"), read_names, needs="zstd")
TARFILE = _reader("tarfile", "tarfile")

# Whole processes.


def program(name: str, *arguments: str, read: Read = read_nothing) -> Contestant:
    """layerscan as one types it."""
    return Contestant(name, (sys.executable, "-m", "layerscan", *arguments), read)


LAYERSCAN_DU = program("layerscan du", "du", "{}", read=read_kib)
_SCAN = ("scan", "-s", "overlay2", "-d", "{}", "-o", "-")
SCAN = program(
    "layerscan scan", *["scan", "-s", "overlay2", "-d", "{}", "-o", "-"], read=read_document
)
_OLD = (sys.executable, "-P", os.path.join(HERE, "replaced.py"), "{}")
REPLACED = Contestant("du twice per layer per image", _OLD, read_document)
_FILES = tuple(f"{name}={{}}/{name}.json" for name in ARCHITECTURES)
MERGE = program("layerscan merge", "merge", *_FILES, read=read_document)
# What the script that layerscan replaces did: it believes whatever it is given.
_PLAIN = """
import json, sys
files = dict(argument.split("=", 1) for argument in sys.argv[1:])
merged = {name: json.load(open(path, encoding="utf-8")) for name, path in files.items()}
json.dump(merged, sys.stdout, indent=2, sort_keys=True)
"""
_PLAIN_MERGE = (sys.executable, "-P", "-c", _PLAIN, *_FILES)
PLAIN_MERGE = Contestant(
    "json module, nothing checked", _PLAIN_MERGE, read_document, yardstick=True
)
VERSION = program("layerscan --version", "--version")
BARE_PYTHON = Contestant(
    "python -c pass", (sys.executable, "-c", "pass"), read_nothing, yardstick=True
)
_PREDICT = ("predict", "oci:{}", "--format", "json")
PREDICT = program("layerscan predict", *_PREDICT, read=read_report)
ONE_AT_A_TIME = replace(
    PREDICT,
    name="layerscan predict, one layer at a time",
    command=(*PREDICT.command, "--threads", "1"),
    yardstick=True,
)
