"""What a scan found: images, what each of their layers costs, and the documents of that."""

from collections.abc import Iterable
from typing import NamedTuple

from layerscan.layersmeta import LayerMeta, LayersMeta, check_architectures, of_images
from layerscan.problem import Problem
from layerscan.scanning.disk import LayerDisk
from layerscan.scanning.selection import Chosen, architectures
from layerscan.stores.accounting import Accounting
from layerscan.stores.model import Layer, Store
from layerscan.walking.walker import Usage


class LayerCost(NamedTuple):
    """What one layer costs."""

    layer: Layer
    size: int  # bytes of content: as the store recorded it, else as walked
    usage: int  # bytes of disk, by the scan's accounting
    walked: Usage  # what was found in the layer's folder
    disk: LayerDisk  # what that is on
    inodes: int | None = None  # that it makes the engine create; None by the docker rule


class Undigested(NamedTuple):
    """Layers of an image that a document lacks, as no image of the scan gives them a digest."""

    label: str  # what to call the image
    repositories: tuple[str, ...]  # where it has a name
    diff_ids: tuple[str, ...]  # of the layers, bottom up

    def __str__(self) -> str:
        layers = "layer" if len(self.diff_ids) == 1 else f"{len(self.diff_ids)} layers"
        where = f" in {' or '.join(self.repositories)}" if self.repositories else ""
        return (
            f"image {self.label}: {layers} without a digest{where} (never pushed, or pulled when "
            f"it was here already?), left out of the document: {', '.join(self.diff_ids)}"
        )


class Scan(NamedTuple):
    """The result of a scan."""

    store: Store
    accounting: Accounting  # the rule of `usage`
    disk: LayerDisk  # what the layers are on, or the store where there are none
    chosen: tuple[Chosen, ...]  # the images that the scan is about, each whole
    costs: dict[str, LayerCost]  # by chain_id
    image_usage: dict[str, int]  # bytes that each takes beside its layers, by image_id
    # How many images of the store keep each layer, by chain_id; steps of a build whose
    # outcome is there are not counted.
    sharing: dict[str, int]
    images_in_store: int  # with a name or not
    undigested: tuple[Undigested, ...]  # what a document lacks, by image
    warnings: tuple[str, ...]  # what the reader should know; the figures are right
    problems: tuple[Problem, ...]  # what could not be read; the figures lack it

    @property
    def fs_block_size(self) -> int:
        """Bytes of a block of the file system that the layers are on."""
        return self.disk.block_size

    @property
    def file_system(self) -> str | None:
        """That file system's name by the exact rule, None by the docker rule or if not known."""
        shape = self.disk.shape if self.accounting is Accounting.EXACT else None
        return shape.name if shape is not None else None

    @property
    def architectures(self) -> list[str]:
        """The architectures of the images, sorted."""
        return architectures(self.chosen)

    def document(self) -> LayersMeta:
        """The layers metadata of all images of the scan, as of one architecture."""
        return _document(self, self.chosen)

    def documents(self) -> dict[str, LayersMeta]:
        """The layers metadata by architecture, as `layerscan.merge` gives it.

        Raises LayerscanError where an image's architecture can be no key of the document.
        """
        check_architectures((one.label, one.image.architecture) for one in self.chosen)
        return {
            architecture: _document(
                self, [one for one in self.chosen if one.image.architecture == architecture]
            )
            for architecture in self.architectures
        }


def _document(scan: Scan, chosen: Iterable[Chosen]) -> LayersMeta:
    # Several repositories may know one layer by one digest.
    images = (
        [(digest, scan.costs[layer.chain_id]) for layer, digest in dict.fromkeys(one.digests())]
        for one in chosen
    )
    figures = (
        [(digest, LayerMeta(cost.size, cost.usage), cost.inodes) for digest, cost in image]
        for image in images
    )
    return of_images(figures, scan.fs_block_size, scan.file_system)
