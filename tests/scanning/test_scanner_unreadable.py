"""A scan of layers of which something cannot be read."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from layerscan.problem import Problem
from layerscan.scanning import scanner
from layerscan.scanning.scanner import scan
from layerscan.stores import open_store
from layerscan.stores.model import Image, Layer
from layerscan.walking.walker import Usage, WalkError, walk_many
from tests.builders.scanner_case import TwoImages, there
from tests.builders.user import as_nobody
from tests.cli_runner import let_all_read, open_to_all
from tests.requirements import require_root

__all__ = ["there"]  # a fixture


@pytest.fixture
def readable() -> Iterator[TwoImages]:
    require_root()
    with open_to_all() as folder:
        there = TwoImages.build(folder / "docker")
        let_all_read(there.built)
        yield there


def test_file_that_may_not_be_read_costs_the_images_of_its_layer(readable: TwoImages) -> None:
    closed = readable.built.folder_path(readable.one, "diff", "closed")
    os.mkdir(closed, mode=0)

    def labels_and_problems() -> tuple[list[str], tuple[Problem, ...]]:
        result = scan(open_store(root=readable.built.root))
        return [one.label for one in result.chosen], result.problems

    labels, problems = as_nobody(labels_and_problems)
    assert labels == ["two:1"]
    assert problems == (
        Problem(closed, "Permission denied; use sudo"),
        Problem("image one:1", f"is left out: layer {readable.one.chain_id} could not be read"),
    )


def test_of_many_unreadable_files_some_are_named_and_the_rest_counted(
    readable: TwoImages,
) -> None:
    diff = readable.built.folder_path(readable.base, "diff")
    for number in range(25):
        os.mkdir(f"{diff}/{number:02}", mode=0)
    problems = as_nobody(lambda: scan(open_store(root=readable.built.root)).problems)
    denied = [problem.where for problem in problems if problem.what.startswith("Permission")]
    assert denied == [f"{diff}/{number:02}" for number in range(10)]
    folder = readable.built.folder_path(readable.base)
    assert Problem(folder, "15 more entries of this layer cannot be read") in problems
    lost = [problem.where for problem in problems if "left out" in problem.what]
    assert lost == ["image one:1", "image two:1"]


@pytest.mark.parametrize(
    ("number", "more"), [(9, ""), (10, ""), (11, "1"), (12, "2"), (1010, "1,000")]
)
@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EPERM])
def test_ten_unreadable_files_of_a_layer_are_named(
    there: TwoImages, monkeypatch: pytest.MonkeyPatch, number: int, more: str, code: int
) -> None:
    what = os.strerror(code) + ("" if code == errno.EIO else "; use sudo")
    folder = there.built.folder_path(there.one)
    paths = [f"{folder}/diff/{one:04}" for one in range(number)]
    errors = tuple(WalkError(os.fsencode(path), code) for path in paths)

    def failing(folders: Sequence[str], **options: object) -> list[Usage]:
        found = walk_many(folders, **options)  # type: ignore[arg-type]
        broken = found[folders.index(folder)]
        found[folders.index(folder)] = broken._replace(errors=errors, error_count=number)
        return found

    monkeypatch.setattr(scanner, "walk_many", failing)
    *told, lost = scan(open_store(root=there.built.root)).problems
    assert lost.where == "image one:1"
    rest = f"{more} more entries of this layer cannot be read"
    counted = [Problem(folder, rest)] if more else []
    assert told == [*counted, *(Problem(path, what) for path in paths[:10])]


def test_names_of_unreadable_files_are_escaped(readable: TwoImages) -> None:
    diff = os.fsencode(readable.built.folder_path(readable.one, "diff"))
    os.mkdir(diff + b"/\x1b[31m\n\xff", mode=0)
    problems = as_nobody(lambda: scan(open_store(root=readable.built.root)).problems)
    assert problems[0].where == os.fsdecode(diff) + r"/\x1b[31m\n\xff"
    assert str(problems[0]).isprintable()


@pytest.mark.parametrize("beside", ["layer", "image"])
def test_what_the_store_has_beside_a_layer_or_an_image_may_not_be_looked_at(
    there: TwoImages, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    real = getattr(scanner, f"{beside}_usage")

    def refused(one: Layer | Image, *args: object, **options: object) -> int:
        of_layer = isinstance(one, Layer) and one.chain_id == there.one.chain_id
        if of_layer or (isinstance(one, Image) and one.names[0].path.endswith("/one")):
            raise PermissionError(errno.EACCES, "Permission denied", "/x/beside")
        usage: int = real(one, *args, **options)
        return usage

    monkeypatch.setattr(scanner, f"{beside}_usage", refused)
    result = scan(open_store(root=there.built.root))
    assert [one.label for one in result.chosen] == ["two:1"]
    denied = Problem("/x/beside", "Permission denied")
    lost = f"is left out: layer {there.one.chain_id} could not be read"
    expected = [denied, Problem("image one:1", lost)] if beside == "layer" else [denied]
    assert sorted(result.problems) == sorted(expected)


@pytest.mark.root
def test_file_system_mounted_in_a_layer_is_warned_of(there: TwoImages) -> None:
    require_root()
    mount = there.built.folder_path(there.one, "diff", "mnt")
    os.mkdir(mount)
    before = scan(open_store(root=there.built.root)).costs[there.one.chain_id].size
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    try:
        Path(mount, "hidden").write_bytes(bytes(100_000))
        result = scan(open_store(root=there.built.root))
    finally:
        subprocess.run(["umount", mount], check=True)
    assert result.warnings == (
        f"layer {there.one.chain_id}: another file system is mounted in its folder and hides files",
    )
    assert result.costs[there.one.chain_id].size == before
    assert result.problems == ()


@pytest.mark.root
def test_image_that_is_mounted_beside_its_layers_hides_nothing(there: TwoImages) -> None:
    # As `podman image mount` and a container's root do it.
    require_root()
    mount = there.built.folder_path(there.one, "merged")
    os.mkdir(mount)
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    try:
        result = scan(open_store(root=there.built.root))
    finally:
        subprocess.run(["umount", mount], check=True)
    assert result.warnings == ()


def test_layer_folder_that_is_gone_while_its_record_stays_is_a_problem(
    there: TwoImages,
) -> None:
    folder = there.built.folder_path(there.one)
    real = walk_many

    def removing(paths: Sequence[str], **options: object) -> list[Usage]:
        shutil.rmtree(folder, ignore_errors=True)
        return real(paths, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "walk_many", removing)
        result = scan(open_store(root=there.built.root))
    assert result.problems == (
        Problem(folder, "No such file or directory"),
        Problem("image one:1", f"is left out: layer {there.one.chain_id} could not be read"),
    )
    assert [one.label for one in result.chosen] == ["two:1"]


def test_layer_folder_without_content_is_a_problem(there: TwoImages) -> None:
    folder = there.built.folder_path(there.one)
    real = walk_many

    def removing(paths: Sequence[str], **options: object) -> list[Usage]:
        shutil.rmtree(f"{folder}/diff", ignore_errors=True)
        return real(paths, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanner, "walk_many", removing)
        result = scan(open_store(root=there.built.root))
    assert Problem(folder, "has no folder diff") in result.problems
