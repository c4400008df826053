"""Which walk is in use: the compiled one, unless the environment asks otherwise."""

import os

from layerscan.errors import LayerscanError


def implementation_name() -> str:
    """``compiled``, or ``python`` where LAYERSCAN_WALK says so.

    Raises:
        LayerscanError: LAYERSCAN_WALK says something else.
    """
    name = os.environ.get("LAYERSCAN_WALK") or "compiled"
    if name not in ("compiled", "python"):
        raise LayerscanError(
            f"LAYERSCAN_WALK={name!r}: there is no such walk; unset it, or set it to "
            "'compiled' or 'python'"
        )
    return name
