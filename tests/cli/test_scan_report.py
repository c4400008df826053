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
from tests.builders.tree import File
from tests.cli_runner import PROGRAM, Fleet, environment, expected_usage, read_terminal, run


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet.build(tmp_path_factory.mktemp("fleet") / "docker")


def test_table_says_what_the_json_says(fleet: Fleet) -> None:
    table = run("scan", "-d", fleet.store.root).text
    report = json.loads(run("scan", "-d", fleet.store.root, "--format", "json").out)
    images, layers, totals = (part.splitlines() for part in table.split("\n\n"))
    assert images[0].split() == ["IMAGE", "ARCH", "LAYERS", "SIZE", "USAGE", "SHARED", "OWN"]
    assert layers[0].split() == ["LAYER", "DIGEST", "IMAGE", "SIZE", "USAGE", "FILES", "IMAGES"]
    assert len(images) - 1 == len(report["images"]) == 3
    for line, one in zip(images[1:], report["images"], strict=True):
        assert line.split()[0] in one["names"]
        assert human(one, "usage") in line
        assert human(one, "own") in line
        assert one["usage"] == one["shared"] + one["own"]
    for line, one in zip(layers[1:], report["layers"], strict=True):
        digests = [digest.removeprefix("sha256:")[:12] for digest in one["digests"]]
        cells = line.split()
        assert cells[:2] == [one["chain_id"].removeprefix("sha256:")[:12], *(digests or ["none"])]
        assert cells[-2:] == [f"{one['files']:,}", str(one["images"])]
        assert human(one, "size") in line
    for part in (report["images"], report["layers"]):
        assert [one["usage"] for one in part] == sorted((o["usage"] for o in part), reverse=True)
    (line,) = totals
    assert line == (
        f"3 images, 4 layers, 25 files: size {human(report['totals'], 'size')}, usage "
        f"{human(report['totals'], 'usage')} (docker accounting) in overlay2 store "
        f"{fleet.store.root}"
    )


def human(figures: dict[str, int], key: str) -> str:
    count = figures[key]
    return f"{count} B" if count < 1024 else f"{count / 1024:.1f} KiB"


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
    assert run(*command, "-o", tmp_path / "out", *arguments) == run(*command, *arguments)
    assert (tmp_path / "out").read_bytes() == run(*command, "-o", "-").out


def test_long_names_are_never_cut(tmp_path: Path) -> None:
    built = StoreBuilder(tmp_path)
    name = f"registry.example.com:5000/{'a' * 100}/{'b' * 120}:{'c' * 128}"
    built.image([built.layer(None, File("x", size=1 << 20))], names=[name])
    lines = run("scan", "-d", built.root).text.splitlines()
    assert lines[1].split() == [
        name,
        "amd64",
        "1",
        "1.0",
        "MiB",
        "1.0",
        "MiB",
        "0",
        "B",
        "1.0",
        "MiB",
    ]
    assert name in lines[4]


def test_on_a_narrow_terminal_nothing_is_cut_and_only_headers_are_bold(fleet: Fleet) -> None:
    command = [sys.executable, *PROGRAM, "-d", fleet.store.root]
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 40))
    with subprocess.Popen(
        command, stdout=end, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        os.close(end)
        shown = read_terminal(terminal).decode().replace("\r\n", "\n")
    assert process.returncode == 0
    plain = run("scan", "-d", fleet.store.root, env={"FORCE_COLOR": "1"}).text
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9]*m", "", shown) == plain
    assert set(re.findall(r"\x1b\[[^m]*m", shown)) == {"\x1b[0m", "\x1b[1m"}
