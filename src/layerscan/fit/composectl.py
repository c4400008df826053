"""The rules of composectl, as its ``check`` has them.

Everything is counted on the volume of the store root, the engine's data
included. The part of a disk that is set aside is the product of two IEEE
doubles, cut to an integer: so it is here.
"""

from collections.abc import Sequence

from layerscan.errors import DocumentError, LayerscanError
from layerscan.fit.contents import AppContents, Blob, BlobKind
from layerscan.fit.device import Device, Volume
from layerscan.fit.figures import Figures
from layerscan.fit.verdict import Missing, Others, Rule, Space, Verdict, Watermarks
from layerscan.oci import INDEX_TYPES, Descriptor
from layerscan.oci.matchers import ForLinux, UnusableIndexError

NAME = "composectl"
WATERMARKS = Watermarks(default=95, lowest=20, highest=99)

_COMPRESSION = 5
"""How many times its blob a layer is taken to need that the metadata leaves out."""


def reserved_bytes(total: int, watermark: int) -> int:
    """Bytes of a disk of `total` bytes that are set aside."""
    return int(((100 - watermark) / 100.0) * float(total))


class ImagesOfIndex(ForLinux):
    """The images that the client takes of an index; see `layerscan.oci.matchers.Matcher`.

    It looks at the platform of each entry, and takes what matches for a manifest.

    Args:
        architecture: the device's.
    """

    def __init__(self, architecture: str) -> None:
        super().__init__({architecture})

    def check(self, entry: Descriptor) -> None:
        """Refuse an index that ends the client.

        Raises:
            UnusableIndexError: it has such an entry.
        """
        if entry.platform is None:
            raise UnusableIndexError(
                f"composectl cannot read this index: its entry {entry.digest} has no platform; "
                "push the image again with platforms"
            )
        if entry.media_type in INDEX_TYPES and self.takes(entry.platform):
            raise UnusableIndexError(
                f"composectl cannot read this index: its entry {entry.digest} is an index itself; "
                "push the image again as one index"
            )


def check(
    apps: Sequence[AppContents], device: Device, *, architecture: str, watermark: int
) -> Verdict:
    """What the client would answer.

    Args:
        apps: the Apps, with their images.
        device: the device.
        architecture: its architecture.
        watermark: percent of the disk that may be used.

    Raises:
        LayerscanError: only metadata is known of an App.
    """
    block = device.volumes[device.store_parent]
    rules: dict[str, Rule] = {}
    notes: list[str] = []
    # By digest, over all Apps; of an App's figures, the last one's count.
    lacking: dict[str, tuple[Blob, int, bool]] = {}
    for app in apps:
        if app.images is None:
            raise LayerscanError(
                f"{app.name}: composectl counts every blob of an App, and metadata has only "
                "its layers; give the App with --app"
            )
        figures = _figures(app, architecture, notes)
        rules[app.name] = Rule.ESTIMATE if figures is None else Rule.METADATA
        left_out = 0
        for blob in app.blobs().values():
            if not device.has_blob(blob.digest, blob.size):
                usage, estimated = _runtime(blob, figures, block)
                lacking[blob.digest] = (blob, usage, estimated)
                left_out += estimated and figures is not None
        if left_out:
            notes.append(f"{app.name}: its metadata leaves out {left_out} of its layers: estimated")
    required = sum(
        block.rounded(_to_fetch(blob, device)) + usage for blob, usage, _ in lacking.values()
    )
    return Verdict(
        NAME,
        architecture,
        watermark,
        rules,
        (_space(device, required, watermark),),
        (),
        tuple(
            sorted(
                Missing(blob.digest, _to_fetch(blob, device), usage, estimated)
                for blob, usage, estimated in lacking.values()
                if blob.kind is BlobKind.LAYER
            )
        ),
        _others([blob for blob, _, _ in lacking.values()], device),
        tuple(notes),
    )


def _figures(app: AppContents, architecture: str, notes: list[str]) -> Figures | None:
    """What the App's metadata says; None where the client makes do without."""
    try:
        return app.figures(architecture)
    except DocumentError as error:
        notes.append(f"{error}; the client takes a layer to need no more than its blob")
        return None


def _runtime(blob: Blob, figures: Figures | None, block: Volume) -> tuple[int, bool]:
    """Bytes of disk that a blob is taken to need beside itself, and whether that is a guess."""
    if blob.kind is not BlobKind.LAYER or figures is None:
        return block.rounded(blob.size), blob.kind is BlobKind.LAYER
    if blob.digest in figures.layers:
        return figures.layers[blob.digest].usage, False
    return _COMPRESSION * blob.size, True


def _to_fetch(blob: Blob, device: Device) -> int:
    """Bytes of a blob that are still to be fetched."""
    if blob.digest in device.blobs:
        # Another length: it is fetched anew.
        return blob.size
    return max(blob.size - device.partial.get(blob.digest, 0), 0)


def _others(lacking: Sequence[Blob], device: Device) -> Others:
    beside = [blob for blob in lacking if blob.kind is not BlobKind.LAYER]
    return Others(len(beside), sum(_to_fetch(blob, device) for blob in beside))


def _space(device: Device, required: int, watermark: int) -> Space:
    volume = device.store
    free = volume.block_size * volume.free_blocks
    reserved = reserved_bytes(volume.total, watermark)
    available = max(free - reserved, 0)
    purposes = ("store", "docker")
    return Space(
        device.store_root,
        purposes,
        required,
        required,
        free,
        reserved,
        available,
        volume.total,
    )
