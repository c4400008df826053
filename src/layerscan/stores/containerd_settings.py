"""What containerd's settings say of its store: its root, and the overlayfs snapshotter's.

Owns config.toml so far (containerd-config.toml(5)), and the files that it imports. What is
wrong in them is a `StoreError`.
"""

import glob
import os
from typing import NamedTuple

from layerscan.errors import StoreError
from layerscan.stores.engine_files import parse_toml, read_absolute, read_settings

_SNAPSHOTTERS = ("io.containerd.snapshotter.v1.overlayfs", "overlayfs")
_MOST_FILES = 100


class ContainerdSettings(NamedTuple):
    """What a config.toml says; `snapshotter` is the folder of the layers, empty for the usual."""

    root: str
    snapshotter: str = ""


def containerd_settings(config: str, default_root: str) -> ContainerdSettings:
    """What the config.toml `config`, which need not be there, and its imports say."""
    found: dict[str, str] = {}
    # Each file after what it imports, which counts more.
    for source, document in reversed(_documents(os.path.realpath(config))):
        found.setdefault("root", _root(document, "root", source))
        plugins = document.get("plugins")
        known = plugins if isinstance(plugins, dict) else {}
        for plugin in (known.get(name) for name in _SNAPSHOTTERS):
            if isinstance(plugin, dict):
                found.setdefault("snapshotter", _root(plugin, "root_path", source))
        found = {key: path for key, path in found.items() if path}
    return ContainerdSettings(found.get("root", default_root), found.get("snapshotter", ""))


def _root(document: dict[str, object], key: str, source: str) -> str:
    value = document.get(key, "")
    return "" if value == "" else read_absolute(value, f"{source}: {key}")


def _documents(config: str) -> list[tuple[str, dict[str, object]]]:
    """The file and those that it imports, each followed by its own."""
    found: dict[str, dict[str, object]] = {}
    left = [config]
    while left:
        path = left.pop(0)
        raw = read_settings(path)
        if path in found or raw is None:
            continue
        if len(found) == _MOST_FILES:
            raise StoreError(f"{config}: imports more than {_MOST_FILES} files")
        # The usual file says nothing of it, and need not be understood.
        found[path] = parse_toml(raw, path) if b"root" in raw or b"imports" in raw else {}
        imports = found[path].get("imports", [])
        if not isinstance(imports, list) or not all(isinstance(one, str) for one in imports):
            raise StoreError(f"{path}: imports: must be an array of strings")
        for pattern in imports:
            left += sorted(glob.glob(os.path.join(os.path.dirname(path), pattern)))
    return list(found.items())
