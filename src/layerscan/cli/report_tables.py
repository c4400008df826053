"""The report on images and their layers as people see it: tables, Markdown, metrics."""

from collections.abc import Callable, Iterator, Sequence

from layerscan.cli.exposition import Metric, exposition
from layerscan.cli.markdown import MarkdownTable, markdown_text, summary
from layerscan.cli.output import print_json
from layerscan.cli.report import ImageCosts, Report, ReportedImage, ReportedLayer
from layerscan.cli.report_options import ReportView
from layerscan.cli.tables import Table, counted, human, human_change, print_tables, short

# Columns that a narrow terminal can best do without.
_SPARED_OF_IMAGES = ("LAYERS", "CREATED", "SHARED")
_SPARED_OF_LAYERS = ("DIGEST", "IMAGE", "IMAGES")
_LONGEST_STEP = 80  # characters of a step in a table
_SERIES = 20  # images with metrics of their own, where --top does not say how many

_Entry = tuple[ReportedImage, ImageCosts]


def print_report(report: Report, form: str | None, view: ReportView | None = None) -> None:
    """Print the report in one of the forms of ``--format``, None for tables."""
    shown = _ShownReport(report, view or ReportView())
    if form == "json":
        print_json(shown.plain())
    elif form == "markdown":
        print(shown.markdown(), end="")
    elif form == "prometheus":
        print(exposition(shown.metrics()), end="")
    else:
        shown.print()


