"""What the benchmarks measure on, and how they run and understand programs."""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import contestants as who
from benchmarks import process
from benchmarks.contestants import Contestant
from benchmarks.corpus import Tree
from benchmarks.layouts import GZIP, ZSTD, Layout
from benchmarks.stores import Documents, Store
from tests.requirements import require

# They run the benchmarks' contestants: who changes neither need not wait for them.
pytestmark = pytest.mark.slow

TREES = [Tree(shape, 1500) for shape in ("wide", "flat", "deep", "linked")]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In the place of pytest's, which a later run removes by recursion: these are deep."""
    root = tempfile.mkdtemp(prefix="layerscan-corpus-")
    try:
        yield Path(root)
    finally:
        subprocess.run(["rm", "-rf", root], check=True)


def found(path: str) -> dict[str, int]:
    """All that is in a folder: lengths of files, by their paths."""
    command = ["find", path, "-mindepth", "1", "-printf", "%P\t%y\t%s\n"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    entries = (line.split("\t") for line in lines)
    return {name: int(size) if kind == "f" else 0 for name, kind, size in entries}


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.shape)
def test_a_tree_is_what_it_says(tree: Tree, tmp_path: Path) -> None:
    made = tree.make(str(tmp_path))
    declared = {path.rstrip("/"): size for path, size in tree.entries()}
    # A second name has the length of the first.
    declared |= {path: declared[path[:-1]] for path in declared if path.endswith("~")}
    assert found(made.path) == declared
    assert made.entries == len(declared) + 1
    assert sum("." in path or "file" in path for path in declared if path[-1] != "~") == 1500


def test_a_tree_is_the_same_anywhere() -> None:
    # A changed generator makes figures incomparable: then give the trees new names.
    digests = [
        hashlib.sha256("".join(f"{path}\0{size}\n" for path, size in tree.entries()).encode())
        for tree in TREES
    ]
    assert [digest.hexdigest()[:12] for digest in digests] == [
        "62d860f0199d",
        "ba8cf606240e",
        "533802d48b07",
        "6ca06c4c9850",
    ]


def test_what_is_whole_is_kept_and_what_is_half_is_made_again(tmp_path: Path) -> None:
    made = TREES[1].make(str(tmp_path))
    before = Path(made.path).stat().st_ino
    assert TREES[1].make(str(tmp_path)) == made
    assert Path(made.path).stat().st_ino == before
    Path(f"{made.path}.made").unlink()
    (Path(made.path) / "new").touch()
    assert TREES[1].make(str(tmp_path)) == made
    assert not (Path(made.path) / "new").exists()


STORE = Store("store", 5, 2, (40, 7), (60, 3))


def test_the_old_way_gives_the_document_that_scan_gives(tmp_path: Path) -> None:
    path = STORE.make(str(tmp_path)).path
    ours = who.SCAN.answer(path)
    assert who.REPLACED.answer(path) == ours
    assert len(ours["document"]["layers"]) == 2 * 2 + 5 * 2


def test_images_without_layers_of_their_own_are_different_images(tmp_path: Path) -> None:
    path = Path(replace(STORE, own_files=()).make(str(tmp_path)).path)
    assert len(list((path / "image/overlay2/imagedb/content/sha256").iterdir())) == 5


def test_documents_are_merged_in_both_ways(tmp_path: Path) -> None:
    path = Documents(20).make(str(tmp_path)).path
    ours = who.MERGE.answer(path)
    assert who.PLAIN_MERGE.answer(path) == ours
    assert [len(one["layers"]) for one in ours["document"].values()] == [20, 20, 20]


@pytest.fixture(scope="module", params=[GZIP, ZSTD])
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    layers = Layout("layout", request.param, (2, 1))
    return layers.make(str(tmp_path_factory.mktemp("layouts"))).path


