"""containerd's layers: the committed snapshots of its overlayfs snapshotter.

Owns where a snapshot's files are, and the checks that what both databases say of a
layer belongs together: if not, it is a `Fault`. Which layers there are, the images say.
"""

import stat

from layerscan.files.safefs import Fault, Folder
from layerscan.stores.containerd.records import Namespace, Snapshots
from layerscan.stores.model import Layer
from layerscan.text import shown


class LayerFolders:
    """The layers that one namespace has snapshots of, in the open folder `folders`.

    Of each that was read, `keys` has the snapshotter's key, by chain_id.
    """

    def __init__(self, folders: Folder, namespace: Namespace, snapshots: Snapshots) -> None:
        self._folders = folders
        self._namespace = namespace
        self._snapshots = snapshots
        self._there = folders.folders()
        self.keys: dict[str, bytes] = {}

    def read(self, chain_id: str, parent: str | None, diff_id: str) -> Layer:
        """The layer `chain_id`, which stands on `parent`, that was read before it."""
        key = self._namespace.snapshot_key(chain_id, parent)
        snapshot = self._snapshots.read(key, chain_id)
        beneath = b"" if parent is None else self.keys.get(parent, snapshot.parent)
        if snapshot.parent != beneath:
            what = f"has layer {chain_id} on {shown(snapshot.parent)}, not on {shown(beneath)}"
            raise Fault(self._snapshots.where, what)
        name = snapshot.folder
        if name not in self._there:
            self._folders.require(name, stat.S_IFDIR)
        self._folders.require(f"{name}/fs", stat.S_IFDIR)
        self.keys[chain_id] = key
        # Snapshotters that fetch files when they are used record nothing.
        recorded = snapshot.inodes > 0
        return Layer(
            chain_id=chain_id,
            diff_id=diff_id,
            parent=parent,
            folder=self._folders.where(name),
            content="fs",
            recorded_usage=snapshot.usage if recorded else None,
            recorded_inodes=snapshot.inodes if recorded else None,
        )
