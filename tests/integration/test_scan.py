"""`scan` as a whole process over a real engine's store, against other ways to each figure.

What is expected here comes from ``docker image inspect``, the store's files
read by the test, ``du`` and the registry's own answers; nothing of layerscan
is asked for it. The store and the registry are these tests' own: what others tag without pushing,
or push past the engine, is not the same for both.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from layerscan.scanning.scanner import scan
from layerscan.scanning.selection import Selection
from layerscan.stores import open_store
from tests.cli_runner import error, run, undigested, warning
from tests.conftest import build_base, require_programs
from tests.engines import docker as docker_engine
from tests.engines import registry as registry_engine
from tests.engines.docker import Docker
from tests.engines.images import DEEP, ODDITIES, Image, oddities, siblings
from tests.engines.registry import Registry
from tests.engines.truth import Builder, Figures, Truth, du
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli_runner import Result

pytestmark = [pytest.mark.engine, pytest.mark.root]

SHORT = 12
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KNOWN_WARNING = re.compile(
    r"layerscan: warning: (the images are of several architectures: "
    r"|layer sha256:[0-9a-f]{64}: its files hold 5 bytes, the store recorded 0: "
    r"|image \S+: (layer|\d+ layers) without a digest( in \S+( or \S+)*)? \(never pushed, or "
    r"pulled when it was here already\?\), left out of the document: sha256:)"
)
EXACT_SLACK = 48 * 1024
"""Bytes of a layer beside its content and its record: links, digests, shared folders."""


@dataclass(frozen=True)
class Stage:
    """The images that these tests are about, by their names; each is in the store."""

    truth: Truth
    odd: str
    odd_in_mirror: str
    left: str
    right: str
    recompressed: str
    deep: str
    holes: str
    draft: str
    half_pushed: str
    pinned: str
    dangling: str
    arm64: str
    armv7: str

    @property
    def data_root(self) -> str:
        return self.truth.docker.data_root

    def scan(self, *arguments: str) -> Result:
        """Run ``scan``; status 0, or the test fails."""
        result = run("scan", "-d", self.data_root, *arguments)
        assert (result.status, [line for line in result.lines if "error" in line]) == (0, [])
        return result

    def document(self, out: Path, *arguments: str, whole: bool = True) -> dict[str, Any]:
        """Run ``scan -o``; the document, the `whole` of it or what there is."""
        if whole:
            self.scan("-o", str(out), *arguments)
        else:
            partial = ("-o", out, "--allow-partial", *arguments)
            assert run("scan", "-d", self.data_root, *partial).status == 3
        found: dict[str, Any] = json.loads(out.read_bytes())
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    require_root()
    require_programs("du", *docker_engine.PROGRAMS, *registry_engine.PROGRAMS)
    with Docker() as docker, Registry() as registry:
        yield fill(docker, registry, tmp_path_factory.mktemp("scan"))


def fill(docker: Docker, registry: Registry, folder: Path) -> Stage:
    base_image = build_base(docker, folder)
    builder = Builder(docker, registry, folder)
    left, twice, next_left, draft, pinned, lost, found = siblings(
        "left", "twice", "next", "draft", "pinned", "lost", "found", base=base_image
    )
    odd = builder.pushed(oddities(base_image), "acme/odd:1")
    docker.tag(odd, builder.named("acme/odd:also"))
    # No other test may have the very same image, or it would stay when its name goes.
    right = builder.pushed(twice, "acme/right:7")
    stage = Stage(
        truth=Truth(docker, registry),
        odd=odd,
        odd_in_mirror=builder.also_pushed(odd, "mirror/odd:1"),
        left=builder.pushed(left, "acme/left:7"),
        right=right,
        recompressed=builder.recompressed(right, "recompressed/right:7"),
        deep=builder.pushed(Image("deep", (DEEP,), base_image), "acme/deep:1", buildkit=True),
        holes=builder.pushed(
            Image("holes", (ODDITIES["sparse"],), base_image), "acme/holes:1", buildkit=True
        ),
        draft=builder.build(draft, "draft:1"),
        half_pushed=builder.build(next_left, builder.named("acme/left:next")),
        pinned=builder.pinned(pinned, "acme/pinned:1"),
        dangling=builder.dangling(lost, found, "lost-and:found"),
        arm64=builder.foreign("linux/arm64", "acme/arm64:1"),
        armv7=builder.foreign("linux/arm/v7", "acme/armv7:1"),
    )
    # Blocks of delayed allocation are final once they are written.
    os.sync()
    return stage


def test_document_is_what_du_and_the_store_and_the_registry_say(
    stage: Stage, tmp_path: Path
) -> None:
    images = stage.truth.named_images()
    found = stage.document(tmp_path / "meta.json")
    assert found == stage.truth.document(images)
    digests = DIGEST.findall((tmp_path / "meta.json").read_text())
    assert digests == sorted(found["layers"])
    # All that the stage has is in it, or what is compared were less than it looks.
    expected = {chain_id for image in images for chain_id in image.chain_ids}
    assert len(expected) > 20
    for name in (stage.odd, stage.deep, stage.holes, stage.pinned, stage.armv7):
        (image,) = stage.truth.inspect(name)
        own = stage.truth.document([image])["layers"]
        assert len(own) == len(image.diff_ids)
        assert own.items() <= found["layers"].items()


def test_only_what_has_no_digest_is_warned_of(stage: Stage, tmp_path: Path) -> None:
    lines = stage.scan("-o", str(tmp_path / "meta.json"), "-v").lines
    unknown = [line for line in lines if not KNOWN_WARNING.match(line)]
    assert [line for line in unknown if not line.startswith("layerscan: note: time: ")] == []
    # What these stand on has a digest in other images' repositories.
    hub = "docker.io/library/draft"
    for name, where in (
        (stage.draft, hub),
        (stage.half_pushed, stage.half_pushed.removesuffix(":next")),
    ):
        (image,) = stage.truth.inspect(name)
        assert warning(undigested(name, where, image.diff_ids[-1])) in lines
    (draft,) = stage.truth.inspect(stage.draft)
    out = tmp_path / "alone.json"
    alone = run("scan", "-d", stage.data_root, "-o", out, "--image", stage.draft)
    assert (alone.status, out.exists()) == (3, False)
    assert alone.lines[0] == error(undigested(stage.draft, hub, *draft.diff_ids))
    for name in (stage.odd, stage.left, stage.right, stage.deep, stage.holes, stage.pinned):
        assert not [line for line in lines if f"image {name}:" in line]


def test_report_has_every_image_and_layer_dangling_and_never_pushed_too(stage: Stage) -> None:
    images = stage.truth.all_images()
    report = json.loads(stage.scan("--all", "--format", "json").out)
    assert report["problems"] == []
    assert {one["image_id"]: (one["layers"], one["architecture"]) for one in report["images"]} == {
        image.image_id: (image.chain_ids, image.architecture) for image in images
    }
    # Docker's own sum of an image's layers.
    assert {one["image_id"]: one["size"] for one in report["images"]} == {
        image.image_id: image.size for image in images
    }
    chain_ids = {chain_id for image in images for chain_id in image.chain_ids}
    assert {
        layer["chain_id"]: Figures(layer["size"], layer["usage"]) for layer in report["layers"]
    } == {chain_id: stage.truth.figures(chain_id) for chain_id in chain_ids}
    assert {layer["chain_id"]: layer["images"] for layer in report["layers"]} == {
        chain_id: sum(chain_id in image.chain_ids for image in images) for chain_id in chain_ids
    }


def test_report_has_the_digests_of_every_repository(stage: Stage) -> None:
    images = stage.truth.named_images()
    report = json.loads(stage.scan("--format", "json").out)
    expected: dict[str, set[str]] = {}
    for image in images:
        for diff_id, chain_id in zip(image.diff_ids, image.chain_ids, strict=True):
            digests = stage.truth.digests_of(image, diff_id)
            expected.setdefault(chain_id, set()).update(digests)
    found = {layer["chain_id"]: layer["digests"] for layer in report["layers"]}
    assert found == {chain_id: sorted(digests) for chain_id, digests in expected.items()}
    (right,) = stage.truth.inspect(stage.right)
    assert len(found[right.chain_ids[-1]]) == 2


def test_every_real_layer_holds_what_the_store_recorded_but_one_that_docker_cannot_read(
    stage: Stage,
) -> None:
    result = scan(open_store(root=stage.data_root), Selection(dangling=True))
    assert len(result.chosen) == len(stage.truth.all_images())
    walked = {}
    for chain_id, cost in result.costs.items():
        assert cost.walked.child is not None
        walked[chain_id] = cost.walked.child.size
    recorded = {chain_id: stage.truth.figures(chain_id).size for chain_id in result.costs}
    # BuildKit writes a path that is longer than PATH_MAX; the engine that makes
    # the layer's tar of it cannot open it ("Can't stat file" in its log), so
    # neither the tar nor the recorded size has the file. The folder has it.
    deep = stage.truth.inspect(stage.deep)[0].chain_ids[-1]
    assert (walked.pop(deep), recorded.pop(deep)) == (len(b"deep\n"), 0)
    assert walked == recorded
    (line,) = (line for line in result.warnings if "damaged" in line or "mounted" in line)
    assert line.startswith(f"layer {deep}: its files hold 5 bytes, the store recorded 0: ")


def test_all_shows_the_dangling_image_and_takes_its_digests_from_anywhere(
    stage: Stage, tmp_path: Path
) -> None:
    def images(*options: str) -> dict[str, list[str]]:
        report = json.loads(stage.scan("--format", "json", *options).out)
        return {one["image_id"]: one["names"] for one in report["images"]}

    assert stage.dangling not in images()
    assert images("--all")[stage.dangling] == []
    found = stage.document(tmp_path / "meta.json", "--image", stage.dangling, whole=False)
    (image,) = stage.truth.inspect(stage.dangling)
    shared = {
        digest
        for diff_id in image.diff_ids
        for digest in stage.truth.digests_of(image, diff_id)
        if digest in found["layers"]
    }
    assert set(found["layers"]) == shared
    assert len(shared) == len(image.diff_ids) - 1


@pytest.mark.parametrize(
    "form", ["tag", "other repository", "repository", "short id", "id", "digest", "tag and digest"]
)
def test_image_is_picked_by_any_form_of_its_name(stage: Stage, form: str, tmp_path: Path) -> None:
    truth = stage.truth
    (right,) = truth.inspect(stage.right)
    repository = stage.right.removesuffix(":7")
    digest = next(name for name in right.names if name.startswith(f"{repository}@"))
    everywhere = {repository, stage.recompressed.removesuffix(":7")}
    latest = f"{repository}:latest"
    if form == "repository":
        truth.docker.tag(stage.right, latest)
    text, repositories = {
        "tag": (stage.right, {repository}),
        "other repository": (stage.recompressed, {stage.recompressed.removesuffix(":7")}),
        "repository": (repository, {repository}),
        "short id": (right.image_id.removeprefix("sha256:")[:SHORT], everywhere),
        "id": (right.image_id, everywhere),
        "digest": (digest, {repository}),
        "tag and digest": (digest.replace("@", ":7@"), {repository}),
    }[form]
    found = stage.document(tmp_path / "meta.json", "--image", text)
    if form == "repository":
        truth.docker.rmi(latest)
    assert found == truth.document([right], repositories)
    assert len(found["layers"]) == len(right.diff_ids) * len(repositories)


def test_image_that_was_pulled_by_digest_is_known_by_it(stage: Stage, tmp_path: Path) -> None:
    (pinned,) = stage.truth.inspect(stage.pinned)
    assert pinned.names == (stage.pinned,)
    found = stage.document(tmp_path / "meta.json", "--image", stage.pinned)
    assert found == stage.truth.document([pinned])
    report = json.loads(stage.scan("--image", stage.pinned, "--format", "json").out)
    assert [one["names"] for one in report["images"]] == [[stage.pinned]]


def test_several_images_share_what_they_share(stage: Stage, tmp_path: Path) -> None:
    asked = [stage.left, stage.right, stage.odd_in_mirror]
    arguments = [part for name in asked for part in ("--image", name)]
    found = stage.document(tmp_path / "meta.json", *arguments)
    images = stage.truth.inspect(*asked)
    expected = [
        stage.truth.document([image], {name.rsplit(":", 1)[0]})["layers"]
        for image, name in zip(images, asked, strict=True)
    ]
    assert found["layers"] == expected[0] | expected[1] | expected[2]
    # Left and right have their base and the layer above it in common, odd the base.
    assert len(found["layers"]) == len(images[0].diff_ids) + 1 + len(ODDITIES)


def test_exact_accounting_has_the_same_layers_and_takes_no_less_than_their_parts(
    stage: Stage, tmp_path: Path
) -> None:
    docker = stage.document(tmp_path / "docker.json")
    exact = stage.document(tmp_path / "exact.json", "--accounting", "exact")
    # How many inodes a layer needs, and for which file system, is told by the exact rule alone.
    assert exact.keys() == {*docker.keys(), "file_system", "inodes"}
    assert exact["inodes"].keys() == exact["layers"].keys()
    assert {digest: layer["size"] for digest, layer in exact["layers"].items()} == {
        digest: layer["size"] for digest, layer in docker["layers"].items()
    }
    report = json.loads(stage.scan("--accounting", "exact", "--format", "json").out)
    for layer in report["layers"]:
        chain_id = layer["chain_id"]
        content = os.path.join(stage.truth.layer_folder(chain_id), "diff")
        # A pull writes holes out.
        filled = max(du(content), du(content, "--apparent-size"))
        low = filled + du(stage.truth.record(chain_id))
        assert low <= layer["usage"] <= low + EXACT_SLACK
    figures = {layer["chain_id"]: layer["usage"] for layer in report["layers"]}
    for image in report["images"]:
        assert image["usage"] > sum(figures[chain_id] for chain_id in image["layers"])


def write_app(apps_root: Path, name: str, **images: str) -> None:
    (apps_root / name).mkdir(parents=True)
    services = "".join(f"  {service}:\n    image: {image}\n" for service, image in images.items())
    (apps_root / name / "docker-compose.yml").write_text(f"services:\n{services}")


def test_apps_are_scanned_the_way_the_replaced_script_was_called(
    stage: Stage, tmp_path: Path
) -> None:
    address = stage.truth.registry.address
    apps = tmp_path / "apps"
    write_app(
        apps,
        "shop",
        web="${FACTORY}/acme/left:${VERSION:-1}",
        db=f"{address}/acme/right",
        fixed=stage.pinned,
    )
    (apps / "shop" / ".env").write_text(f"FACTORY={address}\n")
    hub = f"docker.io/library/{stage.draft}"
    write_app(apps, "tools", lost=f"{address}/acme/not-built:1", hub=hub)
    write_app(apps, "old.disabled", odd=stage.odd)
    out = tmp_path / "layers_meta.json"
    store = ("--docker-data-root", stage.data_root)
    factory = ("--tag", "7", "--factory-registry", address)
    asked = ("--apps-root", apps, *factory, *store, "--no-resolve-digests", "--out-file", out)
    result = run(*asked)
    assert (result.status, result.out, out.exists()) == (3, b"", False)
    absent, never_pushed, not_written = result.lines
    assert f"image {stage.draft}: layer without a digest in docker.io/library/dr" in never_pushed
    assert not_written.startswith(error(f"{out} is not written"))
    assert run(*asked, "--allow-partial").status == 3
    assert absent == warning(
        f"image {address}/acme/not-built:7 (App tools, service lost) is not in the store: "
        "not built for this architecture? skipped"
    )
    expected: dict[str, object] = {}
    for name in (stage.left, stage.right, stage.pinned):
        (image,) = stage.truth.inspect(name)
        repository = name.split("@")[0].removesuffix(":7")
        expected |= stage.truth.document([image], {repository})["layers"]
    assert json.loads(out.read_bytes())["layers"] == expected


def test_images_of_several_architectures_are_warned_of_and_told_apart(
    stage: Stage, tmp_path: Path
) -> None:
    images = stage.truth.named_images()
    architectures = sorted({image.architecture for image in images})
    assert {"arm", "arm64"} < set(architectures)
    telling = warning(
        f"the images are of several architectures: {', '.join(architectures)}; choose one with "
        "--arch, or tell them apart with --by-arch"
    )
    assert telling in stage.scan("-o", str(tmp_path / "all.json")).lines

    expected = {}
    for architecture in architectures:
        own = [image for image in images if image.architecture == architecture]
        expected[architecture] = stage.truth.document(own)
        out = tmp_path / f"{architecture}.json"
        assert stage.document(out, "--arch", architecture) == expected[architecture]
    assert len(expected["arm64"]["layers"]) == len(expected["arm"]["layers"]) == 1

    result = stage.scan("--by-arch", "-o", str(tmp_path / "by-arch.json"))
    assert telling not in result.lines
    assert json.loads((tmp_path / "by-arch.json").read_bytes()) == expected
    pairs = [f"{name}={tmp_path / name}.json" for name in architectures]
    merged = run("merge", *pairs, "-o", tmp_path / "merged.json")
    assert merged.status == 0
    assert (tmp_path / "merged.json").read_bytes() == (tmp_path / "by-arch.json").read_bytes()


def test_table_names_every_image_and_layer(stage: Stage) -> None:
    out = stage.scan().text
    for image in stage.truth.named_images():
        assert any(name in out for name in image.names)
        for chain_id in image.chain_ids:
            assert chain_id.removeprefix("sha256:")[:SHORT] in out
