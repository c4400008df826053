"""The page of ``layerscan df``: all of a store."""

from collections.abc import Iterable, Iterator

from layerscan.cli.page.building import LayerFacts, about, build, shown_name
from layerscan.cli.page.model import PageCategory, PageData, PageHolder
from layerscan.cli.tables import moment
from layerscan.ledger.model import Ledger
from layerscan.ledger.reclaim import Reclaimer
from layerscan.stores.holdings import Category
from layerscan.stores.model import Image
from layerscan.text import printable

_WITH_HOLDERS = (Category.CONTAINERS, Category.VOLUMES, Category.BUILD_CACHE)


def page_of_ledger(ledger: Ledger, images: Iterable[Image]) -> PageData:
    """The page of a ledger; `images` tell the layers' digests and steps."""
    reclaimer = Reclaimer(ledger.items)
    holders = [*_images(reclaimer), *_others(ledger)]
    built = build(ledger.items, holders, _facts(images))
    removed = [f"{ledger.vanished:,} entries were removed while this ran"] * bool(ledger.vanished)
    return PageData(
        about=about("df", ledger.kind, ledger.root),
        total=ledger.total,
        categories=tuple(
            PageCategory(kind, one.usage, one.in_use, one.freeable, one.number)
            for kind, one in ledger.sums.items()
        ),
        holders=built.holders,
        things=built.things,
        more=built.more,
        cut=built.cut,
        warnings=tuple(printable(one, longest=None) for one in (*ledger.notes, *removed)),
        problems=tuple(printable(str(one), longest=None) for one in ledger.problems),
    )


def _images(reclaimer: Reclaimer) -> Iterator[PageHolder]:
    for group in reclaimer.images():
        names = [shown_name(name) for one in group for name in one.names]
        image_id = printable(group[0].image_id)
        yield PageHolder(
            Category.IMAGES,
            label=names[0] if names else image_id.removeprefix("sha256:")[:12],
            names=tuple(names),
            image_id=image_id,
            created=moment(max((one.made or 0.0 for one in group), default=0.0) or None),
            own=reclaimer.gain(group),
            kept=reclaimer.kept(group),
            roots=tuple(one.key for one in group),
        )


def _others(ledger: Ledger) -> Iterator[PageHolder]:
    for kind in _WITH_HOLDERS:
        for item in ledger.items:
            one = item.holding
            if one.category is kind and one.is_root:
                yield PageHolder(kind, shown_name(one.name), roots=(one.key,))


def _facts(images: Iterable[Image]) -> dict[str, LayerFacts]:
    """What images tell of their layers, by the layers' folders."""
    found: dict[str, LayerFacts] = {}
    for image in images:
        for place, layer in enumerate(image.layers):
            digests = (known[place] for known in image.digests.values() if place < len(known))
            facts = LayerFacts(
                files=f"{layer.folder}/{layer.content}",
                diff_id=layer.diff_id,
                digest=next((digest for digest in digests if digest), ""),
                size=layer.recorded_size,
                step=image.steps[place] if place < len(image.steps) else "",
            )
            before = found.get(layer.folder, facts)
            found[layer.folder] = before._replace(
                digest=before.digest or facts.digest, step=before.step or facts.step
            )
    return found
