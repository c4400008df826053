"""`publish` as a whole process, on a registry that takes every document of an App."""

import shutil
from pathlib import Path

import pytest

from layerscan import layersmeta
from layerscan.apps.published import bundle_files, bundle_images, loads_app
from layerscan.digest import sha256
from layerscan.oci.blobs import DryRunFolder
from tests.builders.publish_case import (
    Bench,
    image_of,
    index_of,
    layer_of,
    metadata,
    requests_after,
)
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import Result, error
from tests.cli_runner import run_here as run


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    return Bench(open_registry, tmp_path)


def digest_in(result: Result) -> str:
    assert result.status == 0, result.lines
    (line,) = result.text.splitlines()
    return line


def note(text: str) -> str:
    return f"layerscan: note: {text}"


def layers(**names: int) -> dict[str, dict[str, int]]:
    return {
        layer_of(name).digest: {
            "size": len(name),
            "usage": 4096 * len(name),
            "archive_size": len(layer_of(name).blob),
        }
        for name in names
    }


def test_an_app_is_published_whole(bench: Bench) -> None:
    digest = digest_in(bench.publish())
    registry = bench.registry
    assert registry.tags("fleet/shop") == {"1": digest}
    app = bench.document(digest)
    bundle, of_layers = app["layers"]
    assert app["artifactType"] == "application/vnd.fio+compose-app"
    assert registry.blobs("fleet/shop")[app["config"]["digest"]] == b"{}"
    index = bundle["annotations"]["org.foundries.app.bundle.index.digest"]
    assert bench.document(index).keys() == {"conf/a", "docker-compose.yml"}
    assert bench.document(of_layers["digest"]) == {
        "amd64": {"fs_block_size": 4096, "layers": layers(base=1, web=1, db=1)},
        "arm64": {"fs_block_size": 4096, "layers": layers(armbase=1, armweb=1, armdb=1)},
    }
    assert of_layers["mediaType"] == "application/json"
    assert [entry["platform"]["architecture"] for entry in app["manifests"]] == ["amd64", "arm64"]
    amd64 = bench.document(app["manifests"][0]["digest"])
    assert [layer["digest"] for layer in amd64["layers"]] == sorted(
        layer_of(name).digest for name in ("base", "web", "db")
    )
    raw = registry.blobs("fleet/shop")[bundle["digest"]]
    assert [file.name for file in bundle_files(raw, "b")] == [
        "conf",
        "conf/a",
        "docker-compose.yml",
    ]
    images = bundle_images(raw, "b")
    for service, (path, tag) in {"web": ("acme/web", "7"), "db": ("acme/db", "2")}.items():
        pinned = f"{registry.address}/{path}@{registry.tags(path)[tag]}"
        assert str(images[service]) == pinned


def test_all_is_there_before_the_app_manifest_and_the_tag_comes_last(bench: Bench) -> None:
    requests = requests_after(bench.registry, lambda: digest_in(bench.publish()))
    puts = [one for one in requests if one.startswith("PUT")]
    app = bench.registry.tags("fleet/shop")["1"]
    assert puts[-2:] == [
        f"PUT /v2/fleet/shop/manifests/{app}",
        "PUT /v2/fleet/shop/manifests/1",
    ]
    assert len([one for one in puts if "/manifests/" in one]) == 4
    assert len([one for one in puts if "/blobs/" in one]) == 4


def test_publishing_twice_uploads_nothing_twice(bench: Bench) -> None:
    first = digest_in(bench.publish())
    again = bench.publish()
    assert digest_in(again) == first
    assert again.lines == [
        note(
            f"App shop is in {bench.target()}: amd64, arm64; with layers metadata; nothing had to "
            "be uploaded"
        )
    ]
    second = requests_after(bench.registry, bench.publish)
    assert {one.split()[0] for one in second} == {"GET", "HEAD"}


def test_two_copies_of_an_app_in_another_order_give_the_same_digest(bench: Bench) -> None:
    first = digest_in(bench.publish())
    copy = bench.root / "copy" / "shop"
    shutil.copytree(bench.apps / "shop", copy, copy_function=shutil.copyfile)
    address = bench.registry.address
    (copy / "docker-compose.yml").write_text(
        f"# another\nservices:\n  db: {{build: ., image: {address}/acme/db:2}}\n"
        f"  web: {{build: ., image: '{address}/acme/web:7'}}\n"
    )
    result = run(
        "publish", copy, "--target", bench.target(), "--layers-meta", bench.root / "meta.json"
    )
    assert digest_in(result) == first


def test_a_registry_that_takes_no_layers_manifests(tmp_path: Path) -> None:
    with OpenRegistry(takes_apps=False) as registry:
        bench = Bench(registry, tmp_path)
        result = bench.publish()
        digest = digest_in(result)
        assert "manifests" not in bench.document(digest)
        assert result.lines[0].startswith(
            f"layerscan: warning: App shop: {registry.address} takes no layers manifests: "
            "published without them ("
        )
        assert digest_in(bench.publish("--layers-manifests", "never", to="fleet/b")) == digest
        always = bench.publish("--layers-manifests", "always", to="fleet/c")
        assert (always.status, always.out) == (2, b"")
        assert "takes no layers manifests, which --layers-manifests always asks" in always.lines[0]
        assert not registry.manifests("fleet/c")


