"""The options of all commands that predict: what an argument says, and what it is without one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from layerscan.cli import model_options
from layerscan.cli.progress import PredictProgress
from layerscan.errors import LayerscanError
from layerscan.fit.predicted import NamedFileSystem
from layerscan.stores.accounting import Accounting

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("0B", 0),
        ("1", 1),
        ("7b", 7),
        ("1KiB", 1 << 10),
        ("1ki", 1 << 10),
        ("3MiB", 3 << 20),
        ("64GiB", 64 << 30),
        ("2TIB", 2 << 40),
        ("999999999999999", 10**15 - 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert model_options.size_or_zero(text) == size


NO_SIZES = ["", "B", "KiB", "1K", "1KB", "1PiB", "1BKi", "-1", "1.5MiB", "1 KiB", " 1", "1\n"]


@pytest.mark.parametrize("text", [*NO_SIZES, "\u0663", "1" + "0" * 15, "KiB1"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        model_options.size_or_zero(text)
    assert str(refused.value) == f"{text!r} is no size: 500MiB, 64GiB, or so many bytes"


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    model_options.add_model_arguments(parser)
    model_options.add_reading_arguments(parser)
    return parser.parse_args(arguments)


def test_the_device_without_arguments() -> None:
    target = model_options.model(parsed())
    assert target.fs.name == "ext4,block=4096,inode=256"
    assert (target.store.name, target.notes) == ("overlay2", ())
    assert target.accounting is Accounting.DOCKER


def test_how_layers_are_read(tmp_path: Path) -> None:
    progress = PredictProgress(shown=False)
    without = model_options.reading(parsed(), progress)
    assert without[1:] == (None, 64 << 30, True, None)
    arguments = ("-j", "3", "--max-layer-size", "1", "--no-toc", "--cache", str(tmp_path / "new"))
    told = model_options.reading(parsed(*arguments), PredictProgress(shown=True))
    assert told[1:4] == (3, 1, False)
    assert told.on_progress is not None
    assert (tmp_path / "new").is_dir()
    with pytest.raises(argparse.ArgumentError, match="'0' is no size"):
        parsed("--max-layer-size", "0")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder; a file there with the name of a file system is no device file."""
    for name in ("device", "xfs", "a,b", "xfs,inode=512"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("given", ["xfs", "xfs,inode=512", "ext4,block=/x", "none", "folder"])
@pytest.mark.usefixtures("folder")
def test_what_is_no_device_file(given: str) -> None:
    assert model_options.named_fs(given) == NamedFileSystem(given)


@pytest.mark.parametrize("given", ["device", "a,b", "./none", "a/none,b"])
@pytest.mark.usefixtures("folder")
def test_what_is_a_device_file(given: str) -> None:
    with pytest.raises(LayerscanError, match=f"^{given}: "):
        model_options.named_fs(given)
