"""Makes a small overlay2 store to try layerscan on: ``python -m tests.builders.sample DIR``.

Several images on one base with whiteouts, hard links and an opaque folder, in
two repositories, one image never pushed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence

from tests.builders import tree
from tests.builders.overlay2 import BuiltLayer, StoreBuilder
from tests.builders.tree import Dir, File, Link, Opaque, Sparse, Symlink, Whiteout


class Sample:
    """The sample store: what is in it.

    Args:
        root: folder of the store.
        allowed: whether an operation can be done by this user here; what can't
            is left out of the layers.
    """

    def __init__(self, root: str, allowed: Callable[[tree.Op], bool]) -> None:
        self.store = StoreBuilder(root)
        self.allowed = allowed
        self.steps: dict[str, str] = {}

    def layer(self, step: str, parent: BuiltLayer | None, *ops: tree.Op) -> BuiltLayer:
        layer = self.store.layer(parent, *filter(self.allowed, ops))
        self.steps[layer.chain_id] = step
        return layer

    def image(
        self,
        *layers: BuiltLayer,
        names: Sequence[str] = (),
        pushed: Mapping[str, None] | None = None,
    ) -> None:
        history = [{"created_by": self.steps[layer.chain_id]} for layer in layers]
        self.store.image(layers, names=names, pushed=pushed, extra={"history": history})

    def build(self) -> None:
        base = self.layer(
            "/bin/sh -c #(nop) ADD rootfs.tar.xz in / ",
            None,
            File("bin/busybox", size=900_000, seed=1, mode=0o755),
            *(Link(f"bin/{name}", "bin/busybox") for name in ("sh", "ls", "cat", "cp")),
            *tree.many("usr/share/zoneinfo", 600, size=700, seed=2),
            *tree.many("usr/lib", 120, size=9_000, seed=3),
            Symlink("lib", "usr/lib"),
            File("etc/os-release", b"ID=sample\n"),
            Dir("tmp", 0o1777),
        )
        python = self.layer(
            "/bin/sh -c apk add python3",
            base,
            *tree.many("usr/lib/python3", 900, size=3_000, seed=4),
            Link("usr/lib/python3/again", "usr/lib/python3/f00000"),
            File("usr/bin/python3", size=2_000_000, seed=5, mode=0o755),
        )
        app = self.layer(
            "/bin/sh -c #(nop) COPY dir:app in /opt/app ",
            python,
            *tree.many("opt/app/static", 300, size=5_000, seed=6),
            Whiteout("usr/share/zoneinfo/f00001"),
            Opaque("etc/app"),
            File("etc/app/app.conf", b"threads = 2\n"),
        )
        beta = self.layer(
            "COPY beta /opt/app # buildkit", app, File("opt/app/beta", size=150_000, seed=7)
        )
        table = Sparse("var/lib/data.img", 50_000_000, ((4096, b"data"),))
        data = self.layer("RUN /bin/sh -c mkdata /var/lib/data.img # buildkit", base, table)
        here = "registry.example.com/fleet"
        self.image(base, names=["base:1"], pushed={"docker.io/library/base": None})
        self.image(
            *(base, python, app),
            names=[f"{here}/app:1", f"{here}/app:latest", "acme/app:1"],
            pushed={f"{here}/app": None, "docker.io/acme/app": None},
        )
        self.image(base, python, app, beta, names=["app:beta"])
        self.image(base, data, names=[f"{here}/db:7"], pushed={f"{here}/db": None})
        self.image(base, python)


def possible(folder: str) -> Callable[[tree.Op], bool]:
    """What this user can put on the file system of `folder`, found by trying."""
    refused: list[type[tree.Op]] = []
    with tempfile.TemporaryDirectory(dir=folder) as trial:
        for op, name in (
            (Whiteout("w"), "deleted paths (device nodes)"),
            (Opaque("o"), "opaque folders (trusted attributes)"),
        ):
            try:
                tree.apply(trial, op)
            except OSError as error:
                refused.append(type(op))
                print(f"sample store: left out {name}: {error.strerror}", file=sys.stderr)
    return lambda op: not isinstance(op, tuple(refused))


def main(argv: Sequence[str] | None = None) -> int:
    """Make the sample store. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.builders.sample", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="where the store goes; made, must be empty")
    folder = parser.parse_args(argv).folder
    try:
        os.makedirs(folder, exist_ok=True)
        if os.listdir(folder):
            print(f"{folder} is not empty", file=sys.stderr)
            return 2
        Sample(folder, possible(folder)).build()
    except OSError as error:
        print(f"cannot make a sample store: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
