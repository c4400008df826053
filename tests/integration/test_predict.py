"""Predictions for Docker against reality: pulls onto fresh disks with ext4, XFS and btrfs.

What `predict` says of images in a registry is held against what `scan` finds
after they were pulled, and against the bytes that each pull made a disk use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerscan.prediction.cache import PredictionCache
from layerscan.prediction.filesystems import file_system
from layerscan.prediction.images import predict
from layerscan.prediction.stores.model import store_model
from layerscan.registry import RegistryClient
from layerscan.scanning.scanner import scan
from layerscan.sources import open_source
from layerscan.stores import open_store
from layerscan.stores.accounting import Accounting, grown_once
from tests.builders.shapes_case import FOR_EXT4, FOR_OTHERS, FOR_SMALL_NODES, Shapes
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.docker import Docker
from tests.engines.images import debian_tar
from tests.engines.truth import Builder
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerscan.layersmeta import LayersMeta
    from layerscan.prediction.filesystems.filesystem import FileSystem
    from layerscan.prediction.images import Prediction
    from layerscan.scanning.result import Scan
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

KIBIBYTE, GIBIBYTE = 1 << 10, 1 << 30


class Bound(NamedTuple):
    """How far a sum may be off: a share of it, and bytes, and bytes for each of its layers."""

    share: float
    bytes: int = 0
    layer_bytes: int = 0

    def of(self, total: int, layers: int = 1) -> float:
        return self.share * total + self.bytes + self.layer_bytes * layers


class Kind(NamedTuple):
    """A disk of a device.

    Attributes:
        file_system: its name.
        options: of mkfs, beside those.
        shapes: what its second image is of.
        layer: how far a prediction by the docker rule may be off for a layer.
        total: the same for all of them.
        over: how much more than what a pull takes the exact rule may foretell.
        under: how much less.
    """

    file_system: str
    options: tuple[str, ...]
    shapes: Shapes
    layer: Bound
    total: Bound
    over: Bound
    under: Bound

    @property
    def model(self) -> FileSystem:
        return file_system(self.file_system)


def ext4(name: str) -> Kind:
    return Kind(
        name,
        ("-N", "200000"),
        FOR_EXT4,
        layer=Bound(0.001, 8 * KIBIBYTE),
        total=Bound(0.0002),
        # By so much it is more than what is true, see docs/explanation/accounting.md.
        over=Bound(0.0005 + 0.0002, 256 * KIBIBYTE),
        under=Bound(0.0002),
    )


def clusters(name: str) -> Kind:
    # Of what a store keeps of a layer, the exact rule counts a cluster for each file, also
    # for those that are empty.
    over = Bound(0.0005 + 0.0002, 512 * KIBIBYTE, 64 * KIBIBYTE)
    # The layer of attributes has two that are empty. Docker 20.10 leaves them out, and with
    # inodes of 128 bytes each would have taken a cluster.
    layer = Bound(0.001, (2 * 16 + 8) * KIBIBYTE)
    return ext4(name)._replace(options=(), layer=layer, over=over)


def other(name: str, layer_bytes: int, share: float = 0.002) -> Kind:
    # XFS makes inodes by the 64, in each of its four groups, and a leaf of btrfs more or
    # less is 32 KiB. What a store keeps of a layer is a dozen files and folders, and the
    # exact rule counts a block for each.
    pull = Bound(share, 256 * KIBIBYTE, layer_bytes)
    layer, total = Bound(0.002, 16 * KIBIBYTE), Bound(0.002)
    # Of btrfs the exact rule adds a margin.
    over = pull._replace(share=share + file_system(name).margin)
    return Kind(name, (), FOR_OTHERS, layer, total, over=over, under=pull)


EXT4 = ("ext4,block=1024", "ext4,block=4096")
KINDS = {
    kind.file_system: kind
    for kind in (
        *map(ext4, EXT4),
        clusters("ext4,block=4096,cluster=16384,inode=128"),
        other("xfs", 32 * KIBIBYTE),
        other("xfs,inode=1024", 64 * KIBIBYTE),
        other("btrfs", 64 * KIBIBYTE),
        other("btrfs,nodesize=4096,profile=single", 64 * KIBIBYTE, 0.003)._replace(
            shapes=FOR_SMALL_NODES
        ),
    )
}


class Pulled(NamedTuple):
    """A disk onto which Docker has pulled images, and what is foretold of them.

    Attributes:
        kind: of the disk.
        names: of the images.
        grown: bytes by which the pull of each made the disk's used bytes grow.
        found: what `scan` finds, by each rule.
        foretold: by each rule, for each image.
    """

    kind: Kind
    names: list[str]
    grown: list[int]
    found: dict[Accounting, Scan]
    foretold: dict[Accounting, list[Prediction]]

    def documents(self) -> tuple[LayersMeta, LayersMeta]:
        """By the docker rule: what is foretold of all images, and what is found."""
        foretold = [one.document() for one in self.foretold[Accounting.DOCKER]]
        layers = {digest: layer for one in foretold for digest, layer in one.layers.items()}
        return foretold[0]._replace(layers=layers), self.found[Accounting.DOCKER].document()


class Images:
    """Images in the registry, made when a disk of their kind is first asked for."""

    def __init__(self, builder: Builder, base: str) -> None:
        with open(debian_tar(), "rb") as tar:
            debian = builder.of_tars("predict/debian:1", tar.read())
        self._builder = builder
        self._others = builder.also_pushed(base, "predict/base:1"), debian
        self._made: dict[str, str] = {}

    def of(self, kind: Kind) -> list[str]:
        """Their names."""
        name = kind.shapes.name
        if name not in self._made:
            self._made[name] = self._builder.of_tars(name, *kind.shapes.tars())
        base, debian = self._others
        return [base, self._made[name], debian]


@pytest.fixture(scope="module")
def images(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Images:
    require_programs("debootstrap")
    return Images(Builder(docker, registry, tmp_path_factory.mktemp("predict")), base_image)


def settled(disk: str) -> int:
    """Used bytes, after blocks of an older state, which btrfs frees later, are free."""
    loop.used_bytes(disk)
    return loop.used_bytes(disk)


@pytest.fixture(scope="module", params=KINDS)
def pulled(
    request: pytest.FixtureRequest, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pulled]:
    require_root()
    require_programs(*loop.PROGRAMS, *loop.XFS_PROGRAMS, *loop.BTRFS_PROGRAMS)
    kind = KINDS[request.param]
    names = images.of(kind)
    path = tmp_path_factory.mktemp("predict-disk") / "disk"
    with (
        loop.named(kind.file_system, str(path), 4 * GIBIBYTE, *kind.options) as disk,
        Docker(os.path.join(disk, "docker")) as engine,
        RegistryClient() as client,
    ):
        grown = []
        for name in names:
            before = settled(disk)
            engine.pull(name)
            grown.append(settled(disk) - before)
        found = {}
        for rule in Accounting:
            store = open_store(root=engine.data_root, exact=rule is Accounting.EXACT)
            found[rule] = scan(store, accounting=rule)
        sources = [open_source(f"docker://{name}", lambda: client) for name in names]
        fs, cache = kind.model, PredictionCache()
        foretold = {
            rule: [predict([source], fs=fs, accounting=rule, cache=cache) for source in sources]
            for rule in Accounting
        }
        yield Pulled(kind, names, grown, found, foretold)


def test_layers_are_those_of_a_scan(pulled: Pulled) -> None:
    foretold, found = pulled.documents()
    assert foretold.fs_block_size == found.fs_block_size == pulled.kind.model.block_size
    assert {digest: layer.size for digest, layer in foretold.layers.items()} == {
        digest: layer.size for digest, layer in found.layers.items()
    }
    assert len(found.layers) == 2 + len(pulled.kind.shapes.trees) + 1 + 1


def test_each_layer_takes_what_is_foretold(pulled: Pulled) -> None:
    foretold, found = pulled.documents()
    for digest, layer in sorted(found.layers.items(), key=lambda one: one[1].usage):
        told, usage = foretold.layers[digest].usage, layer.usage
        print(f"{usage:>13,} {told - usage:+8,} {told / usage - 1:+.4%}")
        # One of both is enough.
        bound = pulled.kind.layer
        assert told == pytest.approx(usage, rel=bound.share, abs=bound.bytes), digest


def test_all_layers_take_what_is_foretold(pulled: Pulled) -> None:
    foretold, found = (
        sum(layer.usage for layer in one.layers.values()) for one in pulled.documents()
    )
    print(f"{found:,}, foretold {foretold - found:+,} ({foretold / found - 1:+.4%})")
    assert abs(foretold - found) <= pulled.kind.total.of(found)


class Pull(NamedTuple):
    """A pull of an image.

    Attributes:
        name: of the image.
        layers: how many were new.
        grown: bytes by which the disk's used bytes grew.
        foretold: by the exact rule.
        scanned: what a scan says of it by that rule.
    """

    name: str
    layers: int
    grown: int
    foretold: int
    scanned: int


def pulls(pulled: Pulled) -> Iterator[Pull]:
    already: set[str] = set()
    for name, grown, one in zip(
        pulled.names, pulled.grown, pulled.foretold[Accounting.EXACT], strict=True
    ):
        (image,) = one.images
        new = [layer for layer in image.layers if layer.chain_id not in already]
        already |= {layer.chain_id for layer in new}
        usage = sum(layer.usage for layer in new) + image.usage
        scan = pulled.found[Accounting.EXACT]
        scanned = sum(scan.costs[layer.chain_id].usage for layer in new)
        scanned += scan.image_usage[image.image.image_id]
        yield Pull(name, len(new), grown, usage, scanned)


def test_pull_makes_the_disk_grow_by_what_is_foretold(pulled: Pulled) -> None:
    for name, layers, grown, foretold, _ in pulls(pulled):
        over = foretold - grown
        print(f"{name}: {layers} layers, {grown:,}, foretold {over:+,} ({over / grown:+.3%})")
        assert -pulled.kind.under.of(grown, layers) <= over
        assert over <= pulled.kind.over.of(grown, layers)


def test_scan_by_the_exact_rule_is_what_pulls_took(pulled: Pulled) -> None:
    for name, layers, grown, _, scanned in pulls(pulled):
        over = scanned - grown
        print(f"{name}: {layers} layers, {grown:,}, scanned {over:+,} ({over / grown:+.3%})")
        # How full leaves of btrfs are differs by more than any margin.
        under = 0 if pulled.kind.model.margin == 0 else pulled.kind.under.of(grown, layers)
        assert -under <= over <= pulled.kind.over.of(grown, layers)
    assert pulled.found[Accounting.EXACT].file_system == pulled.kind.model.name


# How full the leaves of btrfs are, what else the machine does decides.
@pytest.mark.parametrize("pulled", [*EXT4, "xfs"], indirect=True)
def test_all_pulls_make_the_disk_grow_by_what_is_foretold(pulled: Pulled) -> None:
    found = list(pulls(pulled))
    grown = sum(one.grown for one in found)
    # What the rule sets aside for folders that all layers share is seldom taken. What the
    # first image makes is, but each of the figures has it.
    growth = store_model("overlay2").growth
    aside = len(found) * growth.image_bytes
    aside += (len(found) - 1) * grown_once(growth, pulled.kind.model.unit, is_first=True)
    aside += sum(one.layers for one in found) * growth.layer_bytes
    over = sum(one.foretold for one in found) - aside - grown
    print(f"{grown:,}, foretold {over:+,} ({over / grown:+.4%}), and {aside:,} set aside")
    assert abs(over) <= pulled.kind.total.of(grown)


def test_exact_rule_foretells_what_a_scan_finds(pulled: Pulled) -> None:
    costs = pulled.found[Accounting.EXACT].costs
    foretold = {
        layer.chain_id: layer.usage
        for one in pulled.foretold[Accounting.EXACT]
        for layer in one.images[0].layers
    }
    assert foretold.keys() == costs.keys()
    bound = pulled.kind.layer
    for chain_id, told in foretold.items():
        usage = costs[chain_id].usage
        assert told == pytest.approx(usage, rel=bound.share, abs=bound.bytes), chain_id
    truth = sum(cost.usage for cost in costs.values())
    assert abs(sum(foretold.values()) - truth) <= pulled.kind.total.of(truth)
