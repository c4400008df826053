"""Which images would have to go for an update to fit: of a store, and disks of a few blocks."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from layerscan.errors import DocumentError, StoreError
from layerscan.fit.contents import AppContents, from_metadata
from layerscan.fit.deletions import Deletion, what_to_delete
from layerscan.fit.exact import check
from layerscan.fit.verdict import Limit, Verdict
from layerscan.ledger.reclaim import ImageChoice, Reclaimer
from layerscan.ledger.stocktaking import take_stock
from layerscan.stores import open_store
from tests.builders.fit_case import ARCH, device, volume
from tests.builders.ledger_case import container_config
from tests.builders.overlay2 import BuiltLayer, StoreBuilder, blob_digest
from tests.builders.tree import File

if TYPE_CHECKING:
    from pathlib import Path

    from layerscan.fit.device import Device

NEW = "sha256:" + "ee" * 32
PUSHED = {"docker.io/library/shop": None}


class Machine:
    """A store with a base that all images have, and images of 10, 20, 40, … KiB on it."""

    def __init__(self, root: Path, count: int = 4) -> None:
        self.store = StoreBuilder(root)
        self.base = self.store.layer(None, File("base", size=500_000))
        self.layers = [
            self.store.layer(self.base, File(f"f{number}", size=10_240 << number))
            for number in range(count)
        ]
        self.images = [
            self.store.image([self.base, layer], names=[f"shop:{number}"], pushed=PUSHED)
            for number, layer in enumerate(self.layers)
        ]

    def freed(self, *numbers: int) -> int:
        ledger = take_stock(open_store(root=self.store.root))
        names = tuple(f"shop:{number}" for number in numbers)
        return Reclaimer(ledger.items).remove(ImageChoice(names=names)).freed

    def asked(
        self, lacking: int, *needed: BuiltLayer, layers_apart: bool = False
    ) -> Deletion | None:
        """What is said where `lacking` bytes lack for a new layer and those `needed`."""
        digests = [blob_digest(layer.diff_id) for layer in needed]
        layers = {NEW: {"size": 1, "usage": 1 << 20, "archive_size": 0}}
        layers |= {digest: {"size": 1, "usage": 0, "archive_size": 0} for digest in digests}
        document = {ARCH: {"fs_block_size": 4096, "layers": layers}}
        app = from_metadata(json.dumps(document).encode(), "meta.json")
        here = device(volume(1 << 30), volume(1 << 20))
        required = ask([app], here).spaces[1].required
        here = device(volume(1 << 30), volume((required - lacking) // 4096))
        if layers_apart:
            volumes = {**here.volumes, "three": here.docker, "two": volume(1 << 20)}
            here = here._replace(volumes=volumes, layers_root="three")
        verdict = ask([app], here)
        assert not verdict.fits
        return what_to_delete(
            verdict, here, self.store.root, [app], lambda changed: ask([app], changed)
        )


def ask(apps: list[AppContents], where: Device) -> Verdict:
    return check(apps, where, architecture=ARCH, limit=Limit(100), is_root=True, engine_pulls=True)


def names(found: Deletion | None) -> list[str]:
    assert found is not None
    return [one.arguments[0] for one in found.reclaim.removed]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "docker")


def test_one_that_suffices_and_gives_least(machine: Machine) -> None:
    for number in range(4):
        freed = machine.freed(number)
        found = machine.asked(freed - 4096)
        assert names(found) == [f"shop:{number}"]
        assert found is not None
        assert found.suffices
        assert found.volume == "two"
        assert found.reclaim.freed == freed


def test_several(machine: Machine) -> None:
    found = machine.asked(machine.freed(3) + machine.freed(1))
    assert names(found) == ["shop:3", "shop:1"]
    assert found is not None
    assert found.suffices
    assert found.reclaim.commands() == [["docker", "image", "rm", "shop:3", "shop:1"]]


def test_all_are_not_enough(machine: Machine) -> None:
    found = machine.asked(machine.freed(0, 1, 2, 3) + 8192)
    assert len(names(found)) == 4
    assert found is not None
    assert not found.suffices


def test_what_the_update_needs_stays(machine: Machine) -> None:
    # All four would give back the base, too; but the new release has it.
    everything = machine.freed(0, 1, 2, 3)
    found = machine.asked(everything - 4096, machine.base)
    assert found is not None
    assert not found.suffices
    assert everything - found.reclaim.freed >= 500_000
    found = machine.asked(4096, machine.base, *machine.layers)
    assert found is not None
    assert found.reclaim.removed == ()


def test_what_a_container_uses_stays(machine: Machine) -> None:
    container = machine.store.container(machine.layers[3])
    container_config(machine.store.root, container, Name="/shop", Image=machine.images[3])
    found = machine.asked(machine.freed(0, 1, 2) + 4096)
    assert sorted(names(found)) == ["shop:0", "shop:1", "shop:2"]
    assert found is not None
    assert not found.suffices


def test_of_layers_on_a_disk_of_their_own(machine: Machine) -> None:
    found = machine.asked(8192, layers_apart=True)
    assert found is not None
    assert found.volume == "three"
    assert found.suffices


def test_what_is_not_known(machine: Machine) -> None:
    here = device(volume(1))
    verdict = ask([], here)
    # Nothing is lacking on the engine's disk.
    assert what_to_delete(verdict, here, machine.store.root, [], lambda _: verdict) is None
    short = machine.asked(4096)
    assert short is not None
    lacking = verdict._replace(
        spaces=tuple(one._replace(volume="one", available=0, required=9) for one in verdict.spaces)
    )
    nothing = AppContents("app", (), None, None)
    with pytest.raises(DocumentError):
        what_to_delete(lacking, here, machine.store.root, [nothing], lambda _: lacking)
    os.rename(machine.store.root, machine.store.root + ".away")
    with pytest.raises(StoreError):
        what_to_delete(lacking, here, machine.store.root, [], lambda _: lacking)
