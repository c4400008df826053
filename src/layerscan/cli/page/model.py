"""What the page shows, as values, and as the JSON in it.

Owns the data model: whatever a command found becomes a `PageData`, and the page's scripts
know nothing else. docs/explanation/page.md describes it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from layerscan.stores.holdings import Category
from layerscan.text import printable
from layerscan.walking.largest import LargeEntry

LONGEST_NAME = 200
"""Characters of a name that are shown."""


class PageCategory(NamedTuple):
    """All things of a kind together, in bytes of disk; None for what was not looked at."""

    category: Category
    usage: int
    in_use: int | None = None
    freeable: int | None = None
    number: int | None = None


class PageHolder(NamedTuple):
    """An image, a container, or another holder of things."""

    category: Category
    label: str
    names: tuple[str, ...] = ()  # of an image: all that it is called
    image_id: str = ""  # of an image
    platform: str = ""
    created: str = ""
    usage: int = 0  # bytes of disk of all that it keeps
    own: int = 0  # bytes that would come back if it alone were removed
    kept: str = ""  # why it cannot be removed; empty if it can
    roots: tuple[str, ...] = ()  # keys of the things that are removed with it


class PageThing(NamedTuple):
    """A thing on disk: a layer, a volume, a log."""

    key: str  # what other things name it by
    category: Category
    name: str
    usage: int  # bytes of disk
    shared: int = 0  # of these, what its removal would not free
    holder: int | None = None  # place of the one holder that has it
    images: int = 0  # how many images have it
    keeps: tuple[str, ...] = ()  # keys of the things that stay as long as it does
    keepers: int = 0  # how many things keep it
    is_root: bool = False  # whether it is there for its own sake
    in_use: bool = False
    reason: str = ""  # why it is in its category
    path: str = ""
    since: str = ""  # when it was last changed
    digest: str = ""  # of a layer's blob, or of the blob that it is
    diff_id: str = ""  # of a layer
    size: int | None = None  # of a layer: bytes of content
    step: str = ""  # of the build that made a layer
    files: tuple[LargeEntry, ...] = ()  # the largest in it
    unlisted: str = ""  # what `files` lacks, and why


class PageData(NamedTuple):
    """All that a page shows. The usages of its things add up to `total`."""

    about: Mapping[str, str]  # version, command, host, time, store: for its head
    total: int  # bytes of disk
    categories: tuple[PageCategory, ...]
    holders: tuple[PageHolder, ...]
    things: tuple[PageThing, ...]
    more: Mapping[Category, tuple[int, int]]  # things that are not shown: how many, and bytes
    cut: tuple[str, ...]  # what the page leaves out, a line each
    warnings: tuple[str, ...]  # what the reader should know
    problems: tuple[str, ...]  # what could not be read: figures may be too small

    def plain(self) -> dict[str, object]:
        """It as JSON: things name others by their places; what is empty is left out."""
        place = {thing.key: number for number, thing in enumerate(self.things)}
        return {
            "about": dict(self.about),
            "total": self.total,
            "categories": [_given(one._asdict()) for one in self.categories],
            "holders": [
                _given(one._asdict() | {"roots": [place[key] for key in one.roots]})
                for one in self.holders
            ],
            "things": [
                _given(
                    one._asdict()
                    | {
                        "key": None,
                        "keeps": [place[key] for key in one.keeps if key in place],
                        "files": [_plain_entry(entry) for entry in one.files],
                    }
                )
                for one in self.things
            ],
            "more": [
                {"category": category, "number": number, "usage": usage}
                for category, (number, usage) in self.more.items()
            ],
            "cut": self.cut,
            "warnings": self.warnings,
            "problems": self.problems,
        }


def _given(fields: dict[str, object]) -> dict[str, object]:
    """The fields that say something; 0 as a place or a figure is kept where None is not."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value is not False and value not in ("", (), [])
    }


def _plain_entry(entry: LargeEntry) -> list[object]:
    inside = [_plain_entry(one) for one in entry.inside]
    name = printable(entry.name, longest=LONGEST_NAME) + ("/" if entry.is_folder else "")
    return [name, entry.usage, *([inside] if inside else [])]
