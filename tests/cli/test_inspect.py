"""``layerscan inspect``: Apps, images, indexes, and what is none of these."""

import json
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from layerscan.digest import sha256
from layerscan.layersmeta import LayerMeta
from layerscan.oci import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST
from tests.builders.documents import LAYER, descriptor
from tests.builders.images import Image, Index, Layer, attestation
from tests.builders.published_apps import WEB, AppBuilder
from tests.builders.registry_faults import Changed, Status, flipped
from tests.builders.registry_server import OpenRegistry
from tests.builders.tree import File, Symlink
from tests.cli_runner import Result, error, run, run_here

pytestmark = pytest.mark.usefixtures("docker_config")

SCHEMA = json.loads(files("layerscan").joinpath("schemas", "inspect.schema.json").read_text())


def inspect(registry: OpenRegistry, name: str = "fleet/shop:1", *options: str) -> Result:
    return run_here("inspect", f"{registry.address}/{name}", *options)


def report(registry: OpenRegistry, name: str = "fleet/shop:1", *options: str) -> dict[str, Any]:
    """The JSON report, held against the schema."""
    result = inspect(registry, name, "--format", "json", *options)
    assert (result.status, result.lines) == (0, [])
    found: dict[str, Any] = json.loads(result.out)
    Draft202012Validator(SCHEMA).validate(found)
    return found


def fault(registry: OpenRegistry, name: str = "fleet/shop:1", *options: str) -> str:
    result = inspect(registry, name, *options)
    assert (result.status, result.out) == (2, b"")
    (line,) = result.lines
    return line


def image_of(*sizes: int, platform: str = "amd64", media_type: str = LAYER) -> Image:
    """An image whose layers are so long."""
    layers = [Layer(bytes([at]) * size, "", media_type) for at, size in enumerate(sizes)]
    return Image.of(*layers, platform=platform)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


# Apps.


@pytest.mark.parametrize("with_layers_manifests", [True, False])
def test_an_app_is_told_with_all_its_documents(
    open_registry: OpenRegistry, *, with_layers_manifests: bool
) -> None:
    app = AppBuilder(with_layers_manifests=with_layers_manifests)
    raw = app.put(open_registry)
    manifest = json.loads(raw)
    found = report(open_registry)
    assert found["reference"] == f"{open_registry.address}/fleet/shop:1"
    assert (found["kind"], found["digest"], found["size"]) == ("app", sha256(raw), len(raw))
    assert (found["images"], found["attestations"], found["others"]) == ([], [], [])
    content = found["app"]
    assert content["services"] == [{"service": "web", "image": WEB}]
    assert [(one["name"], one["kind"], one["mode"], one["link"]) for one in content["files"]] == [
        ("docker-compose.yml", "file", "0644", ""),
        ("start.sh", "file", "0755", ""),
        ("latest", "symlink", "0777", "start.sh"),
    ]
    for name, layer in zip(("bundle", "metadata"), manifest["layers"], strict=True):
        assert content[name] == {"digest": layer["digest"], "size": layer["size"]}
    amd64, arm64 = content["architectures"]
    assert (amd64["architecture"], arm64["architecture"]) == ("amd64", "arm64")
    assert amd64["fs_block_size"] == 4096
    assert app.metadata is not None
    assert {layer["digest"]: layer["usage"] for layer in amd64["layers"]} == {
        digest: layer["usage"] for digest, layer in app.metadata["amd64"].items()
    }
    assert amd64["totals"] == {
        "size": 4_001_000,
        "usage": 4_508_192,
        "archive_size": 1_600_400,
        "ratio": 2.5,
    }
    manifests = [entry["digest"] for entry in manifest.get("manifests", ())]
    told = [one["layers_manifest"] for one in (amd64, arm64)]
    assert [one["digest"] for one in told if one] == manifests