def test_layers_manifests_that_are_not_to_be_there(bench: Bench) -> None:
    digest = digest_in(bench.publish("--layers-manifests", "never"))
    assert "manifests" not in bench.document(digest)
    assert [*bench.registry.manifests("fleet/shop")] == [digest]


def test_of_inodes_it_hands_on_what_is_known_of_the_app_s_layers(bench: Bench) -> None:
    amd64 = metadata(amd64=["base", "web", "db", "unused"])["amd64"]
    base, web, unused = (layer_of(name).digest for name in ("base", "web", "unused"))
    counted = amd64._replace(inodes={base: 300, web: 7, unused: 9})
    (bench.root / "meta.json").write_bytes(layersmeta.dumps_by_arch({"amd64": counted}))
    digest = digest_in(bench.publish("--arch", "amd64"))
    _, published = bench.document(digest)["layers"]
    found = bench.document(published["digest"])["amd64"]
    assert found["inodes"] == {base: 300, web: 7}
    assert found["layers"] == layers(base=1, web=1, db=1)


# Architectures.


def test_only_the_architectures_asked_for(bench: Bench) -> None:
    result = bench.publish("--arch", "arm64,riscv64")
    app = bench.document(digest_in(result))
    assert [*bench.document(app["layers"][1]["digest"])] == ["arm64"]
    assert result.lines[0] == (
        "layerscan: warning: App shop: not published for riscv64: service web has no image for it"
    )


def test_no_architecture_left(bench: Bench) -> None:
    result = bench.publish("--arch", "riscv64")
    assert (result.status, result.lines) == (
        2,
        [
            error(
                "App shop: no architecture among those of --arch that the images of all services "
                "have (db: amd64, arm64, riscv64; web: amd64, arm64)"
            )
        ],
    )


def test_an_image_that_is_a_single_manifest(bench: Bench) -> None:
    image_of("base", "one").put(bench.registry, "acme/one:1")
    bench.write_meta(amd64=["base", "one", "db"])
    bench.app("shop", one="acme/one:1", db="acme/db:2")
    app = bench.document(digest_in(bench.publish()))
    assert [*bench.document(app["layers"][1]["digest"])] == ["amd64"]


def test_more_architectures_than_clients_take(bench: Bench) -> None:
    names = [f"a{number}" + "x" * 50 for number in range(7)]
    index_of({name: ["base"] for name in names}).put(bench.registry, "acme/many:1")
    bench.write_meta(**{name: ["base"] for name in names})
    bench.app("shop", many="acme/many:1")
    assert "has 7 architectures" in bench.publish().lines[0]
    result = bench.publish("--arch", ",".join(names[:6]))
    size = len(bench.registry.manifests("fleet/shop")[digest_in(result)])
    assert size > 2010
    assert result.lines[0] == (
        f"layerscan: warning: App shop: the App manifest has {size} bytes: old versions of "
        "aktualizr-lite read 2010; fewer architectures (--arch) make it shorter"
    )


def test_of_several_variants_the_one_that_was_scanned_counts(bench: Bench) -> None:
    variants = {"arm/v6": ["six"], "arm/v7": ["seven"], "amd64": ["base"]}
    index_of(variants).put(bench.registry, "acme/v:1")
    bench.app("shop", v="acme/v:1")
    bench.write_meta(arm=["seven"], amd64=["base"])
    app = bench.document(digest_in(bench.publish()))
    assert [*bench.document(app["layers"][1]["digest"])["arm"]["layers"]] == [
        layer_of("seven").digest
    ]
    bench.write_meta(arm=["eight"], amd64=["base"])
    assert f"layer {layer_of('six').digest} of service v" in bench.publish().lines[0]


# Metadata that is not there.


def test_a_layer_that_no_scan_has(bench: Bench) -> None:
    bench.write_meta(amd64=["base", "web"], arm64=["armbase", "armweb", "armdb"])
    result = bench.publish()
    reason = (
        f"layer {layer_of('db').digest} of service db ({bench.registry.address}/acme/db:2, amd64) "
        "is in no scan: was the image rebuilt or retagged after the scan?"
    )
    assert (result.status, result.lines) == (2, [error(f"App shop: {reason}")])
    assert not bench.registry.manifests("fleet/shop")
    assert not bench.registry.blobs("fleet/shop")
    allowed = bench.publish("--allow-missing-meta")
    assert len(bench.document(digest_in(allowed))["layers"]) == 1
    assert allowed.lines[0] == (
        f"layerscan: warning: App shop: published without layers metadata: {reason}"
    )


