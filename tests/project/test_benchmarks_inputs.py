"""What the benchmarks measure on, and how they run and understand programs."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import peers, process, unpackers
from benchmarks.corpus import MARK, Recipe, digest, listing, listing_digest, make
from benchmarks.layouts import GZIP, ZSTD, Layout, LayoutRecipe, make_layout
from benchmarks.stores import StoreRecipe, make_documents, make_store
from tests.requirements import require

SHAPES = [Recipe(shape, 1500) for shape in ("wide", "flat", "deep", "linked")]


# The corpus.


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In the place of pytest's, which a later run removes by recursion: these are deep."""
    root = tempfile.mkdtemp(prefix="layerscan-corpus-")
    try:
        yield Path(root)
    finally:
        subprocess.run(["rm", "-rf", root], check=True)


@pytest.mark.parametrize("recipe", SHAPES, ids=lambda recipe: recipe.shape)
def test_a_tree_is_what_its_recipe_says(recipe: Recipe, tmp_path: Path) -> None:
    folder = make(recipe, str(tmp_path))
    files = [path for path, _ in listing(folder) if not path.endswith(("/", "~"))]
    assert len(files) == recipe.files
    assert listing_digest(listing(folder)) == listing_digest(
        listing(make(recipe, str(tmp_path / "again")))
    )


def test_a_recipe_gives_the_same_anywhere() -> None:
    # A changed generator makes figures incomparable: then give the trees new names.
    assert [digest(recipe)[:12] for recipe in SHAPES] == [
        "62d860f0199d",
        "ba8cf606240e",
        "533802d48b07",
        "6ca06c4c9850",
    ]
    assert digest(Recipe("wide", 1500, seed=2)) != digest(Recipe("wide", 1500))


def test_a_tree_that_was_changed_is_made_again(tmp_path: Path) -> None:
    folder = Path(make(SHAPES[1], str(tmp_path)))
    (folder / "file-0000007").unlink()
    (folder / "new").touch()
    assert make(SHAPES[1], str(tmp_path)) == str(folder)
    assert not (folder / "new").exists()
    assert (folder / "file-0000007").exists()


def test_a_tree_that_is_whole_is_kept(tmp_path: Path) -> None:
    folder = Path(make(SHAPES[0], str(tmp_path)))
    before = folder.stat().st_ino
    make(SHAPES[0], str(tmp_path))
    assert folder.stat().st_ino == before
    Path(str(folder) + MARK).unlink()
    make(SHAPES[0], str(tmp_path))
    assert Path(str(folder) + MARK).exists()


STORE = StoreRecipe("store", 5, 2, (40, 7), (60, 3))


def test_a_store_is_made_once_and_whole(tmp_path: Path) -> None:
    folder = Path(make_store(STORE, str(tmp_path)))
    inode = folder.stat().st_ino
    assert make_store(STORE, str(tmp_path)) == str(folder)
    assert folder.stat().st_ino == inode
    assert len(list((folder / "image/overlay2/layerdb/sha256").iterdir())) == STORE.layers
    shutil.rmtree(folder / "overlay2/l")
    make_store(STORE, str(tmp_path))
    assert len(list((folder / "overlay2/l").iterdir())) == STORE.layers


def test_images_without_layers_of_their_own_are_different_images(tmp_path: Path) -> None:
    folder = Path(make_store(replace(STORE, own_files=()), str(tmp_path)))
    assert len(list((folder / "image/overlay2/imagedb/content/sha256").iterdir())) == 5


def test_the_old_way_gives_the_document_that_scan_gives(tmp_path: Path) -> None:
    folder = make_store(STORE, str(tmp_path))
    scan = ("-m", "layerscan", "scan", "-s", "overlay2", "-d", folder, "-o", "-")
    ours = process.run([sys.executable, *scan]).output
    old = process.run([sys.executable, "-P", "benchmarks/replaced.py", folder]).output
    assert json.loads(old) == json.loads(ours)
    assert len(json.loads(ours)["layers"]) == STORE.layers


