"""Predictions for Docker on XFS and btrfs against reality: pulls onto fresh disks.

What `predict` says of images in a registry is held against what `scan` finds
after they were pulled, and against the bytes that each pull made a disk use.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from layerscan.accounting import Accounting
from layerscan.model import file_system
from layerscan.prediction import predict
from layerscan.prediction_cache import PredictionCache
from layerscan.registry import RegistryClient
from layerscan.scanner import scan
from layerscan.sources import open_source
from layerscan.stores import open_store
from tests.builders import tars
from tests.builders.tree import (
    Fifo,
    File,
    Link,
    Opaque,
    Sparse,
    Symlink,
    Whiteout,
    many,
    tar_stream,
)
from tests.conftest import require_programs
from tests.engines import loop
from tests.engines.docker import Docker
from tests.engines.images import debian_tar
from tests.engines.truth import Builder
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from layerscan.layersmeta import LayersMeta
    from layerscan.prediction import Prediction
    from layerscan.scanner import Scan
    from tests.builders.tree import Op
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

DISK = 4 << 30
SHARE = 0.002
LAYER_BYTES = 16 * 1024
"""How far a prediction may be off by the docker rule, for a layer and for all."""


class Kind(NamedTuple):
    """A file system of a device.

    Attributes:
        name: of the file system.
        fresh: makes one.
        pull_bytes: how far a prediction of what a pull takes may be off, beside a
            share: XFS makes inodes by the 64, in each of its four groups, and a
            leaf of btrfs more or less is 32 KiB.
        layer_bytes: the same for each layer of the pull: what a store keeps of it
            is a dozen files and folders, and the exact rule counts a block for each.
    """

    name: str
    fresh: Callable[..., AbstractContextManager[str]]
    pull_bytes: int
    layer_bytes: int


KINDS = {
    "xfs": Kind("xfs", loop.xfs, 256 * 1024, 32 * 1024),
    "btrfs": Kind("btrfs", loop.btrfs, 256 * 1024, 64 * 1024),
}


def folders() -> Iterator[Op]:
    """Folders of many sizes, with names of many lengths."""
    lengths = random.Random(1)  # noqa: S311 - no secret
    for names in (1, 10, 20, 100, 1000, 12_000):
        for number in range(names):
            name = f"{number:x}" + "n" * lengths.randrange(40)
            yield File(f"of{names}/{name}", size=1 + lengths.randrange(3000), seed=number)


def small_files() -> Iterator[Op]:
    sizes = random.Random(2)  # noqa: S311 - no secret
    for folder in range(200):
        for number in range(sizes.choice((1, 3, 10, 30, 60))):
            size = int(sizes.expovariate(1 / 6000))
            yield File(f"small/{folder}/{number}-{'n' * (folder % 50)}", size=size, seed=number)


def links() -> Iterator[Op]:
    yield from (Symlink(f"links/{length}", "t" * length) for length in (1, 336, 337, 1000))
    yield from many("links/files", 50, size=5000, seed=5)
    for number in range(2000):
        yield Link(f"links/more/{number}", f"links/files/f{number % 50:05d}")


def large_files() -> Iterator[Op]:
    yield Sparse("large/160", (160 << 20) + 1)
    yield from many("large/more", 8, size=(1 << 20) + 17, seed=6)


def taken_away() -> Iterator[Op]:
    yield from (Whiteout(f"of1000/{number:x}") for number in range(100))
    yield Opaque("links")
    yield File("links/new", size=3)
    yield Fifo("special/fifo")


SHAPES = (folders, small_files, links, large_files, taken_away)


def attributes_tar() -> bytes:
    """Attributes that stay in their inodes, and such that do not."""
    entries = []
    for length in (0, 20, 100, 200, 254, 255, 500, 3000, 5000):
        for name, kind, content in ((b"f", tars.FILE, b"c"), (b"d", tars.DIR, b"")):
            xattrs = ((b"user.x", b"v" * length),)
            path = b"attributes/%s%d" % (name, length)
            entries.append(tars.Entry(path, kind, content=content, xattrs=xattrs))
    return tars.tar(*entries)


@pytest.fixture(scope="module")
def names(
    docker: Docker, registry: Registry, base_image: str, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """Images in the registry."""
    require_programs("debootstrap")
    builder = Builder(docker, registry, tmp_path_factory.mktemp("predict"))
    shapes = (b"".join(tar_stream(shape())) for shape in SHAPES)
    with open(debian_tar(), "rb") as tar:
        debian = tar.read()
    return [
        builder.also_pushed(base_image, "filesystems/base:1"),
        builder.of_tars("filesystems/shapes:1", *shapes, attributes_tar()),
        builder.of_tars("filesystems/debian:1", debian),
    ]


class Pulled(NamedTuple):
    """A disk onto which Docker has pulled images, and what is foretold of them.

    Attributes:
        kind: of the disk.
        names: of the images.
        grown: bytes by which the pull of each made the disk's used bytes grow.
        found: what `scan` finds, by the docker rule.
        foretold: by each rule, for each image.
    """

    kind: Kind
    names: list[str]
    grown: list[int]
    found: Scan
    foretold: dict[Accounting, list[Prediction]]

    def documents(self) -> tuple[LayersMeta, LayersMeta]:
        """By the docker rule: what is foretold of all images, and what is found."""
        foretold = [one.document() for one in self.foretold[Accounting.DOCKER]]
        layers = {digest: layer for one in foretold for digest, layer in one.layers.items()}
        return foretold[0]._replace(layers=layers), self.found.document()


def settled(disk: str) -> int:
    """Used bytes, after blocks of an older state, which btrfs frees later, are free."""
    loop.used_bytes(disk)
    return loop.used_bytes(disk)


@pytest.fixture(scope="module", params=KINDS)
def pulled(
    request: pytest.FixtureRequest, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pulled]:
    require_root()
    require_programs(*loop.PROGRAMS, *loop.XFS_PROGRAMS, *loop.BTRFS_PROGRAMS)
    kind = KINDS[request.param]
    path = tmp_path_factory.mktemp("predict-disk") / "disk"
    fs = file_system(kind.name)
    with (
        kind.fresh(str(path), DISK) as disk,
        Docker(os.path.join(disk, "docker")) as engine,
        RegistryClient() as client,
    ):
        grown = []
        for name in names:
            before = settled(disk)
            engine.pull(name)
            grown.append(settled(disk) - before)
        found = scan(open_store(root=engine.data_root), accounting=Accounting.DOCKER)
        cache = PredictionCache()
        foretold = {
            rule: [
                predict(
                    [open_source(f"docker://{name}", lambda: client)],
                    fs=fs,
                    accounting=rule,
                    cache=cache,
                )
                for name in names
            ]
            for rule in Accounting
        }
        yield Pulled(kind, names, grown, found, foretold)


def test_layers_are_those_of_a_scan(pulled: Pulled) -> None:
    foretold, found = pulled.documents()
    assert foretold.fs_block_size == found.fs_block_size == 4096
    assert {digest: layer.size for digest, layer in foretold.layers.items()} == {
        digest: layer.size for digest, layer in found.layers.items()
    }
    assert len(found.layers) == 2 + len(SHAPES) + 1 + 1


def test_each_layer_takes_what_is_foretold(pulled: Pulled) -> None:
    foretold, found = pulled.documents()
    for digest, layer in sorted(found.layers.items(), key=lambda one: one[1].usage):
        told, usage = foretold.layers[digest].usage, layer.usage
        print(f"{usage:>13,} {told - usage:+8,} {told / usage - 1:+.4%}")
        assert told == pytest.approx(usage, rel=SHARE, abs=LAYER_BYTES), digest


def test_all_layers_take_what_is_foretold(pulled: Pulled) -> None:
    foretold, found = (
        sum(layer.usage for layer in one.layers.values()) for one in pulled.documents()
    )
    print(f"{found:,}, foretold {foretold - found:+,} ({foretold / found - 1:+.4%})")
    assert foretold == pytest.approx(found, rel=SHARE)


def test_pull_makes_the_disk_grow_by_what_is_foretold(pulled: Pulled) -> None:
    already: set[str] = set()
    for name, grown, one in zip(
        pulled.names, pulled.grown, pulled.foretold[Accounting.EXACT], strict=True
    ):
        (image,) = one.images
        new = [layer for layer in image.layers if layer.chain_id not in already]
        already |= {layer.chain_id for layer in new}
        over = sum(layer.usage for layer in new) + image.usage - grown
        allowed = pulled.kind.pull_bytes + len(new) * pulled.kind.layer_bytes
        print(f"{name}: {len(new)} layers, {grown:,}, foretold {over:+,} ({over / grown:+.3%})")
        assert abs(over) <= SHARE * grown + allowed
