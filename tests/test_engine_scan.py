"""`scan` as a whole process over a real engine's store, against other ways to each figure.

What is expected here comes from ``docker image inspect``, the store's files
read by the test, ``du`` and the registry's own answers; nothing of layerscan
is asked for it. The store is the session's, so images of other tests may be
in it, and are held to the same.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import subprocess
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from layerscan.scanner import scan
from layerscan.selection import Selection
from layerscan.stores import open_store
from tests.builders.tree import File
from tests.cli_runner import run, warning
from tests.conftest import require_programs
from tests.engines.images import DEEP, ODDITIES, Image, add, oddities, siblings, write_context

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.cli_runner import Result
    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
BYTES = "application/octet-stream"
REQUEST_SECONDS = 30
SHORT = 12
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
KNOWN_WARNING = re.compile(
    r"layerscan: warning: (the images are of several architectures: "
    r"|layer sha256:[0-9a-f]{64}: its files hold 5 bytes, the store recorded 0: "
    r"|image \S+: (its only layer|all \d+ layers|\d+ of its layers) without a digest"
    r"( in \S+( or \S+)*)?, never pushed there\? left out of the document: sha256:)"
)
EXACT_SLACK = 48 * 1024
"""Bytes of a layer beside its content and its record: links, digests, shared folders."""


@dataclass(frozen=True)
class Figures:
    """What one layer costs, in bytes."""

    size: int
    usage: int


@dataclass(frozen=True)
class Inspected:
    """An image as ``docker image inspect`` shows it."""

    image_id: str
    names: tuple[str, ...]
    architecture: str
    size: int
    diff_ids: tuple[str, ...]

    @property
    def chain_ids(self) -> list[str]:
        chain_ids: list[str] = []
        for diff_id in self.diff_ids:
            both = f"{chain_ids[-1]} {diff_id}" if chain_ids else ""
            hashed = "sha256:" + hashlib.sha256(both.encode()).hexdigest()
            chain_ids.append(hashed if both else diff_id)
        return chain_ids

    @property
    def repositories(self) -> set[str]:
        return {
            name.split("@")[0] if "@" in name else name.rsplit(":", 1)[0] for name in self.names
        }


@dataclass
class Truth:
    """What there is to know of the engine's images, found without layerscan."""

    docker: Docker
    registry: Registry
    known: dict[str, Figures] = field(default_factory=dict)

    def inspect(self, *images: str) -> list[Inspected]:
        found = json.loads(self.docker.run("image", "inspect", *images))
        return [
            Inspected(
                one["Id"],
                (*one["RepoTags"], *one["RepoDigests"]),
                one["Architecture"],
                one["Size"],
                tuple(one["RootFS"]["Layers"] or ()),
            )
            for one in found
        ]

    def all_images(self) -> list[Inspected]:
        listed = self.docker.run("image", "ls", "--all", "--quiet", "--no-trunc")
        return self.inspect(*dict.fromkeys(listed.split()))

    def named_images(self) -> list[Inspected]:
        return [image for image in self.all_images() if image.names]

    def record(self, chain_id: str) -> str:
        """The folder of a layer's metadata."""
        folder = os.path.join(self.docker.data_root, "image/overlay2/layerdb/sha256")
        return os.path.join(folder, chain_id.removeprefix("sha256:"))

    def layer_folder(self, chain_id: str) -> str:
        with open(os.path.join(self.record(chain_id), "cache-id"), encoding="ascii") as cache_id:
            return os.path.join(self.docker.data_root, "overlay2", cache_id.read())

    def figures(self, chain_id: str) -> Figures:
        if chain_id not in self.known:
            record = self.record(chain_id)
            tar_split = os.stat(os.path.join(record, "tar-split.json.gz")).st_size
            with open(os.path.join(record, "size"), encoding="ascii") as size:
                usage = du(self.layer_folder(chain_id)) + tar_split
                self.known[chain_id] = Figures(int(size.read()), usage)
        return self.known[chain_id]

    def digests(self, repository: str) -> dict[str, str]:
        """The digest of each diff_id in a repository, as the registry tells them."""
        host, _, path = repository.partition("/")
        if host != self.registry.address:
            return {}
        answer = json.loads(self.registry.get(f"{path}/tags/list"))
        names = {
            name.removeprefix(f"{repository}@")
            for image in self.named_images()
            for name in image.names
            if name.startswith(f"{repository}@")
        }
        found: dict[str, str] = {}
        for name in names | set(answer["tags"] or ()):
            manifest = json.loads(self.registry.get(f"{path}/manifests/{name}", accept=MANIFEST))
            config = json.loads(self.registry.get(f"{path}/blobs/{manifest['config']['digest']}"))
            digests = [layer["digest"] for layer in manifest["layers"]]
            found.update(zip(config["rootfs"]["diff_ids"], digests, strict=True))
        return found

    @cached_property
    def by_repository(self) -> dict[str, dict[str, str]]:
        names = set(chain(*(image.repositories for image in self.named_images())))
        return {name: self.digests(name) for name in names}

    def document(
        self, images: Iterable[Inspected], repositories: Iterable[str] | None = None
    ) -> dict[str, object]:
        """The layers metadata of `images`, in the `repositories` or in all they are in."""
        layers: dict[str, dict[str, int]] = {}
        for image in images:
            for repository in repositories or image.repositories:
                for diff_id, chain_id in zip(image.diff_ids, image.chain_ids, strict=True):
                    digest = self.by_repository[repository].get(diff_id)
                    if digest is not None:
                        figures = self.figures(chain_id)
                        known = layers.setdefault(digest, {"size": figures.size, "usage": 0})
                        assert known["size"] == figures.size
                        known["usage"] = max(known["usage"], figures.usage)
        return {"fs_block_size": os.statvfs(self.docker.data_root).f_bsize, "layers": layers}

    def digests_of(self, image: Inspected, diff_id: str) -> set[str]:
        """Of a layer of an image; one that has no name may have any of any repository."""
        repositories = image.repositories or set(self.by_repository)
        found = (self.by_repository[repository].get(diff_id) for repository in repositories)
        return {digest for digest in found if digest is not None}