def test_an_architecture_that_no_scan_has(bench: Bench) -> None:
    bench.write_meta(amd64=["base", "web", "db"])
    assert bench.publish().lines == [
        error(
            "App shop: the layers metadata has no architecture arm64 (it has amd64): scan its "
            "build machine and merge, or choose architectures with --arch"
        )
    ]
    assert digest_in(bench.publish("--arch", "amd64"))


def test_without_any_metadata(bench: Bench) -> None:
    arguments = ["publish", bench.apps / "shop", "--target", bench.target()]
    assert run(*arguments).lines[0].startswith(error("--layers-meta is missing"))
    digest = digest_in(run(*arguments, "--allow-missing-meta"))
    assert len(bench.document(digest)["layers"]) == 1


def test_metadata_of_one_architecture_says_to_merge(bench: Bench) -> None:
    path = bench.root / "meta.json"
    path.write_text('{"fs_block_size": 4096, "layers": {}}')
    assert bench.publish().lines == [
        error(
            f"{path}: is the document of one architecture; make it one of all with 'layerscan "
            f"merge ARCH={path}'"
        )
    ]


def test_metadata_that_is_malformed_names_its_place(bench: Bench) -> None:
    path = bench.root / "meta.json"
    path.write_text('{"amd64": {"fs_block_size": 0, "layers": {}}}')
    assert bench.publish().lines == [error(f"{path}: $.amd64.fs_block_size: must be positive")]


# Images.


def test_an_image_without_tag_and_digest(bench: Bench) -> None:
    image = f"{bench.registry.address}/acme/web"
    folder = bench.app("shop", web="acme/web")
    result = bench.publish()
    assert result.lines == [
        error(
            f"App shop: {folder}/docker-compose.yml:3: service web: image {image} has neither tag "
            f"nor digest; give one there, or --pinned-image {image}@sha256:…"
        )
    ]
    digest = bench.registry.tags("acme/web")["7"]
    pinned = digest_in(bench.publish("--pinned-image", f"{image}@{digest}"))
    bench.app("shop", web="acme/web:7")
    assert digest_in(bench.publish()) == pinned
    warned = bench.publish("--pinned-image", f"{image}@{digest}").lines[0]
    assert warned == (
        f"layerscan: warning: --pinned-image {image}: no service has that image without a digest"
    )


def test_images_of_the_factory_get_the_tag(bench: Bench) -> None:
    first = digest_in(bench.publish())
    bench.app("shop", web="acme/web:main", db="acme/db@" + bench.registry.tags("acme/db")["2"])
    arguments = ["--tag", "7", "--factory-registry", bench.registry.address]
    assert digest_in(bench.publish(*arguments)) == first
    missing = bench.publish("--tag", "8", "--factory-registry", bench.registry.address)
    assert missing.status == 2
    assert f"{bench.registry.address}/acme/web:8" in missing.lines[0]


def test_an_app_is_no_image(bench: Bench) -> None:
    digest_in(bench.publish())
    bench.app("shop", web="fleet/shop:1")
    assert bench.publish().lines == [
        error(f"App shop: {bench.target()}: is a Compose App, no image")
    ]


# A dry run.


def test_a_dry_run_writes_what_would_be_pushed_and_pushes_nothing(bench: Bench) -> None:
    out = bench.root / "out"
    stale = out / "shop" / "layers-manifest-old.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    requests: list[str] = []
    results: list[Result] = []
    requests += requests_after(
        bench.registry,
        lambda: results.append(bench.publish("--dry-run", "--out-dir", out)),
    )
    assert {one.split()[0] for one in requests} <= {"GET", "HEAD"}
    digest = digest_in(results[0])
    assert results[0].lines == [
        note(
            f"App shop is in {out}/shop, not in {bench.target()}: amd64, arm64; with layers "
            "metadata"
        )
    ]
    folder = DryRunFolder(str(out / "shop"))
    app = loads_app(folder.app_manifest(), "a")
    assert app.digest == digest
    names = [
        "bundle_index.json",
        "docker-compose.yml",
        "layers-manifest-amd64.json",
        "layers-manifest-arm64.json",
    ]
    names += ["layers_meta.json", "manifest.json", "shop.tgz"]
    assert sorted(path.name for path in (out / "shop").iterdir()) == names
    assert digest_in(bench.publish()) == digest
    pushed = bench.registry.blobs("fleet/shop") | bench.registry.manifests("fleet/shop")
    for name in set(names) - {"docker-compose.yml"}:
        content = (out / "shop" / name).read_bytes()
        assert pushed[sha256(content)] == content
    assert app.metadata is not None
    for descriptor in (app.bundle, app.metadata, *app.layers_manifests.values()):
        content = folder.fetch(descriptor, limit=1 << 20)
        assert content == pushed[descriptor.digest]


def test_a_dry_run_that_cannot_be_written(bench: Bench) -> None:
    (bench.root / "file").write_text("")
    result = bench.publish("--dry-run", "--out-dir", bench.root / "file")
    assert (result.status, result.lines) == (
        2,
        [error(f"App shop: {bench.root}/file/shop: Not a directory")],
    )
