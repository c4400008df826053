"""Whole stores of containers/storage, as Podman 4.3 leaves them on disk.

Owns the layout, names, modes and file contents that the engine writes; the
files of a layer are declared with ``tree``. Not faithful: the checksums inside
the tar-split files and the digests of archives are made up.
"""

import base64
import gzip
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.builders import tree
from tests.builders.documents import (
    CONFIG,
    LAYER,
    MANIFEST,
    descriptor,
    descriptor_of,
    index,
    manifest,
    sha256,
)
from tests.builders.overlay2 import CREATED, _compact, _config, _tar_split, blob_digest


@dataclass(frozen=True)
class BuiltLayer:
    """A layer in the store. `ops` is its declared content, without parents'."""

    layer_id: str
    chain_id: str
    diff_id: str
    link: str
    record: dict[str, Any]
    volatile: bool = False
    parent: "BuiltLayer | None" = None
    ops: tuple[tree.Op, ...] = field(default=(), repr=False)

    @property
    def digest(self) -> str | None:
        return self.record.get("compressed-diff-digest")

    @property
    def lower(self) -> str:
        """What the file ``lower`` of a layer on top of this one holds."""
        here = "l/" + self.link
        return here if self.parent is None else f"{here}:{self.parent.lower}"


@dataclass(frozen=True)
class BuiltImage:
    """An image in the store: its id, its record, and the digest of its manifest."""

    image_id: str
    record_id: str
    record: dict[str, Any]
    manifest: str


def document_file(name: str) -> str:
    """The name of the file that an image's document is in."""
    if all(char in ".0123456789abcdefghijklmnopqrstuvwxyz" for char in name):
        return name
    return "=" + base64.b64encode(name.encode()).decode()


