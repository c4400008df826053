"""Layers that can be read but that the device would not take: foretold, with a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import tars
from tests.builders.images import Image, Layer
from tests.builders.tars import Entry, record, special, tar
from tests.cli_runner import run_here, warning

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builders.registry_server import OpenRegistry

NAME = "acme/web:7"
LONG_LINK = Layer(tar(Entry(b"link", tars.SYMLINK, link=b"t" * 1023)))
LONGER_LINK = Layer(
    tar(special(b"x", record(b"linkpath", b"t" * 1024)), Entry(b"link", tars.SYMLINK))
)
ATTRIBUTES = Layer(tar(special(b"x", record(b"SCHILY.xattr.user.x", b"v" * 5000)), Entry(b"file")))


@pytest.mark.parametrize(
    ("layer", "options", "why"),
    [
        (
            LONGER_LINK,
            ("--block-size", "1024"),
            (
                "ext4,block=1024,inode=256: a symbolic link has a target of 1024 bytes, "
                "and at most 1023 can be"
            ),
        ),
        (
            LONGER_LINK,
            ("--fs", "xfs"),
            (
                "xfs,block=4096,inode=512: a symbolic link has a target of 1024 bytes, and at "
                "most 1023 can be"
            ),
        ),
        (
            ATTRIBUTES,
            (),
            (
                "ext4,block=4096,inode=256: extended attributes take 5020 bytes, and there is "
                "room for 4060"
            ),
        ),
        (LONG_LINK, ("--block-size", "1024"), None),
        (LONG_LINK, ("--fs", "xfs"), None),
        (LONGER_LINK, (), None),
        (ATTRIBUTES, ("--fs", "xfs"), None),
        (ATTRIBUTES, ("--fs", "btrfs"), None),
        (
            ATTRIBUTES,
            ("--fs", "btrfs,nodesize=4096"),
            (
                "btrfs,block=4096,nodesize=4096,profile=dup: extended attributes take 5061 bytes, "
                "and there is room for 3995"
            ),
        ),
    ],
)
def test_what_the_file_system_cannot_hold_is_said(
    open_registry: OpenRegistry,
    tmp_path: Path,
    layer: Layer,
    options: tuple[str, ...],
    why: str | None,
) -> None:
    Image.of(layer).put(open_registry, NAME)
    image = f"{open_registry.address}/{NAME}"
    command = ("predict", f"docker://{image}", "--cache", tmp_path, *options, "-o", tmp_path / "o")
    first, again = run_here(*command), run_here(*command)
    assert first.status == again.status == 0
    told = f"image {image}: layer {layer.digest}: cannot be unpacked onto {why}"
    for done in (first, again):
        assert [line for line in done.lines if "cannot be unpacked" in line] == (
            [] if why is None else [warning(told)]
        )


@pytest.mark.parametrize(
    ("count", "store"), [(125, "overlay2"), (126, "overlay2"), (126, "containerd")]
)
def test_more_layers_than_docker_takes(open_registry: OpenRegistry, count: int, store: str) -> None:
    layers = [Layer(tar(Entry(b"%d" % number))) for number in range(count)]
    Image.of(*layers).put(open_registry, NAME)
    image = f"{open_registry.address}/{NAME}"
    done = run_here("predict", f"docker://{image}", "--store", store)
    assert done.status == 0
    told = f"image {image}: has 126 layers: Docker takes at most 125; have it built with fewer"
    assert (warning(told) in done.lines) == ((count, store) == (126, "overlay2"))
