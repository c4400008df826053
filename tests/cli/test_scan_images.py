"""``layerscan scan``: the images that it is asked for, by their names and as those of Apps."""

import json
from pathlib import Path

import pytest

from tests.builders.cli_scan_case import SEVERAL, built, document, fleet, scan
from tests.builders.compose_apps import put
from tests.builders.overlay2 import StoreBuilder
from tests.builders.tree import File
from tests.cli_runner import Fleet, error, undigested, warning

__all__ = ["built", "fleet"]  # fixtures


def test_image_by_reference_and_by_id(fleet: Fleet) -> None:
    for text in ("nginx:1.25", "docker.io/library/nginx:1.25"):
        result = scan(fleet.store, "-i", text, "-o", "-")
        assert (result.status, result.lines) == (0, [])
        assert json.loads(result.out) == document(fleet.store, fleet.base, fleet.db)
    image_id = fleet.store.repositories["nginx"]["nginx:1.25"].removeprefix("sha256:")
    assert scan(fleet.store, "-i", image_id[:12], "-o", "-") == result
    both = scan(fleet.store, "-i", image_id, "--image", "acme/web:7", "-o", "-")
    assert both.lines == [SEVERAL]
    assert json.loads(both.out) == document(fleet.store, fleet.base, fleet.db, fleet.web)


def test_image_that_is_not_there(fleet: Fleet, tmp_path: Path) -> None:
    result = scan(fleet.store, "-i", "acme/web:8", "-o", tmp_path / "out")
    assert result.status == 2
    (line,) = result.lines
    there = error(
        "image acme/web:8 is not in the store; of that repository it holds acme/web:7, "
        "acme/web@sha256:"
    )
    assert line.startswith(there)
    assert not (tmp_path / "out").exists()
    result = scan(fleet.store, "-i", "other")
    assert (result.status, result.lines) == (2, [error("image other is not in the store")])


def test_image_id_of_several(built: StoreBuilder) -> None:
    for number in range(17):
        built.image([], names=[f"x:{number}"], extra={"number": number})
    ids = [one for names in built.repositories.values() for one in names.values()]
    digit = next(d for d in "0123456789abcdef" if sum(one[7] == d for one in ids) > 1)
    count = sum(one[7] == digit for one in ids)
    result = scan(built, "-i", f"sha256:{digit}")
    assert (result.status, result.lines) == (
        2,
        [error(f"image id sha256:{digit} is the beginning of {count} images: give more of it")],
    )


def test_architecture_that_no_image_has(fleet: Fleet) -> None:
    result = scan(fleet.store, "--arch", "riscv64")
    assert (result.status, result.out) == (2, b"")
    assert result.lines == [error("no image has architecture riscv64; there are: amd64, arm64")]


def test_images_without_a_name_only_with_all(built: StoreBuilder) -> None:
    layer = built.layer(None, File("x"))
    image_id = built.image([layer])
    result = scan(built, "-o", "-")
    assert result.status == 0
    nameless = f"{built.root}: no image has a name; --all is about the others too"
    assert result.lines == [warning(nameless)]
    assert json.loads(result.out)["layers"] == {}
    result = scan(built, "--all")
    short = image_id.removeprefix("sha256:")[:12]
    assert short in result.text
    # What a document would lack is told where one is written.
    assert result.lines == []
    result = scan(built, "--all", "-o", "-")
    assert result.lines == [warning(undigested(short, "", layer.diff_id))]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("ab", "a:1, b:1"),
        ("abc", "a:1, b:1, c:1"),
        ("abcd", "a:1, b:1, c:1 and 1 more"),
        ("abcde", "a:1, b:1, c:1 and 2 more"),
    ],
)
def test_many_images_that_a_document_lacks_layers_of_are_one_warning(
    built: StoreBuilder, names: str, told: str
) -> None:
    layers = {f"{name}:1": built.layer(None, File(name)) for name in names}
    for name, layer in layers.items():
        built.image([layer], names=[name])
    result = scan(built, "-o", "-")
    (line,) = result.lines
    assert line == warning(
        f"{len(names)} images have layers without a digest (never pushed, or pulled when they "
        f"were here already?), left out of the document: {told}; -v says which layers"
    )
    assert result.status == 0
    each = scan(built, "-o", "-", "-v")
    assert each.lines[:-1] == [
        warning(undigested(name, f"docker.io/library/{name[0]}", layer.diff_id))
        for name, layer in layers.items()
    ]


