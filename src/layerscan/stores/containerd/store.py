"""The image store of containerd, with the overlayfs snapshotter.

Owns where the store is under a root, which of its namespaces is read, reading it again
while an engine changes it, and whether a layer is there still. What is in it is
``reading``'s matter.
"""

import os
import stat
from contextlib import suppress
from time import sleep

from layerscan.errors import StoreError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci.platforms import parse_platform
from layerscan.stores.containerd.docker import with_docker
from layerscan.stores.containerd.footprint import GROWTH
from layerscan.stores.containerd.holdings import named, read_holdings
from layerscan.stores.containerd.reading import ContainerdReading
from layerscan.stores.containerd.records import (
    METADATA,
    METADATA_FILE,
    SNAPSHOTTER,
    ContainerdRecords,
    Snapshots,
)
from layerscan.stores.engine_files import store_error
from layerscan.stores.holdings import Holdings
from layerscan.stores.model import Image, Layer
from layerscan.stores.places import (
    CONTAINERD_IN_DOCKER,
    CONTAINERD_ROOT,
    docker_root,
    real_folder,
    unused_of_docker,
)
from layerscan.stores.readings import PAUSES, StoreBase, some
from layerscan.text import shown

_ATTEMPTS = 5
"""How often a layer is looked up in a database that changes meanwhile."""

_DOCKER = "moby"
_FIRST = {_DOCKER: 0, "k8s.io": 1, "default": 2}
"""The namespaces of Docker, of Kubernetes, and of ctr, in the order of preference."""


class ContainerdStore(StoreBase):
    """containerd's images, as the overlayfs snapshotter has unpacked them.

    Args:
        root: containerd's root, or a Docker data root that has one in
            ``containerd/daemon``.
        exact: also find the `exact_paths` of layers and images.
        namespace: whose images; by default Docker's, else the first that has any. The
            attribute is the one that the last call of `images` read, None if there was none.
        platform: only images for this one, ``os/architecture[/variant]``, or it is a
            `LayerscanError`.
        snapshotter: the snapshotter's folder, if it is not in the root.
    """

    kind = "containerd"
    growth = GROWTH
    keeps_blobs = True

    def __init__(
        self,
        root: str,
        *,
        exact: bool = False,
        namespace: str | None = None,
        platform: str | None = None,
        snapshotter: str | None = None,
    ) -> None:
        self._platform = None if platform is None else parse_platform(platform)
        super().__init__(_check(real_folder(root)), snapshotter or SNAPSHOTTER)
        self._exact = exact
        self._asked = namespace
        self.namespace = namespace
        self._keys: dict[str, bytes] = {}
        self._snapshotter = snapshotter

    @property
    def empty_note(self) -> str:
        """One line for the user if there are no images."""
        where = "" if self.namespace is None else f" in namespace {shown(self.namespace)}"
        return f"{self.root}: the containerd image store has no images{where}"

    def has_images(self) -> bool:
        """Whether it has any image in the namespaces that count; True where that cannot be read."""
        try:
            with Folder(self.root) as root, ContainerdRecords(root, self._snapshotter) as records:
                there = records.namespaces
                asked = (there[name] for name in there if self._asked in (None, name))
                return any(namespace.has_images for namespace in asked)
        except Fault:
            return True  # reading the images says what is wrong

    def images(self) -> list[Image]:
        """Every image that is unpacked and can be read whole, sorted by image id."""
        done = self._settled(self._read)
        self._keys = done.keys
        return done.images

    def holdings(self) -> Holdings:
        """Who holds what of containerd's root, by its records as they are now."""
        for pause in (*PAUSES, 0.0):
            found = self._read_holdings()
            if found.is_settled:
                break
            sleep(pause)
        return named(found)

    def _read_holdings(self) -> Holdings:
        with (
            store_error(),
            Folder(self.root) as root,
            ContainerdRecords(root, self._snapshotter) as records,
        ):
            found = read_holdings(root, records, self._snapshotter)
            docker = self._docker_root(records)
            if docker is not None:
                with Folder(docker) as data_root:
                    found = with_docker(found, data_root, unused_of_docker(docker)[0])
            return found._replace(is_settled=records.are_unmoved())

    def _docker_root(self, records: ContainerdRecords) -> str | None:
        """The data root of the Docker that keeps its images here, None where there is none."""
        inside = f"/{CONTAINERD_IN_DOCKER}"
        if self.root.endswith(inside):
            return self.root.removesuffix(inside)
        # A containerd of the machine may be used by the machine's Docker.
        if _DOCKER in records.namespaces and self.root == os.path.realpath(CONTAINERD_ROOT):
            with suppress(OSError, StoreError):
                return os.path.realpath(docker_root(), strict=True)
        return None

    def still_has(self, layer: Layer) -> bool:
        """Whether the snapshotter has `layer` on record as `images` gave it."""
        key = self._keys.get(layer.chain_id)
        if key is None:
            return False
        for _ in range(_ATTEMPTS):
            try:
                with (
                    Folder(self.root) as root,
                    Snapshots(root, self._snapshotter, copied=False) as snapshots,
                ):
                    there = snapshots.read(key, layer.chain_id).folder
                    snapshots.check_unmoved()
                return there == os.path.basename(layer.folder)
            except Fault as fault:
                if not fault.gone:
                    return False
        return False

    def _read(self) -> ContainerdReading:
        with Folder(self.root) as root, ContainerdRecords(root, self._snapshotter) as records:
            names = self._choose(records)
            self.namespace = names[0] if names else None
            namespace = records.namespaces[names[0]] if names else None
            reading = ContainerdReading(
                root,
                records,
                namespace,
                platform=self._platform,
                exact=self._exact,
                elsewhere=self._snapshotter,
            )
        if len(names) > 1:
            reading.notes.insert(
                0,
                f"{self.root}: the images are those of namespace {shown(names[0])}; there are "
                f"others in {some(map(shown, names[1:]))}: choose with --namespace",
            )
        return reading

    def _choose(self, records: ContainerdRecords) -> list[str]:
        """The namespace to read, if there is one, and after it others that have images."""
        there = records.namespaces
        if self._asked is None:
            filled = [name for name, namespace in there.items() if namespace.has_images]
            # They are sorted by name already.
            return sorted(filled, key=lambda name: _FIRST.get(name, len(_FIRST)))
        if self._asked not in there:
            names = ", ".join(map(shown, there)) or "none"
            raise StoreError(
                f"{self.root}: there is no namespace {shown(self._asked)}; there are: {names}"
            )
        return [self._asked]


def _check(root: str) -> str:
    """The folder of the store that is at `root`, a real path, or in it."""
    with store_error(), Folder(root) as top:
        for inside in ((), CONTAINERD_IN_DOCKER.split("/")):
            metadata = top.folder_if_there(*inside, METADATA)
            if metadata is not None:
                with metadata:
                    if metadata.look(METADATA_FILE) is not None:
                        metadata.require(METADATA_FILE, stat.S_IFREG)
                        return os.path.join(root, *inside)
    looked = f"looked for {METADATA} in it and in {CONTAINERD_IN_DOCKER}"
    raise StoreError(f"{root}: no image store here: {looked}")
