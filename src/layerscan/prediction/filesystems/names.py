"""The names of file systems: a kind and how ``mkfs`` made it, ``ext4,block=4096,inode=128``.

Owns the grammar of such names, and what ``mkfs`` makes of each kind. What things take on
them is in the module of the kind.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from layerscan.errors import LayerscanError

_Parameters = Mapping[str, int | str]
_Choices = tuple[int, ...] | tuple[str, ...]

_MOST_DIGITS = 12


def _block(parameters: _Parameters) -> int:
    return int(parameters.get("block", 4096))


def _powers(least: int, most: int) -> tuple[int, ...]:
    """The powers of two from `least`, which is one, to `most`."""
    return tuple(1 << power for power in range(least.bit_length() - 1, most.bit_length()))


# By kind and key: the values that mkfs takes with the other parameters given.
PARAMETERS: dict[str, dict[str, Callable[[_Parameters], _Choices]]] = {
    "ext4": {
        # No block may be larger than the machine's pages, with kernels before 6.19.
        "block": lambda _: _powers(1024, 65536),
        "cluster": lambda given: _powers(_block(given), 512 << 20),
        "inode": lambda given: _powers(128, _block(given)),
    },
    "xfs": {
        # From what CRCs need. Up to Linux 6.11 none may be larger than the machine's pages.
        "block": lambda _: _powers(1024, 65536),
        # At least two in a block.
        "inode": lambda given: _powers(512, min(2048, _block(given) // 2)),
    },
    "btrfs": {
        # Bytes of a sector, which must be those of a page on most kernels.
        "block": lambda _: (4096,),
        "nodesize": lambda _: _powers(4096, 65536),
        "profile": lambda _: ("dup", "single"),
    },
    # Blocks are those of a page, on most machines.
    "f2fs": {"block": lambda _: (4096,)},
}

FILE_SYSTEMS = tuple(PARAMETERS)


class FileSystemShape(NamedTuple):
    """A file system by its kind and how ``mkfs`` made it."""

    kind: str  # one of `FILE_SYSTEMS` where there is a model of it
    parameters: Mapping[str, int | str]  # so far as they are known: bytes, and the profile
    features: tuple[str, ...] = ()  # that no model knows

    @property
    def name(self) -> str:
        """As ``--fs`` takes it."""
        keys = PARAMETERS.get(self.kind, ())
        known = (f"{key}={self.parameters[key]}" for key in keys if key in self.parameters)
        return ",".join([self.kind, *known])

    def contradicts(self, other: "FileSystemShape") -> bool:
        """Whether one cannot be the other, by what is known of both."""
        one, two = dict(self.parameters), dict(other.parameters)
        for known in (one, two):
            # Without clusters, a block is what is given out.
            if self.kind == "ext4" and "block" in known:
                known.setdefault("cluster", known["block"])
        return self.kind != other.kind or any(one[key] != two[key] for key in one.keys() & two)


def parse_file_system(name: str, block_size: int | None = None) -> FileSystemShape:
    """What a file system's name says: a kind, and behind commas what ``mkfs`` was told.

    ``ext4,block=1024,cluster=16384,inode=128``, ``btrfs,nodesize=4096,profile=single``.
    `block_size` is for what says the bytes of its blocks elsewhere. Raises LayerscanError
    where no file system is so, or the two contradict each other.
    """
    kind, *parts = name.split(",")
    if kind not in PARAMETERS:
        raise LayerscanError(f"no file system {kind!r}: there are {', '.join(FILE_SYSTEMS)}")
    parameters: dict[str, int | str] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key not in PARAMETERS[kind]:
            known = ", ".join(f"{one}=…" for one in PARAMETERS[kind])
            raise LayerscanError(f"{kind} cannot be given {part!r}, but {known}")
        if key in parameters:
            raise LayerscanError(f"file system {name!r}: {key} is given twice")
        is_number = value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS
        if key != "profile" and not is_number:
            raise LayerscanError(f"{kind}: {key}={value!r} is not a number of bytes")
        parameters[key] = value if key == "profile" else int(value)
    if block_size is not None and parameters.setdefault("block", block_size) != block_size:
        raise LayerscanError(f"file system {name!r} contradicts blocks of {block_size} bytes")
    check_parameters(kind, parameters)
    return FileSystemShape(kind, parameters)


def check_parameters(kind: str, parameters: _Parameters) -> None:
    """Raise LayerscanError for parameters that no file system of the kind can have."""
    for key, choices in PARAMETERS[kind].items():
        value, possible = parameters.get(key), choices(parameters)
        if value is None or value in possible:
            continue
        there_are = ", ".join(map(str, possible))
        if key == "block":
            raise LayerscanError(f"no {kind} has blocks of {value} bytes, but of {there_are}")
        beside = "" if key == "profile" else f" and blocks of {_block(parameters)} bytes"
        raise LayerscanError(f"no {kind} has {key}={value}{beside}; {key} can be {there_are}")
