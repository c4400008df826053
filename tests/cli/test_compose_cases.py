"""Compose Apps in the form of what people met in practice: those of `tests/cases/compose`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerscan.apps.published import bundle_images
from tests.builders.publish_case import Bench, image_of
from tests.cli_runner import Result, error, warning
from tests.cli_runner import run_here as run

if TYPE_CHECKING:
    from tests.builders.registry_server import OpenRegistry

CASES = Path(__file__).parents[1] / "cases" / "compose"


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    """A registry with the images that the cases name."""
    made = Bench(open_registry, tmp_path)
    for name in ("img", "data"):
        image_of("base", name).put(open_registry, f"x/{name}:1")
    made.write_meta(amd64=["base", "img", "data"])
    return made


def app_of(bench: Bench, case: str, **more: str) -> Path:
    """The App of a case, with the registry of the test in it."""
    folder = bench.apps / case / "a"
    shutil.copytree(CASES / case / "a", folder)
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("127.0.0.1:5444", bench.registry.address))
    for name, text in more.items():
        (folder / name).write_text(text)
    return folder


def publish(bench: Bench, folder: Path, *options: object) -> Result:
    target = ("--target", bench.target("fleet/a:1"), "--layers-meta", bench.root / "meta.json")
    env = {"DOCKER_CONFIG": str(bench.root)}
    return run("publish", folder, *target, *options, env=env)


def published(bench: Bench, folder: Path) -> dict[str, str]:
    """The images in the bundle that is published, by service."""
    done = publish(bench, folder)
    assert done.status == 0, done.lines
    app = bench.document(done.text.strip(), "fleet/a")
    raw = bench.registry.blobs("fleet/a")[app["layers"][0]["digest"]]
    found = {service: image.path for service, image in bundle_images(raw, "b").items()}
    metadata = bench.document(app["layers"][1]["digest"], "fleet/a")["amd64"]["layers"]
    assert len(metadata) == 1 + len({*found.values()}), "base and one of each image"
    return found


def test_a_volume_that_is_an_image_is_pinned_and_counted(bench: Bench) -> None:
    folder = app_of(bench, "image-volume")
    assert published(bench, folder) == {"web": "x/img", "web volume 0": "x/data"}
    done = run("predict", "--apps-root", folder.parent, "--format", "json")
    assert done.status == 0, done.lines
    assert len(json.loads(done.out)["images"]) == 2


def test_a_volume_counts_for_who_sees_it(bench: Bench, tmp_path: Path) -> None:
    folder = app_of(bench, "image-volume")
    out = ("--dry-run", "--out-dir", tmp_path / "out")
    assert publish(bench, folder, *out).status == 0
    disk = dict.fromkeys(("blocks", "free_blocks", "available_blocks"), 1 << 20)
    volumes = {"/": disk | {"block_size": 4096}}
    device = {"volumes": volumes, "store_root": "/", "docker_root": "/", "blobs": []}
    (tmp_path / "device.json").write_text(json.dumps(device))
    of_device = ("--device", tmp_path / "device.json", "--arch", "amd64", "--format", "json")
    layers = {}
    for policy in ("composectl", "aktualizr-lite", "exact"):
        done = run("check", "--app", tmp_path / "out" / "a", "--policy", policy, *of_device)
        report = json.loads(done.out)
        layers[policy] = len(report["missing_layers"])
        said = [line for line in report["warnings"] if "web volume 0 is not counted" in line]
        assert len(said) == (policy != "exact")
    assert layers == {"composectl": 2, "aktualizr-lite": 2, "exact": 3}


def test_a_service_with_a_provider_has_no_image(bench: Bench) -> None:
    assert published(bench, app_of(bench, "provider")) == {"web": "x/img"}


@pytest.mark.parametrize(
    "name",
    [
        "docker-compose.override.yml",
        "docker-compose.override.yaml",
        "compose.override.yml",
        "compose.override.yaml",
        "compose.yml",
        "compose.yaml",
    ],
)
def test_what_docker_compose_would_read_too_is_refused(bench: Bench, name: str) -> None:
    folder = app_of(bench, "override")
    (folder / "docker-compose.override.yml").rename(folder / name)
    done = publish(bench, folder)
    assert done.status == 2
    assert done.lines[-1] == error(
        f"App a: {folder / name}: docker compose reads it, too, and what is in there would run "
        "without being pinned and counted; remove it, or name it in .composeappignores"
    )
    assert not bench.registry.blobs("fleet/a")
    # Who leaves it out of the bundle has said so.
    (folder / ".composeappignores").write_text(f"{name}\n")
    assert published(bench, folder) == {"web": "x/img"}


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("COMPOSE_FILE=docker-compose.yml:prod.yml", True),
        ("X=prod\nCOMPOSE_FILE=$X.yml", True),
        ("COMPOSE_FILE=docker-compose.yml", False),
        ("COMPOSE_PROFILES=a", False),
    ],
)
def test_other_files_by_the_environment_are_refused(
    bench: Bench, text: str, *, refused: bool
) -> None:
    folder = app_of(bench, "composefile-env", **{".env": text})
    done = publish(bench, folder)
    if not refused:
        assert done.status == 0, done.lines
        return
    assert done.status == 2
    assert done.lines[-1].startswith(
        error(f"App a: {folder}/.env: its COMPOSE_FILE has docker compose read other files, and")
    )
    (folder / ".composeappignores").write_text(".env\n")
    assert published(bench, folder) == {"web": "x/img"}


def test_a_compose_file_that_is_not_read_is_noted(bench: Bench) -> None:
    folder = app_of(bench, "provider", **{"docker-compose.yaml": "x"})
    done = publish(bench, folder)
    assert done.status == 0
    beside = f"App a: {folder}/docker-compose.yaml: docker compose does not read it"
    assert warning(beside) in done.lines


def test_folders_that_look_like_apps_are_named(bench: Bench) -> None:
    root = bench.apps / "beside"
    shutil.copytree(CASES / "composeyaml-beside", root)
    done = run("scan", "--apps-root", root, "-d", bench.root)
    names = "b/compose.yaml", "c/compose.yml", "d/Docker-Compose.yml", "e/docker-compose.prod.yml"
    paths = ", ".join(f"{root}/{name}" for name in names)
    assert (done.status, done.lines) == (
        2,
        [error(f"{paths}: must be named docker-compose.yml, rename them")],
    )


def test_what_includes_other_files_is_not_published(bench: Bench) -> None:
    folder = app_of(bench, "provider")
    with (folder / "docker-compose.yml").open("a") as file:
        file.write("include: [other.yml]\n")
    done = publish(bench, folder)
    assert done.status == 2
    assert "include is not supported: an App is one file" in done.lines[-1]
