"""What removing images would give back, and which ones to remove for so much.

Owns the rule: what no other image, container or build cache keeps is freed, and what it is
by the blocks that the walk counted, hard links from elsewhere left out. It removes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from layerscan.ledger.model import Item
from layerscan.reference import is_like
from layerscan.stores.holdings import Category, Holding, kept_by

_SHORTEST_ID = 4
_YEAR = 365 * 86_400

ImageGroup = tuple[Holding, ...]
"""An image: several holdings where the store keeps each of its names by itself."""


class Removed(NamedTuple):
    """An image that is to be removed."""

    holdings: ImageGroup
    freed: int  # bytes of disk, beside what those before it give back

    @property
    def names(self) -> tuple[str, ...]:
        """All its names."""
        return tuple(name for one in self.holdings for name in one.names)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the engine's command is to be told: a name by digest goes with the tags beside."""
        tagged = {name.rpartition(":")[0] for name in self.names if "@" not in name}
        names = [name for name in self.names if name.partition("@")[0] not in tagged]
        return tuple(names) or (self.holdings[0].image_id,)


class Beside(NamedTuple):
    """What could be freed beside images."""

    what: str  # ``build cache``, ``volumes``, ``logs``
    freed: int  # bytes of disk, each by itself
    number: int  # how many there are
    commands: tuple[tuple[str, ...], ...]  # of the engine; none where it has none for that


class Reclaim(NamedTuple):
    """What removing images would give back, in bytes of disk."""

    removed: tuple[Removed, ...]  # in the order in which they are to be removed
    containers: tuple[Holding, ...]  # that are to be removed before, and their part
    freed_by_containers: int

    @property
    def freed(self) -> int:
        """All together."""
        return self.freed_by_containers + sum(one.freed for one in self.removed)

    def commands(self) -> list[list[str]]:
        """The engine's own commands that remove them."""
        commands: dict[tuple[str, ...], list[str]] = {}
        for container in self.containers:
            commands.setdefault(container.tool, []).extend(container.names)
        for one in self.removed:
            commands.setdefault(one.holdings[0].tool, []).extend(one.arguments)
        return [[*tool, *names] for tool, names in commands.items()]


class ImageChoice(NamedTuple):
    """Which images are meant: those that all that is given applies to."""

    names: tuple[str, ...] = ()  # patterns as in a shell, names or the beginnings of ids
    excepted: tuple[str, ...] = ()  # the same: these not
    unnamed: bool = False  # only those without a name
    made_before: float | None = None  # only those that were made before, since the epoch
    need: int | None = None  # only as many as give so many bytes back, the oldest first


class _Removal:
    """What has been removed, beside what `before` has: roots, and keepers of holdings."""

    def __init__(self, before: "_Removal | None" = None) -> None:
        self._before = before
        self._roots: set[str] = set()
        self._lost: dict[str, int] = {}
        self.freed: set[str] = set()

    def remove(self, roots: Collection[str]) -> None:
        """Count `roots` as removed."""
        self._roots.update(roots)

    def lose(self, key: str) -> None:
        """Count a keeper of `key` as gone."""
        self._lost[key] = self._lost.get(key, 0) + 1

    def lost(self, key: str) -> int:
        """How many keepers of `key` are gone."""
        return self._lost.get(key, 0) + (0 if self._before is None else self._before.lost(key))

    def has(self, root: str) -> bool:
        """Whether a root is removed."""
        return root in self._roots or (self._before is not None and self._before.has(root))