def du(folder: str, *options: str) -> int:
    """Bytes as ``du -sk`` counts them."""
    done = subprocess.run(["du", "-sk", *options, folder], check=True, capture_output=True)
    return int(done.stdout.split()[0]) * 1024


def send(method: str, url: str, data: bytes = b"", *, kind: str = BYTES) -> str:
    """Send `data`; the Location that was answered."""
    headers = {"Content-Type": kind, "Content-Length": str(len(data))}
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - it is http
    # A proxy of the environment has no business with the loopback interface.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=REQUEST_SECONDS) as response:
        location: str = response.headers["Location"]
        return location


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

    def scan(self, *arguments: str, walk: str | None = None) -> Result:
        """Run ``scan``; status 0, or the test fails."""
        env = {} if walk is None else {"LAYERSCAN_WALK": walk}
        result = run("scan", "-d", self.data_root, *arguments, env=env)
        assert (result.status, [line for line in result.lines if "error" in line]) == (0, [])
        return result

    def document(self, out: Path, *arguments: str, walk: str | None = None) -> dict[str, object]:
        """Run ``scan -o``; the document."""
        self.scan("-o", str(out), *arguments, walk=walk)
        found: dict[str, object] = json.loads(out.read_bytes())
        return found


class Builder:
    """Builds images in `docker`, and pushes them, each under the name that it returns."""

    def __init__(self, docker: Docker, registry: Registry, folder: Path) -> None:
        self.docker = docker
        self.registry = registry
        self.folder = folder
        self._contexts = 0

    def named(self, name: str) -> str:
        return f"{self.registry.address}/{name}"

    def build(self, image: Image, name: str, *, buildkit: bool = False) -> str:
        self._contexts += 1
        context = write_context(image, self.folder / str(self._contexts))
        self.docker.build(context, name, buildkit=buildkit)
        return name

    def pushed(self, image: Image, name: str, *, buildkit: bool = False) -> str:
        self.build(image, self.named(name), buildkit=buildkit)
        self.docker.push(self.named(name))
        return self.named(name)

    def also_pushed(self, image: str, name: str) -> str:
        self.docker.tag(image, self.named(name))
        self.docker.push(self.named(name))
        return self.named(name)

    def pinned(self, image: Image, name: str) -> str:
        """Only known by the digest it was pulled by."""
        pushed = self.pushed(image, name)
        inspected = self.docker.run("image", "inspect", "-f", "{{index .RepoDigests 0}}", pushed)
        self.docker.rmi(pushed)
        self.docker.pull(inspected)
        return inspected

    def recompressed(self, image: str, name: str) -> str:
        """The same image in another repository, its layers there of other digests."""
        path, _, tag = image.removeprefix(self.named("")).rpartition(":")
        other, _, other_tag = name.rpartition(":")
        manifest = json.loads(self.registry.get(f"{path}/manifests/{tag}", accept=MANIFEST))
        for layer in manifest["layers"]:
            blob = gzip.decompress(self.registry.get(f"{path}/blobs/{layer['digest']}"))
            fast = gzip.compress(blob, compresslevel=1, mtime=0)
            layer |= {"digest": self.upload(other, fast), "size": len(fast)}
        self.upload(other, self.registry.get(f"{path}/blobs/{manifest['config']['digest']}"))
        document = json.dumps(manifest).encode()
        url = f"http://{self.registry.address}/v2/{other}/manifests/{other_tag}"
        send("PUT", url, document, kind=MANIFEST)
        # Of an image that it has, the engine would only take down the new name.
        self.docker.rmi(image)
        self.docker.pull(self.named(name))
        self.docker.pull(image)
        return self.named(name)

    def upload(self, path: str, blob: bytes) -> str:
        """Put a blob into the repository `path`; its digest."""
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        url = send("POST", f"http://{self.registry.address}/v2/{path}/blobs/uploads/")
        send("PUT", f"{url}&digest={digest}", blob)
        return digest

    def dangling(self, one: Image, other: Image, name: str) -> str:
        """The id of an image whose name another has taken."""
        lost = self.docker.image_id(self.build(one, name))
        self.build(other, name)
        return lost

    def foreign(self, platform: str, name: str) -> str:
        """An image of another architecture, pushed."""
        image = Image(platform, (add(File(platform, size=9000, seed=8)),))
        self._contexts += 1
        context = write_context(image, self.folder / str(self._contexts))
        options = ("--quiet", "--platform", platform, "--tag", self.named(name))
        self.docker.run("build", *options, context, buildkit=True)
        self.docker.push(self.named(name))
        return self.named(name)


