"""Packages that are not there: what is said, and what goes on without them."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import layerscan
from layerscan.apps.compose import read_services
from layerscan.apps.environment import load_environment
from layerscan.errors import MissingPackageError
from layerscan.extras import PACKAGES, is_installed, needed
from layerscan.prediction.filesystems import file_system
from layerscan.reference import parse
from layerscan.registry import RegistryClient
from layerscan.sources.decompress import decompressed
from layerscan.walking import table
from tests.builders.zstd import zstd
from tests.cli_runner import error, run_here


def hide(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `package` as one that is not installed."""
    for name in [package, *sys.modules]:
        if name == package or name.startswith(f"{package}."):
            monkeypatch.setitem(sys.modules, name, None)
    parent, _, part = package.rpartition(".")
    if parent:
        monkeypatch.delattr(import_module(parent), part, raising=False)


def unpack_zstd() -> object:
    return list(decompressed(iter([zstd.compress(b"tar")]), limit=10))


def read_environment() -> object:
    here = os.path.dirname(os.path.abspath(__file__))
    return load_environment(os.path.abspath(__file__), root=here, process={})


NEEDS = [
    pytest.param(
        "backports.zstd",
        unpack_zstd,
        marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="it is in this Python"),
    ),
    ("dotenv", read_environment),
    ("httpx", lambda: RegistryClient().repository(parse("registry.example/app:1"))),
    ("numpy", lambda: file_system("ext4")),
    ("numpy", lambda: layerscan.file_table(".")),
    ("numpy", lambda: table.ROW),
    ("yaml", lambda: read_services("services: {}", "compose.yml")),
]


@pytest.mark.parametrize(("package", "call"), NEEDS)
def test_what_needs_a_package_names_its_extra(
    package: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(package, monkeypatch)
    extra, need = PACKAGES[package]
    with pytest.raises(ImportError) as caught:
        call()
    assert type(caught.value) is MissingPackageError
    assert str(caught.value) == f"{need}: pip install 'layerscan[{extra}]'"


def test_the_program_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hide("shtab", monkeypatch)
    done = run_here("completion", "bash")
    line = "completion scripts need shtab: pip install 'layerscan[completion]'"
    assert (done.status, done.out, done.lines) == (2, b"", [error(line)])


def test_every_package_has_a_test() -> None:
    tested = {entry.values[0] if hasattr(entry, "values") else entry[0] for entry in NEEDS}
    assert tested == {*PACKAGES} - {"shtab"}


def test_a_package_that_is_broken_is_not_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError('libshtab.so: cannot open')\n")
    monkeypatch.delitem(sys.modules, "shtab", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError) as caught, needed("shtab"):
        import shtab  # noqa: F401
    assert str(caught.value) == (
        "completion scripts need shtab, which cannot be loaded (libshtab.so: cannot open): "
        "pip install 'layerscan[completion]'"
    )


def test_whether_a_package_is_there_is_found_out_without_loading_it() -> None:
    code = (
        "import sys; from layerscan.extras import is_installed; "
        "print([is_installed(n) for n in sys.argv[1:]], {'numpy', 'isal'} & {*sys.modules})"
    )
    names = ["numpy", "isal", "no_such_package", "no_such_package.part"]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[True, True, False, False] set()\n"
    assert is_installed("yaml")


def test_gzip_is_unpacked_without_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    hide("isal", monkeypatch)
    content = os.urandom(1 << 20) + bytes(1 << 20)
    packed = gzip.compress(content) + gzip.compress(b"more")
    assert b"".join(decompressed(iter([packed]), limit=1 << 22)) == content + b"more"


def test_all_names_of_the_library_are_there_without_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "from layerscan import *\n"
        "import layerscan; print({*layerscan.__all__} <= {*globals()})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"
