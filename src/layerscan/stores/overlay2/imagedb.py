"""Docker's images as it keeps them: their names and their configs.

Owns the formats of ``repositories.json`` and ``imagedb``, and the checks of
both. Layers are not looked at: a config only says which diff_ids it has.
"""

import re

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import Config, Platform
from layerscan.reference import Reference
from layerscan.stores.engine_files import parse_json
from layerscan.stores.readings import full_name
from layerscan.text import shown

REPOSITORIES = "repositories.json"

# Far above anything an engine writes; what is longer is not read.
_LONGEST_REPOSITORIES = 64 << 20
_LONGEST_CONFIG = 8 << 20
_MOST_LAYERS = 1000
"""Docker stacks at most 125 (moby, maxLayerDepth)."""

# What a config says of its platform is printed and compared: plain words only.
_PLATFORM_WORD = re.compile(r"[!-~]{0,64}", re.ASCII)

_TEMPORARY = ".tmp-"
"""What the names of files begin with that Docker has not finished writing."""


def read_names(image_root: Folder) -> tuple[dict[Reference, str], list[Fault]]:
    """The image id of every name in ``repositories.json``, and the entries that name no images.

    Raises:
        Fault: the file cannot be used at all.
    """
    where = image_root.where(REPOSITORIES)
    document = parse_json(image_root.read(REPOSITORIES, _LONGEST_REPOSITORIES), where)
    repositories = document.get("Repositories") if isinstance(document, dict) else None
    # Go writes an empty map that was never made as null.
    if isinstance(document, dict) and repositories is None and "Repositories" in document:
        repositories = {}
    if not isinstance(repositories, dict):
        raise Fault(where, 'does not have the form {"Repositories": {…}}')
    names: dict[Reference, str] = {}
    faults = []
    for repository, entries in repositories.items():
        if not isinstance(entries, dict):
            faults.append(Fault(where, f"the names of {shown(repository)} are no JSON object"))
            continue
        for text, image_id in entries.items():
            try:
                _add_name(names, text, image_id)
            except (ReferenceSyntaxError, ValueError) as error:
                faults.append(Fault(where, str(error)))
    return names, faults


def _add_name(names: dict[Reference, str], text: str, image_id: object) -> None:
    """Check one entry and put it into `names`."""
    name = full_name(text)
    if not digests.is_digest(image_id):
        raise ValueError(f"{name.familiar} names no image id but {shown(image_id)}")
    if names.setdefault(name, image_id) != image_id:
        raise ValueError(f"{name.familiar} names two images, {names[name]} and {image_id}")


def list_image_ids(content: Folder) -> tuple[list[str], list[Fault]]:
    """The image ids in ``imagedb/content/sha256``, sorted, and the names there that are none.

    Raises:
        Fault: the folder cannot be listed.
    """
    image_ids, faults = [], []
    for name in content.names():
        if digests.is_hex(name):
            image_ids.append(f"sha256:{name}")
        elif not name.startswith(_TEMPORARY):
            faults.append(Fault(content.path, f"{shown(name)} is no image id"))
    return image_ids, faults


def read_config(content: Folder, image_id: str) -> Config:
    """The config of an image, from the folder ``imagedb/content/sha256``.

    Raises:
        Fault: it cannot be read, does not hash to `image_id`, or is no config.
    """
    name = image_id.removeprefix("sha256:")
    raw = content.read(name, _LONGEST_CONFIG)
    where = content.where(name)
    if digests.sha256(raw) != image_id:
        raise Fault(where, "does not hash to its name: it was damaged or tampered with")
    config = parse_json(raw, where)
    if not isinstance(config, dict):
        raise Fault(where, "is no image config: no JSON object")
    platform = Platform(*(_word(config, key, where) for key in Platform._fields))
    return Config(platform, _diff_ids(config, where))


def _word(config: dict[str, object], key: str, where: str) -> str:
    word = config.get(key)
    if word is None:
        return ""
    if not isinstance(word, str) or not _PLATFORM_WORD.fullmatch(word):
        raise Fault(where, f"is no image config: {key} is {shown(word)}")
    return word


def _diff_ids(config: dict[str, object], where: str) -> tuple[str, ...]:
    rootfs = config.get("rootfs")
    if not isinstance(rootfs, dict):
        raise Fault(where, f"is no image config: rootfs is {shown(rootfs)}")
    # An image without layers has no diff_ids, or null.
    diff_ids = rootfs.get("diff_ids")
    if diff_ids is None:
        diff_ids = []
    if not isinstance(diff_ids, list):
        raise Fault(where, f"is no image config: rootfs.diff_ids is {shown(diff_ids)}")
    if len(diff_ids) > _MOST_LAYERS:
        raise Fault(where, f"is no image config: it has {len(diff_ids)} layers")
    for index, diff_id in enumerate(diff_ids):
        if not digests.is_digest(diff_id):
            raise Fault(where, f"is no image config: rootfs.diff_ids[{index}] is {shown(diff_id)}")
    return tuple(diff_ids)
