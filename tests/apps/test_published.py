"""A published App read back: manifest, metadata and bundle, which may be anything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan import layersmeta
from layerscan.apps.document import (
    CONFIG,
    CONFIG_DESCRIPTOR,
    app_manifest,
    descriptor_of,
    layers_manifest,
    union,
)
from layerscan.apps.published import (
    is_app,
    load_metadata,
    loads_app,
)
from layerscan.digest import sha256
from layerscan.errors import DocumentError
from layerscan.layersmeta import LayerMeta, LayersMeta
from layerscan.oci import OCI_INDEX, Descriptor, Index, Platform, loads
from tests.builders.bundle_case import BUNDLE
from tests.builders.compose_apps import HEX

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DIGEST = f"sha256:{HEX}"


def descriptors(*names: str) -> list[Descriptor]:
    return [Descriptor(LAYER, sha256(name.encode()), len(name)) for name in names]


class Held:
    """Documents in memory."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = {sha256(content): content for content in contents}

    def fetch(self, descriptor: Descriptor, *, limit: int) -> bytes:
        assert descriptor.size <= limit
        return self.contents[descriptor.digest]


METADATA = layersmeta.dumps_by_arch(
    {"amd64": LayersMeta(4096, {sha256(b"a"): LayerMeta(1, 4096, 1)})}, compact=True
)


def app(*, metadata: bool = True, architectures: tuple[str, ...] = ("amd64", "arm64")) -> bytes:
    manifests = {
        name: descriptor_of(layers_manifest(name, descriptors("a", name)), OCI_INDEX, name)
        for name in architectures
    }
    blob = descriptor_of(METADATA, "application/json") if metadata else None
    return app_manifest(BUNDLE, blob, manifests)


def changed(**values: Any) -> bytes:  # noqa: ANN401 - JSON
    document = json.loads(app()) | values
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


def fault(raw: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        loads_app(raw, "r/a")
    message = str(caught.value)
    assert message.isprintable()
    return message


# The documents as they are written: byte for byte what the contract says.


def test_the_bytes_of_an_app_manifest() -> None:
    empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    arm = layers_manifest("arm", descriptors("b", "a", "b"))
    raw = app_manifest(
        BUNDLE,
        descriptor_of(METADATA, "application/json"),
        {"arm": descriptor_of(arm, OCI_INDEX, "arm")},
    )
    assert json.loads(raw) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.fio+compose-app",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": empty,
            "size": 2,
        },
        "layers": [
            {
                "mediaType": "application/octet-stream",
                "digest": sha256(b"bundle"),
                "size": 6,
                "annotations": {
                    "org.foundries.app.bundle.index.digest": sha256(b"index"),
                    "org.foundries.app.bundle.index.size": "5",
                },
            },
            {
                "mediaType": "application/json",
                "digest": sha256(METADATA),
                "size": len(METADATA),
                "annotations": {"layers-meta": "v1"},
            },
        ],
        "annotations": {"compose-app": "v1"},
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": sha256(arm),
                "size": len(arm),
                "platform": {"architecture": "arm", "os": ""},
            }
        ],
    }
    assert json.loads(arm) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "platform": {"architecture": "arm", "os": ""},
        "layers": sorted(
            ({"mediaType": LAYER, "digest": sha256(name), "size": 1} for name in (b"a", b"b")),
            key=lambda layer: str(layer["digest"]),
        ),
        "annotations": {"compose-app-layers": "v1"},
    }
    for document in (raw, arm):
        compact = json.dumps(json.loads(document), sort_keys=True, separators=(",", ":"))
        assert document == compact.encode()
    assert CONFIG_DESCRIPTOR.digest == sha256(CONFIG) == empty


def test_without_metadata_and_layers_manifests_the_keys_are_not_there() -> None:
    document = json.loads(app(metadata=False, architectures=()))
    assert "manifests" not in document
    assert len(document["layers"]) == 1