def test_an_app_is_shown_to_people(open_registry: OpenRegistry) -> None:
    raw = AppBuilder(with_layers_manifests=True).put(open_registry)
    result = inspect(open_registry)
    assert (result.status, result.lines) == (0, [])
    text = re.sub(r" +", " ", result.text)
    for line in (
        f"{open_registry.address}/fleet/shop:1: app, {len(raw):,} bytes",
        f"{sha256(raw)} {OCI_MANIFEST}",
        " 10 B 0755 file start.sh",
        " 0 B 0777 symlink latest -> start.sh",
        f"web {WEB}",
        f"3.8 MiB 4.3 MiB 1.5 MiB 2.50 amd64 {sha256(b'base')[7:19]}",
        "3.8 MiB 4.3 MiB 1.5 MiB 2.50 2 amd64",
        "2.9 MiB 3.3 MiB 1.4 MiB 2.00 1 arm64",
    ):
        assert f"{line}\n" in text, line
    assert " B layers manifest arm64 sha256:" in text


def test_one_architecture_of_an_app_is_chosen(open_registry: OpenRegistry) -> None:
    raw = AppBuilder(with_layers_manifests=True).put(open_registry)
    for option in (("--arch", "arm64"), ("--platform", "linux/arm64")):
        (one,) = report(open_registry, "fleet/shop:1", *option)["app"]["architectures"]
        assert one["architecture"] == "arm64"
    assert fault(open_registry, "fleet/shop:1", "--arch", "arm") == error(
        f"{open_registry.address}/fleet/shop@{sha256(raw)}: has no architecture arm; its "
        "architectures: amd64, arm64"
    )


def test_an_app_without_metadata_says_so(open_registry: OpenRegistry) -> None:
    AppBuilder(metadata=None).put(open_registry)
    content = report(open_registry)["app"]
    assert (content["metadata"], content["architectures"]) == (None, [])
    text = inspect(open_registry).text
    assert text.endswith("without layers metadata: what its layers cost is not known\n")


def test_figures_that_are_not_there_are_not_made_up(open_registry: OpenRegistry) -> None:
    layers = {
        sha256(b"a"): {"size": 10, "usage": 4096},
        sha256(b"b"): {"size": 0, "usage": 0, "archive_size": 0},
    }
    AppBuilder(metadata={"arm": layers}).put(open_registry)
    (arm,) = report(open_registry)["app"]["architectures"]
    assert {one["digest"]: (one["archive_size"], one["ratio"]) for one in arm["layers"]} == {
        sha256(b"a"): (None, None),
        sha256(b"b"): (0, None),
    }
    assert arm["totals"] == {"size": 10, "usage": 4096, "archive_size": None, "ratio": None}
    assert inspect(open_registry).status == 0


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (AppBuilder(raw_metadata=b"[]"), "layers metadata: $: must be an object"),
        (AppBuilder(files=[File("x", b"")]), "has no docker-compose.yml"),
        (AppBuilder(files=[File("docker-compose.yml", b"services: {a: {image: x}}")]),
         "docker-compose.yml:1: service a: x:latest is not pinned by a digest"),
    ],
)  # fmt: skip
def test_an_app_that_is_malformed_is_an_error(
    open_registry: OpenRegistry, app: AppBuilder, message: str
) -> None:
    app.put(open_registry)
    assert message in fault(open_registry)


def test_a_bundle_that_was_exchanged_is_an_error(open_registry: OpenRegistry) -> None:
    app = AppBuilder()
    app.put(open_registry)
    open_registry.fail("GET", sha256(app.bundle), Changed(flipped))
    assert "it was damaged or exchanged" in fault(open_registry)


def test_names_in_a_bundle_cannot_play_with_the_terminal(open_registry: OpenRegistry) -> None:
    app = AppBuilder()
    app.files.append(Symlink("\x1b[31mred", "\x1b[0m"))
    app.put(open_registry)
    for options in ((), ("--format", "json")):
        assert b"\x1b" not in inspect(open_registry, "fleet/shop:1", *options).out


def test_a_layers_manifest_is_told_by_its_digest(open_registry: OpenRegistry) -> None:
    raw = AppBuilder(with_layers_manifests=True).put(open_registry)
    entry = json.loads(raw)["manifests"][0]
    found = report(open_registry, f"fleet/shop@{entry['digest']}")
    assert found["kind"] == "layers-manifest"
    (only,) = found["images"]
    assert (only["architecture"], only["image_id"]) == ("amd64", None)
    assert only["archive_size"] == 1_600_400


