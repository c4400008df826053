"""What all commands have in common: usage, progress, start-up."""

import argparse
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import layerscan
from layerscan import cli
from layerscan.cli import help, parser  # noqa: A004
from layerscan.cli.options import whole_number
from layerscan.cli.progress import ScanProgress
from layerscan.walking.walker import Progress
from tests.builders.bounds_case import refused_if
from tests.builders.cli_scan_case import fleet
from tests.cli_runner import (
    PROGRAM,
    Fleet,
    Result,
    environment,
    error,
    python,
    read_terminal,
    run,
    run_here,
)

__all__ = ["fleet"]  # a fixture

# The program, with a walk that takes long enough to be shown.
SLOW_WALK = """
import sys, time
from layerscan import cli
from layerscan.scanning import scanner
from layerscan.walking.walker import Progress
walk_many = scanner.walk_many
def slow(paths, *, on_progress, **options):
    if on_progress:
        for number in range(len(paths)):
            on_progress(Progress(1000 * number, number))
            time.sleep(0.15)
    return walk_many(paths, on_progress=on_progress, **options)
scanner.walk_many = slow
sys.exit(cli.main())
"""

# The program, and the modules that it left loaded.
LOADED = """
import sys
from layerscan import cli
try:
    cli.main()
except SystemExit:
    pass
sys.stdout.flush()
print(*sys.modules, file=sys.stderr)
"""


# Usage.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["scna"],
            "'scna' is not a command; did you mean scan? see layerscan --help",
        ),
        (["xyz\n"], "'xyz\\n' is not a command; see layerscan --help"),
        ([""], "'' is not a command; see layerscan --help"),
        (["--bogus"], "unrecognized arguments: --bogus; see layerscan scan --help"),
        (
            ["scan", "--imge", "x"],
            "unrecognized arguments: --imge x; did you mean --image? see layerscan scan --help",
        ),
        (
            ["publish", "--targte=x", "app"],
            (
                "the following arguments are required: --target; did you mean --target? see "
                "layerscan publish --help"
            ),
        ),
        (
            ["scan", "--out", "x"],
            "unrecognized arguments: --out x; did you mean --out-file? see layerscan scan --help",
        ),
        (
            ["scan", "/"],
            "unrecognized arguments: /; -d takes the folder of a store; see layerscan scan --help",
        ),
        (["du", "-d", "/"], "unrecognized arguments: -d; see layerscan du --help"),
        (
            ["/"],
            (
                "/ is a folder, not a command: 'layerscan scan -d /' reads it as an image store, "
                "'layerscan du /' measures it"
            ),
        ),
        (
            ["scan", "-o"],
            "argument -o/--out-file: expected one argument; see layerscan scan --help",
        ),
        (
            ["scan", "-j", "0"],
            "argument -j/--threads: '0' is no number of threads; see layerscan scan --help",
        ),
        (
            ["scan", "-j", "²"],
            "argument -j/--threads: '²' is no number of threads; see layerscan scan --help",
        ),
        (
            ["scan", "--all", "-i", "x"],
            "--all is about every image: give it without --image and --apps-root",
        ),
        (
            ["scan", "-i", "UPPER"],
            "no image reference: 'UPPER': repository 'library/UPPER' must be lower case",
        ),
        (["merge"], "the following arguments are required: ARCH=FILE; see layerscan merge --help"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Argparse ends the process by itself.
    with pytest.raises(SystemExit) as done:
        sys.exit(cli.main(arguments))
    assert done.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == error(message + "\n")


@pytest.mark.parametrize("command", [[], *([name] for name in parser._COMMANDS)])
def test_help_fits_on_a_screen(command: list[str]) -> None:
    result = run_here(*command, "--help")
    assert (result.status, result.lines) == (0, [])
    assert result.text.startswith(" ".join(["usage: layerscan", *command, "["]))
    lines = result.text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    for name in ("--help", "--quiet", "--verbose"):
        assert name in result.text
    whole = run_here(*command, "--help-all")
    assert (whole.status, whole.lines) == (0, [])
    assert (whole.text == result.text) == (not result.text.endswith(" shows all options.\n"))


@pytest.mark.parametrize("command", parser._COMMANDS)
def test_help_all_has_every_option_and_help_two_examples(command: str) -> None:
    assert f"\n    {command}" in run_here("--help").text
    short, whole = (run_here(command, option).text for option in ("--help", "--help-all"))
    made = parser.build_parser().commands[command]
    few = help._FEW.get(command, "").split()
    names = {name for action in made._actions for name in action.option_strings}
    assert {f"--{name}" for name in few} <= names
    assert all(name in whole for name in names)
    assert all(f"--{name} " in short for name in few)
    assert not few or short.count(f"  layerscan {command} ") + short.count("sudo layerscan ") == 2


def test_version_is_that_of_the_package() -> None:
    expected = f"layerscan {layerscan.__version__}\n"
    assert run("--version") == Result(0, expected.encode(), [])


def test_version_is_asked_for_first(fleet: Fleet) -> None:
    version = run("--version")
    assert run("--version", "scan", "-d", fleet.store.root) == version
    for arguments in (["scan"], ["-d", fleet.store.root], ["du"]):
        result = run(*arguments, "--version")
        assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
        assert result.lines[0].startswith(error("unrecognized arguments: --version; see "))


# Progress.


def on_terminal(fleet: Fleet, **env: str) -> bytes:
    """What a slow scan writes to a terminal that is its stderr."""
    terminal, end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WALK, "-d", fleet.store.root, "--arch", "arm64", "-o", "-"],
        stdout=subprocess.DEVNULL,
        stderr=end,
        env=environment(**env),
    ) as process:
        os.close(end)
        shown = read_terminal(terminal)
    assert process.returncode == 0
    return shown


