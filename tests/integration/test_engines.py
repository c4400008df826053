"""The engines of the tests themselves: what is built really arrives in the store."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.builders.tree import (
    Device,
    Dir,
    Fifo,
    Link,
    Op,
    Opaque,
    Symlink,
    Whiteout,
    docker_size,
    with_parents,
)
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.docker import Docker
from tests.engines.engine import Daemon, EngineError
from tests.engines.images import (
    DEEP,
    DEEP_PATH,
    FLAT_ENTRIES,
    ODDITIES,
    Image,
    leaves,
    oddities,
    siblings,
    tower,
    write_context,
)
from tests.requirements import require, require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

PATH_MAX = 4096
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Folder:
    """Looks into a folder step by step, so paths may be longer than PATH_MAX."""

    def __init__(self, root: str) -> None:
        self._root = root

    def _parent(self, path: str | bytes) -> tuple[int, bytes]:
        *parents, name = os.fsencode(path).split(b"/")
        at = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        for part in parents:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return at, name

    def lstat(self, path: str | bytes) -> os.stat_result:
        at, name = self._parent(path)
        try:
            return os.stat(name, dir_fd=at, follow_symlinks=False)
        finally:
            os.close(at)

    def readlink(self, path: str | bytes) -> bytes:
        at, name = self._parent(path)
        try:
            return os.readlink(name, dir_fd=at)
        finally:
            os.close(at)

    def assert_holds(self, op: Op) -> None:
        """`op` is on disk as declared."""
        found = self.lstat(op.path)
        if isinstance(op, Link):
            assert os.path.samestat(found, self.lstat(op.to))
            return
        kind = stat.S_IFMT(found.st_mode)
        length = 0 if kind == stat.S_IFDIR else found.st_size
        assert (kind, length, found.st_rdev) == declared(op)
        if hasattr(op, "mode"):
            assert stat.S_IMODE(found.st_mode) == op.mode
        if isinstance(op, Symlink):
            assert self.readlink(op.path) == os.fsencode(op.to)
        if isinstance(op, Opaque):
            path = os.path.join(os.fsencode(self._root), os.fsencode(op.path))
            assert os.getxattr(path, op.xattr) == b"y"


def declared(op: Op) -> tuple[int, int, int]:
    """File type, length (0 for a folder) and device number."""
    match op:
        case Dir() | Opaque():
            return stat.S_IFDIR, 0, 0
        case Symlink():
            return stat.S_IFLNK, docker_size([op]), 0
        case Fifo():
            return stat.S_IFIFO, 0, 0
        case Whiteout():
            return stat.S_IFCHR, 0, 0
        case Device():
            kind = stat.S_IFBLK if op.block else stat.S_IFCHR
            return kind, 0, os.makedev(op.major, op.minor)
        case _:
            return stat.S_IFREG, docker_size([op]), 0


@pytest.fixture(scope="module")
def odd_image(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Name of the image with all oddities, pushed."""
    context = write_context(oddities(base_image), tmp_path_factory.mktemp("odd") / "context")
    name = f"{registry.address}/odd/all:1"
    docker.build(context, name)
    docker.push(name)
    return name


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """A second engine, its data root on a fresh ext4."""
    require_root()
    require_programs(*loop.PROGRAMS)
    mount = tmp_path_factory.mktemp("device") / "disk"
    with loop.ext4(str(mount), 1 << 30) as disk, Docker(os.path.join(disk, "docker")) as engine:
        yield engine


def contents(docker: Docker, image: str) -> list[Folder]:
    return [Folder(os.path.join(folder, "diff")) for folder in docker.layer_folders(image)]


def manifest(registry: Registry, name: str) -> dict[str, list[dict[str, object]]]:
    repository, tag = name.removeprefix(registry.address + "/").rsplit(":", 1)
    body = registry.get(f"{repository}/manifests/{tag}", accept=MANIFEST)
    found: dict[str, list[dict[str, object]]] = json.loads(body)
    return found


def test_engine_uses_overlay2(docker: Docker) -> None:
    assert docker.run("info", "--format", "{{.Driver}}") == "overlay2"
    assert docker.run("info", "--format", "{{.DockerRootDir}}") == docker.data_root


@pytest.mark.parametrize("oddity", ODDITIES)
def test_oddity_is_in_the_layer_that_was_built(docker: Docker, odd_image: str, oddity: str) -> None:
    layers = contents(docker, odd_image)[-len(ODDITIES) :]
    layer = dict(zip(ODDITIES, layers, strict=True))[oddity]
    for op in with_parents(leaves(ODDITIES[oddity])):
        layer.assert_holds(op)


@pytest.mark.parametrize("oddity", ODDITIES)
def test_oddity_survives_push_and_pull(device: Docker, odd_image: str, oddity: str) -> None:
    device.pull(odd_image)
    layers = contents(device, odd_image)[-len(ODDITIES) :]
    layer = dict(zip(ODDITIES, layers, strict=True))[oddity]
    for op in with_parents(leaves(ODDITIES[oddity])):
        layer.assert_holds(op)


def test_flat_folder_holds_nothing_else(docker: Docker, odd_image: str) -> None:
    folder = docker.layer_folders(odd_image)[-len(ODDITIES) + list(ODDITIES).index("flat")]
    assert len(os.listdir(os.path.join(folder, "diff", "flat"))) == FLAT_ENTRIES


