"""What a policy answers: does it fit, and the figures behind that.

Owns the values, and the sums that every reader of them would make.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from layerscan.errors import LayerscanError


class Rule(StrEnum):
    """How an App's need was found."""

    METADATA = "metadata"
    ESTIMATE = "estimate"
    SKIPPED = "skipped"


class Watermarks(NamedTuple):
    """The watermarks of a policy: percent of a disk that may be used."""

    default: int
    lowest: int
    highest: int

    def chosen(self, asked: int | None) -> int:
        """What the user asked for, None for the default; LayerscanError if out of range."""
        if asked is None:
            return self.default
        if not self.lowest <= asked <= self.highest:
            raise LayerscanError(
                f"--watermark {asked}: this policy takes {self.lowest} to {self.highest} percent"
            )
        return asked


class Limit(NamedTuple):
    """How much of a disk an update may use."""

    watermark: int  # percent of the disk that may be used in all
    reserved: int | None = None  # bytes that are set aside instead, None to go by the watermark


class InodeNeed(NamedTuple):
    """The inodes of a volume that has a limit."""

    required: int  # how many are needed, at least
    free: int  # how many there are

    @property
    def fits(self) -> bool:
        """Whether there are enough."""
        return self.required <= self.free


class Space(NamedTuple):
    """What is needed of a volume, and what it has; all in bytes."""

    volume: str
    purposes: tuple[str, ...]  # what it is needed for: ``store``, ``docker``, ``layers``
    required: int  # what is needed
    least: int  # the same in the best case, where that depends on how things run
    free: int  # what nobody uses
    reserved: int  # what is set aside
    available: int  # what may be used
    total: int  # the whole volume
    app: str | None = None  # the App that needs it, None where it is all of them together
    inodes: InodeNeed | None = None  # None where nobody looks

    @property
    def fits(self) -> bool:
        """Whether what is needed is available, blocks and inodes."""
        return self.required <= self.available and (self.inodes is None or self.inodes.fits)

    @property
    def to_free(self) -> int:
        """Bytes that would have to be freed; 0 if they are enough."""
        return max(self.required - self.available, 0)

    @property
    def left(self) -> int:
        """Bytes that would be left; 0 if they are not enough."""
        return max(self.available - self.required, 0)

    def percent(self, count: int) -> float | None:
        """`count` bytes as percent of the volume; None if that has no size."""
        return round(100 * count / self.total, 2) if self.total else None


class Bundle(NamedTuple):
    """Whether an App's archive can be fetched and unpacked."""

    app: str  # what the App is called
    required: int  # bytes that the client sets aside for it
    available: int  # bytes that may be used on the volume of the store root

    @property
    def fits(self) -> bool:
        """Whether it can."""
        return self.required <= self.available


class Missing(NamedTuple):
    """A layer that the device lacks."""

    digest: str  # of its blob
    archive_size: int  # bytes of the blob that are still to be fetched
    usage: int  # bytes of disk that it takes unpacked; 0 if only its blob is missing
    estimated: bool  # whether `usage` is a guess, for want of metadata


class Others(NamedTuple):
    """What is to be fetched beside layers: manifests, configs, bundles."""

    blobs: int  # how many
    size: int  # bytes of them


class Verdict(NamedTuple):
    """The answer."""

    policy: str  # by which rules
    architecture: str  # for which architecture
    limit: Limit  # how much of a disk may be used
    rules: Mapping[str, Rule]  # of each App that was looked at, how its need was found
    spaces: tuple[Space, ...]  # what is needed where
    bundles: tuple[Bundle, ...]  # of a policy that looks at them, the Apps' archives
    missing: tuple[Missing, ...]  # the layers that the device lacks, by digest
    others: Others | None  # what else it lacks, None for a policy that does not look
    notes: tuple[str, ...]  # what is to be told about it

    @property
    def fits(self) -> bool:
        """Whether all of it fits."""
        fit = [one.fits for one in self.spaces] + [one.fits for one in self.bundles]
        return all(fit)

    @property
    def download(self) -> int:
        """Bytes that are to be fetched."""
        beside = self.others.size if self.others else 0
        return beside + sum(layer.archive_size for layer in self.missing)
