"""``layerscan scan`` of a store with damage: exit status 3, what is said, what is written."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layerscan.apps.discovery import COMPOSE_FILE
from tests.builders.documents import sha256
from tests.builders.overlay2 import StoreBuilder, blob_digest
from tests.builders.tree import File
from tests.cli_runner import (
    Fleet,
    Result,
    error,
    let_all_read,
    open_to_all,
    run_as_nobody,
    undigested,
    warning,
)
from tests.cli_runner import (
    run_here as run,
)
from tests.requirements import require_root


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet.build(tmp_path / "docker")


def config_of(fleet: Fleet, name: str) -> Path:
    image_id = fleet.store.repositories[name.partition(":")[0]][name]
    return Path(fleet.store.config_path(image_id))


def damage_size(fleet: Fleet) -> Path:
    path = Path(fleet.store.layer_path(fleet.db, "size"))
    path.write_bytes(b"-1")
    return path


def damage_cache_id(fleet: Fleet) -> Path:
    path = Path(fleet.store.layer_path(fleet.db, "cache-id"))
    path.write_bytes(b"../../../etc")
    return path


def remove_tar_split(fleet: Fleet) -> Path:
    path = Path(fleet.store.layer_path(fleet.db, "tar-split.json.gz"))
    path.unlink()
    return path


def link_folder_out(fleet: Fleet) -> Path:
    path = Path(fleet.store.folder_path(fleet.db))
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("/usr")
    return path


def damage_diff_id(fleet: Fleet) -> Path:
    path = Path(fleet.store.layer_path(fleet.db, "diff"))
    path.write_text(fleet.base.diff_id)
    return path


def change_config(fleet: Fleet) -> Path:
    path = config_of(fleet, "nginx:1.25")
    path.write_bytes(path.read_bytes().replace(b"arm64", b"amd64"))
    return path


def make_config_a_fifo(fleet: Fleet) -> Path:
    path = config_of(fleet, "nginx:1.25")
    path.unlink()
    os.mkfifo(path)
    return path


DAMAGES = [
    damage_size,
    damage_cache_id,
    remove_tar_split,
    link_folder_out,
    damage_diff_id,
    change_config,
    make_config_a_fifo,
]


def scan(fleet: Fleet, *arguments: object) -> Result:
    return run("scan", "-d", fleet.store.root, *arguments)


def not_written(out: Path) -> str:
    return error(
        f"{out} is not written, since something could not be read; "
        "--allow-partial writes what could"
    )


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_nothing_is_written(
    fleet: Fleet, tmp_path: Path, damage: Callable[[Fleet], Path]
) -> None:
    out = tmp_path / "out"
    out.write_text("what was there")
    path = damage(fleet)
    result = scan(fleet, "-o", out)
    assert (result.status, result.out) == (3, b"")
    pushed, told, unwritten = result.lines
    assert pushed == fleet.never_pushed
    assert told.startswith(error(f"{path}: "))
    assert told.endswith("; left out: nginx:1.25")
    assert unwritten == not_written(out)
    assert out.read_text() == "what was there"
    partial = scan(fleet, "-o", out, "--allow-partial")
    assert (partial.status, partial.lines) == (3, [pushed, told])
    assert set(json.loads(out.read_bytes())["layers"]) == {
        blob_digest(layer.diff_id) for layer in (fleet.base, fleet.web)
    }


def test_damage_is_in_both_reports(fleet: Fleet) -> None:
    path = damage_size(fleet)
    table = scan(fleet)
    assert table.status == 3
    assert "nginx" not in table.text
    assert "acme/web:7" in table.text
    report = scan(fleet, "--format", "json")
    assert (report.status, report.lines) == (3, table.lines)
    (problem,) = json.loads(report.out)["problems"]
    assert problem["where"] == str(path)
    assert table.lines[-1] == error(f"{path}: {problem['what']}")


def test_nothing_on_stdout_either_where_the_document_goes_there(fleet: Fleet) -> None:
    damage_size(fleet)
    result = scan(fleet, "-o", "-")
    assert (result.status, result.out) == (3, b"")
    assert result.lines[-1] == not_written(Path("-"))


def test_damage_of_an_image_that_is_not_asked_for_counts_too(fleet: Fleet) -> None:
    path = damage_size(fleet)
    result = scan(fleet, "-i", "acme/web:7", "-o", "-")
    assert (result.status, result.out) == (3, b"")
    assert result.lines[0].startswith(error(f"{path}: "))


def test_names_that_cannot_be_read(fleet: Fleet, tmp_path: Path) -> None:
    path = Path(fleet.store.repositories_path())
    path.write_bytes(b"{")
    out = tmp_path / "out"
    result = scan(fleet, "-o", out)
    assert result.status == 3
    assert result.lines[0].startswith(error(f"{path}: "))
    assert result.lines[-1] == not_written(out)
    assert not out.exists()


def test_digests_that_cannot_be_read(fleet: Fleet) -> None:
    path = Path(fleet.store.v2metadata_path(fleet.db.diff_id))
    path.write_bytes(b"[{}]")
    result = scan(fleet, "-i", "nginx:1.25", "-o", "-", "--allow-partial")
    assert result.status == 3
    missing, damaged = result.lines
    assert missing == error(undigested("nginx:1.25", "docker.io/library/nginx", fleet.db.diff_id))
    assert damaged.startswith(error(f"{path}: "))
    assert list(json.loads(result.out)["layers"]) == [blob_digest(fleet.base.diff_id)]


def test_size_that_differs_is_only_a_warning(fleet: Fleet) -> None:
    Path(fleet.store.folder_path(fleet.db, "diff", "db")).write_bytes(b"changed")
    result = scan(fleet, "-i", "nginx:1.25", "-o", "-")
    assert result.status == 0
    assert result.lines == [
        warning(
            f"layer {fleet.db.chain_id}: its files hold 7 bytes, the store recorded 100000: the "
            "layer was damaged or tampered with, or has paths too long for the engine"
        )
    ]
    assert json.loads(result.out)["layers"][blob_digest(fleet.db.diff_id)]["size"] == 100_000


def test_unreadable_file_in_a_layer_needs_sudo() -> None:
    require_root()
    with open_to_all() as folder:
        fleet = Fleet.build(folder / "docker")
        let_all_read(fleet.store)
        closed = fleet.store.folder_path(fleet.db, "diff", "closed")
        os.mkdir(closed, mode=0)
        result = run_as_nobody("scan", "-d", fleet.store.root, "-o", folder / "out")
        assert (result.status, result.out) == (2, b"")
        assert result.lines == [error(f"{folder}/out: no permission to write in {folder}")]
        result = run_as_nobody("scan", "-d", fleet.store.root, "-o", "-")
    assert (result.status, result.out) == (3, b"")
    assert result.lines == [
        fleet.never_pushed,
        error(f"{closed}: Permission denied; use sudo"),
        error(f"image nginx:1.25: is left out: layer {fleet.db.chain_id} could not be read"),
        not_written(Path("-")),
    ]


# What a store, a layer or an App says never gets to the terminal as it is.

EVIL = "\x1b]0;owned\x07\x1b[31m\n\r\u202e"


def printable(result: Result) -> bool:
    return all(line.isprintable() for line in result.lines) and result.lines != []


def test_escapes_in_a_store_are_not_printed(tmp_path: Path) -> None:
    built = StoreBuilder(tmp_path / "docker")
    layer = built.layer(None, File("x"))
    built.image([layer], names=["x:1"])
    Path(built.layer_path(layer, "size")).write_text(EVIL)
    Path(built.v2metadata_path(layer.diff_id)).parent.mkdir(parents=True)
    Path(built.v2metadata_path(layer.diff_id)).write_text(
        json.dumps([{"Digest": EVIL, "SourceRepository": EVIL, "HMAC": ""}])
    )
    built.image([], names=["y:1"], extra={"architecture": EVIL, "os": EVIL})
    Path(built.image_path("imagedb", "content", "sha256", "\x1b[31m\r\u202e")).touch()
    built.repositories[EVIL] = {EVIL + ":1": sha256("a"), "z:1": EVIL}
    built.untag("none")
    result = run("scan", "-d", built.root)
    assert result.status == 3
    assert printable(result)
    assert len(result.lines) >= 6
    assert "\x1b" not in result.text


def test_escapes_in_the_name_of_a_store_are_not_printed(tmp_path: Path) -> None:
    built = StoreBuilder(tmp_path / EVIL)
    built.image([], names=["x:1"])
    result = run("scan", "-d", built.root)
    assert (result.status, result.lines) == (0, [])
    assert result.text.isascii()
    assert "\x1b" not in result.text
    result = run("scan", "-d", tmp_path / "none\x1b[31m")
    assert result.status == 2
    assert result.lines == [error(rf"{tmp_path}/none\x1b[31m: there is no such folder")]


def test_escapes_in_arguments_and_apps_are_not_printed(fleet: Fleet, tmp_path: Path) -> None:
    app = tmp_path / "apps" / "a\x1b[31m\u202e"
    app.mkdir(parents=True)
    (app / COMPOSE_FILE).write_text("services: {a: {image: 'x'}}")
    for arguments in (
        ["-i", EVIL],
        ["-a", app.parent],
        ["-a", tmp_path / EVIL],
        ["-o", tmp_path / EVIL / "x"],
        ["--arch", EVIL],
        ["-j", EVIL],
        [EVIL],
    ):
        result = scan(fleet, *arguments)
        assert (result.status, result.out) == (2, b"")
        assert printable(result)
        assert len(result.lines) == 1


def test_names_that_could_be_taken_for_markup_are_printed_whole(tmp_path: Path) -> None:
    built = StoreBuilder(tmp_path / "docker")
    names = ["[fe80::1]:5000/x:1", "[::1]:5000/smile:1"]
    for name in names:
        built.image([], names=[name], architecture="[b]", extra={"name": name})
    result = run("scan", "-d", built.root)
    assert result.status == 0
    first, second = (line.split() for line in result.text.splitlines()[1:3])
    assert first[-2:] == ["[b]", "[::1]:5000/smile:1"]
    assert second[-2:] == ["[b]", "[fe80::1]:5000/x:1"]
