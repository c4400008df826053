"""The option ``--arch`` of commands that are about several architectures."""

import argparse

from layerscan.errors import LayerscanError


def add_arch_argument(
    parser: "argparse.ArgumentParser | argparse._ArgumentGroup", meaning: str
) -> None:
    """Declare ``--arch``."""
    parser.add_argument("--arch", metavar="ARCH,…", help=meaning)


def asked_architectures(options: argparse.Namespace) -> frozenset[str] | None:
    """The architectures that are asked for, None for all.

    Raises:
        LayerscanError: one is none.
    """
    from layerscan.layersmeta import is_architecture

    text: str | None = options.arch
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if not is_architecture(name):
            raise LayerscanError(f"--arch {text}: {name!r} is no architecture name")
    if not names:
        raise LayerscanError("--arch takes architectures: amd64,arm64")
    return frozenset(names)
