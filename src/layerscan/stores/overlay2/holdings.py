"""Who holds what of Docker's images with the overlay2 driver: layers, BuildKit's snapshots.

Owns which records of the driver say so; what else is in the data root, `docker_root` reads.
What cannot be read makes the rest doubtful, see `Holdings.doubts`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from layerscan import digest as digests
from layerscan.files.safefs import Fault, Folder
from layerscan.problem import Problem
from layerscan.stores.docker_root import (
    DATABASES,
    PLACES,
    PRUNE_BUILDS,
    REMOVE_IMAGE,
    DockerRoot,
)
from layerscan.stores.holdings import Category, Holding, Holdings, UnderWay, seconds
from layerscan.stores.model import Image, Layer
from layerscan.stores.overlay2.layerdb import read_cache_id
from layerscan.text import printable

_LAYERS = "image/overlay2/layerdb/sha256"
_MOUNTS = "image/overlay2/layerdb/mounts"
_WRITE_SETS = "image/overlay2/layerdb/tmp"
_CONFIGS = "image/overlay2/imagedb/content/sha256"
_LONGEST_ID = 4096
_REMOVING = "-removing"


def read_holdings(
    root: Folder, images: Sequence[Image], lost: Sequence[Problem], no_containerd: str = ""
) -> Holdings:
    """The holdings of the data root `root`, whose images are `images`.

    What of them could not be read is `lost`; `no_containerd` is what Docker's settings say if
    its containerd keeps none.
    """
    docker = DockerRoot(root)
    driver = _Driver(docker)
    # The folders first: what is made meanwhile cannot look as if nobody had it.
    folders = docker.folders("overlay2")
    found = [*driver.images(images), *driver.layers(images)]
    mounts = dict(driver.mounts())
    found += [*docker.containers(mounts), *mounts.values(), *docker.volumes()]
    found += [*driver.build_cache(), *driver.unnamed(folders), *docker.under_way([_WRITE_SETS])]
    whole = {
        "overlay2": (Category.IMAGES, "folders of layers"),
        "image": (Category.IMAGES, "names, digests and configs"),
    }
    found += [*docker.left_behind(used="overlay2"), *docker.left_in_containerd(no_containerd)]
    found += docker.rest(whole)
    return Holdings(
        holdings=tuple(found),
        places=(root.path, *(root.where(name) for name in PLACES)),
        databases=tuple(root.where(name) for name in DATABASES),
        doubts=(*lost, *docker.doubts),
    )


class _Driver:
    """One reading of the driver's records and folders."""

    def __init__(self, docker: DockerRoot) -> None:
        self._docker = docker
        self._where = docker.root.where
        # Folders of overlay2 that have a holder.
        self._taken: set[str] = set()
        self._links = self._read_links()

    def _read_links(self) -> dict[str, str]:
        """The link to each folder of overlay2: its target is too long for an inode."""
        links = {}
        try:
            folder = self._docker.root.folder_if_there("overlay2", "l")
            if folder is not None:
                with folder:
                    for name in folder.names():
                        target = folder.link(name) or ""
                        links[target.removeprefix("../").removesuffix("/diff")] = name
        except Fault as fault:
            self._docker.doubt(fault)
        return links

    def _folder(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths and marks of the folder `name` of overlay2, which has a holder then."""
        self._taken.add(name)
        paths = [self._where(f"overlay2/{name}")]
        marks = [f"{name}/merged", f"{name}/diff"]
        link = self._links.get(name)
        if link is not None:
            paths.append(self._where(f"overlay2/l/{link}"))
            marks.append(f"l/{link}")
        return tuple(paths), tuple(marks)

    def images(self, images: Sequence[Image]) -> Iterator[Holding]:
        """The images' own records."""
        # The image that each was built on by the classic builder.
        parents = {image.image_id: self._record(image, "parent") for image in images}
        steps = set(parents.values())
        for image in images:
            name = digests.blob_path(image.image_id)
            made = seconds(self._record(image, "lastUpdated")) or seconds(image.created)
            keeps = [f"layer:{image.layers[-1].chain_id}"] if image.layers else []
            parent = parents[image.image_id]
            if parent:
                keeps.append(f"image:{parent}")
            yield Holding(
                key=f"image:{image.image_id}",
                category=Category.IMAGES,
                name=_label(image),
                paths=(
                    self._where(f"image/overlay2/imagedb/content/{name}"),
                    self._where(f"image/overlay2/imagedb/metadata/{name}"),
                ),
                keeps=tuple(keeps),
                # A step of a build goes with the image that was built.
                is_root=bool(image.names) or image.image_id not in steps,
                names=tuple(sorted(name.familiar for name in image.names)),
                image_id=image.image_id,
                made=made,
                tool=REMOVE_IMAGE,
            )

    def _record(self, image: Image, name: str) -> str:
        """A file of what Docker keeps of an image beside its config; empty if there is none."""
        path = f"image/overlay2/imagedb/metadata/{digests.blob_path(image.image_id)}"
        with suppress(Fault):
            folder = self._docker.root.folder_if_there(*path.split("/"))
            if folder is not None:
                with folder:
                    return _text(folder.read_if_there(name, _LONGEST_ID) or b"")
        return ""

    def layers(self, images: Sequence[Image]) -> Iterator[Holding]:
        """The layers on record, whether or not an image has them."""
        layers: dict[str, Layer] = {}
        names: dict[str, str] = {}
        # Of several images with a layer, the smallest that has a name says where it is from.
        for image in sorted(images, key=lambda one: (not one.names, len(one.layers), _label(one))):
            for number, layer in enumerate(image.layers, 1):
                layers[layer.chain_id] = layer
                label = f"{_label(image)}, layer {number} of {len(image.layers)}"
                names.setdefault(layer.chain_id, label)
        for name in self._docker.folders(_LAYERS):
            chain_id = f"sha256:{name}"
            layer_there = layers.get(chain_id)
            try:
                cache_id, parent = (
                    self._read_layer(name)
                    if layer_there is None
                    else (layer_there.folder.rpartition("/")[2], layer_there.parent)
                )
            except Fault as fault:
                self._docker.doubt(fault)
                continue
            paths, marks = self._folder(cache_id)
            if name.endswith(_REMOVING):
                yield self._removal(name, (*paths, self._where(f"{_LAYERS}/{name}")), marks)
                continue
            yield Holding(
                key=f"layer:{chain_id}",
                category=Category.UNREFERENCED,
                name=names.get(chain_id, chain_id),
                paths=(*paths, self._where(f"{_LAYERS}/{name}")),
                keeps=() if parent is None else (f"layer:{parent}",),
                marks=marks,
                reason="a layer of no image, and no container or build cache has it",
                witnesses=(self._where(_CONFIGS),),
            )

    def _read_layer(self, name: str) -> tuple[str, str | None]:
        """The folder of a layer that no image has, and the layer beneath."""
        with self._docker.root.folder(*_LAYERS.split("/"), name) as files:
            parent = files.read_if_there("parent", _LONGEST_ID)
            return read_cache_id(files), None if parent is None else _text(parent)

    def mounts(self) -> Iterator[tuple[str, Holding]]:
        """The writable layers of containers, by the containers' ids."""
        for name in self._docker.folders(_MOUNTS):
            try:
                with self._docker.root.folder(*_MOUNTS.split("/"), name) as files:
                    folder, init, parent = (
                        _text(files.read_if_there(what, _LONGEST_ID) or b"")
                        for what in ("mount-id", "init-id", "parent")
                    )
            except Fault as fault:
                self._docker.doubt(fault)
                continue
            paths = [self._where(f"{_MOUNTS}/{name}")]
            marks: list[str] = []
            for one in filter(None, (folder, init)):
                # Nothing but a name in overlay2 can be a container's.
                if "/" not in one and one not in (".", "..", "l"):
                    of_it, marked = self._folder(one)
                    paths += of_it
                    marks += marked
            yield (
                name,
                Holding(
                    f"mount:{name}",
                    # A container has it before its own folder.
                    Category.TRANSIENT,
                    f"{name} (writable layer)",
                    tuple(paths),
                    keeps=(f"layer:{parent}",) if parent else (),
                    marks=tuple(marks),
                    reason="of a container that is just being made or removed",
                    under_way=UnderWay.ITSELF,
                    left=f"the writable layer of container {printable(name)}, which is not there",
                ),
            )

    def build_cache(self) -> Iterator[Holding]:
        """BuildKit's snapshots: folders of its own, or layers that images have, too."""
        for key, (committed, chain, parent) in self._snapshots().items():
            folder = committed or key
            paths, marks = ((), ()) if folder in self._taken else self._folder(folder)
            keeps = [f"layer:{one}" for one in (chain, key, parent) if one.startswith("sha256:")]
            yield Holding(
                key=f"cache:{key}",
                category=Category.BUILD_CACHE,
                name=key,
                paths=() if key.startswith("sha256:") else paths,
                keeps=(*keeps, f"cache:{parent}") if parent else tuple(keeps),
                marks=marks,
                is_root=True,
                tool=PRUNE_BUILDS,
            )

    def _snapshots(self) -> dict[str, tuple[str, ...]]:
        """Of each of BuildKit's snapshots: its folder, its chain_id, the snapshot beneath."""
        from layerscan.stores.containerd.bolt import Database

        names = (b"committed", b"chainid", b"parent")
        try:
            folder = self._docker.root.folder_if_there("buildkit")
            if folder is None:
                return {}
            with folder:
                if folder.look("snapshots.db") is None:
                    return {}
                with Database(folder, "snapshots.db") as database:
                    found = {
                        _text(key): tuple(map(_text, database.root.record(key, *names) or ()))
                        for key, _ in database.root.buckets()
                    }
                    database.check_unmoved()
                    return {key: record or ("", "", "") for key, record in found.items()}
        except Fault as fault:
            self._docker.doubt(fault)
            return {}

    def unnamed(self, folders: Sequence[str]) -> Iterator[Holding]:
        """The folders of overlay2 that no record names."""
        for name in folders:
            if name in self._taken or name == "l":
                continue
            paths, marks = self._folder(name)
            if name.endswith(_REMOVING):
                yield self._removal(name, paths, marks)
                continue
            yield Holding(
                key=f"folder:{name}",
                category=Category.UNREFERENCED,
                name=name,
                paths=paths,
                marks=marks,
                reason="no layer, container or build cache names this folder",
            )

    def _removal(self, name: str, paths: tuple[str, ...], marks: tuple[str, ...]) -> Holding:
        """A layer that is being removed: its record has another name then."""
        return Holding(
            key=f"removing:{name}",
            category=Category.TRANSIENT,
            name=name,
            paths=paths,
            marks=marks,
            reason="is being removed",
            under_way=UnderWay.REMOVAL,
        )


def _label(image: Image) -> str:
    return min((name.familiar for name in image.names), default=image.image_id)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").strip()
