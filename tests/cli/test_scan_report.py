"""The reports of a scan: the table for people, the same facts as JSON."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.builders.overlay2 import StoreBuilder, blob_digest
from tests.builders.tree import Dir, Fifo, File, Symlink
from tests.cli_runner import PROGRAM, Fleet, environment, expected_usage, read_terminal, run


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.build(tmp_path_factory.mktemp("fleet") / "docker")


def test_table_says_what_the_json_says(fleet: Fleet) -> None:
    table = run("scan", "-d", fleet.store.root).text
    report = json.loads(run("scan", "-d", fleet.store.root, "--format", "json").out)
    images, layers, totals = (part.splitlines() for part in table.split("\n\n"))
    figures = ["SIZE", "USAGE", "SHARED", "OWN", "LAYERS"]
    assert images[0].split() == [*figures, "CREATED", "ARCH", "IMAGE"]
    figures = ["SIZE", "USAGE", "FILES", "IMAGES"]
    assert layers[0].split() == [*figures, "LAYER", "DIGEST", "IMAGE", "STEP"]
    assert len(images) - 1 == len(report["images"]) == 3
    for line, one in zip(images[1:], report["images"], strict=True):
        assert line.split("  ")[-1].split()[0] in one["names"]
        assert human(one, "usage") in line
        assert human(one, "own") in line
        assert one["usage"] == one["shared"] + one["own"]
    for line, one in zip(layers[1:], report["layers"], strict=True):
        digests = [digest.removeprefix("sha256:")[:12] for digest in one["digests"]]
        cells = line.removesuffix("RUN true").split()
        chain = one["chain_id"].removeprefix("sha256:")[:12]
        figures = [f"{one['files']:,}", str(one["images"])]
        assert cells[4:-1] == [*figures, chain, *(digests or ["none"])]
        assert human(one, "size") in line
    for part in (report["images"], report["layers"]):
        assert [one["usage"] for one in part] == sorted((o["usage"] for o in part), reverse=True)
    line, beside = totals
    assert re.fullmatch(r"\+ [0-9.]+ KiB not in these images: 'layerscan df'", beside)
    assert line == (
        f"3 images, 4 layers, 25 files: size {human(report['totals'], 'size')}, usage "
        f"{human(report['totals'], 'usage')} (docker accounting) in overlay2 store "
        f"{fleet.store.root}"
    )


def human(figures: dict[str, int], key: str) -> str:
    count = figures[key]
    return f"{count} B" if count < 1024 else f"{count / 1024:.1f} KiB"


def cells(line: str) -> list[str]:
    return re.split("  +", line.strip())


def test_every_cell_is_what_the_json_says(fleet: Fleet) -> None:
    table = run("scan", "-d", fleet.store.root).text
    report = json.loads(run("scan", "-d", fleet.store.root, "--format", "json").out)
    images, layers, _ = (part.splitlines() for part in table.split("\n\n"))
    # Each name by tag that was pushed has one by digest beside it.
    shown = {4: "acme/web:7 (+3)", 2: "nginx:1.25 (+1)", 1: "draft:latest"}
    for line, one in zip(images[1:], report["images"], strict=True):
        figures = [human(one, key) for key in ("size", "usage", "shared", "own")]
        texts = [one["created"][:10], one["architecture"], shown[len(one["names"])]]
        assert cells(line) == [*figures, str(len(one["layers"])), *texts]
    # The first by its label of the images that have it.
    owners = {
        fleet.base.chain_id: "acme/web:7",
        fleet.web.chain_id: "acme/web:7",
        fleet.db.chain_id: "nginx:1.25",
        fleet.draft.chain_id: "draft:latest",
    }
    for line, one in zip(layers[1:], report["layers"], strict=True):
        assert cells(line)[:2] == [human(one, "size"), human(one, "usage")]
        assert cells(line)[-2:] == [owners[one["chain_id"]], "RUN true"]


def test_every_kind_of_file_counts_and_one_of_each_is_told_as_one(tmp_path: Path) -> None:
    built = StoreBuilder(tmp_path)
    plain = built.layer(None, Dir("d"), File("d/a"))
    built.image([plain], names=["one:1"], extra={"variant": "v8"})
    shown = run("scan", "-d", built.root).text.splitlines()
    assert cells(shown[1])[-2:] == ["amd64/v8", "one:1"]
    assert shown[-2].startswith("1 image, 1 layer, 1 file: size 0 B, usage ")
    odd = built.layer(None, Dir("d"), File("d/b"), Symlink("e", "d"), Fifo("f"), Fifo("g"))
    built.image([odd], names=["two:1"])
    result = run("scan", "-d", built.root, "--format", "json")
    assert sorted(one["files"] for one in json.loads(result.out)["layers"]) == [1, 4]
    *_, last, _ = run("scan", "-d", built.root).text.splitlines()
    assert last.startswith("2 images, 2 layers, 5 files: ")


def test_json_report_in_full(fleet: Fleet) -> None:
    result = run("scan", "-d", fleet.store.root, "--format", "json")
    report = json.loads(result.out)
    assert report["store"] == {"kind": "overlay2", "root": fleet.store.root}
    block_size = os.statvfs(fleet.store.root).f_bsize
    assert (report["accounting"], report["fs_block_size"]) == ("docker", block_size)
    usage = {
        layer.chain_id: expected_usage(fleet.store, layer)
        for layer in (fleet.base, fleet.web, fleet.db, fleet.draft)
    }
    assert {one["chain_id"]: one["usage"] for one in report["layers"]} == usage
    (base,) = (one for one in report["layers"] if one["chain_id"] == fleet.base.chain_id)
    assert base == {
        "chain_id": fleet.base.chain_id,
        "diff_id": fleet.base.diff_id,
        "digests": [blob_digest(fleet.base.diff_id)],
        "size": fleet.base.size,
        "usage": usage[fleet.base.chain_id],
        "files": 22,
        "images": 3,
        "step": "RUN true",
    }
    web = next(one for one in report["images"] if "acme/web:7" in one["names"])
    assert web["layers"] == [fleet.base.chain_id, fleet.web.chain_id]
    assert web["shared"] == web["usage"] == sum(usage[chain] for chain in web["layers"])
    assert (web["own"], web["architecture"], web["os"], web["variant"]) == (0, "amd64", "linux", "")
    assert report["totals"] == {
        "images": 3,
        "layers": 4,
        "files": 25,
        "size": sum(one["size"] for one in report["layers"]),
        "usage": sum(usage.values()),
    }
    assert [f"layerscan: warning: {text}" for text in report["warnings"]] == result.lines[1:]
    assert report["problems"] == []


@pytest.mark.parametrize("arguments", [["--format", "table"], ["--format", "json"]])
def test_report_beside_the_file(fleet: Fleet, tmp_path: Path, arguments: list[str]) -> None:
    command = ["scan", "-d", fleet.store.root]
    beside, alone = run(*command, "-o", tmp_path / "out", *arguments), run(*command, *arguments)
    assert (beside.out, beside.status) == (alone.out, alone.status)
    # What the document lacks is told with it.
    assert beside.lines == [*alone.lines, fleet.never_pushed]
    assert (tmp_path / "out").read_bytes() == run(*command, "-o", "-").out


def test_long_names_are_never_cut(tmp_path: Path) -> None:
    built = StoreBuilder(tmp_path)
    name = f"registry.example.com:5000/{'a' * 100}/{'b' * 120}:{'c' * 128}"
    built.image([built.layer(None, File("x", size=1 << 20))], names=[name])
    lines = run("scan", "-d", built.root).text.splitlines()
    assert " ".join(lines[1].split()) == f"1.0 MiB 1.0 MiB 0 B 1.0 MiB 1 2024-01-02 amd64 {name}"
    assert lines[4].endswith(f"  {name}  RUN true")


def on_terminal(fleet: Fleet, columns: int, **more: str) -> str:
    """What a scan writes to a terminal that is its stdout."""
    command = [sys.executable, *PROGRAM, "-d", fleet.store.root]
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, columns))
    with subprocess.Popen(
        command, stdout=end, stderr=subprocess.DEVNULL, env=environment(**more)
    ) as process:
        os.close(end)
        shown = read_terminal(terminal).decode().replace("\r\n", "\n")
    assert process.returncode == 0
    return shown


def test_on_a_wide_terminal_only_the_headings_differ(fleet: Fleet) -> None:
    plain = run("scan", "-d", fleet.store.root, env={"FORCE_COLOR": "1"}).text
    assert "\x1b" not in plain
    # A terminal that does not know its width has 0 columns.
    for columns in (200, 0):
        shown = on_terminal(fleet, columns)
        assert re.sub(r"\x1b\[[0-9]*m", "", shown) == plain
        bold = re.findall(r"^\x1b\[1m(.*)\x1b\[0m$", shown, re.MULTILINE)
        assert [line.split()[0] for line in bold] == ["SIZE", "SIZE"]
        assert shown.count("\x1b") == 4


def test_without_colour_or_on_a_dumb_terminal_it_is_plain_text(fleet: Fleet) -> None:
    plain = run("scan", "-d", fleet.store.root).text
    assert on_terminal(fleet, 200, NO_COLOR="1") == plain
    assert on_terminal(fleet, 40, TERM="dumb") == plain


def test_on_a_narrow_terminal_only_names_are_shortened(tmp_path: Path) -> None:
    built = Fleet.build(tmp_path / "docker")
    host, tag = "registry.example.com:5000/fleet/", ":release-2024.05.17"
    built.store.image([built.base], names=[f"{host}player{tag}"])
    plain = run("scan", "-d", built.store.root).text
    shown = on_terminal(built, 80, NO_COLOR="1")
    heads, *lines = shown.splitlines()[:5]
    # What is not needed goes first, and then the middle of names.
    assert heads.split() == ["SIZE", "USAGE", "SHARED", "OWN", "ARCH", "IMAGE"]
    (whole,) = (one.split()[-1] for one in plain.splitlines()[:5] if f"player{tag}" in one)
    (cut,) = (line for line in lines if "…" in line)
    start, end = cut.split()[-1].split("…")
    assert len(cut) == 80
    assert whole.startswith(start)
    assert whole.endswith(end)
    assert (host[:8] in start, end[-10:]) == (True, tag[-10:])


def test_a_report_of_80_columns_does_not_wrap(fleet: Fleet) -> None:
    shown = on_terminal(fleet, 80, NO_COLOR="1")
    assert max(map(len, shown.split("\n\n")[0].splitlines())) <= 80
    assert max(map(len, shown.split("\n\n")[1].splitlines())) <= 80
