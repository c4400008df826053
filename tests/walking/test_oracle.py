"""The compiled walk held against the one in plain Python and against GNU du."""

import os
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from layerscan import Usage, walk, walk_many
from tests.builders.tree import Dir, Fifo, File, Link, Op, Sparse, Symlink, apply
from tests.builders.user import as_nobody
from tests.builders.walk_case import (
    DOTTED,
    EVERYTHING,
    LONGEST_NAMES,
    descriptors_limited,
    du,
    in_python,
)
from tests.cli_runner import open_to_all
from tests.requirements import require_root

NAMES = st.sampled_from(DOTTED + LONGEST_NAMES) | st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@st.composite
def trees(draw: st.DrawFn) -> list[Op]:
    """A tree of any shape, hard links across its folders included."""
    folders = [b""]
    files: list[bytes] = []
    taken = {b""}
    ops: list[Op] = []
    for _ in range(draw(st.integers(0, 40))):
        folder = draw(st.sampled_from(folders))
        path = folder + draw(NAMES)
        if path in taken:
            continue
        taken.add(path)
        kind = draw(st.sampled_from(["folder", "file", "link", "symlink", "sparse", "fifo"]))
        if kind == "folder":
            ops.append(Dir(path))
            folders.append(path + b"/")
        elif kind == "link" and files:
            ops.append(Link(path, draw(st.sampled_from(files))))
        elif kind == "symlink":
            ops.append(Symlink(path, draw(st.sampled_from([b".", b"/", b"..", b"x" * 100]))))
        elif kind == "sparse":
            ops.append(Sparse(path, draw(st.integers(0, 1 << 40)), ((8192, b"data"),)))
            files.append(path)
        elif kind == "fifo":
            ops.append(Fifo(path))
        else:
            ops.append(File(path, size=draw(st.integers(0, 20_000))))
            files.append(path)
    return ops


@pytest.mark.slow
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ops=trees(), child=NAMES)
@example(ops=list(EVERYTHING), child=b"diff")
def test_all_walks_agree_with_each_other_and_with_du(
    ops: list[Op], child: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    apply(root, *ops)
    top = [os.fsencode(op.path) for op in ops if b"/" not in os.fsencode(op.path)]
    child = top[0] if top else child
    with in_python():
        expected = walk(root, child=child)
    for threads in (1, 2, 32):
        assert walk(root, child=child, threads=threads) == expected
    with descriptors_limited(64):
        assert walk(root, child=child, threads=32) == expected
    assert expected.usage == du(root) * 1024
    assert expected.usage == walk_many([root, root])[1].usage


CLOSED = [0o755, 0o000, 0o311, 0o744, 0o711]


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ops=trees(), modes=st.lists(st.sampled_from(CLOSED), min_size=41, max_size=41))
def test_all_walks_agree_for_a_user_who_may_not_read_everything(
    ops: list[Op], modes: list[int]
) -> None:
    require_root()
    with open_to_all() as root:
        closed = zip(ops, modes, strict=False)
        apply(root, *(Dir(op.path, mode) if isinstance(op, Dir) else op for op, mode in closed))

        def every_walk() -> tuple[list[Usage], Usage, bytes]:
            compiled = [walk(root, threads=threads) for threads in (1, 32)]
            with in_python():
                expected = walk(root)
            du = subprocess.run(["du", "-skx", root], check=False, capture_output=True)
            return compiled, expected, du.stdout

        compiled, expected, told = as_nobody(every_walk)
    assert compiled == [expected, expected]
    assert expected.usage == int(told.split()[0]) * 1024
    assert expected.error_count == len(expected.errors)


@pytest.mark.slow
def test_a_real_tree_with_any_number_of_threads() -> None:
    root = os.path.dirname(os.__file__)
    with in_python():
        expected = walk(root)
    assert expected.entries > 1000
    assert expected.usage == du(root) * 1024
    for threads in (1, 2, 3, 32, 200):
        assert walk(root, threads=threads) == expected
