"""A published App read back: manifest, metadata and bundle, which may be anything."""

import gzip
import io
import json
import tarfile
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscan import layersmeta
from layerscan.apps import published
from layerscan.apps.document import (
    EMPTY_CONFIG,
    app_manifest,
    descriptor_of,
    layers_manifest,
    union,
)
from layerscan.apps.published import (
    BundleFile,
    bundle_files,
    bundle_images,
    is_app,
    load_metadata,
    loads_app,
)
from layerscan.digest import sha256
from layerscan.errors import ComposeError, DocumentError, LayerscanError
from layerscan.layersmeta import LayerMeta, LayersMeta
from layerscan.oci import OCI_INDEX, Descriptor, Index, Platform, loads
from layerscan.reference import parse
from tests.builders.compose_apps import HEX

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
BUNDLE = Descriptor("application/octet-stream", sha256(b"bundle"), 6)
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
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    arm = layers_manifest("arm", descriptors("b", "a", "b"))
    raw = app_manifest(
        BUNDLE,
        descriptor_of(METADATA, "application/json"),
        {"arm": descriptor_of(arm, OCI_INDEX, "arm")},
    )
    assert json.loads(raw) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": empty,
            "size": 0,
        },
        "layers": [
            {
                "mediaType": "application/octet-stream",
                "digest": sha256(b"bundle"),
                "size": 6,
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
    assert EMPTY_CONFIG.digest == empty


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


# The bundle.


def tar_of(*entries: tuple[tarfile.TarInfo, bytes], **options: Any) -> bytes:  # noqa: ANN401
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", **options) as tar:
        for entry, content in entries:
            entry.size = len(content) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found


def with_compose_file(text: str | bytes, name: str = "docker-compose.yml") -> bytes:
    content = text if isinstance(text, bytes) else text.encode()
    return gzip.compress(tar_of((entry("a"), b"x" * 5000), (entry(name), content)))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_files_of_a_bundle(form: int) -> None:
    long = "d/" + "n" * 200
    raw = tar_of(
        (entry("d", tarfile.DIRTYPE), b""),
        (entry(long), b"12345"),
        (entry("s", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (entry("h", tarfile.LNKTYPE, "s"), b""),
        (entry("f", tarfile.FIFOTYPE), b""),
        (entry("../up\x1b[31m"), b""),
        format=form,
    )
    assert bundle_files(gzip.compress(raw), "b") == [
        BundleFile("d", "folder", 0o644, 0, ""),
        BundleFile(long, "file", 0o644, 5, ""),
        BundleFile("s", "symlink", 0o644, 0, "/etc/passwd"),
        BundleFile("h", "link", 0o644, 0, "s"),
        BundleFile("f", "other", 0o644, 0, ""),
        BundleFile("../up\\x1b[31m", "file", 0o644, 0, ""),
    ]


def test_a_file_of_less_than_no_bytes_is_refused() -> None:
    header = entry("docker-compose.yml")
    header.size = -1
    raw = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert bundle_fault(raw) == "b: is no gzip'd tar: has a file of less than no bytes"


def test_only_files_have_a_size_whatever_a_header_says() -> None:
    header = entry("d", tarfile.DIRTYPE)
    header.size = -5
    raw = header.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert bundle_files(gzip.compress(raw), "b") == [BundleFile("d", "folder", 0o644, 0, "")]


@pytest.mark.parametrize("name", ["docker-compose.yml", "./docker-compose.yml"])
def test_images_of_a_bundle(name: str) -> None:
    image = f"registry.example/acme/web@{DIGEST}"
    text = f"services: {{web: {{image: '{image}'}}, db: {{image: nginx@{DIGEST}}}}}"
    assert bundle_images(with_compose_file(text, name), "b") == {
        "web": parse(image),
        "db": parse(f"docker.io/library/nginx@{DIGEST}"),
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (gzip.compress(tar_of((entry("a"), b""))), "b: has no docker-compose.yml"),
        (
            gzip.compress(tar_of((entry("docker-compose.yml", tarfile.SYMTYPE, "x"), b""))),
            "b: has no docker-compose.yml",
        ),
        (
            with_compose_file("services: {web: {image: 'nginx:1'}}"),
            "b: docker-compose.yml:1: service web: nginx:1 is not pinned by a digest",
        ),
        (
            with_compose_file("services: {web: {image: ':'}}"),
            "b: docker-compose.yml:1: service web: no image reference: ':'",
        ),
        (with_compose_file(b"\xff"), "b: docker-compose.yml: is not UTF-8 at byte 0"),
        (with_compose_file(b"x" * (1 << 20 | 1)), "b: docker-compose.yml: is longer than 1048576"),
        (with_compose_file("a: ]"), "b: docker-compose.yml:1: is no YAML"),
    ],
    ids=range(7),
)
def test_a_bundle_without_pinned_images(raw: bytes, message: str) -> None:
    with pytest.raises((DocumentError, ComposeError)) as caught:
        bundle_images(raw, "b")
    assert str(caught.value).startswith(message)


def bundle_fault(raw: bytes) -> str:
    with pytest.raises(DocumentError) as caught:
        bundle_files(raw, "b")
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_what_is_no_bundle() -> None:
    whole = gzip.compress(tar_of((entry("a"), bytes(range(256)) * 4000)))
    for raw in (b"", b"x" * 1000, whole[:100], whole[:-2000], gzip.compress(b"x" * 2000), tar_of()):
        assert bundle_fault(raw).startswith("b: is no gzip'd tar: ")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    assert bundle_fault(bytes(damaged)).startswith("b: is no gzip'd tar: ")


@given(st.binary(max_size=600))
def test_any_bytes_in_a_tar_are_a_list_or_an_error(noise: bytes) -> None:
    whole = tar_of((entry("a" * 120), b"12345"), (entry("b"), b"1"), format=tarfile.PAX_FORMAT)
    for raw in (noise, noise + whole, whole[:512] + noise + whole[512:]):
        try:
            bundle_files(gzip.compress(raw, 1), "b")
        except LayerscanError as error:
            assert str(error).isprintable()  # noqa: PT017 - it may be a list as well


def test_a_bomb_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MAX_UNPACKED", 10 << 20)
    bomb = gzip.compress(tar_of((entry("a"), bytes(20 << 20)), (entry("b"), b"")))
    begun = time.process_time()
    assert bundle_fault(bomb) == f"b: unpacks to more than {10 << 20} bytes"
    assert time.process_time() - begun < 1


def test_a_name_as_long_as_a_bomb_is_never_in_memory() -> None:
    header = entry("a")
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE):
        header.type, header.size = kind, 1 << 30
        raw = header.tobuf(tarfile.GNU_FORMAT) + bytes(100_000)
        assert bundle_fault(gzip.compress(raw)).startswith("b: is no gzip'd tar: has a header of")


def test_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "MOST_FILES", 3)
    raw = gzip.compress(tar_of(*((entry(str(number)), b"") for number in range(4))))
    assert bundle_fault(raw) == "b: has more than 3 entries"


@given(
    st.lists(st.binary(max_size=300) | st.integers(0, 200_000).map(bytes), min_size=1, max_size=4),
    st.sampled_from([1, 257, 258, 512, 65_536]),
)
def test_members_are_read_as_python_reads_them(contents: list[bytes], size: int) -> None:
    raw = b"".join(map(gzip.compress, contents))
    size = max(size, sum(map(len, contents)) // 500)
    parts = read_in(raw, size)
    assert b"".join(parts) == gzip.decompress(raw)
    assert all(len(part) == size for part in parts[:-1])
    for cut in (raw[:-1], raw[:-8], raw[:10]):
        with pytest.raises(EOFError):
            read_in(cut, size)


def read_in(raw: bytes, size: int) -> list[bytes]:
    unpacked = published._Gzip(raw)
    return list(iter(lambda: unpacked.read(size), b""))


@pytest.mark.parametrize("members", [999, 1000, 1001])
def test_members_without_content_are_bounded(members: int) -> None:
    bundle = gzip.compress(b"") * (members - 1) + gzip.compress(bytes(1024))
    if members <= 1000:
        assert bundle_files(bundle, "b") == []
    else:
        with pytest.raises(DocumentError, match="it has more than 1000 members"):
            bundle_files(bundle, "b")


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_endless_headers_of_one_file_are_refused(kind: bytes) -> None:
    header = tarfile.TarInfo("f")
    header.type, header.size = kind, 6
    extended = header.tobuf() + b"6 a=b\n".ljust(512, b"\0")
    with pytest.raises(DocumentError, match="too many headers for one file"):
        bundle_files(gzip.compress(extended * 3000), "b")
