"""Whole overlay2 image stores, as Docker 20.10 leaves them on disk.

Owns the layout, names, modes and file contents that the engine writes; the
files of a layer are declared with ``tree``. The one thing that is not
faithful: the checksums inside tar-split.json.gz are made up.
"""

import base64
import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.builders import tree
from tests.builders.documents import sha256

CREATED = "2024-01-02T03:04:05.678901234Z"


@dataclass(frozen=True)
class BuiltLayer:
    """A layer in the store. `ops` is its declared content, without parents'."""

    chain_id: str
    diff_id: str
    cache_id: str
    link: str
    size: int
    parent: "BuiltLayer | None" = None
    ops: tuple[tree.Op, ...] = field(default=(), repr=False)

    @property
    def lower(self) -> str:
        """What the file ``lower`` of a layer on top of this one holds."""
        here = "l/" + self.link
        return here if self.parent is None else f"{here}:{self.parent.lower}"


def blob_digest(diff_id: str, repository: str = "") -> str:
    """A made-up digest of the compressed layer, by default the same everywhere."""
    return sha256(f"compressed {repository} {diff_id}")


class StoreBuilder:
    """Builds a store under `root`, which is made if it is not there.

    Equal calls on equal seeds give equal stores, byte for byte.
    """

    def __init__(self, root: str | os.PathLike[str], *, seed: int = 0) -> None:
        self.root = os.fspath(root)
        self.seed = seed
        self.layers: dict[str, BuiltLayer] = {}
        self.repositories: dict[str, dict[str, str]] = {}
        self._made = 0
        for path, mode in (
            ("", 0o710),
            ("overlay2", 0o710),
            ("overlay2/l", 0o700),
            ("image", 0o700),
            ("image/overlay2", 0o700),
            ("image/overlay2/distribution", 0o700),
            ("image/overlay2/imagedb", 0o700),
            ("image/overlay2/imagedb/content", 0o700),
            ("image/overlay2/imagedb/content/sha256", 0o700),
            ("image/overlay2/imagedb/metadata", 0o700),
            ("image/overlay2/imagedb/metadata/sha256", 0o700),
            ("image/overlay2/layerdb", 0o700),
        ):
            self._folder(path, mode)
        self._write_repositories()

    # Where things are, for tests that look at them or damage them.

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def image_path(self, *parts: str) -> str:
        return self.path("image", "overlay2", *parts)

    def repositories_path(self) -> str:
        return self.image_path("repositories.json")

    def config_path(self, image_id: str) -> str:
        return self.image_path("imagedb", "content", "sha256", _hex(image_id))

    def image_metadata_path(self, image_id: str) -> str:
        return self.image_path("imagedb", "metadata", "sha256", _hex(image_id))

    def layer_path(self, layer: BuiltLayer, *parts: str) -> str:
        return self.image_path("layerdb", "sha256", _hex(layer.chain_id), *parts)

    def folder_path(self, layer: BuiltLayer, *parts: str) -> str:
        return self.path("overlay2", layer.cache_id, *parts)

    def v2metadata_path(self, diff_id: str) -> str:
        return self.image_path("distribution", "v2metadata-by-diffid", "sha256", _hex(diff_id))

    def diffid_path(self, digest: str) -> str:
        return self.image_path("distribution", "diffid-by-digest", "sha256", _hex(digest))

    # What goes into the store.

    def layer(
        self, parent: BuiltLayer | None, *ops: tree.Op, cache_id: str | None = None
    ) -> BuiltLayer:
        """A layer of `ops` on `parent`; the one there is, if there is an equal one.

        Args:
            cache_id: name of its folder, by default 64 hex digits as the
                classic builder and ``docker pull`` choose; BuildKit takes 25
                digits and lower-case letters.
        """
        diff_id = tree.tar_digest(ops)
        chain = diff_id if parent is None else sha256(f"{parent.chain_id} {diff_id}")
        if chain in self.layers:
            return self.layers[chain]
        layer = BuiltLayer(
            chain_id=chain,
            diff_id=diff_id,
            cache_id=cache_id or self._random().hex(),
            link=base64.b32encode(self._random())[:26].decode(),
            size=tree.docker_size(ops),
            parent=parent,
            ops=ops,
        )
        self._write_folder(layer)
        self._write_layerdb(layer)
        self.layers[chain] = layer
        return layer

    def image(
        self,
        layers: Sequence[BuiltLayer],
        *,
        names: Iterable[str] = (),
        pushed: Mapping[str, Sequence[str] | None] | None = None,
        parent: str | None = None,
        architecture: str = "amd64",
        os_name: str = "linux",
        variant: str = "",
        extra: Mapping[str, object] | None = None,
    ) -> str:
        """An image of `layers`, bottom up. Returns its id.

        Args:
            names: its names as people type them, each with tag or digest.
            pushed: full name of each repository it was pushed to or pulled
                from, with the digests of its layers there, None for made-up ones.
            parent: id of the image that it was built on with the classic builder.
            extra: further keys of its config; they override the others.
        """
        config = _config([layer.diff_id for layer in layers], architecture, os_name, variant)
        config.update(extra or {})
        image_id = self.raw_image(_compact(config))
        if parent is not None:
            self._image_metadata(image_id, "parent", parent)
        for repository, digests in (pushed or {}).items():
            self.push(image_id, layers, repository, digests)
        for name in names:
            self.tag(image_id, name)
        return image_id

    def raw_image(self, config: bytes) -> str:
        """An image with this very config. Returns its id."""
        image_id = sha256(config)
        self._write(self.config_path(image_id), config, 0o600)
        return image_id

    def tag(self, image_id: str, name: str) -> None:
        """Give the image a name, as people type it, with tag or digest."""
        repository = name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
        self.repositories.setdefault(repository, {})[name] = image_id
        self._image_metadata(image_id, "lastUpdated", CREATED)
        self._write_repositories()

    def untag(self, name: str) -> None:
        """Take a name away; its image stays."""
        for repository, names in list(self.repositories.items()):
            names.pop(name, None)
            if not names:
                del self.repositories[repository]
        self._write_repositories()

    def push(
        self,
        image_id: str,
        layers: Sequence[BuiltLayer],
        repository: str,
        digests: Sequence[str] | None = None,
    ) -> str:
        """Record a push to `repository`, a full name. Returns the manifest's digest.

        Like Docker it also gives the image the name ``repository@digest``.
        """
        if digests is None:
            digests = [blob_digest(layer.diff_id) for layer in layers]
        for layer, digest in zip(layers, digests, strict=True):
            self.add_v2metadata(layer.diff_id, digest, repository)
        manifest = sha256(_compact({"config": image_id, "layers": list(digests)}))
        familiar = repository.removeprefix("docker.io/").removeprefix("library/")
        self.tag(image_id, f"{familiar}@{manifest}")
        return manifest

    def add_v2metadata(self, diff_id: str, digest: str, repository: str) -> None:
        """Add one entry, the newest, to what is known of `diff_id`; 50 are kept."""
        path = self.v2metadata_path(diff_id)
        entries = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                entries = json.load(file)
        hmac = hashlib.sha256(f"hmac {digest} {repository}".encode()).hexdigest()
        entry = {"Digest": digest, "SourceRepository": repository, "HMAC": hmac}
        entries = [*(other for other in entries if other != entry), entry][-50:]
        for kind in ("v2metadata-by-diffid", "diffid-by-digest"):
            for folder in (kind, f"{kind}/sha256"):
                self._folder(f"image/overlay2/distribution/{folder}", 0o755)
        self._write(path, _compact(entries), 0o644)
        self._write(self.diffid_path(digest), diff_id.encode(), 0o644)

    def container(self, layer: BuiltLayer, *ops: tree.Op) -> str:
        """A stopped container on `layer` with `ops` written in it. Returns its id."""
        container, mount = self._random().hex(), self._random().hex()
        lower = layer.lower
        for name, content in ((f"{mount}-init", (tree.Dir("etc"),)), (mount, ops)):
            link = base64.b32encode(self._random())[:26].decode()
            self._write_overlay(name, link, lower, content)
            self._folder(f"overlay2/{name}/work/work", 0)
            lower = f"l/{link}:{lower}"
        self._write(self.path("overlay2", f"{mount}-init", "committed"), b"", 0o600)
        self._write(self.folder_path(layer, "committed"), b"", 0o600)
        mounts = f"image/overlay2/layerdb/mounts/{container}"
        self._folder(mounts, 0o755)
        for name, text in (
            ("init-id", f"{mount}-init"),
            ("mount-id", mount),
            ("parent", layer.chain_id),
        ):
            self._write(self.path(mounts, name), text.encode(), 0o644)
        return container

    # How it is written.

    def _random(self) -> bytes:
        self._made += 1
        return hashlib.sha256(f"{self.seed} {self._made}".encode()).digest()

    def _folder(self, path: str, mode: int) -> None:
        whole = self.path(path) if path else self.root
        if not os.path.isdir(whole):
            os.makedirs(whole)
            os.chmod(whole, mode)

    def _write(self, path: str, content: bytes, mode: int) -> None:
        # Beside it and renamed, as Docker does: a reader never sees half a file.
        temporary = os.path.join(os.path.dirname(path), ".tmp-" + os.path.basename(path))
        with open(temporary, "wb") as file:
            file.write(content)
        os.chmod(temporary, mode)
        os.rename(temporary, path)

    def _write_repositories(self) -> None:
        content = _compact({"Repositories": self.repositories})
        self._write(self.repositories_path(), content, 0o600)

    def _image_metadata(self, image_id: str, name: str, text: str) -> None:
        folder = self.image_metadata_path(image_id)
        self._folder(os.path.relpath(folder, self.root), 0o700)
        self._write(os.path.join(folder, name), text.encode(), 0o600)

    def _write_folder(self, layer: BuiltLayer) -> None:
        lower = None if layer.parent is None else layer.parent.lower
        self._write_overlay(layer.cache_id, layer.link, lower, layer.ops)
        if layer.parent is not None:
            self._write(self.folder_path(layer.parent, "committed"), b"", 0o600)

    def _write_overlay(
        self, name: str, link: str, lower: str | None, ops: Iterable[tree.Op]
    ) -> None:
        self._folder(f"overlay2/{name}", 0o710)
        self._folder(f"overlay2/{name}/diff", 0o755)
        self._write(self.path("overlay2", name, "link"), link.encode(), 0o644)
        if lower is not None:
            self._write(self.path("overlay2", name, "lower"), lower.encode(), 0o644)
            self._folder(f"overlay2/{name}/work", 0o700)
        os.symlink(f"../{name}/diff", self.path("overlay2", "l", link))
        tree.apply(self.path("overlay2", name, "diff"), *ops)

    def _write_layerdb(self, layer: BuiltLayer) -> None:
        for name, mode in (("sha256", 0o755), ("tmp", 0o755), ("mounts", 0o755)):
            self._folder(f"image/overlay2/layerdb/{name}", mode)
        self._folder(os.path.relpath(self.layer_path(layer), self.root), 0o700)
        files = {
            "cache-id": layer.cache_id.encode(),
            "diff": layer.diff_id.encode(),
            "size": b"%d" % layer.size,
            "tar-split.json.gz": gzip.compress(_tar_split(layer.ops), 6, mtime=0),
        }
        if layer.parent is not None:
            files["parent"] = layer.parent.chain_id.encode()
        for name, content in files.items():
            self._write(self.layer_path(layer, name), content, 0o644)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _config(
    diff_ids: list[str], architecture: str, os_name: str, variant: str
) -> dict[str, object]:
    config: dict[str, object] = {
        "architecture": architecture,
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "created": CREATED,
        "docker_version": "20.10.24+dfsg1",
        "history": [{"created": CREATED, "created_by": "/bin/sh -c true"} for _ in diff_ids],
        "os": os_name,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    if variant:
        config["variant"] = variant
    return config


def _tar_split(ops: Iterable[tree.Op]) -> bytes:
    """The lines of a tar-split.json: raw header bytes, and each file's name and size."""
    lines: list[dict[str, object]] = []
    for header, name, size in tree.tar_headers(ops):
        lines.append({"type": 2, "payload": base64.b64encode(header).decode()})
        file: dict[str, object] = {"type": 1, "name": name, "payload": None}
        if size:
            check = hashlib.sha256(header).digest()[:8]
            file.update(size=size, payload=base64.b64encode(check).decode())
        lines.append(file)
    lines.append({"type": 2, "payload": base64.b64encode(bytes(1024)).decode()})
    return b"".join(
        _compact({**line, "position": position}) + b"\n" for position, line in enumerate(lines)
    )
