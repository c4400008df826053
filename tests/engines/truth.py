"""What is true of an engine's images, found without layerscan, and images with a past.

`Truth` asks ``docker image inspect``, the store's files, ``du`` and the
registry. `Builder` builds images and gives them names, digests and
repositories as users' images have them.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any

from tests.builders import images
from tests.builders.documents import encoded, sha256
from tests.builders.tree import File
from tests.engines.images import Image, add, write_context

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.engines.docker import Docker
    from tests.engines.registry import Registry

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
GZIP_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCUMENTS = (
    f"{MANIFEST}, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
)
BYTES = "application/octet-stream"
REQUEST_SECONDS = 30


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
            chain_ids.append(sha256(both) if both else diff_id)
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
        ours = {image.image_id for image in self.all_images()}
        found: dict[str, str] = {}
        for name in names | set(answer["tags"] or ()):
            for manifest in self.manifests(path, name):
                # Other tests may have pushed what this engine never had.
                if manifest["config"]["digest"] in ours:
                    blob = self.registry.get(f"{path}/blobs/{manifest['config']['digest']}")
                    digests = [layer["digest"] for layer in manifest["layers"]]
                    diff_ids = json.loads(blob)["rootfs"]["diff_ids"]
                    found.update(zip(diff_ids, digests, strict=True))
        return found

    def manifests(self, path: str, name: str) -> list[dict[str, Any]]:
        """The image manifests under a name, or those of the index under it that are there."""
        try:
            raw = self.registry.get(f"{path}/manifests/{name}", accept=DOCUMENTS)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND and name.startswith("sha256:"):
                return []
            raise
        document = json.loads(raw)
        if "manifests" not in document:
            return [document]
        inside = (self.manifests(path, entry["digest"]) for entry in document["manifests"])
        return list(chain.from_iterable(inside))

    @cached_property
    def by_repository(self) -> dict[str, dict[str, str]]:
        names = set(chain(*(image.repositories for image in self.named_images())))
        return {name: self.digests(name) for name in names}

    def document(
        self, images: Iterable[Inspected], repositories: Iterable[str] | None = None
    ) -> dict[str, Any]:
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
        other = name.rpartition(":")[0]
        manifest = json.loads(self.registry.get(f"{path}/manifests/{tag}", accept=MANIFEST))
        for layer in manifest["layers"]:
            blob = gzip.decompress(self.registry.get(f"{path}/blobs/{layer['digest']}"))
            fast = gzip.compress(blob, compresslevel=1, mtime=0)
            layer |= {"digest": self.upload(other, fast), "size": len(fast)}
        self.upload(other, self.registry.get(f"{path}/blobs/{manifest['config']['digest']}"))
        self.put_manifest(name, encoded(manifest), MANIFEST)
        # Of an image that it has, the engine would only take down the new name.
        self.docker.rmi(image)
        self.docker.pull(self.named(name))
        self.docker.pull(image)
        return self.named(name)

    def upload(self, path: str, blob: bytes) -> str:
        """Put a blob into the repository `path`; its digest."""
        digest = sha256(blob)
        url = send("POST", f"http://{self.registry.address}/v2/{path}/blobs/uploads/")
        send("PUT", f"{url}&digest={digest}", blob)
        return digest

    def put_manifest(self, name: str, document: bytes, media_type: str) -> None:
        """Put a manifest or an index under ``PATH:TAG``."""
        path, _, tag = name.rpartition(":")
        url = f"http://{self.registry.address}/v2/{path}/manifests/{tag}"
        send("PUT", url, document, kind=media_type)

    def of_tars(self, name: str, *tars: bytes) -> str:
        """An image of layers that no engine made, pushed under ``PATH:TAG``."""
        path = name.rpartition(":")[0]
        blobs = [gzip.compress(tar, compresslevel=1, mtime=0) for tar in tars]
        layers = [
            images.Layer(tar, media_type=GZIP_LAYER, ready=blob)
            for tar, blob in zip(tars, blobs, strict=True)
        ]
        image = images.Image(layers=tuple(layers), config_type=CONFIG, media_type=MANIFEST)
        for blob in (image.config, *blobs):
            self.upload(path, blob)
        self.put_manifest(name, image.document, MANIFEST)
        return self.named(name)

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
