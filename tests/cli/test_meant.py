"""What a message says may have been meant: commands, options, folders, names of images."""

import os
from pathlib import Path

import pytest

from layerscan.cli.meant import hint_at_folder, hint_at_options, not_a_command
from layerscan.reference import hint_at_names
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File
from tests.cli_runner import error, run_here

NAMES = [
    "registry.example/fleet/app1:1043",
    "registry.example/fleet/app1:1042",
    "nginx:1.25",
    "registry.example/tool:latest",
]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("app1:1043", "registry.example/fleet/app1:1043"),
        ("other.example/app1:1043", "registry.example/fleet/app1:1043"),
        ("app1:7", "registry.example/fleet/app1:1042 or registry.example/fleet/app1:1043"),
        ("tool", "registry.example/tool:latest"),
        ("ngnix:1.25", "nginx:1.25"),
        ("redis:7", ""),
        ("", ""),
    ],
)
def test_names_that_come_near(text: str, meant: str) -> None:
    assert hint_at_names(text, NAMES) == (f"; did you mean {meant}?" if meant else "")


def test_few_names_are_told() -> None:
    many = [f"{host}.example/app:1" for host in "edcba"]
    said = "; did you mean a.example/app:1 or b.example/app:1 or c.example/app:1?"
    assert hint_at_names("app:1", many) == said


def test_folders_that_come_near(tmp_path: Path) -> None:
    (tmp_path / "docker" / "data").mkdir(parents=True)
    (tmp_path / "dockre").write_text("")
    for path, meant in (("dokcer", "docker"), ("docker/dta", "docker/data"), ("x", "")):
        said = f"; did you mean {tmp_path}/{meant}?" if meant else ""
        assert hint_at_folder(f"{tmp_path}/{path}") == said
    # Further down nothing is known to be there.
    assert hint_at_folder(f"{tmp_path}/dokcer/overlay2/x") == f"; did you mean {tmp_path}/docker?"


def test_what_follows_the_options_is_none() -> None:
    known = ["--image", "--images"]
    assert hint_at_options(["--imag=x", "x", "--", "--imge"], known) == (
        "; did you mean --image or --images?"
    )
    assert hint_at_options(["-i", "imge", "--image"], known) == ""


def test_path_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's"
    folder.mkdir()
    assert f"layerscan du '{tmp_path}/it'\"'\"'s'" in not_a_command(str(folder), ["du"])


@pytest.fixture
def store(tmp_path: Path) -> StoreBuilder:
    built = StoreBuilder(tmp_path / "docker")
    for name in NAMES:
        built.image([built.layer(None, File(name.replace("/", "-")))], names=[name])
    return built


def test_scan_and_reclaim_and_df_say_it(store: StoreBuilder) -> None:
    root = os.fspath(store.root)
    there = "did you mean registry.example/fleet/app1:1043?"
    for arguments, said in (
        (["-d", root, "-i", "app1:1043"], f"image app1:1043 is not in the store; {there}"),
        (["reclaim", "-d", root, "app1:1043"], f"{root}: there is no image app1:1043; {there}"),
        (["df", "-d", f"{root}s"], f"{root}s: there is no such folder; did you mean {root}?"),
    ):
        result = run_here(*arguments)
        assert (result.status, result.lines) == (2, [error(said)])