class Reclaimer:
    """The images of a store, and who keeps what.

    Args:
        items: all of a ledger, from `layerscan.ledger.stocktaking.take_stock`.
        with_stopped: remove containers that do not run first.
        needed: paths that stay, whatever is removed.
        needed_images: digests of configs of images that stay.
    """

    def __init__(
        self,
        items: Iterable[Item],
        *,
        with_stopped: bool = False,
        needed: Collection[str] = (),
        needed_images: Iterable[str] = (),
    ) -> None:
        self._items = {item.holding.key: item for item in items}
        self._holdings = {key: item.holding for key, item in self._items.items()}
        self._roots = {key for key, one in self._holdings.items() if one.is_root}
        self._keepers = self._counted()
        needed = set(needed)
        for key, one in self._holdings.items() if needed else ():
            self._keepers[key] += not needed.isdisjoint(one.paths)
        containers = [
            self._items[key]
            for key in sorted(self._roots)
            if self._holdings[key].category is Category.CONTAINERS
        ]
        self._gone = [item.holding for item in containers if with_stopped and not item.in_use]
        staying = [item.holding for item in containers if item.holding not in self._gone]
        self._used = kept_by(
            self._holdings, [key for one in staying for key in (one.key, *one.uses)]
        )
        self._needed = {one.key for image in needed_images for one in self.having(image)}
        self._removal = _Removal()
        self._freed_by_containers = sum(self._drop([one.key], self._removal) for one in self._gone)

    def _counted(self) -> Counter[str]:
        """How many holdings that something keeps keep each one."""
        keepers: Counter[str] = Counter()
        for key in kept_by(self._holdings, self._roots):
            for other in self._holdings[key].keeps:
                if other in self._items:
                    keepers[other] += 1
        return keepers

    def images(self) -> list[ImageGroup]:
        """Every image with a record of its own: its names together count as one."""
        groups: dict[str, list[Holding]] = defaultdict(list)
        for key in self._roots:
            one = self._holdings[key]
            if one.category is Category.IMAGES:
                groups[one.group or one.key].append(one)
        return [
            tuple(sorted(group, key=lambda one: one.name)) for _, group in sorted(groups.items())
        ]

    def kept(self, group: Iterable[Holding]) -> str:
        """Why an image cannot be removed; empty if it can."""
        group = tuple(group)
        if any(one.is_pinned for one in group):
            return "the engine pins it"
        if any(one.key in self._needed for one in group):
            return "it is needed"
        return "a container uses it" if self.is_used(group) else ""

    def is_used(self, group: Iterable[Holding]) -> bool:
        """Whether a container uses an image."""
        return any(one.key in self._used for one in group)

    def matching(self, wanted: ImageChoice) -> list[ImageGroup]:
        """The images that are meant, the oldest first, also those that cannot be removed."""
        found = [group for group in self.images() if _fits(group, wanted)]
        # What has no time of its own comes last.
        found.sort(key=lambda group: (not _made(group), _made(group), group[0].name))
        return found

    def having(self, image_id: str, names: Iterable[str] = ()) -> list[Holding]:
        """The records of the image with a config of that digest, or with one of these names."""
        found = self._by_name.get(image_id, [])
        return list(
            dict.fromkeys([*found, *(one for n in names for one in self._by_name.get(n, ()))])
        )

    @cached_property
    def _by_name(self) -> dict[str, list[Holding]]:
        """Records of images by all that an image may be called."""
        found: dict[str, list[Holding]] = defaultdict(list)
        for group in self.images():
            for one in group:
                blobs = kept_by(self._holdings, [one.key]) if one.group else ()
                hexed = f"sha256:{one.image_id.removeprefix('sha256:')}"
                digests = (key.removeprefix("blob:") for key in blobs if key.startswith("blob:"))
                for name in {hexed, *digests, *one.names}:
                    found[name].append(one)
        return found

    def freed_alone(self, records: Collection[Holding]) -> set[str]:
        """The paths of all that the removal of these alone gives back."""
        removal = _Removal()
        self._drop([one.key for one in records], removal)
        return {path for key in removal.freed for path in self._holdings[key].paths}

    def remove(self, wanted: ImageChoice) -> Reclaim:
        """What removing the images that are meant gives back, one after the other."""
        removed = []
        left = None if wanted.need is None else wanted.need - self._freed_by_containers
        for group in self.matching(wanted):
            if left is not None and left <= 0:
                break
            if not self.kept(group):
                removed.append(self._remove(group))
                left = None if left is None else left - removed[-1].freed
        return self._reclaim(removed, only_helping=left is not None)

    def remove_fewest(self, need: int) -> Reclaim:
        """A set of images that gives at least `need` bytes back, and little more.

        As long as that is not enough: of those that suffice by themselves the one that gives
        least, else the one that gives most, of two the older one.
        """
        left = [group for group in self.matching(ImageChoice()) if not self.kept(group)]
        removed: list[Removed] = []
        need -= self._freed_by_containers
        while need > 0 and left:
            gains = [self.gain(group) for group in left]
            enough = [gain for gain in gains if gain >= need]
            group = left.pop(gains.index(min(enough, default=max(gains))))
            removed.append(self._remove(group))
            need -= removed[-1].freed
        return self._reclaim(removed, only_helping=True)

    def keepers(self, key: str) -> int:
        """How many holdings keep a holding, of those that something keeps themselves."""
        return self._keepers[key]

    def gain(self, group: Iterable[Holding]) -> int:
        """Bytes that an image gives back beside what is removed already."""
        return self._drop([one.key for one in group], _Removal(self._removal))

    def _remove(self, group: ImageGroup) -> Removed:
        return Removed(group, self._drop([one.key for one in group], self._removal))

    def _reclaim(self, removed: Sequence[Removed], *, only_helping: bool) -> Reclaim:
        helping = (one for one in removed if not only_helping or self._has_helped(one))
        return Reclaim(tuple(helping), tuple(self._gone), self._freed_by_containers)

    def _has_helped(self, removed: Removed) -> bool:
        """Whether anything that an image kept is free now."""
        kept = kept_by(self._holdings, [one.key for one in removed.holdings])
        return any(self._items[key].usage for key in kept & self._removal.freed)

    def _drop(self, keys: Collection[str], removal: _Removal) -> int:
        """Remove roots; bytes of what nobody keeps any more."""
        freed = 0
        removal.remove(keys)
        left = [key for key in keys if self._keepers[key] == removal.lost(key)]
        while left:
            key = left.pop()
            removal.freed.add(key)
            item = self._items[key]
            freed += item.usage - item.shared
            left += self._freed_by(item, removal)
        return freed

    def _freed_by(self, item: Item, removal: _Removal) -> Iterator[str]:
        for key in item.holding.keeps:
            if key in self._items:
                removal.lose(key)
                is_root = key in self._roots and not removal.has(key)
                if self._keepers[key] == removal.lost(key) and not is_root:
                    yield key

    def beside(self) -> list[Beside]:
        """What could be freed beside images: build cache, volumes without a container, logs."""
        caches = self._unused_roots(Category.BUILD_CACHE)
        volumes = self._unused_roots(Category.VOLUMES)
        logs = [item for key, item in self._items.items() if key.startswith("logs:")]
        found = [
            Beside("build cache", self._drop([one.key for one in caches], _Removal()),
                   len(caches), _commands(caches)),
            Beside("volumes that no container uses",
                   self._drop([one.key for one in volumes], _Removal()),
                   len(volumes), _commands(volumes)),
            Beside("logs of containers", sum(item.usage - item.shared for item in logs),
                   len(logs), ()),
        ]  # fmt: skip
        return [one for one in found if one.freed]

    def _unused_roots(self, category: Category) -> list[Holding]:
        found = (self._items[key] for key in sorted(self._roots) if not self._keepers[key])
        return [
            item.holding for item in found if item.holding.category is category and not item.in_use
        ]


