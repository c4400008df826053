"""Who holds what of a store of containers/storage: images, containers, volumes.

Owns which lists of containers/storage and which files of Podman and Buildah say so. What
cannot be read makes the rest doubtful, see `Holdings.doubts`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from layerscan import digest as digests
from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.files.safefs import Fault, Folder
from layerscan.jsondoc import Place
from layerscan.problem import Problem
from layerscan.stores.containers_storage.libpod import BOLT, SQLITE, volumes_of_containers
from layerscan.stores.containers_storage.records import (
    DRIVER,
    IMAGES,
    LAYERS,
    ImageRecord,
    LayerRecord,
    StorageRecords,
    read_list,
    read_records,
)
from layerscan.stores.engine_files import fault_of
from layerscan.stores.holdings import Category, Holding, Holdings, UnderWay, seconds

CONTAINERS = f"{DRIVER}-containers"
CONTAINERS_FILES = ("containers.json", "volatile-containers.json")

_TEMPORARY = {"staging": UnderWay.ADDITION, "tempdirs": UnderWay.REMOVAL}
"""Folders in ``overlay`` for what is being put together, and for what is being removed."""

_DRIVERS = ("aufs", "btrfs", "devmapper", "vfs", "zfs")
_TAR_SPLIT = ".tar-split.gz"
_BUILDAH = "buildah.json"


class _Container(NamedTuple):
    container_id: str
    name: str
    image: str
    layer: str


def read_holdings(root: Folder) -> Holdings:
    """The holdings of the store in the folder `root`."""
    reading = _StorageRoot(root)
    found = reading.holdings()
    where = root.where
    names = (DRIVER, LAYERS, IMAGES, CONTAINERS, "volumes", "libpod")
    return Holdings(
        holdings=tuple(found),
        places=(root.path, *map(where, names)),
        work=tuple(where(name) for name in (DRIVER, LAYERS, IMAGES)),
        doubts=tuple(reading.doubts),
    )


class _StorageRoot:
    """One reading of the lists, and of the folders that they are about."""

    def __init__(self, root: Folder) -> None:
        self.doubts: list[Problem] = []
        self._root = root
        self._links: dict[str, str] = {}

    def holdings(self) -> list[Holding]:
        """Read it all; folders first, so that what is made meanwhile does not look lost."""
        folders = self._names(Folder.folders, DRIVER)
        others = {name: self._names(Folder.folders, name) for name in (IMAGES, CONTAINERS)}
        splits = self._names(Folder.names, LAYERS)
        self._read_links()
        records = read_records(self._root)
        self.doubts += [Problem(fault.where, fault.what) for fault in records.faults]
        containers = list(self._containers())
        found = [*self._images(records), *self._layers(records, containers)]
        found += self._holding_containers(containers)
        found += self._volumes()
        for name in sorted(set(folders) - set(records.layers) - {"l", *_TEMPORARY}):
            paths, marks = self._folder(name)
            reason = "no layer on record has this folder"
            found.append(self._nobodys(f"folder:{name}", name, paths, reason, marks))
        for file in splits:
            name = file.removesuffix(_TAR_SPLIT)
            if file.endswith(_TAR_SPLIT) and name not in records.layers:
                reason = "no layer on record has this file"
                path = self._root.where(f"{LAYERS}/{file}")
                found.append(self._nobodys(f"split:{name}", file, (path,), reason))
        known = {
            IMAGES: {one.record_id for one in records.images},
            CONTAINERS: {one.container_id for one in containers},
        }
        for folder, names in others.items():
            for name in sorted(set(names) - known[folder]):
                kind = folder.partition("-")[2].removesuffix("s")
                reason = f"no {kind} on record has this folder"
                path = self._root.where(f"{folder}/{name}")
                found.append(self._nobodys(f"{folder}:{name}", name, (path,), reason))
        found += self._temporary()
        found += self._rest()
        return found

    def _nobodys(
        self,
        key: str,
        name: str,
        paths: tuple[str, ...],
        reason: str,
        marks: tuple[str, ...] = (),
    ) -> Holding:
        return Holding(key, Category.UNREFERENCED, name, paths, marks=marks, reason=reason)

    def _names(self, names_of: Callable[[Folder], Iterable[str]], *path: str) -> list[str]:
        """Names in a folder, sorted; none where it is not there."""
        try:
            folder = self._root.folder_if_there(*path)
            if folder is None:
                return []
            with folder:
                return sorted(names_of(folder))
        except Fault as fault:
            self._doubt(fault)
            return []

    def _doubt(self, fault: Fault) -> None:
        if not fault.gone:
            self.doubts.append(Problem(fault.where, fault.what))

    def _read_links(self) -> None:
        try:
            folder = self._root.folder_if_there(DRIVER, "l")
            if folder is not None:
                with folder:
                    for name in folder.names():
                        target = folder.link(name) or ""
                        self._links[target.removeprefix("../").removesuffix("/diff")] = name
        except Fault as fault:
            self._doubt(fault)

    def _folder(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths and marks of the folder `name` of the driver."""
        paths = [self._root.where(f"{DRIVER}/{name}")]
        marks = [f"{name}/merged", f"{name}/diff"]
        if name in self._links:
            paths.append(self._root.where(f"{DRIVER}/l/{self._links[name]}"))
            marks.append(f"l/{self._links[name]}")
        return tuple(paths), tuple(marks)

    def _images(self, records: StorageRecords) -> Iterator[Holding]:
        steps = _steps(records)
        parents = {one for found in steps.values() for one in found}
        for image in records.images:
            layers = [f"layer:{top}" for top in image.tops]
            yield Holding(
                f"image:{image.record_id}",
                Category.IMAGES,
                min(image.names, default=image.record_id),
                (self._root.where(f"{IMAGES}/{image.record_id}"),),
                keeps=(*layers, *(f"image:{one}" for one in steps[image.record_id])),
                is_root=image.record_id not in parents,
                names=image.names,
                image_id=image.record_id,
                tool=("podman", "image", "rm"),
                made=seconds(image.created),
            )

    def _layers(
        self, records: StorageRecords, containers: Sequence[_Container]
    ) -> Iterator[Holding]:
        names = {one.layer: f"{one.name} (writable layer)" for one in containers}
        names |= _layer_names(records)
        for layer_id, layer in records.layers.items():
            paths, marks = self._folder(layer_id)
            paths = (*paths, self._root.where(f"{LAYERS}/{layer_id}{_TAR_SPLIT}"))
            keeps: tuple[str, ...] = ()
            reason, doubt = "a layer of no image and no container", ""
            under_way, category = None, Category.UNREFERENCED
            if isinstance(layer, Fault):
                doubt = str(layer)
            else:
                keeps = (f"layer:{layer.parent}",) if layer.parent else ()
                if layer.incomplete:
                    category, reason = Category.TRANSIENT, "is being made or removed"
                    under_way = UnderWay.ITSELF
            yield Holding(
                f"layer:{layer_id}",
                category,
                names.get(layer_id, layer_id),
                paths,
                keeps,
                marks,
                reason,
                doubt=doubt,
                under_way=under_way,
                left="left by a change of the store that broke off",
                witnesses=(self._root.where(IMAGES),),
            )

    def _containers(self) -> Iterator[_Container]:
        for file in CONTAINERS_FILES:
            try:
                for value, place in read_list(self._root, CONTAINERS, file):
                    yield _container(value, place)
            except Fault as fault:
                self._doubt(fault)
            except DocumentError as error:
                where = self._root.where(f"{CONTAINERS}/{file}")
                self._doubt(fault_of(error, where))

    def _holding_containers(self, containers: Sequence[_Container]) -> Iterator[Holding]:
        volumes: dict[str, list[str]] = {}
        try:
            volumes = volumes_of_containers(self._root)
        except Fault as fault:
            self._doubt(fault)
        for one in containers:
            inside = (CONTAINERS, one.container_id, "userdata")
            files = self._names(Folder.names, *inside)
            path = self._root.where(f"{CONTAINERS}/{one.container_id}")
            marks = self._folder(one.layer)[1]
            keeps = [f"layer:{one.layer}", f"image:{one.image}", f"logs:{one.container_id}"]
            keeps += [f"volume:{name}" for name in volumes.get(one.container_id, ())]
            # What a build works in; Buildah says of it what it is.
            is_build = _BUILDAH in files or _BUILDAH in self._names(
                Folder.names, CONTAINERS, one.container_id
            )
            yield Holding(
                f"container:{one.container_id}",
                Category.BUILD_CACHE if is_build else Category.CONTAINERS,
                one.name,
                (path,),
                tuple(keeps),
                marks,
                "a working container of Buildah" if is_build else "",
                is_root=True,
                names=(one.name,),
                tool=("buildah", "rm") if is_build else ("podman", "container", "rm"),
            )
            logs = [f"{path}/userdata/{file}" for file in files if file.startswith("ctr.log")]
            if logs:
                label = f"{one.name} (logs)"
                yield Holding(f"logs:{one.container_id}", Category.CONTAINERS, label, tuple(logs))

    def _volumes(self) -> Iterator[Holding]:
        for name in self._names(Folder.folders, "volumes"):
            path = self._root.where(f"volumes/{name}")
            yield Holding(
                f"volume:{name}",
                Category.VOLUMES,
                name,
                (path,),
                is_root=True,
                names=(name,),
                tool=("podman", "volume", "rm"),
            )

    def _temporary(self) -> Iterator[Holding]:
        for folder, under_way in _TEMPORARY.items():
            for name in self._names(Folder.names, DRIVER, folder):
                yield Holding(
                    f"tmp:{folder}/{name}",
                    Category.TRANSIENT,
                    name,
                    (self._root.where(f"{DRIVER}/{folder}/{name}"),),
                    reason=f"{under_way.value} is under way",
                    under_way=under_way,
                )

    def _rest(self) -> Iterator[Holding]:
        known = {
            DRIVER: (Category.IMAGES, "folders of layers"),
            LAYERS: (Category.IMAGES, "the list of layers"),
            IMAGES: (Category.IMAGES, "the list of images"),
        }
        ours = ("volumes", "libpod", "cache", "mounts", "secrets", "networks", "tmp", CONTAINERS,
                "artifacts", "defaultNetworkBackend", SQLITE, *BOLT, "machine")  # fmt: skip
        for name in self._root.names():
            category, label = known.get(name, (Category.ENGINE, name))
            reason = ""
            if name.partition("-")[0] in _DRIVERS:
                category = Category.UNCLEAR
                reason = "of another storage driver: nothing says if it is in use"
            elif name not in (*known, *ours) and not name.endswith((".lock", f"{SQLITE}-wal")):
                category, reason = Category.OTHER, "not made by Podman, Buildah or CRI-O"
            yield Holding(f"top:{name}", category, label, (self._root.where(name),), reason=reason)
        # Folders and files that are between all of these.
        yield Holding("top:", Category.ENGINE, "storage root", (self._root.path,))


