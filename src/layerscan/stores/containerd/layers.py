"""containerd's layers: the committed snapshots of its overlayfs snapshotter.

Owns where a snapshot's files are, and the checks that what both databases say
of a layer belongs together. Which layers there are to read, the images say.
"""

import stat
from contextlib import ExitStack

from layerscan.files.safefs import Fault, Folder, Opened
from layerscan.stores.containerd.records import SNAPSHOTTER, Namespace, Snapshots
from layerscan.stores.model import Layer
from layerscan.text import shown

CONTENT_FOLDER = "fs"


class LayerFolders(Opened):
    """The layers that one namespace has snapshots of, held open while they are read.

    Attributes:
        keys: of each layer that was read, by chain_id, the snapshotter's key.

    Raises:
        Fault: the folder that they are in cannot be opened.
    """

    def __init__(self, root: Folder, namespace: Namespace, snapshots: Snapshots) -> None:
        self._namespace = namespace
        self._snapshots = snapshots
        self.keys: dict[str, bytes] = {}
        with ExitStack() as opened:
            self._folders = opened.enter_context(root.folder(SNAPSHOTTER, "snapshots"))
            self._there = self._folders.folders()
            super().__init__(opened.pop_all())

    def read(self, chain_id: str, parent: str | None, diff_id: str) -> Layer:
        """The layer `chain_id`, which stands on `parent`, that was read before it.

        Raises:
            Fault: something of it cannot be read, or does not belong together.
        """
        key = self._namespace.snapshot_key(chain_id, parent)
        snapshot = self._snapshots.read(key, chain_id)
        beneath = b"" if parent is None else self.keys.get(parent, snapshot.parent)
        if snapshot.parent != beneath:
            raise Fault(
                self._snapshots.where,
                f"has layer {chain_id} on {shown(snapshot.parent)}, not on {shown(beneath)}",
            )
        name = snapshot.folder
        if name not in self._there:
            self._folders.require(name, stat.S_IFDIR)
        self._folders.require(f"{name}/{CONTENT_FOLDER}", stat.S_IFDIR)
        self.keys[chain_id] = key
        # Snapshotters that fetch files when they are used record nothing.
        recorded = snapshot.inodes > 0
        return Layer(
            chain_id=chain_id,
            diff_id=diff_id,
            parent=parent,
            folder=self._folders.where(name),
            content=CONTENT_FOLDER,
            recorded_usage=snapshot.usage if recorded else None,
            recorded_inodes=snapshot.inodes if recorded else None,
        )