def _commands(holdings: Iterable[Holding]) -> tuple[tuple[str, ...], ...]:
    commands: dict[tuple[str, ...], list[str]] = {}
    for one in holdings:
        if one.tool:
            commands.setdefault(one.tool, []).extend(one.names)
    return tuple((*tool, *names) for tool, names in commands.items())


def _fits(group: ImageGroup, wanted: ImageChoice) -> bool:
    names = [name for one in group for name in (*one.names, one.name)]
    if wanted.names and not any(_matches(pattern, group, names) for pattern in wanted.names):
        return False
    if any(_matches(pattern, group, names) for pattern in wanted.excepted):
        return False
    if wanted.unnamed and any(one.names for one in group):
        return False
    made = _made(group)
    return wanted.made_before is None or (bool(made) and made < wanted.made_before)


def _made(group: Iterable[Holding]) -> float:
    """When an image was made; 0 where it says 1970, as what is built to be the same each time."""
    made = max(one.made or 0.0 for one in group)
    return made if made >= _YEAR else 0.0


def _matches(pattern: str, group: ImageGroup, names: Sequence[str]) -> bool:
    if any(is_like(name, pattern) for name in names):
        return True
    hexed = pattern.removeprefix("sha256:")
    ids = [one.image_id.removeprefix("sha256:") for one in group]
    return len(hexed) >= _SHORTEST_ID and any(one.startswith(hexed) for one in ids)