@pytest.mark.parametrize(
    "reader", [who.BARE, who.HASHED, who.TAR, who.TARFILE, who.PREDICT], ids=lambda one: one.name
)
def test_those_that_read_layers_agree(layout: str, reader: Contestant) -> None:
    require(reader.is_here, f"{reader.needs} is not installed")
    ours, theirs = who.OUR_READER.answer(layout), reader.answer(layout)
    assert theirs == {key: ours[key] for key in theirs}
    assert theirs


def test_layers_are_packed_as_real_ones(layout: str) -> None:
    lengths = json.loads(Path(layout, "tars.json").read_text())
    packed = sum(layer.stat().st_size for layer in Path(layout, "layers").iterdir())
    assert 2 < sum(map(int, lengths)) / packed < 4


# Running and reading.


def test_the_stopwatch_tells_time_memory_and_output() -> None:
    done = process.run(["sh", "-c", "sleep 0.05; echo said"])
    assert done.output == b"said\n"
    assert 0.05 <= done.seconds < 5
    # Not that of this Python, which started it.
    assert 100_000 < done.peak < 8 << 20


def test_the_stopwatch_counts_the_memory_of_the_program() -> None:
    hungry = "x = bytearray(64 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1"
    assert process.run([sys.executable, "-c", hungry]).peak > 64 << 20


@pytest.mark.parametrize("command", [["false"], ["/no/such/program"], ["sh", "-c", "kill -9 $$"]])
def test_a_program_that_fails_is_no_result(command: list[str]) -> None:
    with pytest.raises(process.FailedError):
        process.run(command)


def test_what_python_is_told_by_this_process_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    ask = "import sys; print(sys.dont_write_bytecode)"
    assert process.run([sys.executable, "-c", ask]).output == b"False\n"


NCDU = b"""[1,2,{"progname":"ncdu","progver":"1.18","timestamp":1},
[{"name":"/t","asize":4096,"dsize":4096,"dev":1},
[{"name":"a","asize":4096,"dsize":4096},
{"name":"q\\"}{","asize":10,"dsize":4096,"ino":7,"hlnkc":true,"nlink":2}],
{"name":"again","asize":10,"dsize":4096,"ino":7,"hlnkc":true,"nlink":2},
{"name":"empty"}]]
"""


@pytest.mark.parametrize(
    ("read", "output", "usage"),
    [
        (who.read_kib, b"12156\t/some/wide 1\n", 12_447_744),
        (who.read_bytes, b" 12447744 wide-20000-1\n", 12_447_744),
        (who.read_bytes, b"12447300 wide-20000-1\n", 12_447_744),
        (who.read_blocks, b"8\n0\n9\n", 9216),
        (who.read_ncdu, NCDU, 12_288),
        (who.read_inside, b'{"seconds": 0.1, "usage": 4096}\n', 4096),
    ],
)
def test_outputs_are_understood(read: who.Read, output: bytes, usage: int) -> None:
    assert read(output) == {"usage": usage}


def test_no_number_is_no_answer() -> None:
    with pytest.raises(process.FailedError):
        who.read_bytes(b"nothing\n")


def test_what_is_not_here_is_not_run() -> None:
    assert not replace(who.DU, needs="no-such-program").is_here
    assert replace(who.DU, needs="pytest").is_here


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.shape)
@pytest.mark.parametrize(
    "walk", [who.DU, who.OS_SCANDIR, who.BARE_LOOP, who.FILE_TABLE], ids=lambda one: one.name
)
def test_those_that_must_agree_do(tree: Tree, walk: Contestant, tmp_path: Path) -> None:
    path = tree.make(str(tmp_path)).path
    if (walk, tree.shape) == (who.BARE_LOOP, "linked"):
        # It counts each name, as bfs does.
        walk, ours = who.BFS, who.BARE_LOOP
        require(walk.is_here, "bfs is not installed")
        assert walk.answer(path) == ours.answer(path)
    else:
        assert walk.answer(path) == who.OURS.answer(path)
