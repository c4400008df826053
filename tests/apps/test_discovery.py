import os
from pathlib import Path

import pytest

from layerscan.apps import images
from layerscan.apps.discovery import App, app_at, discover
from layerscan.apps.images import AppImage, ServiceImage, app_images, retagged
from layerscan.errors import ComposeError, ReferenceSyntaxError
from layerscan.reference import parse
from tests.builders.compose_apps import HEX, fault, image_texts, one_app, only, put

# Discovery


def test_apps_are_the_sub_folders_with_a_compose_file(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "b/docker-compose.yml": "",
            "a/docker-compose.yml": "",
            "both/docker-compose.yml": "",
            "both/docker-compose.yaml": "",
            "off.disabled/docker-compose.yaml": "",
            "README.md": "",
            "tools/composer.yml": "",
            "deep/er/docker-compose.yml": "",
        },
    )
    assert discover(root) == [
        App(name, f"{root}/{name}", f"{root}/{name}/docker-compose.yml")
        for name in ("a", "b", "both")
    ]


def test_a_misnamed_compose_file_says_to_rename_it(tmp_path: Path) -> None:
    root = put(tmp_path, {"a/docker-compose.yml": "", "b/docker-compose.yaml": ""})
    with pytest.raises(ComposeError) as caught:
        discover(root)
    assert str(caught.value) == (
        f"{root}/b/docker-compose.yaml: must be named docker-compose.yml, rename it"
    )


@pytest.mark.parametrize(
    "name",
    [
        "compose.yaml",
        "compose.yml",
        "Docker-Compose.yml",
        "docker-compose.prod.yml",
        "DOCKER-COMPOSE.YAML",
    ],
)
def test_every_spelling_is_named(tmp_path: Path, name: str) -> None:
    root = put(tmp_path, {"a/docker-compose.yml": "", f"b/{name}": "", f"c/{name}": ""})
    with pytest.raises(ComposeError) as caught:
        discover(root)
    assert str(caught.value) == (
        f"{root}/b/{name}, {root}/c/{name}: must be named docker-compose.yml, rename them"
    )
    with pytest.raises(ComposeError, match=r"must be named docker-compose.yml, rename it"):
        app_at(f"{root}/b")


def test_an_apps_root_without_apps(tmp_path: Path) -> None:
    root = put(tmp_path, {"x/y": "", "off.disabled/docker-compose.yml": ""})
    with pytest.raises(ComposeError, match=r"no Compose App: has no sub-folder with a docker"):
        discover(root)
    put(tmp_path, {"docker-compose.yml": ""})
    with pytest.raises(ComposeError, match="it is itself an App, its parent is the Apps root"):
        discover(root)


def test_a_folder_without_an_app(tmp_path: Path) -> None:
    put(tmp_path, {"shop/README.md": ""})
    for name, why in (("shop", "has no docker-compose.yml"), ("gone", "is no folder")):
        with pytest.raises(ComposeError) as caught:
            app_at(f"{tmp_path}/{name}")
        assert str(caught.value) == f"{tmp_path}/{name}: no Compose App: {why}"


@pytest.mark.parametrize("given", ["", ".", "./", "sub/..", "../shop", "../shop/"])
def test_an_app_is_called_by_its_folder_however_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    put(tmp_path, {"shop/docker-compose.yml": "", "shop/sub/file": ""})
    monkeypatch.chdir(tmp_path / "shop")
    found = app_at(given)
    assert found.name == "shop"
    assert os.path.samefile(found.folder, tmp_path / "shop")
    monkeypatch.chdir(tmp_path / "shop" / "sub")
    assert app_at("..").name == "shop"