def test_progress_is_shown_on_a_terminal_and_taken_away(fleet: Fleet) -> None:
    shown = on_terminal(fleet)
    assert b"layers" in shown
    assert b"files/s" in shown
    assert b"1/2" in shown
    # One line over and over; the last thing to be done is to take it away.
    assert b"\n" not in shown
    assert shown.endswith(b"\r\x1b[K")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_progress_on_a_terminal_that_wants_none(fleet: Fleet, env: dict[str, str]) -> None:
    assert on_terminal(fleet, **env) == b""


def test_no_progress_where_there_is_no_terminal(fleet: Fleet) -> None:
    result = python(["-c", SLOW_WALK, "-d", fleet.store.root, "--arch", "arm64", "-o", "-"])
    assert (result.status, result.lines) == (0, [])


def test_scan_that_is_over_at_once_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with ScanProgress(shown=True) as progress:
        progress.update(Progress(entries=50, trees_done=3), 3)
    assert capsys.readouterr() == ("", "")


# Start-up.


def loaded(*arguments: object) -> set[str]:
    """The modules that a run of the program loads."""
    result = python(["-c", LOADED, *map(str, arguments)])
    return set(result.lines[-1].split())


HEAVY = {
    *("backports", "dotenv", "httpx", "isal", "numpy", "rich", "shtab", "yaml"),
    *("asyncio", "http", "jsonschema", "ssl"),
}


def test_version_loads_next_to_nothing() -> None:
    modules = loaded("--version")
    assert not modules & {*HEAVY, "argparse", "dataclasses", "inspect", "json", "re", "typing"}
    assert {name for name in modules if name.startswith("layerscan")} == {
        "layerscan",
        "layerscan.cli",
        "layerscan.cli.output",
        "layerscan.cli.status",
        "layerscan.errors",
        "layerscan.text",
    }


def test_scan_loads_nothing_heavy(fleet: Fleet, tmp_path: Path) -> None:
    for out in ("-", tmp_path / "out"):
        modules = loaded("scan", "-d", fleet.store.root, "-o", out)
        assert "layerscan._walk" in modules
        assert not modules & {*HEAVY, "tempfile", "layerscan.cli.report", "layerscan.apps"}
    assert not loaded("scan", "-d", fleet.store.root) & HEAVY


def test_merge_loads_no_walk_and_no_store(tmp_path: Path) -> None:
    out = tmp_path / "a"
    out.write_text('{"fs_block_size": 4096, "layers": {}}')
    modules = loaded("merge", f"amd64={out}")
    assert "layerscan.layersmeta" in modules
    assert not modules & {
        *HEAVY,
        "layerscan._walk",
        "layerscan.stores.detection",
        "layerscan.scanning.scanner",
    }


def test_program_needs_no_environment(fleet: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, *PROGRAM, "-d", fleet.store.root, "--arch", "arm64"],
        check=False,
        capture_output=True,
        env={"PYTHONPATH": environment()["PYTHONPATH"]},
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"nginx:1.25" in done.stdout


@pytest.mark.parametrize("text", ["1", "2", "05", "5", "6", "", "-3", "x", "\u00b2"])
def test_a_number_within_bounds(text: str) -> None:
    is_one = text in {"2", "05", "5"}
    refused = f"^{re.escape(repr(text))} is no number of things$"
    with refused_if(not is_one, argparse.ArgumentTypeError, refused):
        assert whole_number("number of things", 2, 5)(text) == int(text)


def test_of_a_number_nine_digits_count() -> None:
    parse = whole_number("number")
    assert [parse(text) for text in ("0000000001", "123456789", "1234567890")] == [
        1,
        *[123_456_789] * 2,
    ]
