"""``layerscan predict`` as a user runs it: what it prints, what it writes, what it ends with."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from layerscan import layersmeta
from layerscan.cli.tables import human
from tests.builders import tree
from tests.builders.compose_apps import put
from tests.builders.images import Image, Index, Layer
from tests.builders.predict_case import BASE, TOP
from tests.builders.registry_faults import Silent
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import (
    PROGRAM,
    Result,
    environment,
    error,
    interruptible,
    read_terminal,
    run_here,
    warning,
)

base, top = Layer.of(*BASE), Layer.of(*TOP)
arm = Layer.of(tree.File("arm", size=100))


@pytest.fixture
def image(open_registry: OpenRegistry) -> str:
    """The source of an image of two layers."""
    Image.of(base, top).put(open_registry, "acme/web:7")
    return f"docker://{open_registry.address}/acme/web:7"


@pytest.fixture
def index(open_registry: OpenRegistry) -> str:
    """The source of one for two architectures."""
    Index.of({"amd64": [base, top], "arm/v7": [arm, top]}).put(open_registry, "acme/many:7")
    return f"docker://{open_registry.address}/acme/many:7"


def validate(raw: bytes, name: str) -> Any:  # noqa: ANN401 - JSON
    schema = resources.files("layerscan").joinpath("schemas", f"{name}.schema.json").read_text()
    document = json.loads(raw)
    Draft202012Validator(json.loads(schema)).validate(document)
    return document


# The report.


def test_table_says_what_the_json_says(image: str, index: str) -> None:
    table = run_here("predict", image, index)
    report = json.loads(run_here("predict", image, index, "--format", "json").out)
    assert (table.status, table.lines) == (0, [])
    images, layers, (totals,) = (part.splitlines() for part in table.text.split("\n\n"))
    assert images[0].split() == ["SIZE", "USAGE", "SHARED", "OWN", "LAYERS", "ARCH", "IMAGE"]
    assert re.split("  +", layers[0]) == [
        *("ARCHIVE SIZE", "SIZE", "USAGE", "FILES", "IMAGES", "DIGEST", "IMAGE")
    ]
    for line, one in zip(images[1:], report["images"], strict=True):
        name = line.split("  ")[-1].split()[0]
        assert name == one["names"][0]
        platform = f"{one['architecture']}/{one['variant']}".rstrip("/")
        assert re.split("  +", line)[-3:-1] == ["2", platform]
        assert one["usage"] == one["shared"] + one["own"]
    for line, one in zip(layers[1:], report["layers"], strict=True):
        digest = one["digests"][0].removeprefix("sha256:")[:12]
        assert line.split()[-4:-1] == [str(one["files"]), str(one["images"]), digest]
        figures = [human(one[key]) for key in ("archive_size", "size", "usage")]
        assert re.split("  +", line.strip())[:3] == figures
    assert totals.startswith("2 images, 4 layers, ")
    assert totals.endswith(
        "(docker accounting) predicted for ext4,block=4096,inode=256, overlay2 store"
    )


def test_json_report_in_full(image: str, index: str) -> None:
    report = json.loads(run_here("predict", image, index, "--format", "json").out)
    assert list(report) == [
        *("store", "file_system", "accounting", "fs_block_size"),
        *("images", "layers", "totals", "warnings"),
    ]
    assert report["store"] == {"kind": "overlay2"}
    assert report["file_system"] == "ext4,block=4096,inode=256"
    assert report["accounting"] == "docker"
    assert (report["fs_block_size"], report["warnings"]) == (4096, [])
    # The image is also in the index: it is one image of two names.
    both = next(one for one in report["images"] if one["architecture"] == "amd64")
    assert both["names"] == [index.removeprefix("docker://"), image.removeprefix("docker://")]
    (shared,) = (one for one in report["layers"] if one["digests"] == [base.digest])
    assert list(shared) == [
        *("chain_id", "diff_id", "digests", "archive_size", "size", "usage", "files", "images")
    ]
    assert (shared["archive_size"], shared["size"]) == (len(base.blob), tree.docker_size(BASE))
    assert (shared["diff_id"], shared["files"], shared["images"]) == (base.diff_id, 22, 1)
    assert report["totals"] == {
        "images": 2,
        "layers": 4,
        "files": sum(one["files"] for one in report["layers"]),
        "size": sum(one["size"] for one in report["layers"]),
        "usage": sum(one["usage"] for one in report["layers"]),
    }


# The document.


def test_document_of_one_architecture(image: str, tmp_path: Path) -> None:
    done = run_here("predict", image, "-o", tmp_path / "meta.json")
    assert (done.status, done.out, done.lines) == (0, b"", [])
    raw = (tmp_path / "meta.json").read_bytes()
    document = validate(raw, "layers-meta")
    assert set(document["layers"]) == {base.digest, top.digest}
    assert document["layers"][base.digest]["archive_size"] == len(base.blob)
    assert run_here("predict", image, "-o", "-").out == raw
    assert layersmeta.dumps(layersmeta.loads(raw, "meta.json")) == raw


@pytest.mark.parametrize(
    ("options", "architectures"),
    [
        ([], ["amd64", "arm"]),
        (["--arch", "arm,amd64"], ["amd64", "arm"]),
        (["--arch", "arm", "--by-arch"], ["arm"]),
    ],
)
def test_document_of_several(index: str, options: list[str], architectures: list[str]) -> None:
    done = run_here("predict", index, *options, "-o", "-")
    assert (done.status, done.lines) == (0, [])
    assert list(validate(done.out, "layers-meta-by-arch")) == architectures


def test_document_of_several_with_images_of_one(image: str) -> None:
    done = run_here("predict", image, "--arch", "amd64,arm", "-o", "-")
    assert (done.status, done.lines) == (0, [warning(f"{image}: has no image for arm")])
    assert list(validate(done.out, "layers-meta-by-arch")) == ["amd64"]


def test_of_one_of_them(index: str) -> None:
    document = validate(run_here("predict", index, "--arch", "arm", "-o", "-").out, "layers-meta")
    assert set(document["layers"]) == {arm.digest, top.digest}


def test_merge_takes_it(index: str, tmp_path: Path) -> None:
    for name in ("arm", "amd64"):
        run_here("predict", index, "--arch", name, "-o", tmp_path / name)
    merged = run_here("merge", f"arm={tmp_path / 'arm'}", f"amd64={tmp_path / 'amd64'}").out
    assert merged == run_here("predict", index, "-o", "-").out


def test_report_beside_the_file(image: str, tmp_path: Path) -> None:
    done = run_here("predict", image, "-o", tmp_path / "out", "--format", "table")
    assert done == run_here("predict", image)
    assert (tmp_path / "out").read_bytes() == run_here("predict", image, "-o", "-").out


@pytest.mark.parametrize(
    ("options", "block_size"),
    [
        (["--block-size", "1024"], 1024),
        (["--fs", "ext4,block=1024"], 1024),
        (["--fs", "ext4,cluster=65536"], 4096),
        (["--fs", "xfs", "--accounting", "exact"], 4096),
        (["--fs", "btrfs", "-s", "containerd"], 4096),
        (["--fs", "f2fs", "--store", "containers-storage"], 4096),
    ],
)
def test_for_another_device(image: str, options: list[str], block_size: int) -> None:
    done = run_here("predict", image, *options, "-o", "-")
    assert done.lines == []
    document = validate(done.out, "layers-meta")
    usual = json.loads(run_here("predict", image, "-o", "-").out)
    assert document["fs_block_size"] == block_size
    report = json.loads(run_here("predict", image, *options, "--format", "json").out)
    assert document["file_system"] == report["file_system"]
    for digest, layer in document["layers"].items():
        assert layer["size"] == usual["layers"][digest]["size"]
        assert layer["usage"] != usual["layers"][digest]["usage"]


# Apps, and a cache.


def test_images_of_apps(open_registry: OpenRegistry, image: str, tmp_path: Path) -> None:
    Image.of(top).put(open_registry, "acme/web:8")
    name = image.removeprefix("docker://").removesuffix(":7")
    services = "services:\n  a:\n    image: {0}:7\n  b:\n    image: {0}\n  c: {{image: '{0}$X'}}\n"
    put(tmp_path, {"shop/docker-compose.yml": services.format(name)})
    tagged = ("--tag", "8", "--factory-registry", open_registry.address)
    done = run_here("predict", "-a", tmp_path, *tagged, "-o", "-")
    assert done.lines == [
        warning("App shop, service c: the image's name uses variables that are not set: X")
    ]
    assert set(json.loads(done.out)["layers"]) == {top.digest}
    both = run_here("predict", "-a", tmp_path, *tagged, image, "-o", "-")
    assert set(json.loads(both.out)["layers"]) == {base.digest, top.digest}
    missing = run_here("predict", "-a", tmp_path, "-o", tmp_path / "out")
    assert missing.status == 2
    assert "acme/web:latest" in missing.lines[-1]
    assert not (tmp_path / "out").exists()


def test_cache(open_registry: OpenRegistry, image: str, tmp_path: Path) -> None:
    command = ("predict", image, "--cache", tmp_path / "cache")
    first = run_here(*command)
    assert first == run_here(*command) == run_here(*command, "--no-toc")
    assert open_registry.count("GET", f"/blobs/{base.digest}") == 1
    for path in (tmp_path / "cache").iterdir():
        path.write_text("{")
    again = run_here(*command)
    assert (again.status, again.out) == (0, first.out)
    (line,) = again.lines
    assert line.startswith(warning("--cache: what is there of some layers is not used: "))


# What is wrong.


def refused(*arguments: object) -> str:
    done = run_here("predict", *arguments)
    assert (done.status, done.out) == (2, b"")
    (line,) = done.lines
    return line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which images? give a SOURCE, or --apps-root with Apps in it"),
        (["docker://x/y", "-o", "-", "--format", "json"], "both want stdout"),
        (["docker://x/y", "--arch", "ARM 64"], "is no architecture name"),
        (["docker://x/y", "--block-size", "1000"], "1000"),
        (["docker://x/y", "--fs", "xfs", "--block-size", "999"], "999"),
        (["docker://x/y", "--fs", "zfs"], "argument --fs: no file system 'zfs': there are ext4, "),
        (["docker://x/y", "--fs", "xfs,inode=256"], "argument --fs: no xfs has inode=256 and "),
        (
            ["docker://x/y", "--fs", "ext4,block=1024", "--block-size", "4096"],
            "file system 'ext4,block=1024' contradicts blocks of 4096 bytes",
        ),
        (["docker://x/y", "--max-layer-size", "many"], "'many' is no size"),
        (["docker://x/y", "--max-layer-size", "0GiB"], "'0GiB' is no size"),
        (["docker://x/y", "-j", "0"], "'0' is no number of threads"),
        (["docker://x/y", "--cache", "/dev/null"], "the folder cannot be made"),
        (["docker://x/y", "-o", "/no/such/folder"], "there is no folder"),
        (["nginx:1"], "did you mean docker://nginx:1?"),
        (["oci:/no/such"], "there is no such folder"),
        (["docker-archive:/dev/null"], "/dev/null"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str) -> None:
    assert message in refused(*arguments)


def test_a_tag_that_is_for_nothing(image: str) -> None:
    done = run_here("predict", image, "-t", "7")
    assert done.lines == [
        warning("--tag is for the images of Apps: without --apps-root it does nothing")
    ]


def test_a_layer_that_is_damaged(open_registry: OpenRegistry, image: str, tmp_path: Path) -> None:
    del open_registry.blobs("acme/web")[top.digest]
    line = refused(image, "-o", tmp_path / "out")
    where = f"{open_registry.address}/acme/web"
    assert line.startswith(error(f"image {where}:7: {where}@{top.digest}: "))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("limit", "fits"), [("1TiB", True), ("128KiB", True), ("20000", False), ("19kib", False)]
)
def test_limit_of_a_layer(image: str, limit: str, fits: bool) -> None:  # noqa: FBT001 - a parameter
    if fits:
        assert run_here("predict", image, "--max-layer-size", limit).status == 0
    else:
        assert "--max-layer-size takes a higher limit" in refused(image, "--max-layer-size", limit)


# While it runs.


def ended(open_registry: OpenRegistry, image: str, number: signal.Signals) -> Result:
    """A run that gets a signal while it waits for a layer that does not come."""
    open_registry.fail("GET", f"/blobs/{base.digest}", Silent())
    before = open_registry.count("GET", f"/blobs/{base.digest}")
    with (
        interruptible(),
        subprocess.Popen(
            [sys.executable, *PROGRAM, "predict", image, "-j", "2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        try:
            while open_registry.count("GET", f"/blobs/{base.digest}") == before:
                assert process.poll() is None
                time.sleep(0.01)
            begun = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
            assert time.monotonic() - begun < 15
        finally:
            process.kill()
    return Result(process.returncode, out, err.decode().splitlines())


@pytest.mark.slow
def test_a_signal_ends_it_promptly(open_registry: OpenRegistry, image: str) -> None:
    interrupted = ended(open_registry, image, signal.SIGINT)
    assert interrupted == Result(130, b"", [error("interrupted")])
    assert ended(open_registry, image, signal.SIGTERM) == Result(143, b"", [])


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_and_taken_away(open_registry: OpenRegistry) -> None:
    layers = [Layer.of(tree.File("f", size=4_000_000, seed=seed)) for seed in range(8)]
    Image.of(*layers).put(open_registry, "acme/web:7")
    source = f"docker://{open_registry.address}/acme/web:7"
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *PROGRAM, "predict", source, "-j", "1"],
        stdout=subprocess.DEVNULL,
        stderr=end,
        env=environment(),
    ) as process:
        os.close(end)
        shown = read_terminal(terminal)
    assert process.returncode == 0
    assert b"layers" in shown
    assert b"MiB" in shown
    # The last thing to be done is to take it away.
    assert shown.endswith(b"\r\x1b[K")


# Prints the peak of this process's memory, in KiB, when it ends.
MEASURED = """
import sys
from layerscan.cli import main
status = main(sys.argv[1:])
# Not ru_maxrss, which begins with that of the process that started this one.
with open("/proc/self/status") as lines:
    print(*[line.split()[1] for line in lines if line.startswith("VmHWM:")])
sys.exit(status)
"""


def peak(source: str) -> int:
    """KiB of memory that a prediction takes at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "predict", source, "-o", os.devnull],
        capture_output=True,
        check=True,
        env=environment(),
        timeout=240,
    )
    return int(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_a_layer(open_registry: OpenRegistry, image: str) -> None:
    big = (tree.Sparse("zeros", size=300 << 20), tree.File("x", size=20 << 20))
    Image.of(Layer.of(*big)).put(open_registry, "acme/big:7")
    source = f"docker://{open_registry.address}/acme/big:7"
    assert peak(source) < peak(image) + (16 << 10)
