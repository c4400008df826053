"""Images for the engines to build, declared: each step is one layer.

Owns what goes into the tests' images and what each layer's folder must hold
afterwards, in the operations of `tests.builders.tree`. It starts nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.builders.tree import (
    Device,
    Dir,
    Fifo,
    File,
    Link,
    Op,
    Opaque,
    Sparse,
    Symlink,
    Whiteout,
    many,
    tar_stream,
)
from tests.engines.kept import kept

if TYPE_CHECKING:
    from collections.abc import Iterable

BUSYBOX = "/bin/busybox"
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Add:
    """A layer that is unpacked from a tar of `ops`."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A layer made by a shell `script`; `leaves` is what its folder then holds."""

    script: str
    leaves: tuple[Op, ...] = ()


@dataclass(frozen=True, slots=True)
class Busybox:
    """The layer of a base image: the static busybox of this machine, as a shell too."""


Step = Add | Run | Busybox


@dataclass(frozen=True, slots=True)
class Image:
    """One image: `steps` on top of the image `base`, or on nothing."""

    name: str
    steps: tuple[Step, ...]
    base: str | None = None


def run(script: str, *leaves: Op) -> Run:
    return Run(script, leaves)


def add(*ops: Op) -> Add:
    return Add(ops)


BASE = Image("base", (Busybox(), run("busybox --install -s /bin", Symlink("bin/rm", BUSYBOX))))
"""What all others stand on."""


def siblings(*names: str, base: str) -> list[Image]:
    """Images that share `base` and one layer above it, each with a layer of its own."""
    shared = add(*many("shared", 50, size=3000, seed=1))
    return [
        Image(name, (shared, add(File(f"own/{name}", size=10_000, seed=number))), base)
        for number, name in enumerate(names)
    ]


def tower(floors: int, *, base: str) -> Image:
    """An image of many small layers. Docker takes up to 125, `base`'s included."""
    return Image(
        f"tower{floors}",
        tuple(add(File(f"floor{number}", size=number, seed=number)) for number in range(floors)),
        base,
    )


HARD_LINKS = run(
    f"mkdir /links /elsewhere && head -c {3 * MEBIBYTE} /dev/zero > /links/a"
    " && for n in 0 1 2 3 4 5 6 7 8; do ln /links/a /links/also$n; done"
    " && ln /links/a /elsewhere/too",
    File("links/a", bytes(3 * MEBIBYTE)),
    *(Link(f"links/also{number}", "links/a") for number in range(9)),
    Link("elsewhere/too", "links/a"),
)

# Only BuildKit keeps it sparse: the classic builder, and a pull, write the zeros out.
SPARSE = run(
    "mkdir /sparse && truncate -s 64M /sparse/hole && printf end >> /sparse/hole",
    Sparse("sparse/hole", 64 * MEBIBYTE + 3, ((64 * MEBIBYTE, b"end"),)),
)

DOOMED = add(File("doomed/file", size=5000), *many("doomed/folder", 20, size=100))
WHITEOUTS = run(
    "rm -r /doomed/file /doomed/folder", Whiteout("doomed/file"), Whiteout("doomed/folder")
)

OLD = add(*many("replaced", 20, size=100, seed=3))
OPAQUE = run(
    "rm -r /replaced && mkdir /replaced && echo new > /replaced/new",
    Opaque("replaced"),
    File("replaced/new", b"new\n"),
)

FLAT_ENTRIES = 12_000
FLAT = add(*many("flat", FLAT_ENTRIES, size=10, seed=4))

NAMES = add(
    File(b"names/new\nline", b"1"),
    File(b"names/invalid \xff\xfe utf-8", b"22"),
    File(b"names/-rf", b"333"),
    File(b"names/" + b"n" * 255, b"4444"),
    File("names/ünïcödé ☃".encode(), b"55555"),
    File(b"names/ \\ \t'\"$(x) ", b"666666"),
    Dir(b"-folder\n\xff"),
    Symlink(b"names/link\n", b"\xff nowhere\n"),
)

DEEP_LEVELS = 16
DEEP_PATH = "/".join(f"{level:02d}{'d' * 252}" for level in range(DEEP_LEVELS)) + "/bottom"
DEEP = add(File(DEEP_PATH, b"deep\n"))
"""A path as long as a container may have: from the store's root, longer than PATH_MAX.

Only BuildKit keeps it, in the layer's folder. A push succeeds, but what is
pushed lacks the file: the engine cannot open it for the layer's tar. The
classic builder loses its end silently, ``docker import`` and pull refuse it.
"""

SPECIAL = add(
    Fifo("special/fifo"),
    Device("special/null", 1, 3, mode=0o666),
    Device("special/loop", 7, 0, block=True, mode=0o660),
)

LOCKED = add(
    File("locked/file", size=5000, seed=5, mode=0), Dir("locked/in", 0), File("locked/in/x", b"x")
)

ODDITIES: dict[str, Add | Run] = {
    "hard links": HARD_LINKS,
    "sparse": SPARSE,
    "doomed": DOOMED,
    "whiteouts": WHITEOUTS,
    "old": OLD,
    "opaque": OPAQUE,
    "flat": FLAT,
    "names": NAMES,
    "special": SPECIAL,
    "locked": LOCKED,
}
"""Layers, bottom up, each with something that a scanner may stumble over."""


def oddities(base: str) -> Image:
    """All of `ODDITIES` in one image."""
    return Image("oddities", tuple(ODDITIES.values()), base)


def leaves(step: Add | Run) -> tuple[Op, ...]:
    """What the folder of the layer that `step` makes must hold."""
    return step.ops if isinstance(step, Add) else step.leaves


def write_context(image: Image, folder: str | os.PathLike[str]) -> str:
    """Make the new folder `folder` the build context of `image`; returns it."""
    context = os.fspath(folder)
    os.makedirs(context)
    lines = [f"FROM {image.base or 'scratch'}"]
    for number, step in enumerate(image.steps):
        match step:
            case Add():
                name = f"{number:03d}.tar"
                write_tar(step.ops, os.path.join(context, name))
                lines.append(f"ADD {name} /")
            case Run():
                lines.append(f"RUN {step.script}")
            case Busybox():
                # One COPY is one layer, so both names arrive in one folder.
                os.mkdir(os.path.join(context, "bin"))
                shutil.copy(BUSYBOX, os.path.join(context, "bin", "busybox"))
                shutil.copy(BUSYBOX, os.path.join(context, "bin", "sh"))
                lines.append("COPY bin /bin")
    with open(os.path.join(context, "Dockerfile"), "w", encoding="utf-8") as dockerfile:
        dockerfile.write("\n".join(lines) + "\n")
    return context


def write_tar(ops: Iterable[Op], path: str | os.PathLike[str]) -> str:
    """Make the file `path` a tar of `ops`, for ``docker import``; returns it."""
    with open(path, "wb") as tar:
        tar.writelines(tar_stream(ops))
    return os.fspath(path)


def debian_tar() -> str:
    """Path of a tar of a minimal Debian bookworm, about 200 MB, for ``docker import``.

    Made once, which needs Debian's archive and half a minute.
    """

    def make(tar: str) -> None:
        with tempfile.TemporaryDirectory(dir=os.path.dirname(tar)) as root:
            for argv in (
                ["debootstrap", "--variant=minbase", "bookworm", root],
                ["tar", "-C", root, "--numeric-owner", "-cf", tar, "."],
            ):
                subprocess.run(argv, check=True, capture_output=True)

    return kept("bookworm-minbase.tar", make)
