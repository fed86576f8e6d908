"""What learning curves are drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from skmatgnn.inspection._axes import distinct_colors
from skmatgnn.inspection._text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

_MARKERS = "osD^v<>pPX"
_ROWS = {
    "total": "Training rows (drawn with replacement)",
    "distinct": "Distinct training rows (expected)",
}


def draw_curves(
    ax: Axes, display: Any, options: dict[str, Any] | None
) -> tuple[list[Line2D], list[FillBetweenPolyCollection]]:
    """Draw one line and band per model."""
    names = list(display.errors_)
    lines, bands = [], []
    for number, (name, color) in enumerate(
        zip(names, distinct_colors(len(names)), strict=True)
    ):
        x = display.n_train_[name]
        style = {
            "color": color,
            "marker": _MARKERS[number % len(_MARKERS)],
            "markersize": 5,
            "linewidth": 1.6,
            "label": shorten(name),
            "zorder": 3,
            **(options or {}),
        }
        lines.extend(ax.plot(x, display.errors_[name], **style))
        bands.append(
            ax.fill_between(
                x,
                display.low_[name],
                display.high_[name],
                color=lines[-1].get_color(),
                alpha=0.18,
                linewidth=0,
                zorder=2,
            )
        )
    return lines, bands


def scale(ax: Axes, x_scale: str, y_scale: str) -> None:
    """Set the scales; logarithmic ones get plain numbers at 1, 2 and 5."""
    ax.set(xscale=x_scale, yscale=y_scale)
    for axis, kind in ((ax.xaxis, x_scale), (ax.yaxis, y_scale)):
        if kind == "log":
            decades = np.ptp(np.log10(axis.get_view_interval()))
            subs = (1.0, 2.0, 5.0) if decades > 0.8 else tuple(np.arange(1.0, 10.0))
            axis.set_major_locator(LogLocator(subs=subs))
            axis.set_minor_formatter(NullFormatter())
        if kind == "log" or axis is ax.xaxis:
            axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def label(ax: Axes, rows: str, error: str, title: str | None) -> None:
    """Name the axes."""
    ax.set(xlabel=_ROWS[rows], ylabel=error)
    ax.grid(color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    if title is not None:
        ax.set_title(title, fontsize="medium")


def legend_of(ax: Axes, display: Any, levels: set[float]) -> Legend:
    """List the models, and the level of the bands if it is the same for all."""
    several = len(display.lines_) > 1 or isinstance(display.scores, dict)
    handles: list[Any] = list(display.lines_) if several else []
    if len(levels) == 1:
        color = "0.5" if len(display.lines_) > 1 else display.lines_[0].get_color()
        text = f"{100 * next(iter(levels)):g} % of resamples"
        handles.append(Patch(color=color, alpha=0.25, linewidth=0, label=text))
    return ax.legend(handles=handles, fontsize="small", framealpha=0.85)
