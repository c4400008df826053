"""What containers/storage keeps of a layer and of an image beside the layer's content.

Owns the list that exact accounting counts by: all that a pull leaves behind but the
content and the growth of the lists and of shared folders. It was found by comparing
every inode of an ext4 before and after pulls (docs/explanation/accounting.md).
"""

from layerscan.stores.containers_storage.records import ImageRecord, document_file
from layerscan.stores.model import Growth, Layer

GROWTH = Growth(layer_bytes=1536, image_blocks=13, first_inodes=2)


def layer_paths(layer: Layer, link: str) -> tuple[str, ...]:
    """Files and folders that exist because of `layer`; in ``overlay/l`` its name is `link`."""
    folder = layer.folder
    return (
        folder,
        f"{folder}/link",
        # Beneath all layers is an empty folder, to mount them on.
        f"{folder}/{'empty' if layer.parent is None else 'lower'}",
        f"{folder}/merged",
        f"{folder}/work",
        f"{folder.rpartition('/')[0]}/l/{link}",
        *layer.metadata_files,
    )


def image_paths(folder: str, record: ImageRecord) -> tuple[str, ...]:
    """Files and folders that exist because of an image: its documents, in `folder`."""
    names = (document_file(name) for name in record.documents)
    return (folder, *(f"{folder}/{name}" for name in names))