# Images.


def test_an_image_is_told_with_its_layers(open_registry: OpenRegistry) -> None:
    made = image_of(1000, 2000, platform="arm64")
    made.put(open_registry, "acme/web:1")
    found = report(open_registry, "acme/web:1")
    (image,) = found["images"]
    assert (found["kind"], found["app"], found["digest"]) == ("image", None, made.digest)
    assert (image["platform"], image["digest"]) == ("linux/arm64", made.digest)
    assert [layer["archive_size"] for layer in image["layers"]] == [1000, 2000]
    assert image["archive_size"] == 3000
    text = re.sub(r" +", " ", inspect(open_registry, "acme/web:1").text)
    assert f"1000 B {sha256(bytes(1000))[7:19]} gzip linux/arm64\n" in text
    # No layer was asked for.
    assert open_registry.count("GET", "/blobs/") == 2


@pytest.mark.parametrize(
    ("media_type", "shown"),
    [
        (LAYER, "gzip"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd"),
        ("application/vnd.oci.image.layer.v1.tar", "tar"),
        ("a/\x1b", "a/\\x1b"),
        ("", "unknown"),
    ],
)
def test_layers_are_shown_with_what_they_are_packed_with(
    open_registry: OpenRegistry, media_type: str, shown: str
) -> None:
    image_of(10, media_type=media_type).put(open_registry, "acme/web:1")
    text = re.sub(r" +", " ", inspect(open_registry, "acme/web:1").text)
    assert f" 10 B {sha256(bytes(10))[7:19]} {shown} " in text


def test_a_manifest_of_something_else_has_no_platform(open_registry: OpenRegistry) -> None:
    config: dict[str, Any] = {"ready_config": b'{"x": 1}', "config_type": "application/json"}
    replace(image_of(10), **config).put(open_registry, "acme/web:1")
    (image,) = report(open_registry, "acme/web:1")["images"]
    assert (image["platform"], image["architecture"]) == ("unknown", "")
    assert "has no architecture amd64; it has: unknown" in fault(
        open_registry, "acme/web:1", "--arch", "amd64"
    )


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_is_told_image_by_image(open_registry: OpenRegistry, media_type: str) -> None:
    amd64, arm = image_of(10), image_of(20, platform="arm")
    for one in (amd64, arm):
        one.put(open_registry, "acme/web")
    v7 = {"architecture": "arm", "os": "linux", "variant": "v7"}
    entries = (
        amd64.bare,
        arm.bare | {"platform": v7},
        attestation(amd64),
        descriptor(b"x", "application/x"),
    )
    Index(entries, media_type).put(open_registry, "acme/web:1")
    found = report(open_registry, "acme/web:1")
    assert (found["kind"], found["media_type"]) == ("index", media_type)
    # One without a platform has that of its config.
    assert [(one["platform"], one["digest"]) for one in found["images"]] == [
        ("linux/amd64", amd64.digest),
        ("linux/arm/v7", arm.digest),
    ]
    assert [one["about"] for one in found["attestations"]] == [amd64.digest]
    assert [one["media_type"] for one in found["others"]] == ["application/x"]
    text = inspect(open_registry, "acme/web:1").text
    assert f" about {amd64.digest[7:19]}\n" in text
    assert text.endswith(f"no image: {sha256(b'x')[7:19]} application/x\n")
    only = report(open_registry, "acme/web:1", "--arch", "arm")
    assert [one["digest"] for one in only["images"]] == [arm.digest]
    assert (only["attestations"], only["others"]) == ([], [])


def test_an_index_of_too_many_images_wants_a_choice(open_registry: OpenRegistry) -> None:
    image = image_of(10)
    image.put(open_registry, "acme/web")
    platforms = [{**image.platform, "variant": f"v{number}"} for number in range(201)]
    platforms.append({"architecture": "arm"})
    index = Index(tuple(image.bare | {"platform": one} for one in platforms))
    index.put(open_registry, "acme/web:1")
    assert fault(open_registry, "acme/web:1") == error(
        f"{open_registry.address}/acme/web@{index.digest}: has more than 200 images; "
        "choose one, or those for a platform with --platform or --arch"
    )
    found = report(open_registry, "acme/web:1", "--arch", "arm")
    assert [one["platform"] for one in found["images"]] == ["arm"]


# Raw, and usage.


def test_raw_is_byte_for_byte_what_the_registry_has(open_registry: OpenRegistry) -> None:
    raw = b'{"anything": \n\n "with this type"}\n\n'
    open_registry.put_manifest("fleet/shop", raw, OCI_MANIFEST, "1")
    result = run("inspect", f"{open_registry.address}/fleet/shop:1", "--raw")
    assert (result.status, result.out, result.lines) == (0, raw, [])


def test_a_reference_without_a_tag_is_latest(open_registry: OpenRegistry) -> None:
    image_of(10).put(open_registry, "acme/web:latest")
    assert report(open_registry, "acme/web")["reference"].endswith("/acme/web:latest")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--raw", "--arch", "arm"], "--raw prints what REF itself is: give it without"),
        (["x", "--raw", "--format", "json"], "not allowed with argument"),
        (["x", "--platform", "arm64"], "no platform: 'arm64'; it has the form os/architecture"),
        (["X"], "no image reference: 'X': repository 'library/X' must be lower case"),
        (["x", "--connections", "0"], "'0' is no number from 1 to 64"),
        (["x", "--connections", "65"], "'65' is no number from 1 to 64"),
        (["x", "--insecure-registry", "a/b"], "'a/b' is no registry: expected HOST or HOST:PORT"),
        ([], "the following arguments are required: REF"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], message: str) -> None:
    result = run_here("inspect", *arguments)
    assert (result.status, result.out) == (2, b"")
    (line,) = result.lines
    assert message in line


