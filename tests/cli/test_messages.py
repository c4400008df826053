"""What goes to stderr: how much of it, the line at the end, and what GitHub Actions gets."""

import re
from pathlib import Path

import pytest

from layerscan.cli.summary import RunSummary
from layerscan.text import printable, printable_path
from tests.builders.cli_scan_case import fleet
from tests.cli_runner import Fleet, Result, error, run_here, warning

__all__ = ["fleet"]  # a fixture

TAG = "--tag is for the images of Apps: without --apps-root it does nothing"
ACTIONS = {"GITHUB_ACTIONS": "true"}


def scan(fleet: Fleet, *arguments: object) -> Result:
    """A scan of one image with a warning."""
    return run_here(*arguments, "-d", fleet.store.root, "-i", "nginx:1.25", "-t", "7")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_quiet_leaves_data_and_errors(
    fleet: Fleet, tmp_path: Path, option: str, *, before: bool
) -> None:
    out = tmp_path / "out"
    told = scan(fleet, "scan", "-o", out)
    assert told.lines == [warning(TAG)]
    data = out.read_bytes()
    words = [option, "scan"] if before else ["scan", option]
    quiet = scan(fleet, *words, "-o", out)
    assert (quiet.status, quiet.out, quiet.lines, quiet.summary) == (0, b"", [], "")
    assert out.read_bytes() == data
    assert scan(fleet, *words).text == scan(fleet, "scan").text
    missing = run_here(*words, "-d", "/nowhere")
    assert (missing.status, len(missing.lines)) == (2, 1)


def test_options_of_all_commands_without_a_command(fleet: Fleet) -> None:
    assert scan(fleet, "-q") == scan(fleet, "--no-color", "-q") == scan(fleet, "scan", "-q")
    assert run_here("-q", "--version") == run_here("-V")


def test_what_a_scan_read_and_wrote(fleet: Fleet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = scan(fleet, "-o", out).summary
    length = len(out.read_bytes())
    assert re.sub(r"in \d+\.\d s", "in …", summary) == (
        f"layerscan: read 1 image, 2 layers, 23 files of the overlay2 store {fleet.store.root} "
        f"in …; wrote {out} ({length} B)"
    )
    # On stdout it is in sight.
    assert scan(fleet, "-o", "-").summary == ""


def test_what_others_read_and_wrote(fleet: Fleet, tmp_path: Path) -> None:
    one, out = tmp_path / "one", tmp_path / "out"
    scan(fleet, "-o", one)
    assert run_here("merge", f"arm64={one}", "-o", out).summary.startswith(
        "layerscan: read 1 document with 2 layers in "
    )
    folders = ("--docker-root", fleet.store.root, "--store-root", tmp_path)
    summary = run_here("device", *folders, "-o", out).summary
    assert re.match(r"layerscan: read \d disks?, 0 blobs and 4 layers of this machine in ", summary)


def test_nothing_was_written_that_is_partial(fleet: Fleet, tmp_path: Path) -> None:
    result = run_here("-d", fleet.store.root, "-i", "draft:latest", "-o", tmp_path / "out")
    assert (result.status, result.summary) == (3, "")


@pytest.mark.parametrize("command", [["-v", "scan"], ["scan", "--verbose"], ["-v"]])
def test_where_the_time_went(fleet: Fleet, tmp_path: Path, command: list[str]) -> None:
    *_, last = scan(fleet, *command, "-o", tmp_path / "out").lines
    names = re.findall(r"(\w+) \d+\.\d{3} s", last)
    assert names == ["start", "store", "walk", "report", "write", "all"]
    assert last.startswith("layerscan: note: time: start ")


def test_a_phase_may_come_again(capsys: pytest.CaptureFixture[str]) -> None:
    summary = RunSummary()
    for phase in ("store", "walk", "store", "walk"):
        summary.begin(phase)
    summary.tell_times()
    assert re.findall(r"(\w+) \d", capsys.readouterr().err) == ["start", "store", "walk", "all"]


def test_github_gets_errors_and_warnings(fleet: Fleet) -> None:
    words = ("-d", fleet.store.root, "-t", "7")
    result = run_here(*words, "-i", "100%:x::y", env=ACTIONS)
    (told, shown, fault, shown_fault) = result.lines
    assert (told, shown) == (warning(TAG), f"::warning title=layerscan::{TAG}")
    assert fault.startswith(error(""))
    assert shown_fault == "::error title=layerscan::" + fault.removeprefix(error("")).replace(
        "%", "%25"
    )
    assert len(run_here("-q", *words, "-i", "100%", env=ACTIONS).lines) == 2
    assert not any("::" in line for line in run_here(*words, env={"GITHUB_ACTIONS": "false"}).lines)


@pytest.mark.parametrize(
    "text", ["\n::set-env name=PATH::/x", "\r::x::", "##[add-mask]x", "###[warning]", "\u2028::x::"]
)
def test_no_text_is_a_command_of_its_own(text: str) -> None:
    result = run_here("scan", "-d", f"/nowhere/{text}", env=ACTIONS)
    assert len(result.lines) == 2
    assert not any("##[" in line for line in result.lines)
    assert [line for line in result.lines if line.startswith("::")] == result.lines[1:]
    for safe in (printable(text), printable_path(text)):
        assert "##[" not in safe
