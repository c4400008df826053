"""`publish` where something goes wrong: usage, Apps, registries that misbehave or die."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layerscan.apps.published import bundle_images, loads_app
from tests.builders.documents import MANIFEST, descriptor
from tests.builders.images import Image, Index
from tests.builders.publish_case import ARM_WEB, WEB, Bench, image_of
from tests.builders.registry_case import PASSWORD, USERS, log_in
from tests.builders.registry_faults import Drop, Headers, Status
from tests.builders.registry_server import OpenRegistry
from tests.cli_runner import PROGRAM, Result, environment, error, interruptible, run

DIGEST = f"sha256:{'1' * 64}"


@pytest.fixture
def bench(open_registry: OpenRegistry, tmp_path: Path) -> Bench:
    return Bench(open_registry, tmp_path)


def no_app(bench: Bench) -> bool:
    """Whether the registry has no App manifest, under no tag and no digest."""
    documents = bench.registry.manifests("fleet/shop").values()
    return not bench.registry.tags("fleet/shop") and not any(
        b'compose-app"' in d for d in documents
    )


def pinned(bench: Bench, published: Result) -> str | None:
    """The digest that the App names the image of its service `web` by."""
    assert published.status == 0, published.lines
    app = loads_app(bench.registry.manifests("fleet/shop")[published.text.strip()], "App")
    raw = bench.registry.blobs("fleet/shop")[app.bundle.digest]
    return bundle_images(raw, "bundle")["web"].digest


# Usage.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which Apps? give their folders, or --apps-root"),
        (
            ["{apps}/shop", "--dry-run"],
            "--dry-run and --out-dir belong together: give both or none",
        ),
        (["{apps}/shop", "--out-dir", "x"], "--dry-run and --out-dir belong together: "),
        (["{apps}/none"], "{apps}/none: no Compose App: is no folder"),
        (["{apps}"], "{apps}: no Compose App: has no docker-compose.yml"),
        (["{apps}/shop", "--arch", "a,B"], "--arch a,B: 'B' is no architecture name"),
        (["{apps}/shop", "--arch", ","], "--arch takes architectures: amd64,arm64"),
        (["{apps}/shop", "--tag", "a b"], "'a b' is no tag"),
        (["{apps}/shop", "--pinned-image", "x:1"], "--pinned-image x:1: expected NAME@sha256:…"),
        (["{apps}/shop", "--factory-registry", "a/b"], "'a/b' is no registry: expected HOST"),
        (["{apps}/shop", "--digest-file", "/nowhere/x"], "/nowhere/x: there is no folder /nowhere"),
        (["{apps}/shop", "{apps}/other"], "--target registry.example/x: there are 2 Apps, so it "),
    ],
)
def test_usage_errors(bench: Bench, arguments: list[str], message: str) -> None:
    bench.app("other", web="acme/web:7")
    given = [argument.replace("{apps}", str(bench.apps)) for argument in arguments]
    meta = ["--layers-meta", bench.root / "meta.json"]
    result = run("publish", *given, "--target", "registry.example/x", *meta)
    assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
    assert result.lines[0].startswith(error(message.replace("{apps}", str(bench.apps))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--target", f"registry.example/x@{DIGEST}"],
            f"--target registry.example/x@{DIGEST}: takes a tag; the digest is what comes of it",
        ),
        (
            ["--pinned-image", f"x:1@{DIGEST}", "--pinned-image", f"x:1@{DIGEST[:-1]}0"],
            f"--pinned-image x:1@{DIGEST[:-1]}0: x:1 has another digest above",
        ),
    ],
)
def test_digests_that_cannot_be_meant(bench: Bench, arguments: list[str], message: str) -> None:
    assert bench.publish(*arguments).lines == [error(message)]
    assert bench.registry.seen == []


def test_a_digest_that_is_given_twice_is_one(bench: Bench) -> None:
    twice = ["--pinned-image", f"x@{DIGEST}"] * 2
    result = bench.publish(*twice)
    assert result.status == 0
    assert "--pinned-image x: no service has that image" in result.lines[0]


@pytest.mark.parametrize("target", ["x y", "registry.example/{other}", "registry.example/X"])
def test_a_target_that_is_none(bench: Bench, target: str) -> None:
    result = run("publish", bench.apps / "shop", "--target", target, "--allow-missing-meta")
    assert (result.status, len(result.lines)) == (2, 1)
    assert result.lines[0].startswith(error("no image reference: "))


def test_two_apps_of_one_name(bench: Bench) -> None:
    other = bench.app("deeper/shop", web="acme/web:7")
    result = bench.publish(app=["shop", "deeper/shop"], to="fleet/{app}")
    assert result.lines == [error(f"two Apps are named shop: {bench.apps}/shop and {other}")]


def test_an_app_given_twice_is_one(bench: Bench) -> None:
    result = bench.publish(app=["shop", "../apps/./shop"])
    assert (result.status, len(result.text.splitlines())) == (0, 1)


@pytest.mark.parametrize("folder", [".", "../shop/", "../shop"])
def test_an_app_by_a_relative_path_has_its_own_name(bench: Bench, folder: str) -> None:
    meta = ["--layers-meta", bench.root / "meta.json"]
    target = bench.target("fleet/{app}:1")
    result = run("publish", folder, "--target", target, *meta, cwd=bench.apps / "shop")
    assert (result.status, [*bench.registry.tags("fleet/shop")]) == (0, ["1"])


def test_a_bad_app_names_file_and_line_and_pushes_nothing(bench: Bench) -> None:
    os.mkfifo(bench.apps / "shop" / "pipe")
    result = bench.publish()
    assert result.lines[0].startswith(error(f"App shop: {bench.apps}/shop/pipe: is a FIFO"))
    assert not bench.registry.blobs("fleet/shop")
    (bench.apps / "shop" / "docker-compose.yml").write_text("services: {web: {}}")
    assert bench.publish().lines[0].endswith("docker-compose.yml:1: service web has no image")


def test_variables_that_are_not_set_are_told(bench: Bench) -> None:
    bench.app("shop", web="acme/web:7${NOWHERE_SET}", db="acme/db:${DB:-2}")
    result = bench.publish()
    assert result.lines[0] == (
        "layerscan: warning: App shop: service web: the image's name uses variables that are not "
        "set: NOWHERE_SET"
    )


# Images that are no images.


@pytest.mark.slow
def test_an_index_that_is_odd(bench: Bench) -> None:
    image = image_of("base")
    nested = Index((image,))
    nested.put(bench.registry, "acme/web")
    amd64 = {"platform": {"architecture": "amd64"}}
    Index((nested.descriptor | amd64,)).put(bench.registry, "acme/web:7")
    # composectl cannot read an index in an index: the image is pinned itself.
    bench.write_meta(amd64=["base", "db"])
    bench.app("shop", web="acme/web:7")
    assert pinned(bench, bench.publish()) == image.digest
    windows = {"platform": {"architecture": "amd64", "os": "windows"}}
    Index((nested.descriptor | windows,)).put(bench.registry, "acme/web:7")
    assert "/acme/web:7: its index has no image for Linux" in bench.publish().lines[0]


def test_an_index_without_end(bench: Bench) -> None:
    entries = [descriptor(b"%d" % number, MANIFEST) for number in range(201)]
    Index(tuple(entries)).put(bench.registry, "acme/web:7")
    assert "/acme/web:7: has more than 200 images" in bench.publish().lines[0]


def test_an_index_that_does_not_say_the_architectures(bench: Bench) -> None:
    Index((WEB.bare, ARM_WEB.bare)).put(bench.registry, "acme/web:7")
    # composectl cannot read such an index, and it is of two images.
    (line,) = bench.publish().lines
    assert "composectl cannot read its index" in line
    assert line.endswith("and 2 images: push the image again with platforms")
    assert no_app(bench)
    # Of the only one that is wanted, the manifest is pinned.
    bench.app("shop", web="acme/web:7")
    assert pinned(bench, bench.publish("--arch", "arm64")) == ARM_WEB.digest


def test_a_config_that_is_none(bench: Bench) -> None:
    image = Image(ready_config=b'{"rootfs": {}}', config_type="x")
    image.put(bench.registry, "acme/web:7")
    line = bench.publish().lines[0]
    assert line.endswith("/acme/web:7: nothing says its architecture; say it with --arch")


# Registries.


@pytest.mark.parametrize("pattern", ["/blobs/uploads/", "/manifests/sha256:"])
def test_a_registry_that_fails_in_the_middle_gets_no_app_manifest(
    bench: Bench, pattern: str
) -> None:
    bench.registry.fail("PUT", pattern, Status(403, code="DENIED", message="no"), times=99)
    result = bench.publish()
    assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
    assert no_app(bench)


def test_a_registry_that_dies_in_mid_upload(bench: Bench) -> None:
    (bench.apps / "shop" / "large").write_bytes(os.urandom(3_000_000))
    bench.registry.fail("PUT", "/blobs/", Drop(1_000_000), times=99)
    bench.registry.fail("PATCH", "/blobs/", Drop(1_000_000), times=99)
    result = run_quickly(bench)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode().count("\n") == 1
    assert no_app(bench)
    bench.registry._planned.clear()
    assert bench.publish().status == 0


def run_quickly(bench: Bench) -> "subprocess.CompletedProcess[bytes]":
    """Publish with attempts that follow each other at once."""
    code = (
        "import sys; from layerscan.registry import retry; retry.FIRST_DELAY = 0.001\n"
        "from layerscan.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.run(
        [
            *(sys.executable, "-c", code, "publish", str(bench.apps / "shop")),
            *("--target", bench.target(), "--layers-meta", str(bench.root / "meta.json")),
        ],
        check=False,
        capture_output=True,
        env=environment(),
        timeout=240,
    )


def test_a_registry_that_is_shortly_unavailable(bench: Bench) -> None:
    bench.registry.fail("PUT", "/manifests/", Status(503), times=1)
    bench.registry.fail("HEAD", "/blobs/", Status(429, {"Retry-After": "0"}), times=1)
    bench.registry.fail("PUT", "/blobs/", Drop(10), times=1)
    result = bench.publish()
    assert result.status == 0
    assert bench.registry.tags("fleet/shop")["1"] == result.text.strip()


def test_a_server_error_is_no_refusal_of_layers_manifests(bench: Bench) -> None:
    denied = Status(403, code="DENIED", message="not yours")
    bench.registry.fail("PUT", "/manifests/sha256:", denied, times=99)
    (line,) = bench.publish().lines
    assert "takes no layers manifests" not in line
    assert "DENIED" in line or "not yours" in line


def test_a_registry_that_looks_for_the_layers_of_layers_manifests(bench: Bench) -> None:
    refused = Status(404, code="MANIFEST_BLOB_UNKNOWN", message="blob unknown")
    bench.registry.fail("PUT", "/manifests/sha256:", refused, times=1)
    result = bench.publish()
    assert result.status == 0
    assert "takes no layers manifests: published without them" in result.lines[0]


@pytest.mark.parametrize("status", [400, 405, 415, 422])
def test_a_registry_says_in_several_ways_that_it_takes_no_layers_manifests(
    bench: Bench, status: int
) -> None:
    refused = Status(status, code="UNSUPPORTED", message="no")
    bench.registry.fail("PUT", "/manifests/sha256:", refused)
    result = bench.publish()
    assert result.status == 0
    assert "takes no layers manifests: published without them" in result.lines[0]
    assert "manifests" not in bench.document(result.text.strip())


@pytest.mark.parametrize("code", ["NAME_INVALID", "NAME_UNKNOWN", "TAG_INVALID", "DIGEST_INVALID"])
def test_what_is_wrong_with_a_name_is_no_refusal_of_layers_manifests(
    bench: Bench, code: str
) -> None:
    bench.registry.fail("PUT", "/manifests/sha256:", Status(400, code=code, message="no"))
    (line,) = bench.publish().lines
    assert line.endswith(f": the registry answers 400 (Bad Request): {code}: no")
    assert no_app(bench)


def test_a_tag_that_cannot_be_moved_is_no_refusal_of_layers_manifests(bench: Bench) -> None:
    locked = Status(400, code="TAG_LOCKED", message="tags are immutable here")
    bench.registry.fail("PUT", "/manifests/1$", locked, times=99)
    result = bench.publish()
    assert (result.status, result.out, len(result.lines)) == (2, b"", 1)
    assert "tags are immutable here" in result.lines[0]
    assert "takes no layers manifests" not in result.lines[0]


def test_a_registry_that_makes_another_document_of_the_app_manifest(bench: Bench) -> None:
    lie = Headers({"Docker-Content-Digest": "sha256:" + "0" * 64})
    bench.registry.fail("PUT", "/manifests/1", lie, times=99)
    result = bench.publish()
    assert (result.status, result.out) == (2, b"")


@pytest.mark.parametrize("auth", ["basic", "token"])
def test_a_registry_that_asks_who_it_is(tmp_path: Path, auth: str) -> None:
    with OpenRegistry(auth=auth, users=USERS) as registry:
        bench = Bench(registry, tmp_path)
        refused = bench.publish()
        assert (refused.status, len(refused.lines)) == (2, 1)
        log_in(bench.root / "config.json", registry.address)
        result = bench.publish("--format", "json")
        assert result.status == 0
        assert PASSWORD not in result.text + "".join(result.lines)


def test_an_interrupt_ends_it_soon_and_leaves_nothing(bench: Bench) -> None:
    (bench.apps / "shop" / "large").write_bytes(bytes(20_000_000))
    bench.registry.fail("POST", "/uploads/", Status(429, {"Retry-After": "60"}), times=99)
    scratch = bench.root / "tmp"
    scratch.mkdir()
    with interruptible():
        process = subprocess.Popen(
            [
                *(sys.executable, *PROGRAM),
                *("publish", bench.apps / "shop"),
                *("--target", bench.target(), "--layers-meta", bench.root / "meta.json"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(TMPDIR=str(scratch)),
        )
    while not bench.registry.count("POST", "/uploads/"):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, b"", b"layerscan: error: interrupted\n")
    assert time.monotonic() - begun < 30
    assert not list(scratch.iterdir())
    assert no_app(bench)
