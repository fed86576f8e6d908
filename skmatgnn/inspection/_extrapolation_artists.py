"""What errors by distance are drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch

from skmatgnn.inspection._axes import distinct_colors, draw_legend
from skmatgnn.inspection._learning_curve_artists import scale
from skmatgnn.inspection._text import pretty, shorten, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

_MARKERS = "osD^v<>pPX"
_NAMES = {
    "latent_distance": "Latent distance to the training set\n"
    "(1: as training samples among themselves)",
    "elmd_distance": "Element mover's distance to the training set",
}


def draw_lines(
    ax: Axes, display: Any, options: dict[str, Any] | None
) -> tuple[list[Line2D], list[FillBetweenPolyCollection]]:
    """Draw one line and band per frame."""
    lines, bands = [], []
    colors = distinct_colors(len(display.curves_))
    for number, (name, curve) in enumerate(display.curves_.items()):
        style = {
            "color": colors[number],
            "marker": _MARKERS[number % len(_MARKERS)],
            "markersize": 5,
            "linewidth": 1.6,
            "label": _entry(name, display.correlations_[name]),
            "zorder": 3,
            **(options or {}),
        }
        lines.extend(ax.plot(curve["distance"], curve["mae"], **style))
        bands.append(
            ax.fill_between(
                curve["distance"],
                curve["low"],
                curve["high"],
                color=lines[-1].get_color(),
                alpha=0.16,
                linewidth=0,
                zorder=2,
            )
        )
    return lines, bands


def label(
    ax: Axes, display: Any, *, scales: tuple[str, str], title: str | None
) -> None:
    """Scale and name the axes; a linear one of errors begins at zero."""
    scale(ax, *scales)
    if scales[1] == "linear":
        ax.set_ylim(bottom=0)
    ax.set(xlabel=_NAMES[display.distance], ylabel=with_unit("MAE", display.units))
    ax.grid(color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    if title is not None:
        ax.set_title(pretty(title), fontsize="medium")


def legend_of(ax: Axes, display: Any) -> Legend:
    """List the frames, and tell what the bands are."""
    handles: list[Any] = list(display.lines_)
    text = f"{100 * display.confidence_level:g} % interval"
    handles.append(Patch(color="0.5", alpha=0.25, linewidth=0, label=text))
    return draw_legend(ax, handles, None)


def _entry(name: str, correlation: float) -> str:
    rank = "" if np.isnan(correlation) else f"rank correlation {correlation:.2f}"
    if not name:
        return rank or "all samples"
    return f"{shorten(name, 30)}\n{rank}" if rank else shorten(name, 30)
