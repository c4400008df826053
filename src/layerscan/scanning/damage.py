"""Whether a layer still is what the store put on record when it was unpacked.

Owns the comparison of what a walk found with what a store recorded, and what
hides a part of it from the walk. Files that were changed without changing their
lengths are not seen: no store records more.
"""

from layerscan.stores.model import Layer
from layerscan.walking.walker import BLOCK, Usage

# How many files, and how many of their blocks, may come to take one block more
# or less when the file system writes them out: it then knows in how many pieces a
# file is, and ext4 lists pieces beyond the fourth in a block of their own.
_FILES_PER_BLOCK = 64
_BLOCKS_PER_BLOCK = 4096


def found_damage(layer: Layer, walked: Usage, block_size: int) -> list[str]:
    """What is wrong with the folder of `layer`, for the user; blocks there have so many bytes."""
    difference = walked.child and _difference(layer, walked.child, block_size)
    found = [difference] if difference else []
    # Engines mount images beside their content, where nothing is hidden.
    if walked.child is not None and walked.child.mounts:
        found.append("another file system is mounted in its folder and hides files")
    return found


def _difference(layer: Layer, content: Usage, block_size: int) -> str | None:
    """The first thing that differs from the record of `layer`."""
    if layer.recorded_size is not None and content.size != layer.recorded_size:
        return (
            f"its files hold {content.size} bytes, the store recorded {layer.recorded_size}: the "
            "layer was damaged or tampered with, or has paths too long for the engine"
        )
    inodes = content.files + content.directories + content.symlinks + content.others
    if layer.recorded_inodes is not None and inodes != layer.recorded_inodes:
        return (
            f"it has {inodes} files and folders, the store recorded {layer.recorded_inodes}: the "
            "layer was damaged or tampered with"
        )
    taken = content.blocks * BLOCK
    blocks = taken // block_size
    allowed = 1 + content.files // _FILES_PER_BLOCK + blocks // _BLOCKS_PER_BLOCK
    if layer.recorded_usage is None or abs(taken - layer.recorded_usage) <= allowed * block_size:
        return None
    return (
        f"its files take {taken} bytes of disk, the store recorded {layer.recorded_usage}: the "
        "layer was damaged or tampered with, or was copied from another file system"
    )