def test_one_layer_with_two_types_is_one_layer_and_with_two_sizes_an_error() -> None:
    (one,) = descriptors("a")
    docker = one._replace(media_type="application/vnd.docker.image.rootfs.diff.tar.gzip")
    assert union([one, docker]) == union([docker, one]) == [docker]
    with pytest.raises(DocumentError, match="one image gives it 1 bytes, another 2"):
        union([one, one._replace(size=2)])


@pytest.mark.parametrize(("given", "platform"), [("arm", Platform("arm")), (None, None)])
def test_what_refers_to_a_document(given: str | None, platform: Platform | None) -> None:
    assert descriptor_of(b"x", "t", given) == Descriptor("t", sha256(b"x"), 1, platform)


def test_a_manifest_that_is_too_long_is_refused() -> None:
    (layers,) = descriptors("x")
    with pytest.raises(DocumentError, match=r"would have \d+ bytes; clients read 51200"):
        app_manifest(BUNDLE, None, {f"arch{number}": layers for number in range(300)})


# Reading it back.


def test_an_app_is_read_back() -> None:
    raw = app()
    found = loads_app(raw, "r/a")
    assert (found.raw, found.digest, found.source) == (raw, sha256(raw), "r/a")
    assert (found.bundle, found.metadata and found.metadata.digest) == (BUNDLE, sha256(METADATA))
    assert list(found.layers_manifests) == ["amd64", "arm64"]
    assert found.layers_manifests["arm64"].platform == Platform("arm64")
    layers = loads(layers_manifest("arm64", descriptors("a")), "l")
    assert isinstance(layers, Index)
    assert [layer.digest for layer in layers.layers] == [sha256(b"a")]
    assert not is_app(layers)
    assert load_metadata(found, Held(METADATA)) == {
        "amd64": LayersMeta(4096, {sha256(b"a"): LayerMeta(1, 4096, 1)})
    }


def test_an_app_without_metadata_and_layers_manifests() -> None:
    found = loads_app(app(metadata=False, architectures=()), "r/a")
    assert (found.metadata, dict(found.layers_manifests)) == (None, {})
    assert load_metadata(found, Held()) is None


def layer(**values: object) -> dict[str, object]:
    return {"mediaType": "x", "digest": DIGEST, "size": 1} | values


PLATFORM = {"architecture": "amd64", "os": ""}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"annotations": {}}, '$: is no App: annotation "compose-app": "v1" is missing'),
        ({"annotations": None}, '$: is no App: annotation "compose-app": "v1" is missing'),
        (
            {"annotations": {"compose-app": "v2"}},
            '$: is no App: annotation "compose-app": "v1" is missing',
        ),
        ({"layers": []}, "$.layers: is empty: an App has a bundle"),
        (
            {"layers": [layer(annotations={"layers-meta": "v1"})]},
            "$.layers[0]: is layers metadata, where the bundle must be",
        ),
        ({"layers": [layer(size=-1)]}, "$.layers[0].size: must not be negative"),
        ({"layers": [layer(digest="x")]}, "$.layers[0].digest: is no digest"),
        ({"manifests": [layer()]}, '$.manifests[0]: "" is no architecture name'),
        (
            {"manifests": [layer(platform={"architecture": "A"})]},
            '$.manifests[0]: "A" is no architecture name',
        ),
        (
            {"manifests": [layer(platform=PLATFORM)] * 2},
            "$.manifests[1]: there is one for amd64 already",
        ),
    ],
)
def test_what_is_no_app(values: dict[str, object], message: str) -> None:
    assert fault(changed(**values)).startswith(f"r/a: {message}")


@given(st.binary(max_size=200) | st.text().map(str.encode))
def test_any_bytes_are_an_app_or_an_error(raw: bytes) -> None:
    assert fault(raw)


def test_metadata_that_is_malformed_names_its_place() -> None:
    found = loads_app(app(), "r/a")
    bad = b'{"amd64": {"fs_block_size": 0, "layers": {}}}'
    held = Held()
    held.contents[sha256(METADATA)] = bad
    with pytest.raises(DocumentError) as caught:
        load_metadata(found, held)
    assert str(caught.value) == ("r/a: layers metadata: $.amd64.fs_block_size: must be positive")
