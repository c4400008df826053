"""One image behind four legal forms of an index: every command says the same of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import DocumentError
from layerscan.fit.contents import Depth, read_app
from layerscan.fit.policies import Policy
from layerscan.fit.sources import find_app
from layerscan.oci import OCI_INDEX, OCI_MANIFEST
from layerscan.registry import RegistryClient
from tests.builders.fit_apps import App, Layer, encode
from tests.builders.publish_case import Bench, digest_of, encoded, plain, put_image
from tests.cli_runner import run

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.oci import Descriptor
    from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.slow


AMD64 = {"architecture": "amd64", "os": "linux"}
LAYERS = sorted(map(digest_of, ("base", "web")))
FORMS = ("plain", "nested", "silent", "beside")


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    made = Bench(open_registry, tmp_path)
    for form in FORMS:
        image = plain(put_image(open_registry, "acme/one", ["base", "web"], arch="amd64"))
        says = image | {"platform": AMD64}
        entries = {
            "plain": [says],
            "nested": [plain(put_entries(open_registry, [says], "inner"))],
            "silent": [image],
            "beside": [says, plain(bill_of_materials(open_registry))],
        }[form]
        put_entries(open_registry, entries, form)
    return made


def put_entries(registry: OpenRegistry, entries: list[dict[str, object]], tag: str) -> Descriptor:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return registry.put_manifest("acme/one", encoded(document), OCI_INDEX, tag)


def bill_of_materials(registry: OpenRegistry) -> Descriptor:
    config = plain(registry.put_blob("acme/one", b"{}"))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": "application/spdx+json",
        "config": config | {"mediaType": "application/vnd.oci.empty.v1+json"},
        "layers": [plain(registry.put_blob("acme/one", b"sbom")) | {"mediaType": "text/spdx"}],
    }
    return registry.put_manifest("acme/one", encoded(document), OCI_MANIFEST)


@pytest.mark.parametrize("form", FORMS)
def test_all_commands_agree(bench: Bench, form: str, tmp_path: Path) -> None:
    name = f"{bench.registry.address}/acme/one:{form}"
    predicted = run("predict", f"docker://{name}", "--by-arch", "-o", "-")
    assert predicted.status == 0, predicted.lines
    assert {key: sorted(one["layers"]) for key, one in json.loads(predicted.out).items()} == {
        "amd64": LAYERS
    }
    inspected = run("inspect", name, "--format", "json")
    (image,) = json.loads(inspected.out)["images"]
    assert (image["platform"], sorted(one["digest"] for one in image["layers"])) == (
        "linux/amd64",
        LAYERS,
    )
    bench.app("shop", web=f"acme/one:{form}")
    published = bench.publish()
    assert published.status == 0, published.lines
    app = bench.document(published.text.strip())
    assert sorted(bench.document(app["layers"][1]["digest"])["amd64"]["layers"]) == LAYERS
    for policy in ("exact", "composectl"):
        checked = run(
            *("check", "--app", bench.target(), "--arch", "amd64", "--policy", policy),
            *("--store-root", tmp_path, "--docker-root", tmp_path, "--format", "json"),
        )
        assert checked.status in (0, 1), checked.lines
        missing = json.loads(checked.out)["missing_layers"]
        assert sorted(one["digest"] for one in missing) == LAYERS


class Odd(App):
    """An App whose images are behind indexes that composectl cannot read."""

    def put(self, raw: bytes, kind: str) -> dict[str, object]:
        document = json.loads(raw) if kind == OCI_INDEX else {}
        if "manifests" in document:
            for entry in document["manifests"]:
                del entry["platform"]
            raw = encode(document)
        return super().put(raw, kind)


def test_composectl_cannot_read_an_app_that_exact_can(tmp_path: Path) -> None:
    one = Layer("one")
    name = Odd({"web": {"arm64": [one]}}, index=True).store(tmp_path)
    with RegistryClient() as client:
        source = find_app(name, client)
        found = read_app(*source, architecture="arm64", depth=Depth.CONFIGS)
        assert found.images is not None
        assert [layer.digest for layer in found.images[0].layers] == [one.digest]
        with pytest.raises(DocumentError, match=r"@sha256:\w+: composectl cannot read this"):
            read_app(
                *source,
                architecture="arm64",
                depth=Depth.IMAGES,
                matcher=Policy.COMPOSECTL.matcher("arm64"),
            )
    refused = run(
        *("check", "--app", name, "--arch", "arm64", "--policy", "composectl"),
        *("--store-root", tmp_path, "--docker-root", tmp_path),
    )
    assert (refused.status, len(refused.lines)) == (2, 1)
    assert "composectl cannot read this index" in refused.lines[0]
