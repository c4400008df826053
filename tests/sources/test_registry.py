"""Images in registries as sources: what is fetched, when, and what goes wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from layerscan.errors import RegistryError
from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from tests.builders.documents import MANIFEST, sha256
from tests.builders.images import Image, Index, Layer
from tests.builders.registry_case import USERS, log_in
from tests.builders.registry_faults import Changed, Cut, Fault, Headers, Status, flipped
from tests.builders.registry_server import OpenRegistry
from tests.builders.sources_case import AMD64, ARM64, BASE, fault, images, read_all, unpacked_digest

SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def named(registry: OpenRegistry, image: Image | Index = AMD64) -> str:
    image.put(registry, "acme/web:1")
    return f"docker://{registry.address}/acme/web:1"


def test_layers_are_not_fetched_before_they_are_read(open_registry: OpenRegistry) -> None:
    assert len(images(named(open_registry, Index((AMD64, ARM64))))) == 2
    # The index, two manifests, two configs.
    assert open_registry.count("GET") == 5
    assert not any(layer.digest in one.path for one in open_registry.seen for layer in AMD64.layers)


def test_layers_are_read_by_several_threads(open_registry: OpenRegistry) -> None:
    tars = [bytes([number]) * 300_000 for number in range(12)]
    text = named(open_registry, Image.of(*tars))
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        (image,) = source.images()
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda layer: unpacked_digest(source, layer), image.layers))
    assert found == [sha256(tar) for tar in tars]


def test_an_image_without_layers_is_one(open_registry: OpenRegistry) -> None:
    (image,) = images(named(open_registry, Image()))
    assert image.layers == ()


def test_credentials_are_used(docker_config: object) -> None:
    with OpenRegistry(auth="token", users=USERS) as registry:
        text = named(registry)
        assert "credentials" in fault(text) or "401" in fault(text)
        log_in(docker_config, registry.address)  # type: ignore[arg-type]
        assert len(read_all(text)) == 1


@pytest.mark.parametrize(
    ("pattern", "wrong", "words"),
    [
        (sha256(AMD64.config), Changed(flipped), "it was damaged or exchanged"),
        (AMD64.layers[0].digest, Changed(flipped), "it was damaged or exchanged"),
        (AMD64.layers[0].digest, Changed(lambda raw: raw + b"x"), "and it must have"),
        (AMD64.layers[1].digest, Status(404, code="BLOB_UNKNOWN"), "BLOB_UNKNOWN"),
        ("/manifests/1", Status(404, code="MANIFEST_UNKNOWN"), "MANIFEST_UNKNOWN"),
        ("/manifests/1", Headers({"Content-Type": SCHEMA_1}), f"something of type {SCHEMA_1}"),
    ],
)
@pytest.mark.usefixtures("quick")
def test_what_goes_wrong(
    open_registry: OpenRegistry, pattern: str, wrong: Fault, words: str
) -> None:
    text = named(open_registry)
    open_registry.fail("GET", pattern, wrong)
    message = fault(text)
    assert words in message
    assert open_registry.address in message


def test_a_damaged_manifest(open_registry: OpenRegistry) -> None:
    open_registry.put_manifest("acme/web", b"{", MANIFEST, "1")
    assert "is not JSON" in fault(f"docker://{open_registry.address}/acme/web:1")


@pytest.mark.usefixtures("quick")
def test_a_lost_connection_is_taken_up_again(open_registry: OpenRegistry) -> None:
    image = Image.of(Layer(BASE * 300, ""))
    text = named(open_registry, image)
    for length in (1000, 70_000, 5):
        open_registry.fail("GET", sha256(BASE * 300), Cut(length))
    ((_, tars),) = read_all(text)
    assert list(tars) == image.diff_ids


def test_foreign_layers_are_looked_for(open_registry: OpenRegistry) -> None:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    image = Image.of(Layer(BASE, "gzip", kind))
    text = named(open_registry, image)
    assert len(read_all(text)) == 1
    del open_registry.blobs("acme/web")[image.layers[0].digest]
    assert "is a foreign one, which is kept elsewhere" in fault(text)


def test_a_registry_that_serves_no_parts(open_registry: OpenRegistry) -> None:
    open_registry.knows_ranges = False
    text = named(open_registry)
    with RegistryClient() as client, open_source(text, lambda: client) as source:
        (image,) = source.images()
        assert source.section(image.layers[0], 0, 5) is None
        with pytest.raises(RegistryError, match="none from"):
            source.section(image.layers[0], 0, 1 << 40)


def test_a_compose_app_is_no_image(open_registry: OpenRegistry) -> None:
    app = Image(changes={"annotations": {"compose-app": "v1"}})
    assert "acme/web:1: is a Compose App, no image; --apps-root" in fault(named(open_registry, app))
