"""Platforms: reading them, and which of an image's a machine would run.

Owns the words for this machine's platform and the order of preference, which
is containerd's (its ``platforms.Only``). What an image runs on, its config says.
"""

import os
import re
import struct
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from layerscan.errors import LayerscanError
from layerscan.oci import Platform

T = TypeVar("T")
_WORD = re.compile(r"[!-.0-~]{1,64}", re.ASCII)  # a part of a platform: printable, without a slash
_MOST_PARTS = 3

_MACHINES = {
    "x86_64": Platform("amd64", "linux"),
    "i386": Platform("386", "linux"),
    "i486": Platform("386", "linux"),
    "i586": Platform("386", "linux"),
    "i686": Platform("386", "linux"),
    "aarch64": Platform("arm64", "linux"),
    "armv8l": Platform("arm", "linux", "v8"),
    "armv7l": Platform("arm", "linux", "v7"),
    "armv6l": Platform("arm", "linux", "v6"),
    "armv5tel": Platform("arm", "linux", "v5"),
    "loongarch64": Platform("loong64", "linux"),
}
"""By what uname(2) says, where Go has another name for it."""

_MACHINES_OF_32_BITS = {
    "x86_64": "i686",
    "aarch64": "armv8l",
    "mips64": "mips",
    "ppc64": "ppc",
    "sparc64": "sparc",
    "s390x": "s390",
    "riscv64": "riscv",
}
"""What a system of 32 bits is whose kernel says that it is of 64 bits."""

_SAME_ARCHITECTURE = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other names for an architecture, and the variant if they say one."""

_ARM_VARIANTS = ("v8", "v7", "v6", "v5")
_USUAL_VARIANT = {"arm": "v7", "arm64": "v8", "amd64": "v1"}  # what an absent variant stands for


def parse_platform(text: str) -> Platform:
    """Read ``os/architecture`` or ``os/architecture/variant``."""
    parts = text.split("/")
    if not 2 <= len(parts) <= _MOST_PARTS or not all(map(_WORD.fullmatch, parts)):  # noqa: PLR2004
        raise LayerscanError(
            f"no platform: {text[:80]!r}; it has the form os/architecture[/variant]: linux/arm64"
        )
    system, architecture, *variant = parts
    return Platform(architecture, system, *variant)


def spelt(platform: Platform) -> str:
    """`platform` as `parse_platform` reads it."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)


def is_plain(platform: Platform) -> bool:
    """Whether its parts are words that can be compared and shown; a part may be empty."""
    return all(not part or _WORD.fullmatch(part) for part in platform)


def platform_text(platform: Platform | None) -> str:
    """`platform` for people, ``unknown`` where it is not known or no platform."""
    if platform is None or not is_plain(platform):
        return "unknown"
    return spelt(platform) or "unknown"


def normalized(platform: Platform) -> Platform:
    """`platform` with one name of several, as containerd's ``platforms.Normalize`` has it.

    What is not said is the usual: Linux, and of ARM's variants v7.
    """
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    named = _SAME_ARCHITECTURE.get(architecture)
    if named is not None:
        architecture = named[0]
        variant = named[1] or variant
    if architecture == "386":
        variant = ""
    elif architecture == "arm":
        variant = f"v{variant}" if variant in ("5", "6", "7", "8") else variant or "v7"
    elif (architecture, variant) in (("amd64", "v1"), ("arm64", "8"), ("arm64", "v8")):
        variant = ""
    return Platform(architecture, platform.os.lower() or "linux", variant)


def this_machine() -> Platform:
    """The platform of this machine, as the programs on it have it.

    A kernel of 64 bits may run a system of 32: then that is what images are pulled for.
    """
    machine = os.uname().machine
    if struct.calcsize("P") * 8 == 32:  # noqa: PLR2004 - bits of an address
        machine = _MACHINES_OF_32_BITS.get(machine, machine)
    if sys.byteorder == "little" and machine in ("mips", "mips64"):
        machine += "le"
    return _MACHINES.get(machine, Platform(machine, "linux"))


def fits(platform: Platform, asked: Platform) -> bool:
    """Whether `platform` is the one that is `asked` for; without a variant, any is."""
    if (platform.os or "linux", platform.architecture) != (asked.os, asked.architecture):
        return False
    return not asked.variant or _variant(platform) == _variant(asked)


def preference(platform: Platform, machine: Platform) -> int | None:
    """How much a `machine` prefers an image of `platform`: the less the better; None for never."""
    wanted = (platform.architecture, _variant(platform))
    order = _order(machine)
    return order.index(wanted) if platform.os in ("", "linux") and wanted in order else None


def preferred(
    candidates: Sequence[T], machine: Platform, platform_of: Callable[[T], Platform]
) -> T:
    """The candidate that `machine` runs best; those that it cannot run keep their order."""

    def rank(one: T) -> tuple[bool, int]:
        found = preference(platform_of(one), machine)
        return found is None, found or 0

    return min(candidates, key=rank)


def _order(machine: Platform) -> list[tuple[str, str]]:
    """Architectures and variants that `machine` runs, the best first."""
    own = (machine.architecture, _variant(machine))
    if machine.architecture == "amd64":
        return [own, ("386", "")]
    if machine.architecture == "arm64":
        return [own, *(("arm", variant) for variant in _ARM_VARIANTS)]
    if machine.architecture == "arm" and own[1] in _ARM_VARIANTS:
        later = _ARM_VARIANTS[_ARM_VARIANTS.index(own[1]) :]
        return [("arm", variant) for variant in later]
    return [own]


def _variant(platform: Platform) -> str:
    return platform.variant or _USUAL_VARIANT.get(platform.architecture, "")
