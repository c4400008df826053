"""The policies by name: what each needs to know, and asking it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

from layerscan.errors import LayerscanError
from layerscan.fit import aktualizr_lite, aktualizr_lite_skopeo, composectl, exact
from layerscan.fit.composectl_images import ImagesOfIndex
from layerscan.fit.contents import AppContents, Depth
from layerscan.fit.device import Device
from layerscan.fit.verdict import Limit, Verdict, Watermarks
from layerscan.oci.matchers import ForLinux, Matcher
from layerscan.prediction.filesystems.names import parse_file_system


class Policy(StrEnum):
    """The policies that there are."""

    AKTUALIZR_LITE = aktualizr_lite.NAME
    COMPOSECTL = composectl.NAME
    AKTUALIZR_LITE_SKOPEO = aktualizr_lite_skopeo.NAME
    EXACT = exact.NAME

    @property
    def watermarks(self) -> Watermarks:
        """Its watermarks."""
        return _NEEDS[self][0]

    @property
    def depth(self) -> Depth:
        """How much of an App it needs."""
        return _NEEDS[self][1]

    def matcher(self, architecture: str, variant: str = "") -> Matcher:
        """Which images of an index its client takes for `architecture`."""
        if self.hashes_blobs:
            return ImagesOfIndex(architecture, variant)
        return ForLinux({architecture})

    @property
    def hashes_blobs(self) -> bool:
        """Whether its client, which is composectl then, reads the blobs that are there."""
        return self in (Policy.AKTUALIZR_LITE, Policy.COMPOSECTL)


_NEEDS = {
    Policy.AKTUALIZR_LITE: (aktualizr_lite.WATERMARKS, Depth.IMAGES),
    Policy.COMPOSECTL: (composectl.WATERMARKS, Depth.IMAGES),
    Policy.AKTUALIZR_LITE_SKOPEO: (aktualizr_lite_skopeo.WATERMARKS, Depth.APP),
    Policy.EXACT: (exact.WATERMARKS, Depth.CONFIGS),
}


class UpdateConditions(NamedTuple):
    """How the update runs."""

    watermark: int | None = None  # percent of a disk, None for the policy's default
    reserved: int | None = None  # bytes that are set aside instead, None to go by the watermark
    # Whether the client may use the blocks reserved for root. composectl always counts them.
    is_root: bool = True
    engine_pulls: bool = False  # see ``exact``; the other policies do not know it


def ask(
    policy: Policy,
    apps: Sequence[AppContents],
    device: Device,
    *,
    architecture: str,
    circumstances: UpdateConditions = UpdateConditions(),  # noqa: B008 - it cannot be changed
) -> Verdict:
    """Ask a policy whether `apps` fit on `device`; LayerscanError where it cannot tell."""
    limit = Limit(policy.watermarks.chosen(circumstances.watermark), circumstances.reserved)
    is_root = circumstances.is_root
    if policy is Policy.COMPOSECTL:
        verdict = composectl.check(apps, device, architecture, limit)
    elif policy is Policy.AKTUALIZR_LITE:
        verdict = aktualizr_lite.check(apps, device, architecture, limit)
    elif policy is Policy.AKTUALIZR_LITE_SKOPEO:
        verdict = aktualizr_lite_skopeo.check(apps, device, architecture, limit, is_root=is_root)
    else:
        pulls = circumstances.engine_pulls
        verdict = exact.check(
            apps, device, architecture, limit, is_root=is_root, engine_pulls=pulls
        )
    notes = (*verdict.notes, *_of_other_file_systems(apps, device, architecture))
    return verdict._replace(notes=notes)


def _of_other_file_systems(
    apps: Sequence[AppContents], device: Device, architecture: str
) -> Iterator[str]:
    """What is to be said of metadata that is for another file system than the device has."""
    there = device.layers.file_system
    if there is None:
        return
    for app in apps:
        # That it cannot be read is told where it is used.
        with suppress(LayerscanError):
            meant = app.figures(architecture).file_system
            if meant is not None and there.contradicts(parse_file_system(meant)):
                yield (
                    f"{app.name}: what its layers take is said for {meant}, and the engine of "
                    f"{device.source} is on {there.name}"
                )