class StoreBuilder:
    """Builds a store under `root`, which is made if it is not there."""

    def __init__(self, root: str | os.PathLike[str], *, seed: int = 0) -> None:
        self.root = os.fspath(root)
        self.seed = seed
        self.layers: list[BuiltLayer] = []
        self.images: list[BuiltImage] = []
        self._made = 0
        for name in ("", "overlay", "overlay/l", "overlay-containers", "overlay-images"):
            self._folder(name)
        self._folder("overlay-layers")

    # Where things are, for tests that look at them or damage them.

    def path(self, *parts: str) -> str:
        return os.path.join(self.root, *parts)

    def images_path(self) -> str:
        return self.path("overlay-images", "images.json")

    def layers_path(self, *, volatile: bool = False) -> str:
        return self.path("overlay-layers", "volatile-layers.json" if volatile else "layers.json")

    def folder_path(self, layer: BuiltLayer, *parts: str) -> str:
        return self.path("overlay", layer.layer_id, *parts)

    def tar_split_path(self, layer: BuiltLayer) -> str:
        return self.path("overlay-layers", f"{layer.layer_id}.tar-split.gz")

    def document_path(self, image: BuiltImage, name: str) -> str:
        return self.path("overlay-images", image.record_id, document_file(name))

    # What goes into the store.

    def layer(
        self,
        parent: BuiltLayer | None,
        *ops: tree.Op,
        layer_id: str | None = None,
        pulled: bool = True,
        volatile: bool = False,
        record: Mapping[str, object] | None = None,
    ) -> BuiltLayer:
        """A layer of `ops` on `parent`.

        Args:
            layer_id: 64 hex digits, by default those that a pull gives it.
            pulled: its archive was compressed, else it was built here.
            volatile: it is in the list of those that the next start may lose.
            record: further keys of its record; they override the others.
        """
        diff_id = tree.tar_digest(ops)
        chain = diff_id if parent is None else sha256(f"{parent.chain_id} {diff_id}")
        usual = diff_id if parent is None else sha256(f"{parent.layer_id}+{_hex(diff_id)}")
        length = sum(len(piece) for piece in tree.tar_stream(ops))
        whole: dict[str, Any] = {
            "id": layer_id or _hex(usual),
            "created": f"2024-01-02T03:04:{len(self.layers) % 60:02d}.000000001Z",
            "compressed-diff-digest": blob_digest(diff_id) if pulled else diff_id,
            "compressed-size": length // 2 if pulled else length,
            "diff-digest": diff_id,
            "diff-size": length,
            **({"parent": parent.layer_id} if parent else {}),
            **({"compression": 2} if pulled else {}),
            "uidset": [0],
            "gidset": [0],
            **(record or {}),
        }
        layer = BuiltLayer(
            layer_id=whole["id"],
            chain_id=chain,
            diff_id=diff_id,
            link=base64.b32encode(self._random())[:26].decode(),
            record=whole,
            volatile=volatile,
            parent=parent,
            ops=ops,
        )
        self._write_layer(layer)
        self.layers.append(layer)
        self.write_layers()
        return layer

    def image(
        self,
        layers: Sequence[BuiltLayer],
        *,
        names: Iterable[str] = (),
        digests: Sequence[str] | None = None,
        index: bytes | None = None,
        record_id: str | None = None,
        record: Mapping[str, object] | None = None,
        architecture: str = "amd64",
        variant: str = "",
        config: Mapping[str, object] | None = None,
    ) -> BuiltImage:
        """An image of `layers`, bottom up.

        Args:
            names: its names in full, each with tag or digest.
            digests: of its layers in its manifest, by default those on record.
            index: the index by whose digest it was pulled.
            record_id: by default the digest of its config.
            record: further keys of its record; they override the others.
            config: further keys of its config; the same.
        """
        document = _config([layer.diff_id for layer in layers], architecture, "linux", variant)
        raw_config = _compact({**document, **(config or {})})
        image_id = sha256(raw_config)
        if digests is None:
            digests = [str(layer.digest) for layer in layers]
        manifest = manifest_of(raw_config, digests)
        documents = {
            image_id: raw_config,
            f"manifest-{sha256(manifest)}": manifest,
            "manifest": manifest,
            f"signature-{_hex(sha256(manifest))}": b"",
        }
        if index is not None:
            documents[f"manifest-{sha256(index)}"] = index
        return self.raw_image(
            record_id or _hex(image_id),
            documents,
            image_id=image_id,
            record={
                "names": list(names),
                **({"layer": layers[-1].layer_id} if layers else {}),
                **(record or {}),
            },
        )

    def raw_image(
        self,
        record_id: str,
        documents: Mapping[str, bytes],
        *,
        image_id: str = "",
        record: Mapping[str, object] | None = None,
    ) -> BuiltImage:
        """An image with these very documents; `record` has further keys of its record."""
        digests = {name: sha256(content) for name, content in documents.items()}
        whole: dict[str, Any] = {
            "id": record_id,
            "digest": digests.get("manifest", ""),
            "metadata": "{}",
            "big-data-names": list(documents),
            "big-data-sizes": {name: len(content) for name, content in documents.items()},
            "big-data-digests": digests,
            "created": CREATED,
            **(record or {}),
        }
        image = BuiltImage(image_id, record_id, whole, digests.get("manifest", ""))
        self._folder(f"overlay-images/{record_id}")
        for name, content in documents.items():
            self._write(self.document_path(image, name), content)
        self.images.append(image)
        self.write_images()
        return image

    def write_layers(self) -> None:
        """Write the lists of layers as they are in `layers`."""
        for volatile in (False, True):
            records = [layer.record for layer in self.layers if layer.volatile == volatile]
            if records or not volatile:
                self._write(self.layers_path(volatile=volatile), _compact(records))

    def write_images(self) -> None:
        """Write the list of images as it is in `images`."""
        self._write(self.images_path(), _compact([image.record for image in self.images]))

    # How it is written.

    def _random(self) -> bytes:
        self._made += 1
        return hashlib.sha256(f"{self.seed} {self._made}".encode()).digest()

    def _folder(self, path: str) -> None:
        os.makedirs(self.path(path) if path else self.root, mode=0o700, exist_ok=True)

    def _write(self, path: str, content: bytes) -> None:
        # Beside it and renamed, as the engine does: a reader never sees half a file.
        temporary = os.path.join(os.path.dirname(path), ".tmp-" + os.path.basename(path)[:200])
        with open(temporary, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o600)
        os.rename(temporary, path)

    def _write_layer(self, layer: BuiltLayer) -> None:
        folders = ["diff", "merged", "work"]
        files = {"link": layer.link}
        if layer.parent is None:
            folders.append("empty")
        else:
            files["lower"] = layer.parent.lower
        for name in folders:
            self._folder(f"overlay/{layer.layer_id}/{name}")
        for name, text in files.items():
            self._write(self.folder_path(layer, name), text.encode())
        os.symlink(f"../{layer.layer_id}/diff", self.path("overlay", "l", layer.link))
        tree.apply(self.folder_path(layer, "diff"), *layer.ops)
        self._write(self.tar_split_path(layer), gzip.compress(_tar_split(layer.ops), 6, mtime=0))


def manifest_of(raw_config: bytes, digests: Sequence[str]) -> bytes:
    """The manifest of an image with this config, whose layers have these digests."""
    layers = [descriptor_of(digest, LAYER, 1) for digest in digests]
    return manifest(descriptor(raw_config, CONFIG), layers)


def index_of(*manifests: str) -> bytes:
    """An index that refers to the manifests with these digests."""
    return index(descriptor_of(digest, MANIFEST, 1) for digest in manifests)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
