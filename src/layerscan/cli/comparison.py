"""What has grown since an earlier scan, by the report that ``scan --format json`` wrote of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from layerscan import jsondoc
from layerscan.cli.report import Report, ReportedImage
from layerscan.cli.tables import human, human_change
from layerscan.errors import LayerscanError, ReferenceSyntaxError
from layerscan.jsondoc import Place
from layerscan.layersmeta import MAX_DOCUMENT
from layerscan.reference import parse
from layerscan.text import printable_path

_MOST = 1_000_000  # images or layers of a report

_Platform = tuple[str, str, str]  # operating system, architecture, variant
_Key = tuple[str, _Platform]  # a name or a repository, for a platform


class OldImage(NamedTuple):
    """An image of the earlier report."""

    image_id: str
    names: tuple[str, ...]
    platform: _Platform
    usage: int  # bytes of disk


class OldReport(NamedTuple):
    """The earlier report."""

    file: str
    accounting: str  # the rule of the usages
    images: tuple[OldImage, ...]
    layers: Mapping[str, int]  # bytes of disk by chain_id
    usage: int  # bytes of disk, all together


class Comparison(NamedTuple):
    """What has grown, in bytes of disk."""

    old: OldReport
    images: tuple[ReportedImage, ...]  # of the new report
    growth: int  # all together
    # By how much each image of the new report has grown, by image_id, and each layer, by
    # chain_id; None for what is new.
    changes: Mapping[str, int | None]
    before: Mapping[str, OldImage]  # what images were before, by image_id
    gone_images: tuple[OldImage, ...]
    gone_layers: Mapping[str, int]  # their usage, by chain_id
    new_layers: Mapping[str, int]

    def summary(self) -> str:
        """It in a line."""
        new, gone = sum(self.new_layers.values()), sum(self.gone_layers.values())
        parts = (
            f"new layers: {len(self.new_layers):,} ({human(new)})",
            f"layers gone: {len(self.gone_layers):,} ({human(gone)})",
            f"images gone: {len(self.gone_images):,}",
        )
        since = f"since {printable_path(self.old.file)}: {human_change(self.growth)}"
        return f"{since}; {', '.join(parts)}"

    def plain(self) -> dict[str, object]:
        """It as JSON."""
        return {
            "since": self.old.file,
            "usage": self.growth,
            "images": [self._plain_image(one) for one in self.images],
            "gone_images": [
                {"image_id": one.image_id, "names": list(one.names), "usage": one.usage}
                for one in self.gone_images
            ],
            "new_layers": [*self.new_layers],
            "gone_layers": [*self.gone_layers],
        }

    def _plain_image(self, image: ReportedImage) -> dict[str, object]:
        before = self.before.get(image.image_id)
        return {
            "image_id": image.image_id,
            "names": list(image.names),
            "before": None if before is None else before.usage,
            "growth": self.changes[image.image_id],
        }


def load_report(path: str) -> OldReport:
    """Read the report in the file `path`; a DocumentError where it is not one."""
    place = Place(path)
    document = jsondoc.mapping(jsondoc.decode(jsondoc.read_file(path, MAX_DOCUMENT), path), place)
    images = []
    for number, value in enumerate(_array(document, "images", place)):
        at = place.key("images").key(number)
        image = jsondoc.mapping(value, at)
        system, architecture, variant = (
            jsondoc.text(image, key, at) for key in ("os", "architecture", "variant")
        )
        images.append(
            OldImage(
                jsondoc.text(image, "image_id", at),
                jsondoc.strings(image, "names", at),
                (system, architecture, variant),
                jsondoc.integer(image, "usage", at),
            )
        )
    layers = {}
    for number, value in enumerate(_array(document, "layers", place)):
        at = place.key("layers").key(number)
        layer = jsondoc.mapping(value, at)
        layers[jsondoc.text(layer, "chain_id", at)] = jsondoc.integer(layer, "usage", at)
    at = place.key("totals")
    totals = jsondoc.mapping(jsondoc.member(document, "totals", place), at)
    accounting = jsondoc.text(document, "accounting", place)
    usage = jsondoc.integer(totals, "usage", at)
    return OldReport(path, accounting, tuple(images), layers, usage)


def _array(document: dict[str, object], key: str, place: Place) -> list[object]:
    return jsondoc.array(jsondoc.member(document, key, place), place.key(key), longest=_MOST)


def growth_since(report: Report, old: OldReport) -> Comparison:
    """What has grown from `old` to `report`; a LayerscanError if their figures are of two rules.

    An image is compared with the one that had one of its names, else with the same one under
    another name, else with the only one of its repository: a release has a new tag.
    """
    if old.accounting != report.accounting:
        raise LayerscanError(
            f"{old.file}: its figures are of the {old.accounting} accounting, those of this scan "
            f"of the {report.accounting} accounting: they cannot be compared"
        )
    before = _matched(report.images, old.images)
    changes: dict[str, int | None] = {
        chain: layer.usage - old.layers[chain] if chain in old.layers else None
        for chain, layer in report.layers.items()
    }
    for image in report.images:
        known = before.get(image.image_id)
        usage = report.costs(image).usage
        changes[image.image_id] = None if known is None else usage - known.usage
    matched = {id(one) for one in before.values()}
    return Comparison(
        old=old,
        images=tuple(report.images),
        growth=report.totals["usage"] - old.usage,
        changes=changes,
        before=before,
        gone_images=tuple(one for one in old.images if id(one) not in matched),
        gone_layers={key: one for key, one in old.layers.items() if key not in report.layers},
        new_layers={key: one.usage for key, one in report.layers.items() if key not in old.layers},
    )


def _matched(new: Iterable[ReportedImage], old: Iterable[OldImage]) -> dict[str, OldImage]:
    """The old image that each of the new ones was, by image_id; each is that of one."""
    found: dict[str, OldImage] = {}
    left_new, left_old = list(new), list(old)
    for keys_of in (_names, _ids, _repositories):
        olds = Counter(key for one in left_old for key in keys_of(one))
        news = Counter(key for one in left_new for key in keys_of(one))
        by_key = {key: one for one in left_old for key in keys_of(one) if olds[key] == 1}
        taken: set[int] = set()
        for image in left_new:
            ways = [by_key[key] for key in keys_of(image) if key in by_key and news[key] == 1]
            known = next((one for one in ways if id(one) not in taken), None)
            if known is not None:
                found[image.image_id] = known
                taken.add(id(known))
        left_new = [one for one in left_new if one.image_id not in found]
        left_old = [one for one in left_old if id(one) not in taken]
    return found


def _platform(image: ReportedImage | OldImage) -> _Platform:
    if isinstance(image, OldImage):
        return image.platform
    return image.os, image.architecture, image.variant


def _names(image: ReportedImage | OldImage) -> list[_Key]:
    return [(name, _platform(image)) for name in image.names]


def _ids(image: ReportedImage | OldImage) -> list[_Key]:
    return [(image.image_id, _platform(image))]


def _repositories(image: ReportedImage | OldImage) -> set[_Key]:
    found = set()
    for name in image.names:
        try:
            found.add((parse(name).repository, _platform(image)))
        except ReferenceSyntaxError:  # some stores take any text
            continue
    return found
