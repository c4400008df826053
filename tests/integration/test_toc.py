"""Tables of contents that real tools wrote, against the layers that they stand for."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from layerscan.registry import RegistryClient
from layerscan.sources import open_source
from layerscan.sources.decompress import decompressed
from layerscan.sources.toc import TableFault, table_of_contents
from tests.builders.image_archives import write_layout
from tests.builders.images import Image, Layer
from tests.builders.members import member, tar
from tests.builders.toc_case import Tree, repeats, scanned, without_checksums
from tests.builders.tree import (
    Device,
    Dir,
    Fifo,
    File,
    Link,
    Op,
    Symlink,
    made_up,
    many,
    tar_of,
)
from tests.conftest import require_programs
from tests.engines import chunked, containerd, podman
from tests.engines.containerd import Containerd
from tests.engines.images import NAMES
from tests.engines.podman import Podman
from tests.engines.registry import Registry
from tests.requirements import require_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerscan.sources.model import Source, SourceLayer

pytestmark = [pytest.mark.engine, pytest.mark.root]

MOST_REQUESTS = 2

XATTRS = {
    "SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04" + 14 * "\0",
    "SCHILY.xattr.user.note": "\x00\x01\x02",
}
ODD: tuple[Op, ...] = (
    Dir("bin"),
    File("bin/large", size=3_000_000, seed=1),
    File("bin/holes", made_up(5000, 2) + bytes(200_000) + b"end"),
    Link("bin/hard", "bin/large"),
    Symlink("bin/ü", "ö" * 40),
    Device("dev/null"),
    Device("dev/sda", 8, 0, block=True),
    Fifo("dev/fifo"),
    File("long/" + "n" * 120 + "/" + "m" * 150, b"deep"),
    File(".wh.gone", b""),
    File("var/.wh..wh..opq", b""),
)
"""Gone through GNU's tar format: long names have entries of their own."""

SAME = tuple(File(f"same/{at}", size=100_000 * (at % 2) + 50, seed=at % 3) for at in range(200))
"""Of six contents, some in several chunks."""

PLAIN = tar(
    member("usr/bin/ping", b"ping", pax_headers=XATTRS, mode=0o755, mtime=1_700_000_000.25),
    member("usr/bin/owned", b"x", uid=3_000_000, uname="root", gname="wheel"),
)
"""In the PAX format."""


@dataclass
class Counted:
    """A source that counts what is asked of it in parts."""

    source: Source
    lengths: list[int] = field(default_factory=list)

    def section(self, layer: SourceLayer, offset: int, length: int) -> bytes | None:
        self.lengths.append(length)
        return self.source.section(layer, offset, length)


@dataclass(frozen=True)
class Read:
    """A layer as its table has it, and as it is; `fault` is why there is no table."""

    whole: tuple[Tree, bytes]
    table: tuple[Tree, bytes] | None
    is_exact: bool
    fault: str


def read(image: str) -> list[Read]:
    """The layers of an image in a registry; each table costs little."""
    with RegistryClient() as client, open_source(f"docker://{image}", lambda: client) as source:
        (found,) = source.images()
        return [read_layer(source, layer) for layer in found.layers]


def read_layer(source: Source, layer: SourceLayer) -> Read:
    with source.layer(layer) as chunks:
        whole = scanned(decompressed(chunks, limit=1 << 30))
    counted = Counted(source)
    try:
        table = table_of_contents(counted, layer)  # type: ignore[arg-type]
        assert table is not None
        found = Read(whole, scanned(table.parts()), table.is_exact, "")
    except TableFault as error:
        found = Read(whole, None, False, str(error))  # noqa: FBT003 - there is no table
    assert len(counted.lengths) <= MOST_REQUESTS
    if layer.archive_size > 1_000_000:
        assert sum(counted.lengths) < 0.02 * layer.archive_size
    return found


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of odd layers, nothing of which is in a registry yet."""
    require_root()
    require_programs(*chunked.PROGRAMS)
    odd = tar_of(*ODD)
    image = Image.of(
        Layer(odd, ready=gzip.compress(odd, 1, mtime=0)),
        Layer(PLAIN),
        Layer.of(*many("many", 300, size=50), *SAME),
        Layer.of(*NAMES.ops),
    )
    return write_layout(image, "odd:1", tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def pushed(layout: str, registry: Registry) -> str:
    """The image as it is, in the registry."""
    name = f"{registry.address}/toc/plain:1"
    words = ("skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false")
    chunked.run(*words, layout, f"docker://{name}")
    return name


@pytest.fixture(scope="module")
def daemon() -> Iterator[Containerd]:
    require_programs(*containerd.PROGRAMS)
    with Containerd() as started:
        yield started


def check(layers: list[Read], *, refused: bool) -> None:
    """All trees are those of the layers, but for names that are no UTF-8."""
    odd, packed, plain, names = layers
    for layer in (odd, packed, plain):
        assert layer.fault == ""
        assert layer.table is not None
        assert layer.table[0] == layer.whole[0]
        assert repeats(layer.table[1]) == repeats(layer.whole[1])
    assert ("is a name that JSON cannot hold" in names.fault) is refused
    if names.table is not None:
        assert names.table[0] == names.whole[0]


@pytest.mark.parametrize("form", ["estargz", "zstdchunked"])
def test_stargz_snapshotter(form: str, pushed: str, registry: Registry, daemon: Containerd) -> None:
    target = f"{registry.address}/toc/{form}:1"
    chunked.convert(daemon, pushed, target, form)
    layers = read(target)
    check(layers, refused=True)
    for layer in layers[:3]:
        assert layer.table is not None
        # Only times below a second are not in its table.
        made, real = (len(gzip.compress(split)) for _, split in (layer.table, layer.whole))
        assert made == pytest.approx(real, rel=0.005, abs=200)


ZSTD_CHUNKED = ("--compression-format", "zstd:chunked")


@pytest.mark.parametrize("program", ["skopeo", "podman"])
def test_podman_and_skopeo_of_bookworm(program: str, layout: str) -> None:
    require_programs(*podman.PROGRAMS)
    # A registry that has a layer already, packed otherwise, gets it no second time.
    with Podman() as store, Registry() as other:
        target = f"{other.address}/toc/web:1"
        if program == "podman":
            store.run("pull", "--quiet", layout)
            (image,) = store.run("images", "--quiet").split()
            store.run("push", "--quiet", "--tls-verify=false", *ZSTD_CHUNKED, image, target)
        else:
            options = ("--insecure-policy", "--dest-tls-verify=false")
            words = ("copy", *options, "--dest-compress-format", "zstd:chunked")
            chunked.run(*store.command("skopeo", *words, layout, f"docker://{target}"))
        check(read(target), refused=True)


def test_skopeo_of_trixie_keeps_the_tar_split(pushed: str) -> None:
    with Registry() as other:
        target = f"{other.address}/toc/web:1"
        chunked.copy(f"docker://{pushed}", f"docker://{target}")
        layers = read(target)
    check(layers, refused=False)
    for layer in layers:
        assert layer.is_exact
        assert layer.table is not None
        (by_table, split), (tree, document) = layer.table, layer.whole
        assert by_table == tree
        assert without_checksums(split) == without_checksums(document)


def test_an_ordinary_layer_has_no_table(pushed: str) -> None:
    with RegistryClient() as client, open_source(f"docker://{pushed}", lambda: client) as source:
        (found,) = source.images()
        assert [table_of_contents(source, layer) for layer in found.layers] == [None] * 4