@pytest.mark.parametrize("number", [9, 10, 11])
def test_so_many_misnamed_compose_files_are_named(tmp_path: Path, number: int) -> None:
    root = put(tmp_path, {f"{one:02}/compose.yml": "" for one in range(number)})
    with pytest.raises(
        ComposeError, match=r"must be named docker-compose\.yml, rename them"
    ) as error:
        discover(root)
    assert str(error.value).count("/compose.yml") == min(number, 10)
    assert f"{root}/00/compose.yml, {root}/01/compose.yml, " in str(error.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No such file or directory"),
        ("file", "Not a directory"),
        ("", "No such file or directory"),
        ("nul\0", "embedded null byte"),
    ],
)
def test_an_apps_root_that_cannot_be_read(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ComposeError) as caught:
        discover(name and os.path.join(tmp_path, name))
    assert str(caught.value).endswith(f": Apps root cannot be read: {reason}")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", [b"new\nline", b"not\xffutf-8", b"\x1b[31m"])
def test_an_app_has_a_printable_name(tmp_path: Path, name: bytes) -> None:
    folder = os.path.join(os.fsencode(tmp_path), name)
    os.mkdir(folder)
    with open(os.path.join(folder, b"docker-compose.yml"), "wb"):
        pass
    with pytest.raises(ComposeError, match="no name for an App: rename the folder") as caught:
        discover(str(tmp_path))
    assert str(caught.value).isprintable()


# Files that lead elsewhere


@pytest.mark.parametrize("name", ["docker-compose.yml", ".env"])
def test_a_symlink_out_of_the_apps_root_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path, {"secret": "A=1", "apps/shop/docker-compose.yml": only("x")})
    link = tmp_path / "apps/shop" / name
    link.unlink(missing_ok=True)
    link.symlink_to("../../secret")
    root = str(tmp_path / "apps")
    assert fault(discover(root)[0]) == f"{name}: is a symlink that leads out of {root}"


def test_a_folder_that_is_a_symlink_out_of_the_apps_root_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {"apps2/shop/docker-compose.yml": only("x"), "apps/x": ""})
    (tmp_path / "apps/shop").symlink_to("../apps2/shop")
    assert "is a symlink that leads out of" in fault(discover(str(tmp_path / "apps"))[0])


def test_a_symlink_within_the_apps_root_is_followed(tmp_path: Path) -> None:
    put(tmp_path, {"apps/common.env": "T=1", "apps/shop/docker-compose.yml": only("x:$T")})
    (tmp_path / "apps/shop/.env").symlink_to("../common.env")
    (tmp_path / "link").symlink_to("apps")
    for root in (tmp_path / "apps", tmp_path / "link"):
        assert image_texts(discover(str(root))[0]) == {"web": "x:1"}


@pytest.mark.parametrize("name", ["docker-compose.yml", ".env"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("fifo", "is no regular file"),
        ("folder", "is no regular file"),
        ("dangling", "No such file or directory"),
        ("circle", "Too many levels of symbolic links"),
    ],
)
def test_what_is_no_file(tmp_path: Path, name: str, kind: str, reason: str) -> None:
    put(tmp_path, {"shop/docker-compose.yml": only("x")})
    path = tmp_path / "shop" / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("missing" if kind == "dangling" else name)
    assert fault(discover(str(tmp_path))[0]) == f"{name}: {reason}"


# References


