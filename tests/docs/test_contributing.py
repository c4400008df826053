"""What CONTRIBUTING.md says of adding a part is so: its names, its examples, their tables.

That the examples run, `test_fences` shows.
"""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from layerscan.cli import parser
from layerscan.fit import composectl, policies
from layerscan.fit.verdict import Watermarks
from layerscan.prediction import filesystems
from layerscan.prediction.filesystems import names
from layerscan.prediction.filesystems.filesystem import FileSystem
from layerscan.sources.model import Source
from layerscan.stores import open_store
from layerscan.stores.kinds import KINDS, StoreKind
from layerscan.stores.model import Store
from tests.builders.machine import Machine
from tests.cli_runner import run_here
from tests.docs.reader import ROOT, blocks, read

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "CONTRIBUTING.md"
_NAME = re.compile(r"(?:layerscan|tests)(?:\.\w+)+")
_PATH = re.compile(r"(?:src|tests|docs|benchmarks)/[\w./-]*")


def example(name: str) -> ModuleType:
    """The example with the class or function `name`, as the module that it shows."""
    (text,) = [
        block.text
        for block in blocks(PAGE)
        if re.search(rf"^(class|def) {name}\b", block.text, re.MULTILINE)
    ]
    module = ModuleType(name)
    exec(compile(text, PAGE, "exec"), vars(module))  # noqa: S102 - what the document shows
    return module


def named(pattern: re.Pattern[str]) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", read(PAGE), flags=re.MULTILINE | re.DOTALL)
    return sorted({span for span in re.findall(r"`([^`\n]+)`", prose) if pattern.fullmatch(span)})


@pytest.mark.parametrize("name", named(_NAME))
def test_what_is_named_is_there(name: str) -> None:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return
    pytest.fail(f"{name} is not there")


def test_what_is_named_by_its_path_is_there() -> None:
    # Those of a room and a module of the reader's choice are forms.
    paths = [path for path in named(_PATH) if "ROOM" not in path]
    assert paths
    assert all((ROOT / path).exists() for path in paths), paths


@pytest.mark.parametrize(
    ("name", "interface"), [("PlainStore", Store), ("TarFolder", Source), ("Plain", FileSystem)]
)
def test_examples_have_all_that_is_asked_for(
    name: str, interface: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: object
    kind = getattr(example(name), name)
    if name == "PlainStore":
        made = kind(str(tmp_path))
    elif name == "TarFolder":
        made = kind("tars:x", "x")
    else:
        made = kind()
    for member in dir(interface):
        assert member.startswith("_") or hasattr(made, member), member


def test_store_is_found_by_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web" / "fs").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, "layerscan.stores.plain", example("PlainStore"))
    monkeypatch.setitem(KINDS, "plain", StoreKind("plain.PlainStore", "docker", ("web",)))
    for kind in ("plain", "auto"):
        (image,) = open_store(kind, str(tmp_path)).images()
        assert str(image.names[0]) == "docker.io/library/web:latest"


def test_file_system_is_found_by_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    module = "layerscan.prediction.filesystems.plain"
    monkeypatch.setitem(sys.modules, module, example("Plain"))
    monkeypatch.setitem(names.PARAMETERS, "plain", {"block": lambda _: (4096,)})
    assert filesystems.file_system("plain", 4096).file(4097) == 8192
    assert filesystems.file_system("plain,block=4096").name == "plain,block=4096"


def test_policy_has_what_the_others_have() -> None:
    module = example("check")
    assert module.NAME not in list(policies.Policy)
    assert isinstance(module.WATERMARKS, Watermarks)
    asked = inspect.signature(composectl.check, eval_str=True)
    assert inspect.signature(module.check, eval_str=True) == asked


def test_command_is_found_by_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Machine.isolate(tmp_path, monkeypatch)
    monkeypatch.setitem(parser._COMMANDS, "count", example("run"))
    result = run_here("count")
    assert (result.status, result.text) == (0, "0\n")
