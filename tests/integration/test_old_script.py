"""The contract with those who have used the script that layerscan replaces: the same JSON.

`old_script` does what that script does, the way it does it, in plain Python
over a real engine's store.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli_runner import run
from tests.conftest import require_programs
from tests.engines.images import ODDITIES, Image, siblings, write_context
from tests.engines.skopeo import raw, skopeo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]


def old_script(
    data_root: Path, images: Iterable[str], pushed: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """The layers metadata of `images`: every image and layer one after the other.

    Of those that are in `pushed`, the script asked the registry for the layers' digests.

    Raises:
        FileNotFoundError, StopIteration: a layer was never pushed, or not to
            the image's repository; the script ends with a traceback, too.
    """
    store = data_root / "image/overlay2"
    repositories = json.loads((store / "repositories.json").read_text())["Repositories"]
    layers = {}
    for image in images:
        repository = image.rpartition(":")[0]
        image_id = repositories[repository][image].removeprefix("sha256:")
        config = json.loads((store / "imagedb/content/sha256" / image_id).read_text())
        chain_id = ""
        for number, diff_id in enumerate(config["rootfs"]["diff_ids"]):
            both = f"{chain_id} {diff_id}".encode()
            chain_id = f"sha256:{hashlib.sha256(both).hexdigest()}" if chain_id else diff_id
            record = store / "layerdb/sha256" / chain_id.removeprefix("sha256:")
            known = store / "distribution/v2metadata-by-diffid/sha256" / diff_id[len("sha256:") :]
            digest = (
                pushed[image][number]
                if pushed and image in pushed
                else next(
                    entry["Digest"]
                    for entry in reversed(json.loads(known.read_text()))
                    if entry["SourceRepository"] == repository
                )
            )
            folder = data_root / "overlay2" / (record / "cache-id").read_text()
            tar_split = (record / "tar-split.json.gz").stat().st_size
            layers[digest] = {
                "size": int((record / "size").read_text()),
                "usage": du(folder) * 1024 + tar_split,
            }
    return {"fs_block_size": os.statvfs(data_root).f_bsize, "layers": layers}


def du(folder: Path) -> int:
    done = subprocess.run(["du", "-sk", str(folder)], check=True, capture_output=True)
    return int(done.stdout.split()[0])


def push(docker: Docker, registry: Registry, images: Sequence[Image], folder: Path) -> list[str]:
    """Build images that are tagged by CI, and push them; their names."""
    names = []
    for image in images:
        names.append(f"{registry.address}/factory/{image.name}:1043")
        docker.build(write_context(image, folder / image.name), names[-1])
        docker.push(names[-1])
    os.sync()
    return names


def write_app(folder: Path, images: Iterable[str]) -> None:
    folder.mkdir(parents=True)
    services = "".join(f"  s{number}:\n    image: {image}\n" for number, image in enumerate(images))
    (folder / "docker-compose.yml").write_text(f"services:\n{services}")


def test_apps_of_a_factory_give_the_document_that_the_script_gave(
    docker: Docker, registry: Registry, base_image: str, tmp_path: Path
) -> None:
    odd = [Image(f"odd{count}", tuple(ODDITIES.values())[:count], base_image) for count in (1, 4)]
    pair = siblings("left", "right", base=base_image)
    names = push(docker, registry, [*odd, *pair], tmp_path)
    # The App names what a developer wrote, CI's tag is put in its place.
    write_app(tmp_path / "apps" / "one", [name.replace(":1043", ":latest") for name in names[:2]])
    write_app(tmp_path / "apps" / "two", [name.removesuffix(":1043") for name in names[1:]])

    data_root = Path(docker.data_root)
    expected = old_script(data_root, names)
    assert len(expected["layers"]) == 2 + 4 + 1 + 2
    for options in (
        ["--docker-data-root", data_root, "--apps-root", tmp_path / "apps", "--tag", "1043"],
        ["-d", data_root, "-a", tmp_path / "apps", "-t", "1043"],
    ):
        out = tmp_path / "layers_meta.json"
        result = run(*options, "--factory-registry", registry.address, "--out-file", out)
        assert (result.status, result.out, result.lines) == (0, b"", [])
        assert json.loads(out.read_bytes()) == expected


def test_images_that_another_tool_pushed_have_the_digests_of_the_registry(
    docker: Docker, registry: Registry, base_image: str, tmp_path: Path
) -> None:
    require_programs("skopeo")
    here, there = siblings("here", "there", base=base_image)
    names = push(docker, registry, [here], tmp_path)
    name = f"{registry.address}/factory/there:1043"
    docker.build(write_context(there, tmp_path / "there"), name)
    docker.run("save", "--output", str(tmp_path / "there.tar"), name)
    skopeo(
        "copy",
        "--dest-tls-verify=false",
        f"docker-archive:{tmp_path}/there.tar",
        f"docker://{name}",
    )
    os.sync()
    write_app(tmp_path / "apps" / "one", [*names, name])
    data_root = Path(docker.data_root)
    digests = [layer["digest"] for layer in json.loads(raw(name))["layers"]]
    out = tmp_path / "layers_meta.json"
    result = run("-d", data_root, "-a", tmp_path / "apps", "-t", "1043", "-o", out)
    assert (result.status, result.out, result.lines) == (0, b"", [])
    assert json.loads(out.read_bytes()) == old_script(data_root, [*names, name], {name: digests})


def test_images_of_apps_that_were_never_pushed_are_not_left_out_silently(
    docker: Docker, registry: Registry, base_image: str, tmp_path: Path
) -> None:
    (image,) = siblings("nowhere", base=base_image)
    name = f"{registry.address}/factory/nowhere:1043"
    docker.build(write_context(image, tmp_path / "nowhere"), name)
    write_app(tmp_path / "apps" / "one", [name])
    out = tmp_path / "layers_meta.json"
    out.write_text("as it was")
    result = run("-d", docker.data_root, "-a", tmp_path / "apps", "-t", "1043", "-o", out)
    # The script ended with a traceback.
    assert (result.status, result.out, out.read_text()) == (3, b"", "as it was")
    looked_up, lacking, not_written = result.lines
    assert f"image {name}: its layers' digests cannot be looked up in" in looked_up
    assert lacking.startswith(f"layerscan: error: image {name}: ")
    assert "--allow-partial writes what could" in not_written


def test_no_apps_give_an_empty_document(docker: Docker, tmp_path: Path) -> None:
    (tmp_path / "apps").mkdir()
    out = tmp_path / "layers_meta.json"
    data_root = Path(docker.data_root)
    result = run("-d", data_root, "-a", tmp_path / "apps", "-t", "1043", "-o", out)
    assert (result.status, result.out) == (0, b"")
    assert all(line.startswith("layerscan: warning: ") for line in result.lines)
    assert json.loads(out.read_bytes()) == old_script(data_root, [])


def test_scan_goes_on_where_the_script_ended_with_a_traceback(
    docker: Docker, registry: Registry, base_image: str, tmp_path: Path
) -> None:
    pushed, never_pushed = siblings("left", "never-pushed", base=base_image)
    (name,) = push(docker, registry, [pushed], tmp_path)
    alone = f"{registry.address}/factory/left:never-pushed"
    docker.build(write_context(never_pushed, tmp_path / "never-pushed"), alone)
    data_root = Path(docker.data_root)
    with pytest.raises(FileNotFoundError):
        old_script(data_root, [alone, name])
    out = tmp_path / "layers_meta.json"
    asked = ("-d", data_root, "--image", alone, "--image", name, "-o", out)
    result = run(*asked)
    assert result.status == 3
    line, not_written = result.lines
    assert f"image {alone}: layer without a digest in {alone.rpartition(':')[0]} (" in line
    assert not_written.endswith("would lack layers; --allow-partial writes what could")
    assert not out.exists()
    assert run(*asked, "--allow-partial").status == 3
    assert json.loads(out.read_bytes()) == old_script(data_root, [name])
