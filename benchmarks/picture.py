"""Pictures as SVG: ratios as bars, and how cost grows as lines.

Readable on light and dark pages: no background, and greys and hues that stand
out from both. Equal figures give equal bytes.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.peers import Role
from benchmarks.results import Row, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEXT = "#7d8590"
_OURS = "#2f81f7"
_TOOL = "#bc6c25"
_STAND_IN = "#c9a27e"
_YARDSTICK = "#8b949e"
_SETTINGS: dict[Any, Any] = {
    "axes.facecolor": "none",
    "svg.hashsalt": "layerscan",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.titlecolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class NothingToDrawError(ValueError):
    """There is no figure that a picture would show."""


def draw_ratios(rows: Iterable[Row], path: str) -> None:
    """A bar for each contestant: how many times as long as ours it takes.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        NothingToDrawError: no other tool took part.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.is_measured:
            groups.setdefault(row.group, []).append(row)
    # Where nobody but a yardstick takes part the table says it better.
    shown = [(name, rows) for name, rows in groups.items() if any(map(_competes, rows))]
    if not shown:
        raise NothingToDrawError("no other tool took part")
    pairs = [shown[at : at + 2] for at in range(0, len(shown), 2)]
    heights = [max(len(rows) for _, rows in pair) + 2.5 for pair in pairs]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(9, 0.2 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(pairs), 2, squeeze=False, height_ratios=heights).flatten()
        for axis, (name, members) in zip(axes, shown, strict=False):
            _bars(axis, name, members)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        figure.supxlabel("takes … times as long as layerscan", fontsize=9, color=_TEXT)
        _save(figure, path)


def _competes(row: Row) -> bool:
    return row.is_ranked and row.role is Role.TOOL


def _bars(axis: "Axes", name: str, rows: Sequence[Row]) -> None:
    ratios = [row.ratio or 0.0 for row in rows]
    bars = axis.barh(
        [row.contestant for row in rows], ratios, color=[_colour(row) for row in rows], height=0.7
    )
    labels = [
        f"{ratio:.2f}" + (" (stand-in)" if row.standing is Standing.STAND_IN else "")
        for ratio, row in zip(ratios, rows, strict=True)
    ]
    axis.bar_label(bars, labels, padding=3, color=_TEXT, fontsize=8)
    axis.axvline(1, color=_OURS, linewidth=0.8, linestyle=":")
    axis.set_title(name, loc="left", fontsize=10, fontweight="bold")
    axis.invert_yaxis()
    axis.set_xlim(0, max(ratios) * 1.18)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)


def _colour(row: Row) -> str:
    if row.standing is Standing.OURS:
        return _OURS
    if row.standing is Standing.STAND_IN:
        return _STAND_IN
    return _YARDSTICK if row.role is Role.YARDSTICK else _TOOL


Lines = Mapping[str, Sequence[tuple[float, float]]]
"""By name: points (x, y)."""


def draw_lines(
    panels: Sequence[tuple[str, str, str, Lines]], path: str, *, logarithmic: Sequence[bool]
) -> None:
    """A panel for each (title, label of x, label of y, lines).

    Args:
        panels: what to draw.
        path: of the SVG.
        logarithmic: for each panel, whether both of its axes are.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(9, 2.9 * ((len(panels) + 1) // 2)), layout="constrained")
        axes = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).flatten()
        for axis, (title, across, up, lines), is_log in zip(
            axes, panels, logarithmic, strict=False
        ):
            for (name, points), colour in zip(
                lines.items(), (_OURS, _TOOL, _YARDSTICK), strict=False
            ):
                axis.plot(*zip(*points, strict=True), "o-", color=colour, label=name, markersize=4)
            if is_log:
                axis.set_xscale("log")
                axis.set_yscale("log")
            else:
                axis.set_ylim(bottom=0)
            axis.set(title=title, xlabel=across, ylabel=up)
            axis.legend(frameon=False, fontsize=8)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        _save(figure, path)


def _save(figure: "Figure", path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
