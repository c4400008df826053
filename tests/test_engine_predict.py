"""Predictions for Docker on ext4 against reality: pulls onto fresh disks.

What `predict` says of images in a registry is held against what `scan` finds
after they were pulled, and against the bytes that each pull made a disk use. The
disks have blocks of 1 KiB and of 4 KiB.
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
    Device,
    Dir,
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
    from collections.abc import Iterator

    from layerscan.layersmeta import LayersMeta
    from layerscan.prediction import Prediction
    from layerscan.scanner import Scan
    from tests.builders.tree import Op
    from tests.engines.registry import Registry

pytestmark = [pytest.mark.engine, pytest.mark.root]

MEBIBYTE = 1 << 20
DISK = 3 << 30
INODES = ("-N", "200000")

LAYER_SHARE, LAYER_BYTES = 0.001, 8192
TOTAL_SHARE = 0.0002
"""How far a prediction may be off by the docker rule, for a layer and for all."""

EXACT_SHARE, EXACT_BYTES = 0.0005, 256 * 1024
"""By how much the exact rule says more than what is true, see accounting.md."""


def folders() -> Iterator[Op]:
    """Folders of many sizes, with names of many lengths."""
    lengths = random.Random(1)  # noqa: S311 - no secret
    for names in (1, 10, 100, 1000, 12_000):
        for number in range(names):
            name = f"{number:x}" + "n" * lengths.randrange(40)
            yield File(f"of{names}/{name}", size=1 + lengths.randrange(3000), seed=number)


def small_files() -> Iterator[Op]:
    sizes = random.Random(2)  # noqa: S311 - no secret
    for folder in range(200):
        for number in range(sizes.choice((1, 3, 10, 30, 60))):
            size = int(sizes.expovariate(1 / 3000))
            yield File(f"small/{folder}/{number}-{'n' * (folder % 50)}", size=size, seed=number)


def grown_among_others() -> Iterator[Op]:
    """Folders whose blocks cannot lie in a row: other inodes take blocks meanwhile."""
    for number in range(500):
        yield Dir(f"among/folders/{number:04d}-a-name-of-some-length")
        yield Symlink(f"among/links/{number:04d}", "t" * (80 if number % 2 else 20))


def links() -> Iterator[Op]:
    yield from (Symlink(f"links/{length}", "t" * length) for length in (1, 59, 60, 61, 1000))
    yield from many("links/files", 50, size=5000, seed=5)
    for number in range(2000):
        yield Link(f"links/more/{number}", f"links/files/f{number % 50:05d}")


def large_files() -> Iterator[Op]:
    # In blocks of 1 KiB it needs a list of its pieces.
    yield Sparse("large/160", 160 * MEBIBYTE + 1)
    yield Sparse("large/20", 20 * MEBIBYTE, ((5, b"data"),))
    yield from many("large/more", 8, size=MEBIBYTE + 17, seed=6)


def taken_away() -> Iterator[Op]:
    """Of what other layers have, and names that are odd."""
    yield from (Whiteout(f"of1000/{number:x}") for number in range(100))
    yield Opaque("links")
    yield File("links/new", size=3)
    yield File(b"names/" + b"n" * 255, size=5000)
    yield File(b"names/new\nline \xff", size=5000)
    yield Fifo("special/fifo")
    yield Device("special/null")


SHAPES = (folders, small_files, grown_among_others, links, large_files, taken_away)


def attributes_tar() -> bytes:
    """Attributes that stay in their inodes, and such that do not; no two are alike."""
    entries = []
    for length in (0, 20, 40, *range(60, 76), 100, 500, 800):
        xattrs = ((b"user.x", b"v" * length),)
        entries.append(tars.Entry(b"attributes/f%d" % length, content=b"c", xattrs=xattrs))
        xattrs = ((b"user.y", b"v" * length),)
        entries.append(tars.Entry(b"attributes/d%d" % length, tars.DIR, xattrs=xattrs))
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
        builder.also_pushed(base_image, "predict/base:1"),
        builder.of_tars("predict/shapes:1", *shapes, attributes_tar()),
        builder.of_tars("predict/debian:1", debian),
    ]


class Pulled(NamedTuple):
    """A disk onto which Docker has pulled images, and what is foretold of them.

    Attributes:
        names: of the images.
        grown: bytes by which the pull of each made the disk's used bytes grow.
        found: by each rule, what `scan` finds.
        foretold: by each rule, for each image.
    """

    names: list[str]
    grown: list[int]
    found: dict[Accounting, Scan]
    foretold: dict[Accounting, list[Prediction]]

    def documents(self) -> tuple[LayersMeta, LayersMeta]:
        """By the docker rule: what is foretold of all images, and what is found."""
        foretold = [one.document() for one in self.foretold[Accounting.DOCKER]]
        layers = {digest: layer for one in foretold for digest, layer in one.layers.items()}
        return foretold[0]._replace(layers=layers), self.found[Accounting.DOCKER].document()


@pytest.fixture(scope="module", params=[1024, 4096])
def pulled(
    request: pytest.FixtureRequest, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pulled]:
    require_root()
    require_programs(*loop.PROGRAMS)
    path = tmp_path_factory.mktemp("predict-disk") / "disk"
    fs = file_system("ext4", request.param)
    with (
        loop.ext4(str(path), DISK, "-b", str(request.param), *INODES) as disk,
        Docker(os.path.join(disk, "docker")) as engine,
        RegistryClient() as client,
    ):
        grown = []
        for name in names:
            before = loop.used_bytes(disk)
            engine.pull(name)
            grown.append(loop.used_bytes(disk) - before)
        found, foretold = {}, {}
        cache = PredictionCache()
        for rule in Accounting:
            store = open_store(root=engine.data_root, exact=rule is Accounting.EXACT)
            found[rule] = scan(store, accounting=rule)
            foretold[rule] = [
                predict(
                    [open_source(f"docker://{name}", lambda: client)],
                    fs=fs,
                    accounting=rule,
                    cache=cache,
                )
                for name in names
            ]
        yield Pulled(names, grown, found, foretold)


def test_layers_are_those_of_a_scan(pulled: Pulled) -> None:
    foretold, found = pulled.documents()
    assert foretold.fs_block_size == found.fs_block_size
    assert {digest: layer.size for digest, layer in foretold.layers.items()} == {
        digest: layer.size for digest, layer in found.layers.items()
    }
    assert len(found.layers) == 2 + len(SHAPES) + 1 + 1


def test_each_layer_takes_what_is_foretold(pulled: Pulled) -> None:
    foretold, found = pulled.documents()
    for digest, layer in sorted(found.layers.items(), key=lambda one: one[1].usage):
        told, usage = foretold.layers[digest].usage, layer.usage
        print(f"{usage:>13,} {told - usage:+8,} {told / usage - 1:+.4%}")
        assert told == pytest.approx(usage, rel=LAYER_SHARE, abs=LAYER_BYTES), digest


def test_all_layers_take_what_is_foretold(pulled: Pulled) -> None:
    foretold, found = (
        sum(layer.usage for layer in one.layers.values()) for one in pulled.documents()
    )
    print(f"{found:,}, foretold {foretold - found:+,} ({foretold / found - 1:+.4%})")
    assert foretold == pytest.approx(found, rel=TOTAL_SHARE)


def test_pull_makes_the_disk_grow_by_what_is_foretold(pulled: Pulled) -> None:
    already: set[str] = set()
    for name, grown, one in zip(
        pulled.names, pulled.grown, pulled.foretold[Accounting.EXACT], strict=True
    ):
        (image,) = one.images
        new = [layer for layer in image.layers if layer.chain_id not in already]
        already |= {layer.chain_id for layer in new}
        over = sum(layer.usage for layer in new) + image.usage - grown
        print(f"{name}: {grown:,}, foretold {over:+,}")
        assert -TOTAL_SHARE * grown <= over
        assert over <= (EXACT_SHARE + TOTAL_SHARE) * grown + EXACT_BYTES


def test_exact_rule_foretells_what_a_scan_finds(pulled: Pulled) -> None:
    costs = pulled.found[Accounting.EXACT].costs
    foretold = {
        layer.chain_id: layer.usage
        for one in pulled.foretold[Accounting.EXACT]
        for layer in one.images[0].layers
    }
    assert foretold.keys() == costs.keys()
    for chain_id, told in foretold.items():
        usage = costs[chain_id].usage
        assert told == pytest.approx(usage, rel=LAYER_SHARE, abs=LAYER_BYTES), chain_id
    assert sum(foretold.values()) == pytest.approx(
        sum(cost.usage for cost in costs.values()), rel=TOTAL_SHARE
    )
