"""Docker's layers as it keeps them: ``layerdb`` and the folders of overlay2.

Owns the formats of both and the checks that what is on record for a layer
belongs together. Which layers there are to read, an image's config says.
"""

import re
import stat
from contextlib import ExitStack

from layerscan.files.safefs import Fault, Folder, Opened
from layerscan.stores.model import Layer
from layerscan.text import shown

_LONGEST = 4096
"""The files of a layer hold a digest, an id or a number: a few bytes each."""

_LARGEST_SIZE = (1 << 63) - 1
_SIZE = re.compile(rb"[0-9]{1,19}")
_CACHE_ID = re.compile(r"[0-9a-f]{64}|[0-9a-z]{25}", re.ASCII)
"""64 hex digits are what pull and the classic builder choose; BuildKit, which
Docker builds with by default since 23, makes 25 digits and lower-case letters
(buildkit, identity.NewID). Neither can be ``l``, nor lead out of the folder,
nor is it a container's ``<id>-init``."""
_LINK = re.compile(r"[0-9A-Z]{26}", re.ASCII)
_TAR_SPLIT = "tar-split.json.gz"


class LayerDb(Opened):
    """The layers of the overlay2 store in a data root, held open while it is read.

    Raises:
        Fault: a folder that all layers are in cannot be opened.
    """

    def __init__(self, root: Folder) -> None:
        with ExitStack() as opened:
            chains = root.folder("image", "overlay2", "layerdb", "sha256")
            self._chains = opened.enter_context(chains)
            self._folders = opened.enter_context(root.folder("overlay2"))
            super().__init__(opened.pop_all())

    def read(self, chain_id: str, parent: str | None, diff_id: str) -> Layer:
        """The layer `chain_id`, checked against what an image's config says of it.

        Raises:
            Fault: something of it cannot be read, or does not belong together.
        """
        with self._chains.folder(_hex(chain_id)) as files:
            _expect(files, "diff", diff_id)
            if parent is not None:
                _expect(files, "parent", parent)
            elif files.look("parent") is not None:
                raise Fault(files.where("parent"), "is there, but the layer is a bottom layer")
            size = _size(files)
            cache_id = read_cache_id(files)
            files.require(_TAR_SPLIT, stat.S_IFREG)
            tar_split = files.where(_TAR_SPLIT)
        self._folders.require(cache_id, stat.S_IFDIR)
        self._folders.require(f"{cache_id}/diff", stat.S_IFDIR)
        return Layer(
            chain_id=chain_id,
            diff_id=diff_id,
            parent=parent,
            folder=self._folders.where(cache_id),
            content="diff",
            metadata_files=(tar_split,),
            recorded_size=size,
        )

    def link(self, layer: Layer) -> str:
        """The name of `layer` in ``overlay2/l``.

        Raises:
            Fault: it cannot be read, or is no such name.
        """
        with Folder(layer.folder, within=self._folders) as folder:
            link = _text(folder, "link")
            if not _LINK.fullmatch(link):
                raise Fault(folder.where("link"), f"holds no link name but {shown(link)}")
        return link


def read_cache_id(files: Folder) -> str:
    """The name in ``overlay2`` of the folder of a layer, whose folder in ``layerdb`` is `files`.

    Raises:
        Fault: it cannot be read, or is no such name.
    """
    cache_id = _text(files, "cache-id")
    if not _CACHE_ID.fullmatch(cache_id):
        raise Fault(files.where("cache-id"), f"holds no cache id but {shown(cache_id)}")
    return cache_id


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _text(folder: Folder, name: str) -> str:
    # Docker ignores white space around what these files hold.
    return folder.read(name, _LONGEST).decode("ascii", "replace").strip()


def _expect(files: Folder, name: str, expected: str) -> None:
    found = _text(files, name)
    if found != expected:
        raise Fault(files.where(name), f"holds {shown(found)}, not {expected}")


def _size(files: Folder) -> int:
    content = files.read("size", _LONGEST)
    if not _SIZE.fullmatch(content) or int(content) > _LARGEST_SIZE:
        raise Fault(files.where("size"), f"holds no size in bytes but {shown(content)}")
    return int(content)