def test_documents_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = make_documents(20, str(tmp_path / "a")), make_documents(20, str(tmp_path / "b"))
    assert list(first) == ["amd64", "arm", "arm64"]
    for one, other in zip(first.values(), second.values(), strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


LAYOUTS = [
    LayoutRecipe(f"layout-{packing}", packing, (300_000, 90_000)) for packing in (GZIP, ZSTD)
]


@pytest.mark.parametrize("recipe", LAYOUTS, ids=lambda recipe: recipe.packing)
def test_a_layout_is_made_once_and_the_same_anywhere(recipe: LayoutRecipe, tmp_path: Path) -> None:
    made = make_layout(recipe, str(tmp_path))
    before = [Path(blob).stat().st_ino for blob in made.blobs]
    assert make_layout(recipe, str(tmp_path)) == made
    assert [Path(blob).stat().st_ino for blob in made.blobs] == before
    assert make_layout(recipe, str(tmp_path / "again")).layers == made.layers
    Path(made.blobs[0]).unlink()
    assert make_layout(recipe, str(tmp_path)) == made
    assert Path(made.blobs[0]).stat().st_size == made.layers[0].packed


def test_layers_are_packed_as_real_ones(tmp_path: Path) -> None:
    for recipe in LAYOUTS:
        (layer, _) = make_layout(replace(recipe, layers=(2_000_000, 1)), str(tmp_path)).layers
        assert 2 < layer.tar / layer.packed < 4


@pytest.fixture(scope="module", params=LAYOUTS, ids=lambda recipe: recipe.packing)
def layout(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Layout, unpackers.Answer]:
    """A layout, and our answer."""
    made = make_layout(request.param, str(tmp_path_factory.mktemp("layouts")))
    answer = unpackers.reader("ours", "layerscan", made, inside=True).run().answer
    assert answer == {
        "diff_ids": [layer.diff_id for layer in made.layers],
        "files": sum(layer.files for layer in made.layers),
        "size": sum(layer.size for layer in made.layers),
    }
    return made, answer


@pytest.mark.parametrize("name", list(unpackers.UNPACKERS))
def test_those_that_read_layers_agree(layout: tuple[Layout, unpackers.Answer], name: str) -> None:
    made, ours = layout
    peer = unpackers.UNPACKERS[name]
    absent = peer.absent(made)
    require(absent is None, str(absent))
    assert peer.on(made, inside=True).run().answer == peer.part(made, ours)


def test_the_report_of_a_prediction_says_the_same(
    layout: tuple[Layout, unpackers.Answer],
) -> None:
    made, ours = layout
    report = ("-m", "layerscan", "predict", f"oci:{made.path}", "--format", "json")
    assert unpackers.read_report(process.run([sys.executable, *report]).output) == ours


def test_a_program_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    layout = Layout("/nowhere", ZSTD, ())
    assert unpackers.UNPACKERS[unpackers.TAR].absent(layout) == "no tar and no zstd on PATH"


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
    ("reader", "output", "expected"),
    [
        (peers.read_kib, b"12156\t/some/wide 1\n", 12_447_744),
        (peers.read_bytes, b" 12447744 wide-20000-1\n", 12_447_744),
        (peers.read_bytes, b"12447744\n", 12_447_744),
        (peers.read_bytes, b"12447744B   \xe2\x94\x8c\xe2\x94\x80\xe2\x94\x80 w\n", 12_447_744),
        (peers.read_bytes, b"12447300 b w\n", 12_447_744),
        (peers.read_blocks, b"8\n0\n9\n", 9216),
        (peers.read_ncdu, NCDU, 12_288),
        (
            peers.read_pdu,
            b'{"unit":"bytes","tree":{"name":"t","size":12447744,"children":[{"size":1}]}}',
            12_447_744,
        ),
        (peers.read_inside, b'{"seconds": 0.1, "usage": 4096, "entries": 3}\n', 4096),
    ],
)
def test_outputs_are_understood(reader: object, output: bytes, expected: int) -> None:
    assert callable(reader)
    assert reader(output) == expected


def test_no_number_is_no_answer() -> None:
    with pytest.raises(process.FailedError):
        peers.read_bytes(b"nothing\n")


def test_what_is_not_here_says_so() -> None:
    program = replace(peers.DU, needs="no-such-program")
    module = replace(peers.OURS, needs="no_such_module")
    assert program.absent == "no no-such-program on PATH"
    assert module.absent == "no Python module no_such_module here"
    assert peers.DU.absent is None


@pytest.mark.parametrize("recipe", SHAPES, ids=lambda recipe: recipe.shape)
@pytest.mark.parametrize("name", ["du -sk", "os.scandir", "bare loop in C"])
def test_those_that_must_agree_do(recipe: Recipe, name: str, tmp_path: Path) -> None:
    path = make(recipe, str(tmp_path))
    ours = peers.OURS.on(path).run()
    assert peers.WALKERS[name].on(path).run().answer == ours.answer
    assert ours.entries == sum(1 for _ in listing(path)) + 1
