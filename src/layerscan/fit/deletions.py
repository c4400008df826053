"""Which images of this machine would have to go for an update to fit.

Owns what the update needs of what is there, and when it is enough: when the policy that said
no says yes. What a removal gives back, `layerscan.ledger.reclaim` knows.
"""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from layerscan.fit.contents import AppContents
from layerscan.fit.device import Device
from layerscan.fit.verdict import Verdict
from layerscan.ledger.model import Item
from layerscan.ledger.reclaim import Reclaim, Reclaimer
from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from layerscan.stores.model import Image, Layer


class Deletion(NamedTuple):
    """Images that the update does not need, and no container uses."""

    reclaim: Reclaim  # which ones, and what they give back
    volume: str  # where
    suffices: bool  # whether the update fits without them; else these are all that there are


def what_to_delete(
    verdict: Verdict,
    device: Device,
    root: str,
    apps: Iterable[AppContents],
    ask: Callable[[Device], Verdict],
) -> Deletion | None:
    """Images to remove from the engine's data root `root` for the apps to fit.

    `verdict` is that of `device`, which is this machine; `ask` gives that of another.

    Returns None where bytes on the engine's disks are not what lacks.
    Raises StoreError where the engine's store cannot be read, and DocumentError where nothing
    says what the apps need.
    """
    volume, need = _lacking(verdict, device)
    if not need:
        return None
    store = open_store(root=root)
    where = root if volume == device.docker_root else store.layers_root
    items = _on_disk_of(where, take_stock(store).items)
    images = store.images()
    layers = _needed(images, apps, verdict.architecture)
    # What the apps have of an image up to its top layer is the whole image.
    whole = [one.image_id for one in images if one.layers and one.layers[-1].folder in layers]
    while True:
        reclaimer = Reclaimer(items, needed=layers, needed_images=whole)
        found = reclaimer.remove_fewest(need)
        again = ask(_with_free(device, volume, found.freed))
        more = _lacking(again, device)[1]
        if again.fits or found.freed < need or not more:
            return Deletion(found, volume, again.fits)
        # What the policy sets aside may depend on what is free.
        need = found.freed + more


def _lacking(verdict: Verdict, device: Device) -> tuple[str, int]:
    """The volume of the engine's on which most is lacking, and how many bytes."""
    volumes = (device.docker_root, device.layers_root or device.docker_root)
    found = [(one.to_free, one.volume) for one in verdict.spaces if one.volume in volumes]
    need, volume = max(found, default=(0, ""))
    return volume, need


def _on_disk_of(folder: str, items: Iterable[Item]) -> list[Item]:
    """Items, of which only those count that are on the file system of a folder."""
    device = os.stat(folder).st_dev
    return [
        item if _device(item, device) == device else item._replace(usage=0, shared=0)
        for item in items
    ]


def _device(item: Item, default: int) -> int:
    try:
        return os.lstat(item.holding.paths[0]).st_dev
    except (OSError, IndexError):
        return default


def _needed(images: Iterable[Image], apps: Iterable[AppContents], architecture: str) -> set[str]:
    """The folders of layers that the apps have, too."""
    chains: set[str] = set()
    digests: set[str] = set()
    for app in apps:
        for image in app.images or ():
            chains.update(image.chain_ids)
            digests.update(layer.digest for layer in image.layers)
        if app.images is None:
            digests.update(app.figures(architecture).layers)
    return {
        layer.folder
        for image in images
        for layer, known in _layers(image)
        if layer.chain_id in chains or not known.isdisjoint(digests)
    }


def _layers(image: Image) -> Iterable[tuple[Layer, set[str]]]:
    """The layers of an image, and the digests that each is known by."""
    for number, layer in enumerate(image.layers):
        known = {found[number] for found in image.digests.values() if number < len(found)}
        yield layer, {layer.diff_id, *(digest for digest in known if digest is not None)}


def _with_free(device: Device, volume: str, freed: int) -> Device:
    """The device with so many bytes more free on a volume."""
    known = device.volumes[volume]
    blocks = freed // known.unit
    changed = known._replace(
        free_blocks=known.free_blocks + blocks, available_blocks=known.available_blocks + blocks
    )
    return device._replace(volumes={**device.volumes, volume: changed})
