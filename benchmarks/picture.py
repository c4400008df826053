"""The picture of a run as SVG: ratios as bars.

Readable on light and dark pages: no background, and greys and hues that stand
out from both. Equal figures give equal bytes.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.report import Row

_TEXT = "#7d8590"
_COLOURS = {"ours": "#2f81f7", "tool": "#bc6c25", "yardstick": "#8b949e"}
_SETTINGS: dict[Any, Any] = {
    "axes.facecolor": "none",
    "svg.hashsalt": "layerscan",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.titlecolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


def draw(rows: Iterable["Row"], path: str) -> None:
    """A bar for each contestant: how many times as long as ours it takes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    # Where nobody but a yardstick takes part the table says it better.
    shown = [rows for rows in groups.values() if any(row.role == "tool" for row in rows)]
    pairs = [shown[at : at + 2] for at in range(0, len(shown), 2)]
    heights = [max(map(len, pair)) + 2.5 for pair in pairs]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(10, 0.2 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(pairs), 2, squeeze=False, height_ratios=heights).flatten()
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        for axis, members in zip(axes, shown, strict=False):
            _bars(axis, members)
        figure.supxlabel("takes … times as long as layerscan", fontsize=9, color=_TEXT)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _bars(axis: "Axes", rows: Sequence["Row"]) -> None:
    ratios = [row.ratio for row in rows]
    names, colours = [row.contestant for row in rows], [_COLOURS[row.role] for row in rows]
    bars = axis.barh(names, ratios, color=colours, height=0.7)
    axis.bar_label(bars, fmt="%.2f", padding=3, color=_TEXT, fontsize=8)
    axis.axvline(1, color=_COLOURS["ours"], linewidth=0.8, linestyle=":")
    axis.set_title(rows[0].group, loc="left", fontsize=10, fontweight="bold")
    axis.invert_yaxis()
    axis.set_xlim(0, max(ratios) * 1.18)
    axis.tick_params(axis="y", length=0)
