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
        """The watermark to use where the user asked for `asked`, None for the default.

        Raises:
            LayerscanError: it is out of range.
        """
        if asked is None:
            return self.default
        if not self.lowest <= asked <= self.highest:
            raise LayerscanError(
                f"--watermark {asked}: this policy takes {self.lowest} to {self.highest} percent"
            )
        return asked


class Limit(NamedTuple):
    """How much of a disk an update may use.

    Attributes:
        watermark: percent of the disk that may be used in all.
        reserved: bytes that are set aside instead, None to go by the watermark.
    """

    watermark: int
    reserved: int | None = None


class InodeNeed(NamedTuple):
    """The inodes of a volume that has a limit.

    Attributes:
        required: how many are needed, at least.
        free: how many there are.
    """

    required: int
    free: int

    @property
    def fits(self) -> bool:
        """Whether there are enough."""
        return self.required <= self.free


class Space(NamedTuple):
    """What is needed of a volume, and what it has; all in bytes.

    Attributes:
        volume: its name.
        purposes: what it is needed for: ``store``, ``docker`` or both.
        required: what is needed.
        least: what is needed in the best case, where that depends on how
            things run; else the same as `required`.
        free: what nobody uses.
        reserved: what is set aside.
        available: what may be used.
        total: the whole volume.
        app: the App that needs it, None where it is all of them together.
        inodes: what is needed of these, and what there is; None where nobody looks.
    """

    volume: str
    purposes: tuple[str, ...]
    required: int
    least: int
    free: int
    reserved: int
    available: int
    total: int
    app: str | None = None
    inodes: InodeNeed | None = None

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
    """Whether an App's archive can be fetched and unpacked.

    Attributes:
        app: what the App is called.
        required: bytes that the client sets aside for it.
        available: bytes that may be used on the volume of the store root.
    """

    app: str
    required: int
    available: int

    @property
    def fits(self) -> bool:
        """Whether it can."""
        return self.required <= self.available


class Missing(NamedTuple):
    """A layer that the device lacks.

    Attributes:
        digest: of its blob.
        archive_size: bytes of the blob that are still to be fetched.
        usage: bytes of disk that it takes unpacked; 0 if only its blob is missing.
        estimated: whether `usage` is a guess, for want of metadata.
    """

    digest: str
    archive_size: int
    usage: int
    estimated: bool


class Others(NamedTuple):
    """What is to be fetched beside layers: manifests, configs, bundles.

    Attributes:
        blobs: how many.
        size: bytes of them.
    """

    blobs: int
    size: int


class Verdict(NamedTuple):
    """The answer.

    Attributes:
        policy: by which rules.
        architecture: for which architecture.
        limit: how much of a disk may be used.
        rules: how the need of each App was found; of Apps that were not looked at, nothing.
        spaces: what is needed where.
        bundles: of a policy that looks at them, the Apps' archives.
        missing: the layers that the device lacks, by digest.
        others: what else it lacks, None for a policy that does not look.
        notes: what is to be told about it.
    """

    policy: str
    architecture: str
    limit: Limit
    rules: Mapping[str, Rule]
    spaces: tuple[Space, ...]
    bundles: tuple[Bundle, ...]
    missing: tuple[Missing, ...]
    others: Others | None
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether all of it fits."""
        return all(space.fits for space in self.spaces) and all(
            bundle.fits for bundle in self.bundles
        )

    @property
    def download(self) -> int:
        """Bytes that are to be fetched."""
        beside = self.others.size if self.others else 0
        return beside + sum(layer.archive_size for layer in self.missing)
