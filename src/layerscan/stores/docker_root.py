"""What Docker keeps in its data root beside images: containers, volumes, logs, BuildKit's records.

Owns their formats (moby, daemon and volume/service), whichever image store the engine uses,
and which names at the top of the data root are Docker's own. What cannot be read makes the
rest doubtful: which images and volumes a container uses may be in it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from layerscan import jsondoc
from layerscan.errors import DocumentError
from layerscan.files.safefs import Fault, Folder
from layerscan.problem import Problem
from layerscan.stores.engine_files import parse_json
from layerscan.stores.holdings import Category, Holding, UnderWay

PLACES = ("overlay2", "image", "containers", "volumes", "buildkit", "plugins", "swarm", "network",
          "tmp", "trust", "runtimes", "containerd", "builder", "rootfs")  # fmt: skip
"""The folders that Docker makes in its data root (moby, daemon/daemon.go)."""

DATABASES = ("volumes/metadata.db", "buildkit/snapshots.db", "buildkit/cache.db")
"""Files that a running daemon has open."""

REMOVE_IMAGE = ("docker", "image", "rm")
REMOVE_CONTAINER = ("docker", "container", "rm")
REMOVE_VOLUME = ("docker", "volume", "rm")
PRUNE_BUILDS = ("docker", "builder", "prune", "--all")

_CONTENT = "containerd/daemon/io.containerd.content.v1.content"
_SNAPSHOTS = "containerd/daemon/io.containerd.snapshotter.v1.overlayfs"
_OVERLAY2 = "overlay2"
_DRIVERS = (_OVERLAY2, "aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "vfs", "zfs")
"""Folders of storage drivers."""

_FILES = ("engine-id", "nuke-graph-directory.sh")
_SIGNS = ("tmp", "buildkit/content/ingest")
_LONGEST_CONFIG = 16 << 20


class DockerRoot:
    """One reading of an open data root; `doubts` are what could not be read."""

    def __init__(self, root: Folder) -> None:
        self.root = root
        self.doubts: list[Problem] = []

    def doubt(self, fault: Fault) -> None:
        """Keep a fault that leaves open who holds something."""
        if not fault.gone:
            self.doubts.append(Problem(fault.where, fault.what))

    def names(self, path: str) -> list[str]:
        """The names in a folder of the data root, sorted; none where it is not there."""
        return self._listed(path, Folder.names)

    def folders(self, path: str) -> list[str]:
        """The names of the folders in it, likewise."""
        return sorted(self._listed(path, Folder.folders))

    def _listed(self, path: str, names_of: Callable[[Folder], Iterable[str]]) -> list[str]:
        try:
            folder = self.root.folder_if_there(*path.split("/"))
            if folder is None:
                return []
            with folder:
                return list(names_of(folder))
        except Fault as fault:
            self.doubt(fault)
            return []

    def containers(self, layers: dict[str, Holding]) -> Iterator[Holding]:
        """The containers, their logs, and their writable layers.

        These are taken from `layers`, which has them by the ids of the containers.
        """
        for name in self.folders("containers"):
            container = self._container(name)
            path = self.root.where(f"containers/{name}")
            keeps = [f"logs:{name}"]
            marks: tuple[str, ...] = ()
            layer = layers.pop(name, None)
            if layer is not None:
                keeps.append(layer.key)
                marks = layer.marks
                label = name if container is None else container[0]
                yield layer._replace(name=f"{label} (writable layer)")
            if container is None:
                yield Holding(
                    f"container:{name}",
                    Category.TRANSIENT,
                    name,
                    (path,),
                    tuple(keeps),
                    marks,
                    reason="is just being made or removed",
                    under_way=UnderWay.ITSELF,
                    left="has no config.v2.json, so Docker does not know it",
                )
                continue
            label, uses = container
            yield Holding(
                f"container:{name}",
                Category.CONTAINERS,
                label,
                (path,),
                (*keeps, *uses),
                marks,
                is_root=True,
                names=(label,),
                tool=REMOVE_CONTAINER,
            )
            logs = [
                f"{path}/{file}"
                for file in self.names(f"containers/{name}")
                if file.startswith(f"{name}-json.log") or file == "local-logs"
            ]
            if logs:
                label = f"{label} (logs)"
                yield Holding(f"logs:{name}", Category.CONTAINERS, label, tuple(logs))

    def _container(self, name: str) -> tuple[str, tuple[str, ...]] | None:
        """What a container is called, and what it uses; None where it has no config."""
        where = self.root.where(f"containers/{name}/config.v2.json")
        try:
            with self.root.folder("containers", name) as folder:
                raw = folder.read_if_there("config.v2.json", _LONGEST_CONFIG)
            if raw is None:
                return None
            return _parsed(parse_json(raw, where, as_go=True), where, name)
        except Fault as fault:
            self.doubt(fault)
        except DocumentError as error:
            self.doubts.append(Problem(where, str(error).removeprefix(f"{where}: ")))
        # Its image and volumes are not known.
        return name, ()

    def volumes(self) -> Iterator[Holding]:
        """The volumes."""
        for name in self.folders("volumes"):
            path = self.root.where(f"volumes/{name}")
            yield Holding(
                f"volume:{name}",
                Category.VOLUMES,
                name,
                (path,),
                is_root=True,
                names=(name,),
                tool=REMOVE_VOLUME,
            )

    def under_way(self, more: Sequence[str] = ()) -> Iterator[Holding]:
        """What pulls and builds have as long as they run, in folders of the data root."""
        for folder in (*_SIGNS, *more):
            for name in self.names(folder):
                path = self.root.where(f"{folder}/{name}")
                yield Holding(
                    f"tmp:{path}",
                    Category.TRANSIENT,
                    name,
                    (path,),
                    reason="a pull or build is under way",
                    under_way=UnderWay.ADDITION,
                )

    def left_behind(self, *, used: str = "", unused: str = "") -> Iterator[Holding]:
        """Images of storage drivers other than `used`, which Docker may have had before.

        The driver overlay2 tries at each start what its folder's file system can; or Docker's
        settings say that it has no driver, and `unused` is what they say.
        """
        there = set(self.root.names())
        for name in sorted(there.intersection(_DRIVERS) - {used}):
            label = f"images of the storage driver {name}"
            reason = f"left by the storage driver {name}, which Docker does not use any more"
            yield Holding(
                f"left:{name}",
                Category.UNREFERENCED,
                label,
                tuple(self.root.where(path) for path in (name, f"image/{name}")),
                reason=f"{reason}: {unused}" if unused else reason,
                doubt="" if unused else "nothing says whether Docker still uses this driver",
                idle=self.root.where(_OVERLAY2) if name == _OVERLAY2 else "",
                busy=self.root.where(_OVERLAY2) if used == _OVERLAY2 else "",
            )

    def left_in_containerd(self, unused: str = "") -> Iterator[Holding]:
        """Images in the containerd of a Docker that uses the driver overlay2, likewise."""
        if self.folders(f"{_SNAPSHOTS}/snapshots"):
            reason = "left in Docker's containerd, which keeps no images any more"
            yield Holding(
                "left:containerd",
                Category.UNREFERENCED,
                "images in Docker's containerd",
                (self.root.where(_SNAPSHOTS),),
                reason=f"{reason}: {unused}" if unused else reason,
                doubt="" if unused else "nothing says whether Docker's containerd keeps images",
                busy=self.root.where(_OVERLAY2),
            )
            yield Holding(
                "left:content",
                Category.UNREFERENCED,
                "content in Docker's containerd",
                (self.root.where(_CONTENT),),
                reason=reason,
                doubt="most of it is left with the images, but manifests in use are there, too",
            )

    def rest(self, whole: Mapping[str, tuple[Category, str]]) -> Iterator[Holding]:
        """What is at the top of the data root beside storage drivers.

        `whole` says to whom folders there belong, and what to call them; the others are the
        engine's, if they are Docker's at all.
        """
        known = {
            "buildkit": (Category.BUILD_CACHE, "BuildKit's records"),
            "tmp": (Category.TRANSIENT, "files of pulls and builds under way"),
            **whole,
        }
        for name in self.root.names():
            if name in _DRIVERS and name not in known:
                continue
            path = self.root.where(name)
            category, label = known.get(name, (Category.ENGINE, name))
            reason = ""
            if name not in (*PLACES, *_FILES, *known):
                category, reason = Category.OTHER, "not made by Docker"
            yield Holding(f"top:{name}", category, label, (path,), reason=reason)
        # Folders and files that are between all of these.
        yield Holding("top:", Category.ENGINE, "data root", (self.root.path,))


def _parsed(document: object, where: str, name: str) -> tuple[str, tuple[str, ...]]:
    """The name of a container, and the keys of what it uses."""
    place = jsondoc.Place(where)
    config = jsondoc.mapping(document, place)
    label = jsondoc.text(config, "Name", place, "").removeprefix("/") or name
    image = jsondoc.text(config, "Image", place, "")
    uses = [f"image:{image}"] if image else []
    points = place.key("MountPoints")
    for target, point in jsondoc.mapping(config.get("MountPoints", {}), points).items():
        at = points.key(target)
        volume = jsondoc.text(jsondoc.mapping(point, at), "Name", at, "")
        if volume:
            uses.append(f"volume:{volume}")
    return label, tuple(uses)
