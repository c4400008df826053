"""What tests of the page look at: a store with some of everything, and the data of a large one.

``python -m tests.builders.page_case DIR UNIT`` makes that store with sizes times UNIT and
without odd names, for pictures.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerscan.cli.page.building import about
from layerscan.cli.page.model import PageCategory, PageData, PageHolder, PageThing
from layerscan.digest import sha256
from layerscan.stores.holdings import Category
from layerscan.walking.largest import LargeEntry
from tests.builders.ledger_case import HEX, add, container_config
from tests.builders.overlay2 import BuiltLayer, StoreBuilder
from tests.builders.tree import File, Op

if TYPE_CHECKING:
    from collections.abc import Sequence

KIB = 1024
MARK = "window.hit = 1"
HOSTILE_STEPS = (
    f"RUN echo </script><script>{MARK}</script>",
    f'RUN "><img src=x onerror="{MARK}">',
    "RUN curl https://evil.example/x?a=1&b=2 # \u202e\u2028'\x00 \u200b end",
    "RUN " + "very long " * 200,
)
HOSTILE_FILES = (
    f"<img src=x onerror={MARK}>".encode(),
    b"quotes \" ' ` & &lt;",
    b"control \x1b[31m \x07 \n line",
    "turned \u202e round".encode(),
    b"not utf-8 \xff\xfe",
    b"x" * 255,
    b"${" + MARK.encode() + b"}",
    b"http:",
)
HOSTILE_VOLUME = f"<svg onload={MARK}>"


@dataclass(frozen=True)
class Made:
    """A layer of the store: the step that made it."""

    layer: BuiltLayer
    step: str


class PageStore:
    """An overlay2 store of a shop: images that share layers, and some of everything else."""

    def __init__(self, root: str, unit: int = 1, *, hostile: bool = True) -> None:
        self.builder = StoreBuilder(root)
        self.root = root
        self._unit = unit * KIB
        self._seed = 0
        self._build()
        if hostile:
            self._build_hostile()

    def _file(self, path: str | bytes, size: int) -> File:
        self._seed += 1
        return File(path, size=size * self._unit, seed=self._seed)

    def _layer(self, step: str, below: Sequence[Made], *ops: Op) -> list[Made]:
        parent = below[-1].layer if below else None
        return [*below, Made(self.builder.layer(parent, *ops), step)]

    def _image(self, layers: Sequence[Made], *names: str) -> str:
        history = [{"created_by": one.step} for one in layers]
        built = [one.layer for one in layers]
        pushed = {f"registry.example/{names[0].split(':', maxsplit=1)[0]}": None} if names else None
        return self.builder.image(
            built,
            names=[f"registry.example/{name}" for name in names],
            pushed=pushed,
            extra={"history": history, "created": "2026-03-04T05:06:07Z"},
        )

    def _build(self) -> None:
        file = self._file
        debian = self._layer(
            "ADD debian.tar.xz in /", [], file("usr/lib/libc.so.6", 900), file("usr/bin/bash", 600),
            file("usr/share/locale/all", 700), file("var/lib/dpkg/status", 250),
        )  # fmt: skip
        python = self._layer(
            "RUN apt-get install python3", debian, file("usr/bin/python3", 650),
            file("usr/lib/python3/stdlib.zip", 800), file("usr/lib/python3/config.a", 420),
        )  # fmt: skip
        node = self._layer(
            "RUN apt-get install nodejs", debian, file("usr/bin/node", 1200),
            file("usr/lib/node_modules/npm.js", 300),
        )  # fmt: skip
        model = self._layer(
            "COPY models /opt/models", python, file("opt/models/detect.onnx", 1900),
            file("opt/models/labels.txt", 40),
        )  # fmt: skip
        vision = self._layer("COPY app /opt/app", model, file("opt/app/vision.py", 120))
        newer = self._layer("COPY app /opt/app", model, file("opt/app/vision2.py", 130))
        api = self._layer("RUN pip install fastapi", python, file("usr/lib/python3/fastapi", 480))
        web = self._layer("COPY dist /srv/www", node, file("srv/www/bundle.js", 390))
        self.used = self._image(vision, "fleet/vision:1", "fleet/vision:stable")
        self._image(newer, "fleet/vision:2")
        self._image(api, "fleet/api:7")
        self._image(web, "fleet/kiosk:3")
        self._image(model)
        container_config(self.root, HEX, Name="/camera", Image=self.used)
        log = f"containers/{HEX}/{HEX}-json.log"
        add(self.root, File(log, size=800 * self._unit))
        for name, size in (("recordings", 1500), ("database", 620)):
            add(self.root, file(f"volumes/{name}/_data/data", size))
        add(self.root, file(f"overlay2/{HEX}/diff/left", 700))
        self._debian = debian

    def _build_hostile(self) -> None:
        file = self._file
        odd = self._debian
        for number, step in enumerate(HOSTILE_STEPS):
            odd = self._layer(step, odd, file(f"odd/{number}", 90))
        odd = self._layer("COPY odd /", odd, *(file(b"odd/" + name, 30) for name in HOSTILE_FILES))
        self._image(odd, "fleet/odd:1")
        add(self.root, file(f"volumes/{HOSTILE_VOLUME}/_data/data", 60))


def large_page(images: int = 300, layers: int = 10) -> PageData:
    """The data of a page of so many images, each with so many layers, a third of them shared."""
    things: list[PageThing] = []
    holders: list[PageHolder] = []
    shared = max(layers // 3, 1)
    for image in range(images):
        keys = []
        for place in range(layers):
            owner = image // 10 if place < shared else image
            key = f"layer {owner} {place} {place < shared}"
            keys.append(key)
            if place < shared and image % 10:
                continue
            files = tuple(
                LargeEntry(f"file {number}", 4096 * (40 - number), is_folder=False)
                for number in range(40)
            )
            things.append(
                PageThing(
                    key,
                    Category.IMAGES,
                    f"registry.example/fleet/app{image}:1, layer {place + 1} of {layers}",
                    usage=4096 * (1000 + 37 * (image * layers + place) % 5000),
                    holder=None if place < shared else image,
                    images=10 if place < shared else 1,
                    keeps=(keys[-2],) if place else (),
                    keepers=10 if place == shared - 1 else 1,
                    digest=sha256(key.encode()),
                    diff_id=sha256(key.encode()),
                    size=100_000,
                    step=f"RUN apt-get install --yes package{place} {'and-more ' * 8}",
                    files=files if len(things) < 60 else (),
                )
            )
        name = f"registry.example/fleet/app{image}:1"
        top = f"image {image}"
        things.append(PageThing(top, Category.IMAGES, name, 4096, holder=image, images=1,
                                keeps=(keys[-1],), is_root=True))  # fmt: skip
        holders.append(PageHolder(Category.IMAGES, name, (name,), sha256(top.encode()),
                                  "linux/arm64", "2026-01-02T03:04:05Z", 10**9, 10**7, "",
                                  (top,)))  # fmt: skip
    total = sum(one.usage for one in things)
    return PageData(
        about=about("df", "overlay2", "/var/lib/docker"),
        total=total,
        categories=(PageCategory(Category.IMAGES, total, 0, 0, images),),
        holders=tuple(holders),
        things=tuple(things),
        more={},
        cut=(),
        warnings=(),
        problems=(),
    )


if __name__ == "__main__":
    os.makedirs(sys.argv[1])
    PageStore(sys.argv[1], int(sys.argv[2]), hostile=False)
