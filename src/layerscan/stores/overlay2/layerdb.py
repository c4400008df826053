"""Docker's layers as it keeps them: ``layerdb`` and the folders of overlay2.

Owns the formats of both and the checks that what is on record for a layer
belongs together. Which layers there are to read, an image's config says. What
cannot be read, or does not belong together, is a `Fault`.
"""

import re
import stat

from layerscan.files.safefs import Fault, Folder
from layerscan.stores.engine_files import require_tar_split
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


class LayerDb:
    """The layers in the open folders `chains`, their records, and `folders`, overlay2's."""

    def __init__(self, chains: Folder, folders: Folder) -> None:
        self._chains = chains
        self._folders = folders

    def read(self, chain_id: str, parent: str | None, diff_id: str) -> Layer:
        """The layer `chain_id`, checked against what an image's config says of it."""
        with self._chains.folder(chain_id.removeprefix("sha256:")) as files:
            _expect(files, "diff", diff_id)
            if parent is not None:
                _expect(files, "parent", parent)
            elif files.look("parent") is not None:
                raise Fault(files.where("parent"), "is there, but the layer is a bottom layer")
            size = _size(files)
            cache_id = read_cache_id(files)
            require_tar_split(files, _TAR_SPLIT)
        self._folders.require(cache_id, stat.S_IFDIR)
        self._folders.require(f"{cache_id}/diff", stat.S_IFDIR)
        return Layer(
            chain_id=chain_id,
            diff_id=diff_id,
            parent=parent,
            folder=self._folders.where(cache_id),
            content="diff",
            metadata_files=(files.where(_TAR_SPLIT),),
            recorded_size=size,
        )

    def link(self, layer: Layer) -> str:
        """The name of `layer` in ``overlay2/l``."""
        with Folder(layer.folder, within=self._folders) as folder:
            return _matching(folder, "link", _LINK, "holds no link name but")


def read_cache_id(files: Folder) -> str:
    """The name in ``overlay2`` of the folder of a layer, whose folder in ``layerdb`` is `files`."""
    return _matching(files, "cache-id", _CACHE_ID, "holds no cache id but")


def _matching(folder: Folder, name: str, form: re.Pattern[str], what: str) -> str:
    text = _text(folder, name)
    if not form.fullmatch(text):
        raise Fault(folder.where(name), f"{what} {shown(text)}")
    return text


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