def test_factory_images_are_retagged(tmp_path: Path) -> None:
    text = f"""
services:
  a: {{image: hub.foundries.io/f/a:old}}
  b: {{image: hub.foundries.io/f/b}}
  c: {{image: 'hub.foundries.io/f/c@sha256:{HEX}'}}
  d: {{image: 'hub.foundries.io/f/d:1@sha256:{HEX}'}}
  e: {{image: nginx}}
  f: {{image: hub.foundries.io.evil.org/f/f:1}}
  g: {{image: localhost:5000/g:1}}
"""
    root = put(tmp_path, {"shop/docker-compose.yml": text, "aux/docker-compose.yml": only("$I:1")})

    def found(tag: str | None, **options: str) -> dict[tuple[str, str], str]:
        environment = {"I": "hub.foundries.io/f/i"}
        selected, notes = app_images(root, tag=tag, environment=environment, **options)
        assert notes == []
        assert selected == sorted(selected, key=lambda image: (image.app, image.service))
        return {(image.app, image.service): str(image.reference) for image in selected}

    plain = {
        ("aux", "web"): "hub.foundries.io/f/i:1",
        ("shop", "a"): "hub.foundries.io/f/a:old",
        ("shop", "b"): "hub.foundries.io/f/b:latest",
        ("shop", "c"): f"hub.foundries.io/f/c@sha256:{HEX}",
        ("shop", "d"): f"hub.foundries.io/f/d:1@sha256:{HEX}",
        ("shop", "e"): "docker.io/library/nginx:latest",
        ("shop", "f"): "hub.foundries.io.evil.org/f/f:1",
        ("shop", "g"): "localhost:5000/g:1",
    }
    assert found(None) == plain
    assert found("42") == plain | {
        ("aux", "web"): "hub.foundries.io/f/i:42",
        ("shop", "a"): "hub.foundries.io/f/a:42",
        ("shop", "b"): "hub.foundries.io/f/b:42",
    }
    assert found("42", factory_registry="localhost:5000") == plain | {
        ("shop", "g"): "localhost:5000/g:42"
    }
    with pytest.raises(ReferenceSyntaxError, match="'a b' is no tag"):
        found("a b")


def test_app_images_carry_what_is_unset(tmp_path: Path) -> None:
    root = put(tmp_path, {"shop/docker-compose.yml": only("app$SUFFIX:1")})
    (image,), _ = app_images(root, tag=None, environment={})
    assert image == AppImage("shop", "web", parse("app:1"), ("SUFFIX",))


def test_what_a_compose_file_includes_is_passed_over_with_a_note(tmp_path: Path) -> None:
    text = "services:\n  web: {image: 'app:1'}\ninclude: [other.yml]\n"
    root = put(tmp_path, {"shop/docker-compose.yml": text})
    (image,), notes = app_images(root, tag=None, environment={})
    assert image.reference == parse("app:1")
    assert notes == [f"{root}/shop/docker-compose.yml:3: what it includes is passed over"]


@pytest.mark.parametrize(
    ("image", "process", "message"),
    [
        ("app:$TAG", {}, "no image reference: 'app:': '' is no tag (set nowhere: TAG)"),
        ("App", {}, "no image reference: 'App': repository 'library/App' must be lower case"),
        (
            "app:$TAG",
            {"TAG": "1\n\x1b[31m"},
            "no image reference: 'app:1\\n\\x1b[31m': '1\\n\\x1b[31m' is no tag",
        ),
    ],
)
def test_an_image_that_is_no_reference(
    tmp_path: Path, image: str, process: dict[str, str], message: str
) -> None:
    root = put(tmp_path, {"shop/docker-compose.yml": only(image)})
    with pytest.raises(ComposeError) as caught:
        app_images(root, tag=None, environment=process)
    assert str(caught.value) == f"{root}/shop/docker-compose.yml:1: service web: {message}"


@pytest.mark.parametrize("length", [199, 200, 201])
def test_so_much_of_what_is_unset_is_told(length: int) -> None:
    image = ServiceImage("A", "f:1", ("n" * 99, "n" * (length - 101)))
    told = ", ".join(image.unset)
    assert len(told) == length
    with pytest.raises(ComposeError) as caught:
        retagged(image, None, "")
    assert str(caught.value).endswith(f" (set nowhere: {told[:200]})")


def test_a_process_environment_is_taken_as_it_is(tmp_path: Path) -> None:
    assert images.FACTORY_REGISTRY == "hub.foundries.io"
    app = one_app(tmp_path, only("a:${T}"))
    assert image_texts(app, os.environ | {"T": "$$1"}) == {"web": "a:$$1"}
