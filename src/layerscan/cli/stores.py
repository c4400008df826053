"""``layerscan stores``: the image stores on this machine."""

import argparse
from typing import TYPE_CHECKING, NamedTuple

from layerscan.cli.options import add_format_argument
from layerscan.cli.output import complain, print_json
from layerscan.cli.status import ExitStatus
from layerscan.cli.tables import Table, human, print_tables
from layerscan.text import printable_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerscan.stores.detection import FoundStore
    from layerscan.stores.model import Layer

HELP = "the image stores on this machine"
DESCRIPTION = """List every image store that is found where engines keep theirs: its kind and
folder, how many images and layers it has, and what it has on record of their
size.

No layer is walked: 'layerscan scan' says what they cost."""
EPILOG = """examples:
  sudo layerscan stores
  sudo layerscan stores --format json
"""


class _Listed(NamedTuple):
    """A store for the list."""

    kind: str  # of the store
    root: str  # absolute path of its folder
    engine: str  # whose it is
    reason: str  # why it cannot be read, empty if it can
    images: int | None = None  # how many, None if it cannot be read
    layers: int | None = None  # how many they have together, each counted once
    recorded: int | None = None  # bytes on record of these, None where there is none of one
    recorded_as: str = ""  # of what that is the size
    unreadable: int = 0  # how many things in it could not be read
    unused: str = ""  # why its engine does not use it, empty if it may
    is_denied: bool = False  # whether this user may not look into it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_format_argument(parser, "table")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from layerscan.stores import list_stores

    options.summary.begin("read")
    found = list_stores()
    listed = [_listed(one) for one in found if not one.absent]
    if options.format == "json":
        print_json({"stores": [_plain(one) for one in listed]})
    elif listed:
        _print_table(listed)
    if not listed:
        looked = "; ".join(dict.fromkeys(one.reason for one in found))
        complain("warning", f"no image store found; looked at {looked}")
    for one in listed:
        if one.is_denied:
            complain("warning", f"{one.kind}: {one.reason}")
        elif one.reason:
            complain("error", f"{one.kind}: {one.reason}")
        elif one.unreadable:
            unreadable = f"{one.unreadable} of its files or records could not be read"
            scan = f"layerscan scan --store {one.kind} --data-root {one.root}"
            complain("error", f"{one.kind}: {one.root}: {unreadable}: '{scan}' names them")
    # That a user may not look into root's stores is no fault.
    partial = any((one.reason and not one.is_denied) or one.unreadable for one in listed)
    return ExitStatus.PARTIAL if partial else ExitStatus.DONE


def _listed(found: "FoundStore") -> _Listed:
    from layerscan.errors import StoreError

    kind, place, store = found.kind, found.place, found.store
    if store is None:
        return _Listed(kind, place.root, place.engine, found.reason, is_denied=found.denied)
    try:
        images = store.images()
    except StoreError as error:
        return _Listed(kind, store.root, place.engine, str(error))
    complain("warning", *store.notes)
    layers = {layer.chain_id: layer for image in images for layer in image.layers}
    figures = (len(images), len(layers), *_recorded(list(layers.values())), len(store.problems))
    return _Listed(kind, store.root, place.engine, "", *figures, store.unused)


def _recorded(layers: "Sequence[Layer]") -> tuple[int | None, str]:
    """What is on record of the size of `layers`, and of what it is the size."""
    for name in ("size", "usage", "tar"):
        values = [getattr(layer, f"recorded_{name}") for layer in layers]
        known = [value for value in values if value is not None]
        if known:
            return (sum(known) if len(known) == len(values) else None), name
    return (None if layers else 0), ""


def _plain(one: _Listed) -> dict[str, object]:
    return {
        "kind": one.kind,
        "root": one.root,
        "engine": one.engine,
        "readable": not one.reason,
        "reason": one.reason,
        "images": one.images,
        "layers": one.layers,
        "recorded": {"bytes": one.recorded, "of": one.recorded_as},
        "unreadable": one.unreadable,
        "unused": one.unused,
    }


def _print_table(listed: "Sequence[_Listed]") -> None:
    table = Table(["IMAGES", "LAYERS", "RECORDED"], ["KIND", "ENGINE", "PATH"])
    for one in listed:
        figures = ["?", "?", "?"]
        if one.images is not None:
            recorded = "?" if one.recorded is None else human(one.recorded)
            figures = [str(one.images), str(one.layers), f"{recorded} {one.recorded_as}".strip()]
        table.add(*figures, one.kind, one.engine, printable_path(one.root))
    print_tables(table)
