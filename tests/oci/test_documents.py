"""Image documents: what is read of them, and what is refused with its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan import oci
from layerscan.errors import DocumentError
from layerscan.jsondoc import Place
from layerscan.oci import Descriptor, Index, Manifest, Platform

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"
BLOB = {"mediaType": "application/octet-stream", "digest": DIGEST, "size": 7}


def manifest(**changes: object) -> dict[str, Any]:
    document = {
        "schemaVersion": 2,
        "mediaType": oci.OCI_MANIFEST,
        "config": {"mediaType": oci.OCI_CONFIG, "digest": DIGEST, "size": 3},
        "layers": [BLOB],
    }
    return {**document, **changes}


def index(**changes: object) -> dict[str, Any]:
    entry = {
        "mediaType": oci.OCI_MANIFEST,
        "digest": DIGEST,
        "size": 5,
        "platform": {"architecture": "arm", "os": "linux", "variant": "v7"},
        "annotations": {"a": "b"},
    }
    document = {"schemaVersion": 2, "mediaType": oci.OCI_INDEX, "manifests": [entry]}
    return {**document, **changes}


def loads(document: object, media_type: str | None = None) -> Manifest | Index:
    return oci.loads(json.dumps(document).encode(), "it", media_type=media_type)


def test_a_manifest() -> None:
    found = loads(manifest(annotations={"k": "v"}, unknown=1))
    assert isinstance(found, Manifest)
    assert found.config == Descriptor(oci.OCI_CONFIG, DIGEST, 3)
    assert found.layers == (Descriptor("application/octet-stream", DIGEST, 7),)
    assert (found.manifests, found.annotations) == ((), {"k": "v"})


def test_an_index() -> None:
    found = loads(index())
    assert isinstance(found, Index)
    (entry,) = found.manifests
    assert entry.platform == Platform("arm", "linux", "v7")
    assert (entry.annotations, entry.is_attestation) == ({"a": "b"}, False)


def test_an_attestation_says_that_it_is_no_image() -> None:
    platform = {"architecture": "unknown", "os": "unknown"}
    found = loads(index(manifests=[{**BLOB, "platform": platform}]))
    assert isinstance(found, Index)
    assert found.manifests[0].is_attestation


def test_a_layers_manifest_is_an_index_of_layers() -> None:
    document = index(layers=[BLOB], platform={"architecture": "arm64", "os": ""})
    del document["manifests"]
    found = loads(document)
    assert isinstance(found, Index)
    assert (found.platform, len(found.layers), found.manifests) == (Platform("arm64"), 1, ())


def test_an_app_manifest_is_a_manifest_with_manifests() -> None:
    found = loads(manifest(manifests=[BLOB]))
    assert isinstance(found, Manifest)
    assert [one.size for one in found.manifests] == [7]


@pytest.mark.parametrize(
    ("document", "kind"), [(manifest(), oci.OCI_MANIFEST), (index(), oci.OCI_INDEX)]
)
def test_a_document_need_not_say_its_type(document: dict[str, Any], kind: str) -> None:
    del document["mediaType"]
    assert loads(document).media_type == kind
    assert loads(document, kind).media_type == kind


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "it: $: must be an object"),
        (manifest(schemaVersion=1), "$.schemaVersion: must be 2"),
        (manifest(mediaType="text/html"), '$: is of type "text/html"; only'),
        (manifest(mediaType=7), "$.mediaType: must be a string"),
        (manifest(config=None), '$: key "config" is missing'),
        (manifest(layers={}), "$.layers: must be an array"),
        (manifest(layers=[{**BLOB, "size": -1}]), "$.layers[0].size: must not be negative"),
        (manifest(layers=[{**BLOB, "size": 1.0}]), "$.layers[0].size: must be an integer"),
        (manifest(layers=[{**BLOB, "size": 1 << 63}]), "$.layers[0].size: must be at most"),
        (manifest(layers=[{**BLOB, "digest": "sha256:0"}]), "$.layers[0].digest: is no digest"),
        (manifest(layers=[BLOB] * 10_001), "$.layers: has more than 10000 entries"),
        (manifest(annotations={"k": 1}), "$.annotations.k: must be a string"),
        (index(manifests=None), '$: key "manifests" is missing'),
        (index(manifests=[{**BLOB, "platform": []}]), "$.manifests[0].platform: must be an object"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(document: object, told: str) -> None:
    with pytest.raises(DocumentError) as caught:
        loads(document)
    assert told in str(caught.value)


def test_another_type_than_was_given_is_refused() -> None:
    with pytest.raises(DocumentError, match=r"\$\.mediaType: is .*, but it was given as"):
        loads(manifest(), oci.DOCKER_MANIFEST)


def test_null_and_empty_text_are_as_what_is_absent() -> None:
    absent = {**manifest(), "annotations": None, "mediaType": "", "artifactType": None}
    del absent["layers"]
    for document in (absent, {**absent, "layers": None}):
        found = loads(document, oci.OCI_MANIFEST)
        assert (found.annotations, found.layers) == ({}, ())
    platform = {"architecture": "amd64", "os": None, "variant": ""}
    (entry,) = loads(index(manifests=[{**BLOB, "platform": platform}])).manifests
    assert entry.platform == Platform("amd64")
    raw = {"architecture": None, "os": "", "variant": None, "rootfs": {"diff_ids": None}}
    assert oci.loads_config(json.dumps(raw).encode(), "it") == oci.Config(Platform(""), ())


@pytest.mark.parametrize("size", [0, 1, (1 << 63) - 1, 1 << 63])
@pytest.mark.parametrize("more", [{}, {"annotations": {}}])
def test_a_blob_of_any_size_that_there_can_be(size: int, more: dict[str, object]) -> None:
    document = index(manifests=[{**BLOB, "size": size, **more}])
    if size < 1 << 63:
        assert loads(document).manifests[0].size == size
    else:
        with pytest.raises(DocumentError, match="must be at most 9223372036854775807"):
            loads(document)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_document_of_the_longest_that_are_read(more: int) -> None:
    raw = json.dumps(index()).encode().ljust(4 * 1024 * 1024 + more)
    if more <= 0:
        assert oci.loads(raw, "it").media_type == oci.OCI_INDEX
    else:
        with pytest.raises(DocumentError, match="it: is longer than 4194304 bytes"):
            oci.loads(raw, "it")


def test_a_document_without_bound_is_not_read() -> None:
    with pytest.raises(DocumentError, match="it: is longer than 4194304 bytes"):
        oci.loads(b" " * (oci.MAX_MANIFEST + 1), "it")


def test_a_config() -> None:
    raw = {"architecture": "arm", "os": "linux", "variant": "v7", "rootfs": {"diff_ids": [DIGEST]}}
    found = oci.loads_config(json.dumps(raw).encode(), "it")
    assert found == oci.Config(Platform("arm", "linux", "v7"), (DIGEST,))
    raw["rootfs"] = {"diff_ids": None}
    assert oci.loads_config(json.dumps(raw).encode(), "it").diff_ids == ()


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"architecture": "arm"}, '$: key "rootfs" is missing'),
        ({"architecture": "arm", "rootfs": {"diff_ids": ["x"]}}, "$.rootfs.diff_ids[0]: is no"),
        ({"architecture": 1, "rootfs": {}}, "$.architecture: must be a string"),
    ],
)
def test_a_config_that_is_wrong_is_refused(raw: object, told: str) -> None:
    with pytest.raises(DocumentError) as caught:
        oci.loads_config(json.dumps(raw).encode(), "it")
    assert told in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(DIGEST),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["schemaVersion", "mediaType", "config", "layers", "manifests", "size"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(document=JSON)
def test_any_json_is_read_or_refused(document: object) -> None:
    for read in (oci.loads, oci.loads_config):
        try:
            read(json.dumps(document).encode(), "it")
        except DocumentError as error:
            assert str(error).startswith("it: $")  # noqa: PT017 - either outcome is right


MEMBERS = st.none() | st.booleans() | st.integers(-1, 2**63) | st.text(max_size=3) | st.just(DIGEST)


@given(
    st.dictionaries(st.sampled_from(["mediaType", "digest", "size", "other"]), MEMBERS)
    | st.fixed_dictionaries(
        {"mediaType": st.text(max_size=3), "digest": st.just(DIGEST), "size": st.integers(0, 9)}
    )
    | MEMBERS
)
def test_quick_reading_of_a_descriptor_is_no_other(value: object) -> None:
    quick = oci._plain_descriptor(value)
    try:
        thorough = oci._descriptor(value, Place("x"))
    except DocumentError:
        assert quick is None
        return
    assert quick in (None, thorough)
    assert quick or not isinstance(value, dict) or len(value) != 3 or "other" in value
