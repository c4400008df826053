"""Folders that lie below themselves: by a mount, and on a FUSE file system."""

import ctypes
import errno
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerscan import walk
from tests.builders.tree import Dir, File, apply
from tests.builders.walk_case import in_python
from tests.requirements import require, require_root


def _du(*paths: Path) -> list[int]:
    """What `du` says of `paths`, in KiB."""
    done = subprocess.run(["du", "-sk", *paths], check=True, capture_output=True)
    return [int(line.split()[0]) for line in done.stdout.splitlines()]


@contextmanager
def _bound(source: Path, point: Path) -> Iterator[None]:
    require_root()
    subprocess.run(["mount", "--bind", source, point], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    apply(tmp_path, File("a/f", size=70_000), Dir("a/b/c"), Dir("beside"))
    return tmp_path


@pytest.mark.parametrize("above", [".", "a", "a/b"])
def test_a_folder_bound_below_itself_counts_once(tree: Path, above: str) -> None:
    before = walk(tree, child="a")
    with _bound(tree / above, tree / "a/b/c"):
        found = walk(tree, child="a")
        assert _du(tree) == [found.usage // 1024]
        with in_python():
            assert walk(tree, child="a") == found
        # The folder on which it is mounted is hidden.
        assert found.directories == before.directories - 1
        assert found.duplicates == 1
        assert found.child
        assert found.child.duplicates == 1


def test_a_folder_bound_beside_itself_counts_twice_as_du_does(tree: Path) -> None:
    before = walk(tree)
    with _bound(tree / "a", tree / "beside"):
        found = walk(tree)
        assert _du(tree) == [found.usage // 1024]
        assert walk(tree, one_file_system=False) == found
    assert (found.files, found.duplicates) == (2 * before.files, 0)


# fuse(4): what the kernel asks for, and the forms of the answers.
_LOOKUP, _GETATTR, _INIT, _OPENDIR, _READDIR, _RELEASEDIR = 1, 3, 26, 27, 28, 29
_UNANSWERED = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET
_ASKED = struct.Struct("=4xIQQ24xQ")
_ATTRIBUTES = struct.Struct("=6Q10I")
_FOLDER, _BLOCKS = 0o40755, 8


class _Endless:
    """A FUSE file system of folders with an ``again`` in each; `length` of them are a cycle."""

    def __init__(self, length: int) -> None:
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        self.length = length
        self.server = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self.fd, 1 << 17)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                raise
            opcode, unique, node, offset = struct.unpack_from(
                "=4xIQQ24xQ", request.ljust(64, b"\0")
            )
            if opcode not in _UNANSWERED:
                answer = self._answers(node, offset).get(opcode)
                fault = -errno.ENOSYS if answer is None else 0
                body = answer or b""
                os.write(self.fd, struct.pack("=IiQ", 16 + len(body), fault, unique) + body)

    def _answers(self, node: int, offset: int) -> dict[int, bytes]:
        return {
            _INIT: struct.pack("=4I2HI", 7, 19, 0, 0, 0, 0, 1 << 16),
            _LOOKUP: struct.pack("=4Q2I", node + 1, 0, 0, 0, 0, 0) + self._attributes(node + 1),
            _GETATTR: struct.pack("=Q2I", 0, 0, 0) + self._attributes(node),
            _OPENDIR: bytes(16),
            _READDIR: b"" if offset else struct.pack("=2Q2I8s", 1, 1, 5, 4, b"again"),
            _RELEASEDIR: b"",
        }

    def _attributes(self, node: int) -> bytes:
        inode = 1 + (node - 1) % self.length
        return _ATTRIBUTES.pack(
            inode, 0, _BLOCKS, 0, 0, 0, 0, 0, 0, _FOLDER, 2, 0, 0, 0, 4096, 0
        )  # fmt: skip

    @contextmanager
    def mounted(self, point: Path) -> Iterator[None]:
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        mount = ctypes.CDLL(None, use_errno=True).mount
        assert mount(b"test", os.fsencode(point), b"fuse", 0, options) == 0, ctypes.get_errno()
        self.server.start()
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", point], check=True)
            self.server.join()
            os.close(self.fd)


# At most 2,048 folders above are looked at.
@pytest.mark.parametrize("length", [1, 2, 40, 2048])
def test_a_folder_that_contains_itself_ends(tmp_path: Path, length: int) -> None:
    require_root()
    require(os.access("/dev/fuse", os.R_OK | os.W_OK), "there is no /dev/fuse")
    with _Endless(length).mounted(tmp_path):
        # The walk takes what the kernel has in its cache, which of a root is nothing at first.
        tmp_path.stat()
        found = walk(tmp_path)
        assert _du(tmp_path) == [found.usage // 1024]
    assert (found.directories, found.duplicates, found.errors) == (length, 1, ())
    assert found.blocks == length * _BLOCKS