def test_registry_keeps_every_layer(docker: Docker, registry: Registry, odd_image: str) -> None:
    layers = manifest(registry, odd_image)["layers"]
    assert len(layers) == len(docker.layer_folders(odd_image))
    for layer in layers:
        digest = str(layer["digest"])
        algorithm, name = digest.split(":")
        blob = f"docker/registry/v2/blobs/{algorithm}/{name[:2]}/{name}/data"
        assert os.path.getsize(os.path.join(registry.root, blob)) == layer["size"]


def test_path_longer_than_path_max(
    docker: Docker, registry: Registry, base_image: str, tmp_path: Path
) -> None:
    name = f"{registry.address}/odd/deep:1"
    context = write_context(Image("deep", (DEEP,), base_image), tmp_path / "context")
    docker.build(context, name, buildkit=True)
    docker.push(name)
    folder = os.path.join(docker.layer_folders(name)[-1], "diff")
    for op in with_parents(leaves(DEEP)):
        Folder(folder).assert_holds(op)
    assert len(os.path.relpath(folder, docker.data_root)) + 1 + len(DEEP_PATH) > PATH_MAX


def test_siblings_share_all_but_their_own_layer(
    docker: Docker, base_image: str, tmp_path: Path
) -> None:
    left, right = siblings("left", "right", base=base_image)
    for image in (left, right):
        docker.build(write_context(image, tmp_path / image.name), f"{image.name}:1")
    on_the_left, on_the_right = docker.layer_folders("left:1"), docker.layer_folders("right:1")
    assert on_the_left[:-1] == on_the_right[:-1]
    assert on_the_left[:-2] == docker.layer_folders(base_image)
    assert on_the_left[-1] != on_the_right[-1]


def test_tower_has_a_layer_for_each_floor(docker: Docker, base_image: str, tmp_path: Path) -> None:
    docker.build(write_context(tower(40, base=base_image), tmp_path / "context"), "tower:1")
    assert len(docker.layer_folders("tower:1")) == 40 + len(docker.layer_folders(base_image))


def test_names_are_added_and_removed(docker: Docker, base_image: str) -> None:
    docker.tag(base_image, "other/name:2")
    assert docker.image_id("other/name:2") == docker.image_id(base_image)
    docker.rmi("other/name:2")
    with pytest.raises(EngineError, match="No such image"):
        docker.image_id("other/name:2")


def test_buildkit_keeps_a_file_sparse(docker: Docker, base_image: str, tmp_path: Path) -> None:
    image = Image("sparse", (ODDITIES["sparse"],), base_image)
    context = write_context(image, tmp_path / "context")
    blocks = {}
    for buildkit in (False, True):
        docker.build(context, "sparse:1", buildkit=buildkit)
        found = contents(docker, "sparse:1")[-1].lstat("sparse/hole")
        blocks[buildkit] = found.st_blocks * 512
    assert blocks[False] > found.st_size
    assert blocks[True] < 1 << 20


def test_used_bytes_sees_what_is_written(tmp_path: Path) -> None:
    require_root()
    require_programs(*loop.PROGRAMS)
    disk = str(tmp_path / "disk")
    with loop.ext4(disk, 64 << 20, "-b", "4096") as mounted:
        before = loop.used_bytes(mounted)
        with open(os.path.join(mounted, "file"), "wb") as file:
            file.write(bytes(10_000))
        assert loop.used_bytes(mounted) - before == 3 * 4096
        number = os.stat(mounted).st_dev
        backing = f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/loop/backing_file"
        with open(backing, encoding="utf-8") as file_of_device:
            image = file_of_device.read().strip()
    assert not os.path.exists(disk)
    assert not os.path.exists(image)
    assert not os.path.exists(backing)


def test_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    require_root()
    with Docker(str(tmp_path / "root")) as engine:
        state = engine.host.removeprefix("unix://").removesuffix("/docker.sock")
        assert os.path.isdir(state)
    engine.stop()
    assert not os.path.exists(state)
    assert os.path.isdir(tmp_path / "root" / "overlay2")
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert not [line for line in mounts if state in line or str(tmp_path) in line]


def test_failing_start_shows_the_log_and_leaves_nothing(tmp_path: Path) -> None:
    require_root()
    unusable = tmp_path / "file"
    unusable.write_bytes(b"")
    before = set(os.listdir("/tmp"))
    with pytest.raises(EngineError, match=r"(?s)dockerd ended with status 1:.*points to a file"):
        Docker(str(unusable)).start()
    left = set(os.listdir("/tmp")) - before
    assert not [name for name in left if name.startswith("lsdocker-")]


def test_daemon_that_is_never_ready(tmp_path: Path) -> None:
    require_programs("setpriv")
    daemon = Daemon(["sh", "-c", "echo waiting; exec sleep 60"], log=str(tmp_path / "log"))
    try:
        with pytest.raises(EngineError, match=r"sh not ready in 0\.5 s:\nwaiting"):
            daemon.wait_until(lambda: False, seconds=0.5)
    finally:
        daemon.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(daemon.pid, 0)


def test_failing_command_says_what_docker_said(docker: Docker) -> None:
    with pytest.raises(EngineError, match=r"docker rmi nothing: exit status 1:\n.*No such image"):
        docker.rmi("nothing")


def test_what_cannot_run_skips_and_under_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    require(condition=True, reason="no reason")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no moon tonight"):
        require(condition=False, reason="no moon tonight")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no moon tonight"):
        require(condition=False, reason="no moon tonight")
