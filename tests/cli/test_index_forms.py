"""One image behind four legal forms of an index: every command says the same of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import DocumentError
from layerscan.fit.contents import Depth, read_app
from layerscan.fit.policies import Policy
from layerscan.fit.sources import find_app
from layerscan.oci import OCI_INDEX
from layerscan.registry import RegistryClient
from tests.builders import images
from tests.builders.fit_apps import App, Layer, encode
from tests.builders.images import Image, Index
from tests.builders.publish_case import WEB, Bench
from tests.cli_runner import run_here as run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

pytestmark = pytest.mark.slow

LAYERS = sorted(layer.digest for layer in WEB.layers)
BILL_OF_MATERIALS = Image(
    layers=(images.Layer(b"sbom", "", "text/spdx"),),
    changes={"artifactType": "application/spdx+json"},
    ready_config=b"{}",
    config_type="application/vnd.oci.empty.v1+json",
)
FORMS = {
    "plain": Index((WEB,)),
    "nested": Index((Index((WEB,)),)),
    "silent": Index((WEB.bare,)),
    "beside": Index((WEB, BILL_OF_MATERIALS.bare)),
}


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    made = Bench(open_registry, tmp_path)
    for image in (WEB, BILL_OF_MATERIALS):
        image.put(open_registry, "acme/one")
    for form, index in FORMS.items():
        index.put(open_registry, f"acme/one:{form}")
    return made


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