class _ShownReport:
    """A report in a view."""

    def __init__(self, report: Report, view: ReportView) -> None:
        self._report = report
        self._view = view
        self._growth = view.growth

    def plain(self) -> dict[str, object]:
        """It as JSON: all of it, whatever is shown to people."""
        found = self._report.plain()
        if self._growth is not None:
            found["growth"] = self._growth.plain()
        if self._view.exceeded is not None:
            found["exceeded"] = [one._asdict() for one in self._view.exceeded]
        return found

    def print(self) -> None:
        """Print tables, and the totals."""
        tables = []
        if self._view.images:
            # What a narrow terminal can best do without comes first.
            tables.append(
                self._table(self._image_heads(), self._image_rows(), ("LAYERS", "CREATED"))
            )
        if self._view.layers:
            tables.append(self._table(self._layer_heads(), self._layer_rows(), ("DIGEST", "IMAGE")))
        print_tables(*tables)
        print(self._totals())
        for line in (*self._grown(), *self._view.notes):
            print(line)

    def _table(
        self, heads: tuple[list[str], list[str]], rows: list[tuple[str, ...]], spared: Sequence[str]
    ) -> Table:
        table = Table(*heads, spared=spared)
        for row in rows[: self._view.top]:
            table.add(*row)
        if len(rows) > len(rows[: self._view.top]):
            table.end(f"and {len(rows) - (self._view.top or 0):,} more")
        return table

    def _totals(self) -> str:
        report, totals = self._report, self._report.totals
        counts = ", ".join(counted(totals[key], key) for key in ("images", "layers", "files"))
        figures = f"size {human(totals['size'])}, usage {human(totals['usage'])}"
        return f"{counts}: {figures} ({report.accounting} accounting) {report.closing}"

    def _grown(self) -> list[str]:
        return [] if self._growth is None else [self._growth.summary()]

    def markdown(self) -> str:
        """It for a CI job's summary: the answer, and the largest images and layers."""
        totals = self._report.totals
        over = [f"**Over budget**: {markdown_text(str(one))}" for one in self._view.exceeded or ()]
        lines = (self._totals(), *self._grown(), *self._view.notes)
        answer = [*over, f"**{human(totals['usage'])}** of disk", *map(markdown_text, lines)]
        listings = []
        for is_shown, title, heads, rows in (
            (self._view.images, "images", self._image_heads(), self._image_rows()),
            (self._view.layers, "layers", self._layer_heads(), self._layer_rows()),
        ):
            if is_shown:
                top = self._view.top
                listings.append(MarkdownTable(title, [*heads[0], *heads[1]], rows[:top], len(rows)))
        return summary(answer, listings)

    def _image_heads(self) -> tuple[list[str], list[str]]:
        grown = [] if self._growth is None else ["GREW"]
        created = ["CREATED"] if any(one.created for one in self._report.images) else []
        return ["SIZE", "USAGE", *grown, "SHARED", "OWN", "LAYERS"], [*created, "ARCH", "IMAGE"]

    def _image_rows(self) -> list[tuple[str, ...]]:
        created = any(one.created for one in self._report.images)
        return [
            (
                human(costs.size),
                human(costs.usage),
                *self._change(image.image_id),
                human(costs.shared),
                human(costs.own),
                str(len(image.layers)),
                *([_day(image.created)] if created else []),
                image.architecture + (f"/{image.variant}" if image.variant else ""),
                _title(image),
            )
            for image, costs in self._sorted_images()
        ]

    def _change(self, key: str) -> list[str]:
        """The cell that says by how much an image or a layer has grown, where that is asked."""
        if self._growth is None:
            return []
        change = self._growth.changes[key]
        return ["new" if change is None else human_change(change)]

    def _layer_heads(self) -> tuple[list[str], list[str]]:
        # Where archives are known, so is the one digest of each: both would be too wide.
        archive, chain = (["ARCHIVE SIZE"], []) if self._has_archives else ([], ["LAYER"])
        grown = [] if self._growth is None else ["GREW"]
        step = ["STEP"] if any(one.step for one in self._report.layers.values()) else []
        figures = [*archive, "SIZE", "USAGE", *grown, "FILES", "IMAGES"]
        return figures, [*chain, "DIGEST", "IMAGE", *step]

    @property
    def _has_archives(self) -> bool:
        return any(one.archive_size is not None for one in self._report.layers.values())

    def _layer_rows(self) -> list[tuple[str, ...]]:
        with_archive = self._has_archives
        with_step = any(one.step for one in self._report.layers.values())
        labels: dict[str, str] = {}
        for image in self._report.images:
            for chain in image.layers:
                labels.setdefault(chain, image.label)
        return [
            (
                *([human(layer.archive_size or 0)] if with_archive else []),
                human(layer.size),
                human(layer.usage),
                *self._change(layer.chain_id),
                f"{layer.files:,}",
                str(layer.images),
                *([] if with_archive else [short(layer.chain_id)]),
                ", ".join(map(short, layer.digests)) or "none",
                labels[layer.chain_id],
                *([_cut(layer.step or "")] if with_step else []),
            )
            for layer in self._sorted_layers(labels)
        ]

    def _sorted_images(self) -> list[_Entry]:
        """The images in the order that is asked for; what is equal there, by usage."""
        orders: dict[str, Callable[[_Entry], object]] = {
            "size": lambda entry: -entry[1].size,
            "own": lambda entry: -entry[1].own,
            "name": lambda entry: entry[0].label,
            "growth": lambda entry: self._rank(entry[0].image_id, entry[1].usage),
        }
        found = self._report.costly_images()
        if self._view.sort == "created":
            return sorted(found, key=lambda entry: entry[0].created or "", reverse=True)
        order = orders.get(self._view.sort)
        return found if order is None else sorted(found, key=order)  # type: ignore[arg-type]

    def _sorted_layers(self, labels: dict[str, str]) -> list[ReportedLayer]:
        """The layers likewise: by their own figure where they have it, else by usage."""
        orders: dict[str, Callable[[ReportedLayer], object]] = {
            "size": lambda layer: -layer.size,
            "own": lambda layer: layer.images,
            "name": lambda layer: labels[layer.chain_id],
            "growth": lambda layer: self._rank(layer.chain_id, layer.usage),
        }
        found = self._report.costly_layers()
        order = orders.get(self._view.sort)
        return found if order is None else sorted(found, key=order)  # type: ignore[arg-type]

    def _rank(self, key: str, usage: int) -> int:
        change = None if self._growth is None else self._growth.changes[key]
        return -(usage if change is None else change)

    def metrics(self) -> Iterator[Metric]:
        """Figures of the store's images, and of the largest of them one by one."""
        totals = self._report.totals
        subject = self._report.subject["store"]
        assert isinstance(subject, dict)  # noqa: S101 - every report has it
        for key, meaning in (
            ("images", "Images with figures here."),
            ("layers", "Layers of these images, each once."),
        ):
            yield Metric(f"layerscan_{key}", meaning, [(subject, totals[key])])
        for key, meaning in (
            ("size", "Content of these layers."),
            ("usage", "Disk that these layers take."),
        ):
            yield Metric(f"layerscan_images_{key}_bytes", meaning, [(subject, totals[key])])
        top = _SERIES if self._view.top is None else self._view.top
        largest = self._sorted_images()[:top]
        for key, meaning in (
            ("usage", "Disk that an image takes, what it shares included."),
            ("own", "Disk that would be free without an image."),
        ):
            samples = [
                ({**subject, "image": image.label, "arch": image.architecture}, getattr(costs, key))
                for image, costs in largest
            ]
            yield Metric(f"layerscan_image_{key}_bytes", meaning, samples)


def _title(image: ReportedImage) -> str:
    more = len(image.names) - 1
    also = f" (+{more})" if more > 0 else ""
    return image.label + also + (" (a container keeps it)" if image.in_container else "")


def _day(created: str | None) -> str:
    """The day of a time as RFC 3339 has it; what is no such time is left out."""
    day = (created or "")[:10]
    return day if day.replace("-", "").isdigit() else ""


def _cut(step: str) -> str:
    return step if len(step) <= _LONGEST_STEP else f"{step[: _LONGEST_STEP - 1]}…"
