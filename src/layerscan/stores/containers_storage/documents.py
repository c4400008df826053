"""The documents that containers/storage keeps of an image: its manifests and its config.

Owns which of them belong together, that each is the one its digest says, and
what follows from them: the image's id, its diff_ids, and the digests of its
layers and of itself in registries.
"""

from typing import NamedTuple

from layerscan import digest as digests
from layerscan import oci
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Config, Index, Manifest
from layerscan.stores.containers_storage.records import ImageRecord, document_file
from layerscan.stores.engine_files import document_fault
from layerscan.stores.readings import image_config

_MANIFEST = "manifest"
"""Name of the manifest that the image was made from last."""

_BY_DIGEST = "manifest-"
"""What the names of manifests and indexes begin with that it was pulled by."""

_MOST_MANIFESTS = 100


class StoredDocuments(NamedTuple):
    """What the documents of an image say."""

    image_id: str
    config: Config
    manifests: dict[str, tuple[str, ...]]
    """By their digests, the digests of its layers, bottom up; first, the one that the image
    was made from last."""
    digests: tuple[str, ...]  # of the manifests and indexes that it was pulled by
    faults: tuple[Fault, ...]  # what is wrong with manifests that it can do without

    def layer_digests(self, index: int, preferred: str | None) -> list[str]:
        """The digests of layer `index` in the manifests, that of the one `preferred` first.

        One that is the diff_id is left out: then the manifest is of an image
        that was built here, and what a registry has of it is not known.
        """
        order = sorted(self.manifests, key=lambda digest: digest != preferred)
        found = [self.manifests[digest][index] for digest in order]
        return [digest for digest in found if digest != self.config.diff_ids[index]]


def read_documents(images: Folder, record: ImageRecord) -> StoredDocuments | None:
    """The documents of an image in ``overlay-images``; None if it is only a list of images.

    One that cannot be used is a `Fault`, if the image cannot do without.
    """
    with images.folder(record.record_id) as folder:
        raw, where = _read(folder, _MANIFEST, oci.MAX_MANIFEST, record.digests.get(_MANIFEST))
        main = _loaded(raw, where)
        if not isinstance(main, Manifest):
            return None
        image_id = main.config.digest
        raw_config, config_where = _read(folder, image_id, oci.MAX_CONFIG, image_id)
        config = image_config(raw_config, config_where)
        count, expected = len(main.layers), len(config.diff_ids)
        if count != expected:
            raise Fault(where, f"has {count} layers, but its config has {expected}")
        manifests = {digests.sha256(raw): tuple(layer.digest for layer in main.layers)}
        by_digest, faults = _read_by_digest(folder, record, image_id, manifests)
        return StoredDocuments(image_id, config, manifests, (*by_digest, *manifests), tuple(faults))


def _read_by_digest(
    folder: Folder, record: ImageRecord, image_id: str, manifests: dict[str, tuple[str, ...]]
) -> tuple[list[str], list[Fault]]:
    """Add those that are named by digest to `manifests`, if they are of the very image.

    The digests of indexes are returned, and what cannot be used.
    """
    names = [name for name in dict.fromkeys(record.documents) if name.startswith(_BY_DIGEST)]
    if len(names) > _MOST_MANIFESTS:
        raise Fault(folder.path, f"has {len(names)} manifests")
    (main,) = manifests.values()
    others: list[str] = []
    faults: list[Fault] = []
    for name in names:
        digest = name.removeprefix(_BY_DIGEST)
        try:
            document = _loaded(*_read(folder, name, oci.MAX_MANIFEST, digest))
        except Fault as fault:
            faults.append(fault)
            continue
        if not isinstance(document, Manifest):
            others.append(digest)
        elif document.config.digest == image_id and len(document.layers) == len(main):
            manifests.setdefault(digest, tuple(layer.digest for layer in document.layers))
    return others, faults


def _loaded(raw: bytes, where: str) -> Manifest | Index:
    with document_fault(where):
        return oci.loads(raw, where)


def _read(folder: Folder, name: str, limit: int, digest: str | None) -> tuple[bytes, str]:
    """The document `name` and its path."""
    file = document_file(name)
    where = folder.where(file)
    if digest is not None and not digests.is_digest(digest):
        raise Fault(where, "is not named by a digest")
    raw = folder.read(file, limit)
    if digest is not None and digests.of_content(raw, digest) != digest:
        # The engine may have put another in its place since its list was read.
        raise Fault(where, f"does not hash to {digest}: it was damaged or tampered with", gone=True)
    return raw, where
