"""Completion scripts, as the shells themselves read them."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File
from tests.cli_runner import PROGRAM, Result, python, run, run_here, shell
from tests.requirements import require

NAMES = ["app:beta", "example/app:1", "example/tool:2"]
BASH = """
source "$1"; shift
COMP_WORDBREAKS=$' \\t\\n"><=;|&(:'
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
$(complete -p layerscan | sed "s/.*-F \\([^ ]*\\).*/\\1/") layerscan
printf "%s\\n" "${COMPREPLY[@]}"
"""
# Bash writes nothing of what the store would have it run.
EVIL = "$(touch${IFS}evil)"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    built = StoreBuilder(tmp_path_factory.mktemp("store") / "docker")
    for name in NAMES:
        built.image([built.layer(None, File(name.replace("/", "-")))], names=[name])
    return str(built.root)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bash") / "completion"
    path.write_bytes(run("completion", "bash").out)
    assert shell("bash -n $1", path) == Result(0, b"", [])
    return path


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)


def completed(script: Path, line: str) -> list[str]:
    """What bash makes of the last word of a line, in which it ends words at blanks."""
    result = shell(BASH, script, *line.split(" "))
    assert (result.status, result.lines) == (0, [])
    return result.text.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sc", ["scan"]),
        ("mer", ["merge"]),
        ("scan --by", ["--by-arch"]),
        ("scan --accounting ex", ["exact"]),
        ("completion f", ["fish"]),
        ("scan --help-a", ["--help-all"]),
        ("scan -d f", ["folder"]),
        ("publish f", ["folder"]),
        ("scan -o fi", ["file"]),
        ("check --device fi", ["file"]),
        ("diff f", ["file", "folder"]),
    ],
)
@pytest.mark.usefixtures("tree")
def test_bash_completes(script: Path, line: str, words: list[str]) -> None:
    assert sorted(completed(script, f"layerscan {line}")) == words


def test_bash_falls_back_to_files(script: Path) -> None:
    assert "complete -o bashdefault -o default -F" in script.read_text()


def test_bash_completes_names_of_the_store(script: Path, store: str) -> None:
    scan = f"layerscan scan -d {store} -i"
    assert completed(script, f"{scan} ") == NAMES
    assert completed(script, f"{scan} exa") == NAMES[1:]
    # Bash takes each colon for a word, and asks for what follows it.
    assert completed(script, f"{scan} app : b") == ["beta"]
    assert completed(script, f"{scan} example/app :") == ["1"]
    assert completed(script, f"{scan} app : beta --by") == ["--by-arch"]
    assert completed(script, f"layerscan reclaim -d {store} app") == ["app:beta"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sc", ["scan"]),
        ("scan -d fol", ["folder/"]),
        ("scan -o fi", ["file"]),
        ("scan --accounting ex", ["exact"]),
        ("scan -d STORE -i example", NAMES[1:]),
    ],
)
@pytest.mark.usefixtures("tree")
def test_fish_completes(tmp_path: Path, store: str, line: str, words: list[str]) -> None:
    require(shutil.which("fish") is not None, "not installed: fish")
    path = tmp_path / "completion"
    path.write_bytes(run("completion", "fish").out)
    program = shlex.join([sys.executable, *PROGRAM])
    asked = f"layerscan {line.replace('STORE', store)}"
    script = f"function layerscan; {program} $argv; end; source {path}; complete -C {asked!r}"
    result = shell('HOME=$2 fish --no-config -c "$1"', script, tmp_path)
    assert [one.partition("\t")[0] for one in result.text.splitlines()] == words


@pytest.mark.parametrize(
    ("name", "opening"), [("zsh", "#compdef layerscan"), ("tcsh", "#"), ("fish", "#")]
)
def test_scripts_of_other_shells(tmp_path: Path, name: str, opening: str) -> None:
    result = run_here("completion", name)
    assert (result.status, result.lines) == (0, [])
    assert result.text.startswith(opening)
    assert "scan" in result.text
    if shutil.which(name):
        script = tmp_path / "completion"
        script.write_bytes(result.out)
        assert shell(f"{name} -n $1", script) == Result(0, b"", [])


def test_zsh_completes_names_of_the_store(tmp_path: Path, store: str) -> None:
    require(shutil.which("zsh") is not None, "not installed: zsh")
    path = tmp_path / "completion"
    path.write_bytes(run("completion", "zsh").out)
    program = shlex.join([sys.executable, *PROGRAM])
    # What zsh's own completion defines, to look at what it would be given.
    script = f"""
    compdef() {{ }}; _arguments() {{ }}; layerscan() {{ {program} "$@"; }}; source {path}
    compadd() {{ print -l -- ${{(P)2}}; }}
    words=(layerscan scan -d {store} -i ''); _layerscan_images
    """
    assert shell('zsh -f -c "$1"', script).text.split() == NAMES


@pytest.mark.parametrize("option", ["-d", "--data-root", "--docker-data-root"])
def test_names_of_the_store_that_is_meant(store: str, option: str) -> None:
    for words in ([option, store], [f"{option}={store}"], ["-s", "overlay2", option, store]):
        assert run_here("__images", "layerscan", *words, "-i", "").text.split() == NAMES


@pytest.mark.parametrize("words", ["-d /nowhere", "-s x", "-d ", "-d", "-d \0"])
def test_no_store_no_names_and_no_error(words: str) -> None:
    result = run_here("__images", *words.split(" "), "--namespace", "none")
    assert result == Result(0, b"", [])


def test_no_name_is_more_than_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    from layerscan.cli import image_names

    names = [EVIL, "a b", "`x`", "-i", "fine:1", "a\nb", "é"]
    monkeypatch.setattr(image_names, "_names", lambda _: iter(names))
    assert run_here("__images").text == "fine:1\n"


def test_no_wait_for_names() -> None:
    slow = """
import sys, time
from layerscan import cli
from layerscan.cli import image_names
image_names._LONGEST = 0.1
image_names._names = lambda _: time.sleep(60)
sys.exit(cli.main(["__images"]))
"""
    assert python(["-c", slow]) == Result(0, b"", [])