@pytest.fixture(scope="module")
def stage(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Stage:
    require_programs("du")
    builder = Builder(docker, registry, tmp_path_factory.mktemp("scan"))
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
    lines = stage.scan("-o", str(tmp_path / "meta.json")).lines
    assert [line for line in lines if not KNOWN_WARNING.match(line)] == []
    (draft,) = stage.truth.inspect(stage.draft)
    assert (
        warning(
            f"image {stage.draft}: all {len(draft.diff_ids)} layers without a digest in "
            "docker.io/library/draft, never pushed there? left out of the document: "
            + ", ".join(draft.diff_ids)
        )
        in lines
    )
    (half,) = stage.truth.inspect(stage.half_pushed)
    assert (
        warning(
            f"image {stage.half_pushed}: 1 of its layers without a digest in "
            f"{stage.half_pushed.removesuffix(':next')}, never pushed there? left out of the "
            f"document: {half.diff_ids[-1]}"
        )
        in lines
    )
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
    walked = {chain_id: cost.walked.child.size for chain_id, cost in result.costs.items()}
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
    found = stage.document(tmp_path / "meta.json", "--image", stage.dangling)
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


def test_python_walk_writes_the_same_bytes(stage: Stage, tmp_path: Path) -> None:
    compiled, python = tmp_path / "compiled.json", tmp_path / "python.json"
    one = stage.scan("-o", str(compiled), "--format", "json", walk="compiled")
    other = stage.scan("-o", str(python), "--format", "json", walk="python")
    assert compiled.read_bytes() == python.read_bytes()
    assert one == other


def test_exact_accounting_has_the_same_layers_and_takes_no_less_than_their_parts(
    stage: Stage, tmp_path: Path
) -> None:
    docker = stage.document(tmp_path / "docker.json")
    exact = stage.document(tmp_path / "exact.json", "--accounting", "exact")
    assert exact.keys() == docker.keys()
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
    result = run("--apps-root", apps, *factory, *store, "--out-file", out)
    assert (result.status, result.out) == (0, b"")
    never_pushed, absent = sorted(result.lines, key=lambda line: "is not in the store" in line)
    assert f"image {stage.draft}: all " in never_pushed
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
