"""Docker's images as it keeps them: their names and their configs.

Owns the formats of ``repositories.json`` and ``imagedb``, and the checks of
both: what cannot be used is a `Fault`. Layers are not looked at: a config only says
which diff_ids it has.
"""

from layerscan import digest as digests
from layerscan.errors import ReferenceSyntaxError
from layerscan.files.safefs import Fault, Folder
from layerscan.oci import MAX_CONFIG, Config
from layerscan.reference import Reference
from layerscan.stores.engine_files import parse_json, read_verified
from layerscan.stores.readings import full_name, image_config
from layerscan.text import shown

REPOSITORIES = "repositories.json"

_LONGEST_REPOSITORIES = 64 << 20
"""Far above anything that Docker writes."""


def read_names(image_root: Folder) -> tuple[dict[Reference, str], list[Fault]]:
    """The image id of every name in ``repositories.json``, and the entries that name no images."""
    where = image_root.where(REPOSITORIES)
    document = parse_json(image_root.read(REPOSITORIES, _LONGEST_REPOSITORIES), where)
    repositories = document.get("Repositories", ()) if isinstance(document, dict) else ()
    # Go writes an empty map that was never made as null.
    repositories = {} if repositories is None else repositories
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
    """The image ids in ``imagedb/content/sha256``, sorted, and the names there that are none."""
    image_ids, faults = [], []
    for name in content.names():
        if digests.is_hex(name):
            image_ids.append(f"sha256:{name}")
        elif not name.startswith(".tmp-"):  # what Docker has not finished writing
            faults.append(Fault(content.path, f"{shown(name)} is no image id"))
    return image_ids, faults


def read_config(content: Folder, image_id: str) -> Config:
    """The config of an image, from the folder ``imagedb/content/sha256``."""
    name = image_id.removeprefix("sha256:")
    raw = read_verified(content, name, MAX_CONFIG, image_id)
    return image_config(raw, content.where(name))
