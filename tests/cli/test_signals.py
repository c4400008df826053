"""Interrupts and signals: the program ends at once, says so, and leaves no half-written file."""

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.builders.cli_scan_case import fleet
from tests.cli_runner import PROGRAM, Fleet, Result, environment, error, interruptible, python, run

__all__ = ["fleet"]  # a fixture

# The program, where the walk takes until it is interrupted.
ENDLESS_WALK = """
import sys
from layerscan import cli
from layerscan.scanning import scanner
walk_many = scanner.walk_many
def endless(paths, **options):
    print("ready", flush=True)
    while True:
        walk_many(paths, **options)
scanner.walk_many = endless
sys.exit(cli.main())
"""

# The program, where the disk takes forever.
ENDLESS_WRITE = """
import os, sys, time
from layerscan import cli
def endless(fd):
    print("ready", flush=True)
    time.sleep(60)
os.fsync = endless
sys.exit(cli.main())
"""


def interrupted(
    program: str, number: signal.Signals, fleet: Fleet, *arguments: object
) -> tuple[int, bytes]:
    """Exit status and stderr of a scan that gets a signal while it is at it."""
    command = [sys.executable, "-c", program, "scan", "-d", fleet.store.root, "--arch", "arm64"]
    with (
        interruptible(),
        subprocess.Popen(
            command + [str(argument) for argument in arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert out == b""
    return process.returncode, err


@pytest.mark.parametrize("program", [ENDLESS_WALK, ENDLESS_WRITE])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGINT, (130, error("interrupted\n").encode())),
        (signal.SIGTERM, (143, b"")),
    ],
)
def test_signal_ends_it_and_leaves_no_file(
    fleet: Fleet, tmp_path: Path, program: str, number: signal.Signals, expected: tuple[int, bytes]
) -> None:
    out = tmp_path / "out"
    assert interrupted(program, number, fleet, "-o", out) == expected
    assert list(tmp_path.iterdir()) == []
    out.write_text("what was there")
    assert interrupted(program, number, fleet, "-o", out) == expected
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_text() == "what was there"


# Runs a program that is to ignore Ctrl-C, as one that a script put into the background.
IGNORING = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]

# The program, interrupted when its walk begins.
INTERRUPTED_WALK = """
import os, signal, sys
from layerscan import cli
from layerscan.scanning import scanner
walk_many = scanner.walk_many
def interrupted(paths, **options):
    os.kill(os.getpid(), signal.SIGINT)
    return walk_many(paths, **options)
scanner.walk_many = interrupted
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("starter", "status"), [([], 130), (IGNORING, 0)])
def test_an_interrupt_is_ignored_where_the_caller_ignores_it(
    fleet: Fleet, starter: list[str], status: int
) -> None:
    command = [sys.executable, "-c", INTERRUPTED_WALK, "-d", fleet.store.root, "--arch", "arm64"]
    with interruptible():
        done = subprocess.run(
            [*starter, *command], check=False, capture_output=True, env=environment(), timeout=60
        )
    assert done.returncode == status
    whole = run("-d", fleet.store.root, "--arch", "arm64")
    assert done.stdout == (b"" if status else whole.out)


def test_the_programs_of_tests_heed_interrupts_where_the_tests_ignore_them() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible():
            result = python(["-c", "import signal; print(signal.getsignal(signal.SIGINT))"])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert "default_int_handler" in result.text


# How the console script begins that pip makes.
CONSOLE_SCRIPT = """
import sys
from {module} import {name}
if __name__ == "__main__":
    sys.exit({name}())
"""

# Ctrl-C at the moment at which a certain module is looked for.
SITE_CUSTOMIZE = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == os.environ["INTERRUPTED"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
# Where the tests run in the background, Ctrl-C may be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


def console_script() -> list[str]:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    module, _, name = project["project"]["scripts"]["layerscan"].partition(":")
    return ["-c", CONSOLE_SCRIPT.format(module=module, name=name)]


@pytest.mark.parametrize("program", [PROGRAM, console_script()], ids=["module", "script"])
@pytest.mark.parametrize(
    ("module", "lines"),
    [
        # Before there is anything that could tell it.
        ("layerscan.cli", []),
        ("layerscan.cli.output", []),
        ("argparse", [error("interrupted")]),
        ("layerscan.cli.parser", [error("interrupted")]),
        ("layerscan.scanning.scanner", [error("interrupted")]),
    ],
)
def test_interrupt_during_an_import_is_no_traceback(
    fleet: Fleet, tmp_path: Path, program: list[str], module: str, lines: list[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
    env = {"PYTHONPATH": f"{tmp_path}:{environment()['PYTHONPATH']}", "INTERRUPTED": module}
    result = python([*program, "-d", fleet.store.root], env=env)
    assert result == Result(130, b"", lines)


def test_console_script_is_the_program(fleet: Fleet) -> None:
    arguments = ["-d", fleet.store.root, "--arch", "arm64"]
    assert python([*console_script(), *arguments]) == run(*arguments)
