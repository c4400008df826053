"""This machine as a device: its disks, the blobs in the store root, its engine's layers."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any

import pytest

from layerscan.digest import of_content
from layerscan.errors import DocumentError, LayerscanError
from layerscan.files.mounts import place_of
from layerscan.fit import disks, live
from layerscan.fit.contents import Blob, BlobKind
from layerscan.fit.device import Device, EngineLayers, Volume
from layerscan.prediction.filesystems.names import FileSystemShape
from layerscan.stores import open_store
from tests.builders.bounds_case import refused_if
from tests.builders.fit_apps import Layer
from tests.builders.overlay2 import StoreBuilder, blob_digest
from tests.builders.tree import File
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from pathlib import Path

A, B = (Layer(name).digest for name in "ab")


def here(tmp_path: Path, *, is_exact: bool = False) -> Device:
    roots = str(tmp_path / "store"), str(tmp_path / "docker")
    return live.this_device(*roots, is_exact=is_exact)


def test_disk_is_what_statvfs_says(tmp_path: Path) -> None:
    device = here(tmp_path)
    found = os.statvfs(tmp_path)
    assert device.store.block_size == found.f_bsize
    assert device.store.blocks == found.f_blocks
    assert device.store is device.docker
    assert device.store_parent == device.docker_parent == device.store_root
    mount_point = device.store_root
    assert os.path.ismount(mount_point)
    assert str(tmp_path).startswith(mount_point)


def test_folders_that_are_missing_are_told(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    device = here(tmp_path)
    assert device.notes == (
        f"{tmp_path}/store: there is no such folder yet; its disk is that of {tmp_path}",
    )


def test_file_system_that_counts_in_other_units_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "store").mkdir()
    real = os.statvfs(tmp_path)
    # As ZFS has it: f_bsize, f_frsize, and the rest.
    odd = os.statvfs_result((131_072, 512, *real[2:], *real[10:11]))
    monkeypatch.setattr(os, "statvfs", lambda _: odd)
    device = here(tmp_path)
    assert device.store.block_size == 131_072
    assert [
        "units of 512 bytes, but clients multiply with its block size of 131072" in note
        for note in device.notes
    ] == [True, True]


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("")
    with pytest.raises(LayerscanError, match="docker: is not a folder"):
        here(tmp_path)


def test_disk_that_cannot_be_asked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(os, "statvfs", gone)
    with pytest.raises(LayerscanError) as raised:
        here(tmp_path)
    assert str(raised.value) == f"{tmp_path}: Input/output error"


@pytest.mark.parametrize("given", ["no number", None])
def test_reserve_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    kind = place_of(str(tmp_path)).mount.kind
    require(kind == "ext4", f"{tmp_path} is not on ext4")

    def reserve(name: str, mode: str = "r", **more: str) -> IO[Any]:
        if not name.endswith("/reserved_clusters"):
            return open(name, mode, **more)  # type: ignore[call-overload, no-any-return]
        if given is None:
            raise PermissionError(errno.EACCES, "Permission denied")
        return io.StringIO(given)

    monkeypatch.setattr(disks, "open", reserve, raising=False)
    with pytest.raises(LayerscanError, match="/reserved_clusters: cannot be read: ") as raised:
        here(tmp_path)
    assert str(raised.value).startswith("/sys/fs/ext4/")


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256"])
def test_store_whose_blobs_are_no_folder_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "store" / name
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(LayerscanError) as raised:
        here(tmp_path)
    assert str(raised.value) == f"{tmp_path}/store/blobs/sha256: Not a directory"


def test_volumes_are_told_apart(tmp_path: Path) -> None:
    shared = "/dev/shm"
    apart = os.path.isdir(shared) and os.stat(shared).st_dev != os.stat(tmp_path).st_dev
    require(apart, f"{shared} is no file system of its own")
    device = live.this_device(str(tmp_path / "store"), "/dev/shm/docker", is_exact=False)
    assert device.docker_root == "/dev/shm"
    assert device.docker_parent == "/dev/shm" != device.store_parent
    mounted = live.this_device(str(tmp_path / "store"), "/dev/shm", is_exact=False)
    assert mounted.docker_root == "/dev/shm" != mounted.docker_parent


def disk(identity: str, fsid: int, point: str = "/m") -> disks.Disk:
    return disks.Disk(identity, fsid, point, Volume(4096, fsid, 0, 0), ())


@pytest.mark.parametrize(
    ("found", "names"),
    [
        # The two roots and the folders above them, then others.
        ([disk("1", 1)] * 4, ["/m", "/m", "/m", "/m"]),
        (
            [disk("1", 1), disk("2", 2), disk("3", 3), disk("4", 4), disk("2", 2)],
            ["/m", "/m (2)", "/m (3)", "/m (4)", "/m (2)"],
        ),
        (
            [disk("1", 1, "/a\tb"), disk("2", 2), disk("2", 2), disk("1", 1, "/a\tb")],
            ["/a\\tb", "/m", "/m", "/a\\tb"],
        ),
        # To clients the folders above are on one volume, or are not.
        (
            [disk("1", 1), disk("2", 2), disk("3", 9), disk("4", 9)],
            ["/m", "/m (2)", *["/m (3)"] * 2],
        ),
        ([disk("1", 1), disk("1", 1), disk("1", 1), disk("1", 2)], ["/m", "/m", "/m", "/m (2)"]),
    ],
)
def test_volumes_are_called_by_their_mount_points(
    found: list[disks.Disk], names: list[str]
) -> None:
    volumes, given = live._named(found)
    assert given == names
    assert all(volumes[name].block_size == 4096 for name in names)
    assert volumes[names[0]] == found[0].volume


def test_blobs_are_listed_with_their_lengths(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    (folder / A.removeprefix("sha256:")).write_bytes(b"seventeen letters")
    (folder / "stray").write_bytes(b"")
    (folder / B.removeprefix("sha256:")).symlink_to("/nowhere")
    device = here(tmp_path)
    assert set(device.blobs) == {A, B}
    assert device.has_blob(A, 17)
    assert not device.has_blob(A, 18)
    # By its name it is there, for the client that looks at nothing else.
    assert device.has_name(B)
    assert not device.has_blob(B, 0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_blobs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(live, "_MOST_BLOBS", 2)
    for name in "abc"[:number]:
        store_blob(tmp_path, Layer(name).digest, b"")
    folder = f"{tmp_path}/store/blobs/sha256"
    with refused_if(number > 2, DocumentError, f"^{folder}: has more than 2 blobs$"):
        assert len(here(tmp_path).blobs) == number


def ingest(tmp_path: Path, name: str, reference: bytes, data: bytes | None) -> None:
    folder = tmp_path / "store" / "ingest" / sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "ref").write_bytes(reference)
    if data is not None:
        (folder / "data").write_bytes(data)


def test_blobs_fetched_in_part_are_found(tmp_path: Path) -> None:
    ingest(tmp_path, "a", f"registry.example/fleet/web@{A}".encode(), b"12345")
    ingest(tmp_path, "b", f"registry.example/fleet/web@{B}".encode(), None)
    ingest(tmp_path, "c", b"\xff", b"1")
    (tmp_path / "store" / "ingest" / "stray").write_bytes(b"")
    assert here(tmp_path).partial == {f"registry.example/fleet/web@{A}": 5}
    folder = tmp_path / "store" / "blobs" / "sha256"
    folder.mkdir(parents=True)
    (folder / A.removeprefix("sha256:")).write_bytes(b"12345")
    assert here(tmp_path).partial == {}


def test_reference_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    ingest(tmp_path, "a", b"x" * 5000, b"1")
    with pytest.raises(LayerscanError, match="is longer than 4096 bytes"):
        here(tmp_path)


def test_engine_is_read_through_its_store(tmp_path: Path) -> None:
    store = StoreBuilder(tmp_path / "docker")
    layer = store.layer(None, File("a", size=10))
    image = store.image([layer], names=["x:1"], pushed={"docker.io/library/x": None})
    device = here(tmp_path, is_exact=True)
    assert device.engine == EngineLayers(
        "overlay2",
        keeps_blobs=False,
        chain_ids=frozenset([layer.chain_id]),
        digests=frozenset([blob_digest(layer.diff_id)]),
        image_ids=frozenset([image]),
    )
    assert here(tmp_path).engine is None


@pytest.mark.root
def test_layers_on_a_disk_of_their_own(tmp_path: Path) -> None:
    require_root()
    root = tmp_path / "docker"
    (root / "overlay2").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", root / "overlay2"], check=True)
    try:
        StoreBuilder(root).layer(None, File("a", size=10))
        device = here(tmp_path, is_exact=True)
        assert device.layers_root == str(root / "overlay2")
        assert device.layers.file_system == FileSystemShape("tmpfs", {})
        assert here(tmp_path).layers_root is None
    finally:
        subprocess.run(["umount", root / "overlay2"], check=True)
    assert here(tmp_path, is_exact=True).layers_root is None


def test_store_that_the_engine_does_not_use_has_no_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StoreBuilder(tmp_path / "docker")
    store.image([store.layer(None, File("a", size=10))], names=["x:1"])
    opened = open_store(root=str(tmp_path / "docker"))
    opened.unused = "it is switched off"
    monkeypatch.setattr(live, "open_store", lambda **_: opened)
    device = here(tmp_path, is_exact=True)
    nothing = frozenset[str]()
    assert device.engine == EngineLayers("overlay2", False, nothing, nothing, nothing)  # noqa: FBT003
    told = f"{tmp_path}/docker: it is switched off: its layers count as missing"
    assert told in device.notes
    assert device.layers_root is None


def test_layers_that_cannot_be_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StoreBuilder(tmp_path / "docker").layer(None, File("a", size=10))
    opened = open_store(root=str(tmp_path / "docker"))
    monkeypatch.setattr(live, "open_store", lambda **_: opened)
    before = here(tmp_path, is_exact=True).notes
    monkeypatch.setattr(opened, "images", list)
    monkeypatch.setattr(opened, "problems", ("a layer: is damaged",), raising=False)
    after = here(tmp_path, is_exact=True).notes
    assert after[len(before) :] == ("a layer: is damaged: what cannot be read counts as missing",)


def test_engine_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    device = here(tmp_path, is_exact=True)
    assert device.engine is None
    assert "what the engine has is not known" in device.notes[-1]


@pytest.mark.root
def test_ext4_withholds_blocks(tmp_path: Path) -> None:
    require_root()
    from tests.conftest import require_programs
    from tests.engines import loop

    require_programs(*loop.PROGRAMS)
    with loop.ext4(str(tmp_path / "disk"), 64 << 20, "-b", "4096", "-m", "0") as disk:
        device = live.this_device(f"{disk}/store", f"{disk}/docker", is_exact=False)
        found = os.statvfs(disk)
        assert device.store.withheld_blocks == found.f_bfree - found.f_bavail > 0
        assert device.store_root == disk


# What is in blobs.

CONTENT = b"seventeen letters"


def store_blob(tmp_path: Path, digest: str, content: bytes) -> None:
    folder = tmp_path / "store" / "blobs" / digest.partition(":")[0]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / digest.partition(":")[2]).write_bytes(content)


@pytest.mark.parametrize(
    ("content", "quick", "hashed"),
    [
        (CONTENT, True, True),
        # One that is rotten has the right length; one with more at its end begins right.
        (b"seventeen bitters", True, False),
        (CONTENT + b"!", False, True),
        (CONTENT[:-1], False, False),
        (b"", False, False),
    ],
)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_blobs_are_read_as_composectl_does(
    tmp_path: Path, algorithm: str, content: bytes, *, quick: bool, hashed: bool
) -> None:
    digest = of_content(CONTENT, f"{algorithm}:")
    store_blob(tmp_path, digest, content)
    blob = Blob(digest, len(CONTENT), BlobKind.LAYER)
    device = here(tmp_path)
    assert device.has_blob(digest, len(CONTENT)) == quick
    read = live.with_hashed_blobs(device, str(tmp_path / "store"), [blob])
    assert read.has_blob(digest, len(CONTENT)) == hashed
    # It is there by its name, and is fetched anew, whole.
    assert read.has_name(digest)
    assert read._replace(partial={digest: 3}).fetched(digest, "") == 0


def test_blobs_that_are_not_there_are_not_read(tmp_path: Path) -> None:
    blobs = [Blob(A, 5, BlobKind.LAYER), Blob("no/../digest", 5, BlobKind.LAYER)]
    device = here(tmp_path)._replace(blobs={A: 5})
    assert live.with_hashed_blobs(device, str(tmp_path / "store"), blobs) == device


def test_blob_that_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_blob(tmp_path, A, b"1")

    def broken(_name: str, *_how: str, **_more: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(live, "open", broken, raising=False)
    with pytest.raises(LayerscanError, match="Input/output error"):
        live.with_hashed_blobs(
            here(tmp_path), str(tmp_path / "store"), [Blob(A, 1, BlobKind.LAYER)]
        )


def test_symlink_to_a_blob_is_one(tmp_path: Path) -> None:
    digest = of_content(CONTENT, "sha256:")
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    store_blob(tmp_path, A, b"")
    folder = tmp_path / "store" / "blobs" / "sha256"
    (folder / digest.removeprefix("sha256:")).symlink_to(tmp_path / "elsewhere")
    device = here(tmp_path)
    assert device.has_blob(digest, len(CONTENT))
    blob = Blob(digest, len(CONTENT), BlobKind.LAYER)
    read = live.with_hashed_blobs(device, str(tmp_path / "store"), [blob])
    assert read.has_blob(digest, len(CONTENT))
