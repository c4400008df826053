"""What a kernel that has F2FS measures for the tests of its model: run inside of it.

Prints a JSON document: for each case what the used bytes grew by, what the model
says of that, and the inodes for which it is wrong.
"""

from __future__ import annotations

import json
import os
import random
import sys
from typing import TYPE_CHECKING

from layerscan.prediction.filesystems.f2fs import F2fs
from tests.builders.layer_trees import walked
from tests.builders.model_case import Disk, differences, many_names
from tests.builders.tree import Device, Dir, Fifo, File, Link, Symlink, Whiteout, apply, many
from tests.engines.loop import used_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.builders.tree import Op

MAX_INLINE = 3488
BLOCK = 4096
FOLDER_SIZES = (0, 1, 60, 61, 70, 71, 141, 142, 180, 181, 212, 213, 426, 427, 1000, 3000, 8000)


def kinds(folder: str) -> None:
    lengths = (0, 1, 512, 513, MAX_INLINE, MAX_INLINE + 1, BLOCK, BLOCK + 1, 873 * BLOCK)
    apply(
        folder,
        *(File(f"files/{length}", size=length, seed=1) for length in lengths),
        *(Symlink(f"links/{length}", "t" * length) for length in (1, 3488, 3489, 4095)),
        Link("files/again", "files/1"),
        Dir("empty"),
        Fifo("fifo"),
        Device("null"),
        Whiteout("gone"),
    )


def large_files(folder: str) -> None:
    # Around each of the first blocks of addresses.
    for blocks in (873, 874, 1891, 1892, 2909, 2910, 3927, 3928):
        with open(f"{folder}/{blocks}", "wb") as file:
            file.write(b"x" * blocks * BLOCK)


def attributes(folder: str) -> None:
    for value in (0, 1, 100, 166, 167, 168, 169, 300, 3000):
        for path, size in ((f"{folder}/a{value}", 0), (f"{folder}/b{value}", MAX_INLINE)):
            with open(path, "wb") as file:
                file.write(b"x" * size)
            os.setxattr(path, "trusted.abcd", b"v" * value)


def folders(length: int) -> Callable[[str], None]:
    def fill(folder: str) -> None:
        for names in FOLDER_SIZES:
            os.mkdir(f"{folder}/{names}")
            many_names(f"{folder}/{names}", [length] * names)

    return fill


def anything(folder: str) -> None:
    chance = random.Random(1)  # noqa: S311 - the same trees each time
    for number in range(60):
        ops: list[Op] = list(many(f"{number}/many", chance.randrange(100), size=number * 50))
        for name in range(chance.randrange(30)):
            path = f"{number}/{name}".ljust(chance.randint(4, 60), "n")
            made = (
                File(path, size=int(10 ** chance.uniform(0, 5.5)), seed=name),
                Symlink(path, "t" * chance.randint(1, 300)),
                Dir(path),
            )
            ops.append(chance.choice(made))
        apply(folder, *ops)


CASES = {
    "kinds": kinds,
    "large files": large_files,
    "attributes": attributes,
    "names of one slot": folders(8),
    "names of three slots": folders(20),
    "anything": anything,
}


def main() -> None:
    disk = Disk(sys.argv[1])
    found = {}
    for case, fill in CASES.items():
        folder = disk.folder()
        before = used_bytes(disk.path)
        fill(folder)
        taken = used_bytes(disk.path) - before
        tree, model = walked(folder).tree, F2fs()
        wrong = {os.fsdecode(path): pair for path, pair in differences(model, folder).items()}
        told = model.tree(tree) + model.overhead(tree)
        found[case] = {"taken": taken, "told": told, "wrong": wrong}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
