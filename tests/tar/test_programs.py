"""The tar scanner over what real programs write, held against unpacking it with GNU tar."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.builders.tar_case import fault, same, scan
from tests.builders.tree import Device, Dir, Fifo, File, Link, Sparse, Symlink, apply
from tests.conftest import require_programs
from tests.engines import podman as podman_engine
from tests.oracles.tar import found, shape
from tests.requirements import require_root

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.engine]

DEEP = "/".join([f"folder-{depth:02}" for depth in range(30)])
TREE = (
    File("plain", size=1234),
    File("empty"),
    File("block", size=512),
    File("big", size=3_000_001),
    Link("hard", "plain"),
    Link("a-first-name", "hard"),
    Symlink("short", "plain"),
    Symlink("long", "target/" * 30),
    Symlink("exact", "t" * 100),
    File("n" * 99, size=1),
    File("n" * 100, size=2),
    File("n" * 101, size=3),
    File("n" * 255, size=4),
    File("p" * 80 + "/" + "q" * 80 + "/" + "r" * 90, size=5),
    File(f"{DEEP}/leaf", size=6),
    File(b"not-utf8-\xff\xfe", size=7),
    File("öäü/✓", size=8),
    File("new\nline", size=9),
    Dir("empty-folder"),
    Dir("d" * 120),
    Fifo("fifo"),
    Device("null"),
    Device("loop", 7, 0, block=True),
    Sparse("sparse", 5_000_000, ((4096, b"x" * 100), (2_000_000, b"y" * 5000))),
    Sparse("hole", 1 << 20),
    Sparse("pieces", 1 << 22, tuple((place << 16, b"z") for place in range(60))),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with something of everything."""
    require_root()
    root = tmp_path_factory.mktemp("tree")
    apply(root, *TREE)
    os.setxattr(root / "plain", "user.note", b"of a user")
    os.setxattr(root / "empty-folder", "trusted.note", b"v" * 300)
    os.setxattr(root / "short", "security.note", b"1", follow_symlinks=False)
    return root


def check(data: bytes, folder: Path) -> None:
    """Hold the scanned tree against the one that GNU tar makes."""
    folder.mkdir()
    command = ["tar", "--extract", "--xattrs", "--xattrs-include=*", "--numeric-owner"]
    subprocess.run([*command, "-C", folder], input=data, check=True, capture_output=True)
    got = scan(data)
    assert shape(got) == found(os.fsencode(folder))
    assert same(got, scan(data, seed=len(data)))
    assert got.size > 0


def written(command: list[str], tree: Path) -> bytes:
    """What a tar program writes of the tree; it may leave out what its format cannot hold."""
    done = subprocess.run([*command, "-C", tree, "."], check=False, capture_output=True)
    assert done.returncode <= 2, done.stderr
    return done.stdout


GNU_TAR = [
    ("v7",),
    ("oldgnu",),
    ("gnu",),
    ("ustar",),
    ("posix",),
    ("posix", "--sparse", "--sparse-version=0.0"),
    ("posix", "--sparse", "--sparse-version=0.1"),
    ("posix", "--sparse", "--sparse-version=1.0"),
    ("posix", "--xattrs", "--xattrs-include=*"),
    ("gnu", "--sort=name", "--blocking-factor=1"),
]


@pytest.mark.parametrize("options", GNU_TAR, ids=" ".join)
def test_gnu_tar(options: tuple[str, ...], tree: Path, tmp_path: Path) -> None:
    command = ["tar", "--create", "--format", *options, "--file=-"]
    check(written(command, tree), tmp_path / "out")


@pytest.mark.parametrize("options", ["gnu", "oldgnu"])
def test_old_sparse_files_of_gnu_tar_are_refused_as_engines_do(options: str, tree: Path) -> None:
    command = ["tar", "--create", "--format", options, "--sparse", "--file=-"]
    assert "a sparse file of GNU's old format, which no engine" in fault(written(command, tree))


@pytest.mark.parametrize("options", ["ustar", "pax", "gnutar", "v7", "pax --xattrs"])
def test_bsdtar(options: str, tree: Path, tmp_path: Path) -> None:
    require_programs("bsdtar")
    # Without holes: as sparse files it writes formats that GNU tar reads, and more.
    form, *more = options.split()
    command = ["bsdtar", "--create", "--format", form, *more, "--no-read-sparse", "--file=-"]
    check(written(command, tree), tmp_path / "out")


def test_sparse_files_of_bsdtar(tree: Path, tmp_path: Path) -> None:
    require_programs("bsdtar")
    command = ["bsdtar", "--create", "--format", "pax", "--file=-"]
    check(written(command, tree), tmp_path / "out")


@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=str
)
def test_tarfile(form: int, tree: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for path in sorted(tree.rglob("*")):
            name = os.fsdecode(os.path.relpath(path, tree))
            try:
                archive.add(path, name, recursive=False)
            except ValueError:
                # USTAR has no room for some names.
                assert form == tarfile.USTAR_FORMAT
    check(out.getvalue(), tmp_path / "out")


def test_tarfile_with_a_size_in_base_256(tmp_path: Path) -> None:
    info = tarfile.TarInfo("file")
    info.mtime = -5
    info.uid = 1 << 30
    info.size = 100
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(512)
    check(data, tmp_path / "out")


def test_buildah(tmp_path: Path) -> None:
    """Layers that Go writes."""
    require_root()
    require_programs(*podman_engine.PROGRAMS)
    context = tmp_path / "context"
    context.mkdir()
    apply(context, *(op for op in TREE if not isinstance(op, Device | Fifo)))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    layout = tmp_path / "layout"
    with podman_engine.Podman() as podman:
        podman.build(os.fspath(context), "odd:1")
        podman.buildah("push", "odd:1", f"oci:{layout}:odd")
    index = json.loads((layout / "index.json").read_bytes())
    manifest = json.loads(blob(layout, index["manifests"][0]["digest"]))
    (layer,) = manifest["layers"]
    packed = blob(layout, layer["digest"])
    plain = subprocess.run(["gzip", "-dc"], input=packed, check=True, capture_output=True).stdout
    check(plain, tmp_path / "out")


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()