def test_what_fails_is_one_line(open_registry: OpenRegistry) -> None:
    assert fault(open_registry) == error(
        f"{open_registry.address}/fleet/shop:1: not found in the registry (404): "
        "MANIFEST_UNKNOWN: manifest unknown"
    )
    open_registry.fail("GET", "", Status(429, {"Retry-After": "0"}), times=99)
    line = fault(open_registry)
    assert "too many requests (429): UNAVAILABLE: come back later (tried 5 times)" in line


def test_totals_know_what_they_lack() -> None:
    from layerscan.cli.inspect_report import ratio, total

    assert total([]) == LayerMeta(0, 0, 0)
    assert total([LayerMeta(1, 2, 3), LayerMeta(4, 5, 6)]) == LayerMeta(5, 7, 9)
    assert total([LayerMeta(1, 2, 3), LayerMeta(4, 5)]) == LayerMeta(5, 7, None)
    assert ratio(LayerMeta(10, 0, 3)) == 3.33
    assert ratio(LayerMeta(10, 0, 0)) is None


def test_every_field_of_the_report_is_described() -> None:
    from tests.docs.reader import code, command_page, read, tables

    (table,) = tables(read(command_page("inspect")), "field")
    assert [code(row[0]) for row in table.rows] == paths(SCHEMA)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A part of the schema, without references and alternatives."""
    found = {**schema}
    for part in [*schema.get("oneOf", ()), *schema.get("allOf", ())]:
        found = {**found, "properties": {**found.get("properties", {}),
                                            **resolved(part).get("properties", {})}}  # fmt: skip
    if "$ref" in schema:
        return resolved(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    return found


def paths(schema: dict[str, Any], path: str = "") -> list[str]:
    """Every field that the schema describes, as the documents write it."""
    schema = resolved(schema)
    if "items" in schema:
        return paths(schema["items"], f"{path}[]")
    if not schema.get("properties"):
        return [path]
    return [
        inner
        for key, value in schema["properties"].items()
        for inner in paths(value, f"{path}.{key}".lstrip("."))
    ]
