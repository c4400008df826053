"""What nobody foresaw ends in one line and status 2: 1 means that an App does not fit."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layerscan.cli import main, merge, scan
from tests.cli_runner import PROGRAM, Result, environment, python

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (MemoryError(), "there is not enough memory for this"),
        (RuntimeError("no\nthread"), "this is a fault of layerscan: RuntimeError: no\\nthread; "),
        (RecursionError("deep"), "this is a fault of layerscan: RecursionError: deep; "),
        (AssertionError(), "this is a fault of layerscan: AssertionError: ; "),
        (ValueError("\x1b[2J"), "this is a fault of layerscan: ValueError: \\x1b[2J; "),
        (KeyError("x"), "this is a fault of layerscan: KeyError: 'x'; "),
    ],
)
def test_one_line_and_with_v_where(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Exception,
    said: str,
) -> None:
    def failing(_: object) -> int:
        raise fault

    monkeypatch.setattr(scan, "run", failing)
    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"layerscan: error: {said}")
    for option in ("-v", "--verbose"):
        assert main([option]) == 2
        written = capsys.readouterr().err
        assert "\x1b" not in written
        *traceback, last = written.splitlines()
        assert last == line
        assert traceback[0] == "Traceback (most recent call last):"
        assert any("in failing" in step for step in traceback)


# The program, in which a scan fails as nobody foresaw.
FAULTY = """
import sys
from layerscan import cli
from layerscan.cli import scan
def failing(_):
    raise RuntimeError("x")
scan.run = failing
sys.exit(cli.main())
"""

# The program, where the memory runs out while it is imported.
STARVED = """
import runpy, sys
class Starving:
    def find_spec(self, name, path, target=None):
        if name == "layerscan.cli":
            raise MemoryError
sys.meta_path.insert(0, Starving())
runpy.run_module("layerscan", run_name="__main__")
"""


@pytest.mark.parametrize("unbuffered", [[], ["-u"]])
@pytest.mark.parametrize("program", [[FAULTY], [FAULTY, "-v"], [STARVED]])
def test_where_it_cannot_be_told(program: list[str], unbuffered: list[str]) -> None:
    command = [sys.executable, *unbuffered, "-c", *program]

    def status(stderr: int) -> int:
        return subprocess.run(command, check=False, env=environment(), stderr=stderr).returncode

    reader, writer = os.pipe()
    os.close(reader)
    assert status(writer) == 141
    os.close(writer)
    with open("/dev/full", "wb") as full:
        assert status(full.fileno()) == 2
    closed = ["bash", "-c", '"$@" 2>&-', "bash", *command]
    assert subprocess.run(closed, check=False, env=environment()).returncode == 2


def test_without_memory_to_start() -> None:
    result = python(["-c", STARVED])
    assert result == Result(2, b"", ["layerscan: error: there is not enough memory to start"])


def test_what_is_wrong_with_the_input_needs_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["layerscan"])
    assert main(["merge", "-v", "amd64=none", "-o", "-"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert merge.HELP


def needed_at_least() -> int:
    """Address space of the program before it reads anything, in bytes."""
    program = (
        "import layerscan.cli.parser, layerscan.layersmeta as m; "
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmPeak')))"
    )
    found = subprocess.check_output([sys.executable, "-c", program], env=environment())
    return int(found) * 1024


@pytest.mark.slow
def test_memory_that_runs_out(tmp_path: Path) -> None:
    document = tmp_path / "layers.json"
    layer = '"sha256:%064x":{"size":1,"usage":1}'
    layers = ",".join(layer % number for number in range(100_000))
    document.write_text(f'{{"fs_block_size":4096,"layers":{{{layers}}}}}')

    def run(most: int) -> tuple[int, list[str]]:
        ended = subprocess.run(
            [sys.executable, *PROGRAM, "merge", f"amd64={document}", "-o", "/dev/null"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        )
        told = ended.stderr.splitlines()
        return ended.returncode, [line for line in told if not line.startswith("layerscan: read ")]

    assert run(2 << 30) == (0, [])
    lacking = (2, ["layerscan: error: there is not enough memory for this"])
    # At different moments: while the document is read, decoded, checked, written.
    for mib in (15, 30, 45, 60):
        assert run(needed_at_least() + (mib << 20)) == lacking
