"""From holdings and what they take to the things of a page.

Owns which things a page shows one by one, to whom each belongs, and that none is left out
that the rule of `layerscan.ledger.reclaim` needs: the page's scripts apply it again.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from layerscan import __version__
from layerscan.cli.page.looking import look_into
from layerscan.cli.page.model import LONGEST_NAME, PageHolder, PageThing
from layerscan.cli.tables import moment
from layerscan.ledger.model import Item
from layerscan.ledger.reclaim import Reclaimer
from layerscan.stores.holdings import Category, kept_by
from layerscan.text import printable, printable_path

_MOST_THINGS = 1000  # of a category that are shown one by one
_LONGEST_STEP = 300


class LayerFacts(NamedTuple):
    """What is known of a layer beside what it takes."""

    files: str  # the folder with its files
    diff_id: str
    digest: str = ""  # of its blob; empty if it is not known
    size: int | None = None  # bytes of content
    step: str = ""  # of the build that made it
    name: str = ""  # what to call it, if that is not the holding's name
    images: int | None = None  # how many have it, if that is known better


class Built(NamedTuple):
    """The things of a page, and what is not shown of them."""

    holders: tuple[PageHolder, ...]
    things: tuple[PageThing, ...]
    more: Mapping[Category, tuple[int, int]]
    cut: tuple[str, ...]


def about(command: str, kind: str, root: str, **more: str) -> dict[str, str]:
    """What a page says of itself: what made it, where and when, and of which store."""
    return {
        "version": __version__,
        "command": command,
        "host": shown_name(os.uname().nodename),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": kind,
        "root": printable_path(root),
        **more,
    }


def shown_name(text: str) -> str:
    """A name as it is shown, whatever is in it."""
    return printable(text, longest=LONGEST_NAME)


def build(
    items: Sequence[Item],
    holders: Sequence[PageHolder],
    facts: Mapping[str, LayerFacts],
    *,
    only: Category | None = None,
) -> Built:
    """The things of a page.

    Args:
        items: all that there is.
        holders: to whom they belong; what each takes in all is added here, if it is not known.
        facts: what is known of layers, by the absolute paths of their folders.
        only: the category of all things, if it is not each one's own.
    """
    building = _Building(items, facts, only)
    reclaimer = Reclaimer(items)
    full = tuple(building.held(place, holder) for place, holder in enumerate(holders))
    needed = kept_by(building.holdings, [key for one in full for key in one.roots])
    shown, more = building.shown(needed)
    looks, cut = look_into(shown, {path: one.files for path, one in facts.items()}, items)
    things = []
    for item in shown:
        key = item.holding.key
        thing = building.thing(item)._replace(keepers=reclaimer.keepers(key))
        if key in needed:
            thing = thing._replace(keeps=item.holding.keeps)
        if key in looks:
            thing = thing._replace(files=looks[key].files, unlisted=looks[key].unlisted)
        things.append(thing)
    lines = (
        f"{number:,} smaller things of {kind.replace('_', ' ')} are drawn as one"
        for kind, (number, _) in more.items()
    )
    return Built(full, tuple(things), more, (*lines, *cut))


class _Building:
    """Items on their way to be things."""

    def __init__(
        self, items: Sequence[Item], facts: Mapping[str, LayerFacts], only: Category | None
    ) -> None:
        self._items = {item.holding.key: item for item in items}
        self._facts = facts
        self.holdings = {key: item.holding for key, item in self._items.items()}
        self._kinds = {key: only or one.category for key, one in self.holdings.items()}
        self._having: dict[str, list[int]] = defaultdict(list)

    def held(self, place: int, holder: PageHolder) -> PageHolder:
        """A holder that is at this place, with what it takes."""
        kept = kept_by(self.holdings, holder.roots)
        own = [key for key in kept if self._kinds[key] is holder.category]
        for key in own:
            self._having[key].append(place)
        usage = holder.usage or sum(self._items[key].usage for key in own)
        is_image = holder.category is Category.IMAGES
        return holder._replace(usage=usage, roots=holder.roots if is_image else ())

    def shown(self, needed: Collection[str]) -> tuple[list[Item], dict[Category, tuple[int, int]]]:
        """The items that are shown one by one, the largest first, and what the others are."""
        shown = []
        number: Counter[Category] = Counter()
        more: dict[Category, tuple[int, int]] = {}
        for item in sorted(self._items.values(), key=lambda item: -item.usage):
            key = item.holding.key
            kind = self._kinds[key]
            if key in needed or (item.usage and number[kind] < _MOST_THINGS):
                number[kind] += 1
                shown.append(item)
            elif item.usage:
                before, usage = more.get(kind, (0, 0))
                more[kind] = (before + 1, usage + item.usage)
        return shown, more

    def thing(self, item: Item) -> PageThing:
        """An item as a thing."""
        holding = item.holding
        kind = self._kinds[holding.key]
        layer = next((self._facts[one] for one in holding.paths if one in self._facts), None)
        having = self._having[holding.key]
        images = len(having) if kind is Category.IMAGES else 0
        if layer is not None and layer.images is not None:
            images = layer.images
        thing = PageThing(
            key=holding.key,
            category=kind,
            name=shown_name(holding.name),
            usage=item.usage,
            shared=item.shared,
            holder=having[0] if len(having) == 1 and images <= 1 else None,
            images=images,
            is_root=holding.is_root,
            in_use=item.in_use,
            reason=printable(holding.reason),
            path=printable_path(holding.paths[0]) if holding.paths else "",
            since=moment(item.since),
        )
        if layer is None:
            is_blob = holding.key.startswith("blob:")
            return thing._replace(digest=holding.key.removeprefix("blob:") if is_blob else "")
        return thing._replace(
            name=layer.name or thing.name,
            digest=layer.digest,
            diff_id=layer.diff_id,
            size=layer.size,
            step=printable(layer.step, longest=_LONGEST_STEP),
        )
