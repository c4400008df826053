"""Who holds what of a store: the records of an engine as holdings, each with its paths.

Owns what every store says of itself beyond images and layers: to whom each file and folder
of its roots belongs, by the engine's own records, and what keeps what. It never walks:
what a holding takes, and whether what nobody holds may really go, `layerscan.ledger` finds
out.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from typing import NamedTuple

from layerscan.problem import Problem


class Category(StrEnum):
    """The kinds of holders; see docs/explanation/ledger.md."""

    IMAGES = "images"
    CONTAINERS = "containers"
    VOLUMES = "volumes"
    BUILD_CACHE = "build_cache"
    TRANSIENT = "transient"  # of a pull, build or removal under way
    UNREFERENCED = "unreferenced"  # nobody refers to it
    UNCLEAR = "unclear"  # nobody seems to, but that is not sure
    ENGINE = "engine"  # the engine's own databases, networks, plugins
    OTHER = "other"  # what the engine did not make


class UnderWay(Enum):
    """What an engine is just doing."""

    ADDITION = "a pull or build"  # what nobody keeps may be about to be named
    REMOVAL = "a removal"  # what nobody keeps may be about to go
    ITSELF = "itself"  # just this is made or removed


class Holding(NamedTuple):
    """One thing that a store holds.

    Attributes:
        key: what other holdings name it by, unique in the store.
        category: whose it is if nobody keeps it; else it is that of its keepers.
        name: what people call it; need not be printable.
        paths: absolute paths of the files and folders that belong to it wholly, but for what
            is below them and another holding's.
        keeps: keys of the holdings that cannot be removed as long as this one is there.
        marks: ends of paths, ``<id>/merged``: what is mounted there, or from there, uses it.
        reason: why nobody seems to keep it, or else why it is where it is; may be empty.
        is_root: whether it is there for its own sake, as an image, a container or a volume
            is. What no root keeps may go.
        doubt: why it is not sure that nobody keeps it; empty if it is.
        idle: a folder that its engine changes at every start if it uses this: where it did not,
            there is no doubt.
        busy: likewise one that its engine changes if it uses something else in place of this.
        under_way: what it is a sign of, as long as it is there; None if of nothing.
        left: of that, the reason once nobody does it any more.
        names: of an image, all that it is called; else what `tool` is to be told, if anything.
        image_id: of an image.
        group: of images that are one with several names, the same.
        made: when it was made, by the engine's record, in seconds since the epoch.
        is_pinned: whether its engine never removes it.
        uses: keys of images that a container was made of and that can be removed all the same.
        tool: the engine's command that removes it, without a name; empty if there is none.
        witnesses: folders of the engine's records that change when what kept it is removed.
    """

    key: str
    category: Category
    name: str
    paths: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    reason: str = ""
    is_root: bool = False
    doubt: str = ""
    idle: str = ""
    busy: str = ""
    under_way: UnderWay | None = None
    left: str = ""
    witnesses: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    image_id: str = ""
    group: str = ""
    made: float | None = None
    is_pinned: bool = False
    uses: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()


class Holdings(NamedTuple):
    """All that a store holds, by one reading of its records.

    Attributes:
        holdings: all of them.
        places: absolute paths of the folders that the engine makes in the store itself, the
            store's own first: a file system that is mounted on one holds a part of the store.
        databases: files that the engine has open while it runs.
        work: of an engine without a daemon, folders in which it has something open while it
            makes or removes images.
        doubts: why the records are not complete; then nothing is surely unreferenced.
        is_settled: False where the engine kept changing its records while they were read; then
            neither.
    """

    holdings: tuple[Holding, ...]
    places: tuple[str, ...]
    databases: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    doubts: tuple[Problem, ...] = ()
    is_settled: bool = True


_KEEPERS = (
    Category.IMAGES,
    Category.CONTAINERS,
    Category.VOLUMES,
    Category.BUILD_CACHE,
    Category.TRANSIENT,
)


def settled(holdings: Iterable[Holding]) -> list[Holding]:
    """Holdings with the categories of their keepers: of several, images first, and so on.

    What is there for its own sake stays what it is.
    """
    by_key = {one.key: one for one in holdings}
    owner: dict[str, Category] = {}
    for category in _KEEPERS:
        roots = [one.key for one in by_key.values() if one.is_root and one.category is category]
        for key in kept_by(by_key, roots):
            owner.setdefault(key, category)
    return [
        one._replace(category=owner[one.key], reason="")
        if one.key in owner and not one.is_root
        else one
        for one in by_key.values()
    ]


def seconds(text: str) -> float | None:
    """A time of an engine's records (RFC 3339) since the epoch; None if it is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def kept_by(holdings: Mapping[str, Holding], roots: Iterable[str]) -> set[str]:
    """The keys of `roots`, and of all that they keep, directly or not."""
    kept: set[str] = set()
    left = [key for key in roots if key in holdings]
    while left:
        key = left.pop()
        if key not in kept:
            kept.add(key)
            left += [other for other in holdings[key].keeps if other in holdings]
    return kept
