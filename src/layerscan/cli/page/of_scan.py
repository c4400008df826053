"""The page of ``layerscan scan``: images, and what their layers cost by a scan's accounting.

Who keeps what is that of the whole store: an image that was not scanned keeps layers, too.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from layerscan.cli.page.building import LayerFacts, about, build, shown_name
from layerscan.cli.page.model import PageCategory, PageData, PageHolder
from layerscan.cli.report import Report, ReportedImage
from layerscan.ledger.model import Item
from layerscan.ledger.reclaim import Reclaimer
from layerscan.scanning.result import Scan
from layerscan.stores.holdings import Category, Holding
from layerscan.text import printable


def page_of_scan(report: Report, result: Scan, holdings: Iterable[Holding]) -> PageData:
    """The page of a scan of a store with these holdings."""
    graph = _Graph(report, result, holdings)
    built = build(
        graph.items, list(_holders(report, graph)), _facts(report, result), only=Category.IMAGES
    )
    totals = report.totals
    store = result.store
    return PageData(
        about=about("scan", store.kind, store.root, accounting=report.accounting),
        total=totals["usage"],
        categories=(PageCategory(Category.IMAGES, totals["usage"], number=totals["images"]),),
        holders=built.holders,
        things=built.things,
        more=built.more,
        cut=built.cut,
        warnings=tuple(printable(one, longest=None) for one in result.warnings),
        problems=tuple(printable(str(one), longest=None) for one in result.problems),
    )


class _Graph:
    """The holdings of a store with the figures of a scan.

    Attributes:
        records: by image_id the keys of what is to be removed to be rid of an image.
        kept: by image_id why some cannot be removed, whoever uses them.
    """

    def __init__(self, report: Report, result: Scan, holdings: Iterable[Holding]) -> None:
        # Why something would be nobody's is for a ledger to say.
        self._holdings = {one.key: one._replace(reason="") for one in holdings}
        self._usage: Counter[str] = Counter()
        self.records: dict[str, tuple[str, ...]] = {}
        self.kept: dict[str, str] = {}
        places = self._add_layers(report, result)
        reclaimer = Reclaimer(self.items)
        for chosen, image in zip(result.chosen, report.images, strict=True):
            names = (*map(str, chosen.image.names), *image.names)
            found = [one.key for one in reclaimer.having(image.image_id, names)]
            self._add_image(image, found, [places[chain] for chain in image.layers])

    @property
    def items(self) -> list[Item]:
        """The holdings, and for each image one for what it takes beside its layers."""
        return [Item(one, self._usage[key], 0) for key, one in self._holdings.items()]

    def _add_layers(self, report: Report, result: Scan) -> dict[str, str]:
        """The keys of what holds the layers, by chain_id."""
        keys = {path: one.key for one in self._holdings.values() for path in one.paths}
        places = {}
        for chain, cost in result.costs.items():
            folder = cost.layer.folder
            key = keys.get(folder, f"layer {chain}")
            if key not in self._holdings:
                self._holdings[key] = Holding(key, Category.IMAGES, chain, (folder,))
            self._usage[key] += report.layers[chain].usage
            places[chain] = key
        return places

    def _add_image(self, image: ReportedImage, records: list[str], layers: list[str]) -> None:
        beside = f"beside {image.image_id}"
        name = f"{image.label}: beside its layers"
        self._holdings[beside] = Holding(beside, Category.IMAGES, name)
        self._usage[beside] = image.beside
        if not records:
            # A step of a build goes with the image that was built on it.
            records = self._parts(image.image_id)
            self.kept[image.image_id] = "another image was built on it"
        if not records:
            records = [f"image {image.image_id}"]
            self.kept[image.image_id] = "the store has no record of it any more"
            self._holdings[records[0]] = Holding(
                records[0], Category.IMAGES, image.label, keeps=tuple(layers), is_root=True
            )
        for key in records:
            one = self._holdings[key]
            self._holdings[key] = one._replace(keeps=(*one.keeps, beside))
        self.records[image.image_id] = tuple(records)

    def _parts(self, image_id: str) -> list[str]:
        """The keys of an image that is not there for its own sake."""
        hexed = image_id.removeprefix("sha256:")
        return [
            key
            for key, one in self._holdings.items()
            if one.image_id.removeprefix("sha256:") == hexed and not one.is_root
        ]


def _holders(report: Report, graph: _Graph) -> Iterator[PageHolder]:
    reclaimer = Reclaimer(graph.items)
    records = {item.holding.key: item.holding for item in graph.items}
    for image in report.images:
        keys = graph.records[image.image_id]
        kept = graph.kept.get(image.image_id) or reclaimer.kept(records[key] for key in keys)
        costs = report.costs(image)
        platform = filter(None, (image.os, image.architecture, image.variant))
        yield PageHolder(
            Category.IMAGES,
            label=shown_name(image.label),
            names=tuple(map(shown_name, image.names)),
            image_id=image.image_id,
            platform=printable("/".join(platform)),
            created=printable(image.created or ""),
            usage=costs.usage,
            own=costs.own,
            kept=kept,
            roots=keys,
        )


def _facts(report: Report, result: Scan) -> dict[str, LayerFacts]:
    """What the scan tells of layers, by their folders."""
    names = {
        chain: f"{image.label}, layer {place} of {len(image.layers)}"
        for image in reversed(report.images)
        for place, chain in enumerate(image.layers, 1)
    }
    found = {}
    for chain, cost in result.costs.items():
        layer, at = report.layers[chain], cost.layer
        found[at.folder] = LayerFacts(
            files=f"{at.folder}/{at.content}",
            diff_id=layer.diff_id,
            digest=next(iter(layer.digests), ""),
            size=layer.size,
            step=layer.step or "",
            name=shown_name(names[chain]),
            images=layer.images,
        )
    return found