def test_nothing_is_written_that_lacks_what_was_asked_for(
    built: StoreBuilder, tmp_path: Path
) -> None:
    layer = built.layer(None, File("a"))
    built.image([layer], names=["a:1"])
    out = tmp_path / "out"
    said = error(undigested("a:1", "docker.io/library/a", layer.diff_id))
    unwritten = f"{out} is not written, since it would lack layers; --allow-partial writes what"
    result = scan(built, "-i", "a:1", "-o", out)
    assert (result.status, result.lines) == (3, [said, error(f"{unwritten} could")])
    assert not out.exists()
    result = scan(built, "-i", "a:1", "-o", out, "--allow-partial")
    assert (result.status, result.lines) == (3, [said])
    assert json.loads(out.read_bytes())["layers"] == {}
    # So it is with an App that the store has, if registries may not be asked.
    apps = put(tmp_path / "apps", {"a/docker-compose.yml": "services: {a: {image: 'a:1'}}"})
    result = scan(built, "-a", apps, "--no-resolve-digests", "-o", out)
    assert (result.status, result.lines[0]) == (3, said)
    # Without a document nobody lacks anything.
    assert scan(built, "-i", "a:1").status == 0


# Compose Apps.


def test_what_an_app_includes_is_told(fleet: Fleet, tmp_path: Path) -> None:
    text = "services:\n  web: {image: 'acme/web:7'}\ninclude: [other.yml]\n"
    apps = put(tmp_path, {"shop/docker-compose.yml": text})
    result = scan(fleet.store, "-a", apps, "-o", "-")
    told = f"{apps}/shop/docker-compose.yml:3: what it includes is passed over"
    assert (result.status, result.lines) == (0, [warning(told)])


def test_images_of_apps_by_the_tag_that_ci_gave(fleet: Fleet, tmp_path: Path) -> None:
    apps = put(
        tmp_path,
        {
            "shop/docker-compose.yml": (
                "services:\n"
                "  db: {image: 'docker.io/nginx:${VERSION}'}\n"
                "  web: {image: 'hub.foundries.io/acme/web:latest'}\n"
                "  away: {image: 'acme/away:1'}\n"
                "  odd: {image: 'acme/web:7${SUFFIX}'}\n"
            ),
            "shop/.env": "VERSION=1.25\n",
            "off.disabled/docker-compose.yml": "services: {a: {image: 'acme/off'}}",
        },
    )
    result = scan(fleet.store, "-a", apps, "-t", "7", "--by-arch", "-o", "-")
    assert result.status == 0
    assert result.lines == [
        warning("App shop, service odd: the image's name uses variables that are not set: SUFFIX"),
        warning(
            "image acme/away:1 (App shop, service away) is not in the store: not built for this "
            "architecture? skipped"
        ),
    ]
    assert json.loads(result.out) == {
        "amd64": document(fleet.store, fleet.base, fleet.web),
        "arm64": document(fleet.store, fleet.base, fleet.db),
    }


def test_factory_registry_is_the_one_given(fleet: Fleet, tmp_path: Path) -> None:
    apps = put(
        tmp_path, {"a/docker-compose.yml": "services: {a: {image: 'hub.foundries.io/acme/web'}}"}
    )
    other = scan(
        fleet.store, "-a", apps, "-t", "7", "--factory-registry", "hub.example.com", "-o", "-"
    )
    assert other.status == 0
    absent, nothing = other.lines
    assert nothing == warning(f"{fleet.store.root}: the store holds no image asked for")
    assert absent.startswith(
        warning("image hub.foundries.io/acme/web:latest (App a, service a) is not in the store; of")
    )
    assert absent.endswith(": not built for this architecture? skipped")
    assert json.loads(other.out) == document(fleet.store)


def test_apps_that_cannot_be_read(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = scan(fleet.store, "-a", tmp_path / "none")
    assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
    assert result.lines[0].startswith(error(f"{tmp_path / 'none'}: "))
    # Where there are no Apps, the document is empty, as the script's is.
    result = scan(fleet.store, "-a", tmp_path / "empty", "-o", "-")
    assert (result.status, json.loads(result.out)) == (0, document(fleet.store))
    assert result.lines[0].startswith(warning(f"{tmp_path / 'empty'}: no Compose App: "))
    apps = put(tmp_path / "bad", {"a/docker-compose.yml": "services: {a: {image: 'b'}, a: ["})
    result = scan(fleet.store, "-a", apps)
    assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
    assert result.lines[0].startswith(error(f"{apps}/a/docker-compose.yml"))


def test_tag_without_apps_is_warned_of(fleet: Fleet) -> None:
    plain, tagged = scan(fleet.store, "-o", "-"), scan(fleet.store, "-t", "1", "-o", "-")
    assert tagged.out == plain.out
    line = "--tag is for the images of Apps: without --apps-root it does nothing"
    assert tagged.lines == [warning(line), *plain.lines]
