"""How the images of a source are named, and which source a name means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerscan.oci import Descriptor
from layerscan.sources import oci_layout, open_source
from tests.builders.documents import CONFIG, sha256
from tests.builders.image_archives import (
    Saved,
    docker_save,
    layout,
    named,
    write_folder,
    write_tar,
)
from tests.builders.images import Image, Layer
from tests.builders.sources_case import AMD64, ARM64, INDEX, fault, images, read_all, saved

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.registry import RegistryClient
    from tests.builders.registry_server import OpenRegistry


# Names.


def test_names_in_a_layout(tmp_path: Path) -> None:
    files = layout(named(AMD64, "registry.example:5000/web:1"), named(ARM64, "web"), INDEX)
    write_folder(files, tmp_path / "a")
    archive = write_tar(files, tmp_path / "a.tar")
    for text in (f"oci:{tmp_path / 'a'}", f"oci-archive:{archive}"):
        assert len(images(text)) == 2
        (found,) = images(f"{text}:registry.example:5000/web:1")
        assert found.platform.architecture == "amd64"
        (found,) = images(f"{text}:@1")
        assert found.platform.architecture == "arm64"
        assert len(images(f"{text}:@2")) == 2
        assert fault(f"{text}:no").endswith(
            'has no image "no"; its names: "registry.example:5000/web:1", "web"'
        )
        assert fault(f"{text}:@3").endswith("has no image at place 3; it has 3")
        assert "gives no name after the last colon" in fault(f"{text}:")
        assert '"@x" is no place' in fault(f"{text}:@x")


def test_names_are_shown_in_bounds(tmp_path: Path) -> None:
    write_folder(layout(named(AMD64, "a\n" * 1_000_000)), tmp_path / "a")
    archive = write_tar(docker_save(Saved(AMD64, ("b\n" * 1_000_000,))), tmp_path / "a.tar")
    for text in (f"oci:{tmp_path / 'a'}", f"docker-archive:{archive}"):
        (found,) = images(text)
        assert found.name.startswith(text)
        assert found.name.isprintable()
        assert len(found.name) < 1000
        assert "no image" in fault(f"{text}:c")


def test_a_name_that_a_layout_has_twice(tmp_path: Path) -> None:
    write_folder(layout(named(AMD64, "web"), named(ARM64, "web")), tmp_path / "a")
    assert 'has 2 images "web": "web", "web"; ask for one' in fault(f"oci:{tmp_path / 'a'}:web")


def test_names_in_docker_save(tmp_path: Path) -> None:
    files = docker_save(
        Saved(AMD64, ("web:1", "registry.example/web:2")),
        Saved(ARM64, None),
        Saved(AMD64, ("x:y",)),
    )
    text = saved(tmp_path, files)
    # The third is the first under another name.
    assert [one.platform.architecture for one in images(text)] == ["amd64", "arm64"]
    for name in ("web:1", "docker.io/library/web:1", "registry.example/web:2", "x:y", "@0"):
        assert [one.image_id for one in images(f"{text}:{name}")] == [sha256(AMD64.config)]
    assert [one.image_id for one in images(f"{text}:@1")] == [sha256(ARM64.config)]
    assert 'has no image "web"; its names: "registry.example/web:2", "web:1"' in fault(
        f"{text}:web"
    )
    assert "no image reference" in fault(f"{text}:Web")
    assert fault(text, {"arm"}).endswith("has no image for arm; it has: linux/amd64, linux/arm64")


def test_a_digest_counts_more_than_a_tag(open_registry: OpenRegistry) -> None:
    AMD64.put(open_registry, "acme/web:1")
    ARM64.put(open_registry, "acme/web:2")
    name = f"docker://{open_registry.address}/acme/web:1@{sha256(ARM64.document)}"
    (found,) = images(name)
    assert found.platform.architecture == "arm64"
    assert found.layers[0].media_type == "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nginx:1", "did you mean docker://nginx:1?"),
        ("docker:registry.example/web", "did you mean docker://registry.example/web?"),
        ("registry.example/web@sha256:" + "0" * 64, "did you mean docker://registry.example/web@"),
        ("ostree:web:1", "ostree is not read here"),
        ("dir:", "docker-archive:FILE[:REF]"),
        ("dir:there/is/none", "there/is/none: there is no such folder"),
        ("Not A Reference", "docker-archive:FILE[:REF]"),
        ("", "docker-archive:FILE[:REF]"),
        ("oci:", "gives no path"),
        ("oci::name", "gives no path"),
        ("docker://", "no image reference"),
        ("docker://UPPER", "must be lower case"),
        ("oci:there/is/none", "there/is/none: there is no such folder"),
        ("oci-archive:there/is/none", "there/is/none: there is no such file"),
        ("docker-archive:there/is/none:x", "there/is/none: there is no such file"),
        ("oci:nul\0", "there is no such folder"),
        ("docker-archive:nul\0", "there is no such file"),
    ],
)
def test_what_is_no_source(text: str, hint: str) -> None:
    assert hint in fault(text)


def test_paths_without_a_transport(tmp_path: Path) -> None:
    write_folder(layout(AMD64), tmp_path / "a")
    archive = write_tar(layout(AMD64), tmp_path / "a.tar")
    assert f"did you mean oci:{tmp_path / 'a'}?" in fault(str(tmp_path / "a"))
    assert f"did you mean docker-archive:{archive}?" in fault(str(archive))
    assert f"did you mean oci-archive:{archive}?" in fault(f"oci:{archive}")
    assert f"did you mean oci:{tmp_path / 'a'}?" in fault(f"oci-archive:{tmp_path / 'a'}")
    assert "did you mean oci-archive:?" in fault(f"docker-archive:{archive}")
    assert "did you mean docker-archive:?" in fault(
        f"oci-archive:{write_tar(docker_save(), tmp_path / 'b.tar')}"
    )


def test_a_path_with_a_colon(tmp_path: Path) -> None:
    folder = write_folder(layout(AMD64), tmp_path / "a:1")
    assert "a path ends at its first colon here" in fault(f"oci:{folder}")


def test_nothing_is_asked_for_before_it_is_needed(open_registry: OpenRegistry) -> None:
    def never() -> RegistryClient:
        raise AssertionError

    with open_source(f"docker://{open_registry.address}/acme/web:1", never) as source:
        assert source.name.startswith("docker://")
    assert not open_registry.seen


def test_documents_of_docker_are_read_too(tmp_path: Path) -> None:
    docker = "application/vnd.docker."
    image = Image(
        layers=tuple(
            Layer(one.tar, "gzip", f"{docker}image.rootfs.diff.tar.gzip") for one in AMD64.layers
        ),
        config_type=f"{docker}container.image.v1+json",
        media_type=f"{docker}distribution.manifest.v2+json",
    )
    write_folder(layout(image), tmp_path / "a")
    ((found, tars),) = read_all(f"oci:{tmp_path / 'a'}")
    assert list(tars) == image.diff_ids
    assert found.layers[0].media_type.startswith(docker)
    assert image.config_type != CONFIG


@pytest.mark.parametrize("full", [None, "No Name", "", "a:b:c"])
def test_full_name_that_is_none_is_only_itself(full: str | None) -> None:
    annotations = {} if full is None else {oci_layout.FULL_NAME: full}
    entry = Descriptor("t", f"sha256:{'1' * 64}", 1, annotations=annotations)
    assert not oci_layout._is_full_name(entry, "web:7")
    assert oci_layout._is_full_name(entry, full or "x") == bool(full)