def _container(value: object, place: Place) -> _Container:
    document = jsondoc.mapping(value, place)
    container_id = jsondoc.text(document, "id", place)
    layer = jsondoc.text(document, "layer", place, "")
    for key, one in (("id", container_id), ("layer", layer)):
        if one and not digests.is_hex(one):
            raise place.key(key).fault("is no id of 64 hex digits")
    return _Container(
        container_id,
        min(jsondoc.strings(document, "names", place), default=container_id),
        jsondoc.text(document, "image", place, ""),
        layer,
    )


def _steps(records: StorageRecords) -> dict[str, list[str]]:
    """The steps of builds that go with each image: unnamed ones, one layer or none below it.

    As libpod takes an image's parents, though that compares what their configs say, too.
    """
    by_top: dict[str, list[ImageRecord]] = {}
    for image in records.images:
        if image.tops and not image.names:
            by_top.setdefault(image.tops[0], []).append(image)
    found: dict[str, list[str]] = {}
    for image in records.images:
        top = image.tops[0] if image.tops else ""
        layer = records.layers.get(top)
        below = layer.parent if isinstance(layer, LayerRecord) else None
        beside = [one for one in by_top.get(top, ()) if _age(one) < _age(image)]
        found[image.record_id] = [
            one.record_id for one in (*beside, *by_top.get(below or "", ())) if one is not image
        ]
    return found


def _age(image: ImageRecord) -> tuple[bool, float, str]:
    """What orders images with the same layers: steps first, and the first of them first."""
    return bool(image.names), seconds(image.created) or 0.0, image.record_id


def _layer_names(records: StorageRecords) -> dict[str, str]:
    """What to call each layer: by the image that has it and the fewest others."""
    names: dict[str, str] = {}
    stacks = []
    for image in records.images:
        for top in image.tops:
            stack = []
            layer = records.layers.get(top)
            while isinstance(layer, LayerRecord) and layer.layer_id not in stack:
                stack.append(layer.layer_id)
                layer = records.layers.get(layer.parent) if layer.parent else None
            label = min(image.names, default=image.record_id)
            stacks.append((not image.names, len(stack), label, stack))
    for _, count, label, stack in sorted(stacks):
        for number, layer_id in enumerate(reversed(stack), 1):
            names.setdefault(layer_id, f"{label}, layer {number} of {count}")
    return names
