"""What tests of the ledger have in common: taking stock, and looking at what was found."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from layerscan.ledger.stocktaking import take_stock
from tests.builders.tree import File, apply

if TYPE_CHECKING:
    from layerscan.ledger.model import Item, Ledger
    from layerscan.stores.model import Store

HEX = "0123456789abcdef" * 4


def stock(store: Store, *roots: str, min_age: float = 0) -> Ledger:
    """The ledger of a store; what it says in all is what du says of its `roots`."""
    ledger = take_stock(store, min_age=min_age)
    paths = roots or (store.root,)
    done = subprocess.run(["du", "-skx", *paths], check=True, capture_output=True)
    told = sum(int(line.split()[0]) for line in done.stdout.splitlines())
    assert ledger.total == told * 1024
    assert sum(one.usage for one in ledger.sums.values()) == ledger.total
    assert [one.usage for one in ledger.items] == sorted(
        (one.usage for one in ledger.items), reverse=True
    )
    assert ledger.roots == tuple(paths)
    assert sum(disk.usage for disk in ledger.disks) == ledger.total
    return ledger


def item(ledger: Ledger, ending: str) -> Item:
    """The one item that has a path which ends so."""
    (found,) = [
        one for one in ledger.items if any(path.endswith(ending) for path in one.holding.paths)
    ]
    return found


def container_config(root: str, container: str, **fields: object) -> None:
    """Write what Docker keeps of a container."""
    folder = os.path.join(root, "containers", container)
    os.makedirs(folder)
    with open(os.path.join(folder, "config.v2.json"), "w", encoding="utf-8") as file:
        json.dump({"ID": container, **fields}, file)


def add(root: str, *files: File) -> None:
    """Make files in a folder, and the folders that they are in."""
    for file in files:
        folder, _, name = os.fsdecode(file.path).rpartition("/")
        folder = os.path.join(root, folder)
        os.makedirs(folder, exist_ok=True)
        apply(folder, replace(file, path=os.fsencode(name)))
