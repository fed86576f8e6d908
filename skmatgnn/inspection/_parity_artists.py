"""What a parity plot is drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from skmatgnn.inspection._axes import distinct_colors
from skmatgnn.inspection._text import (
    lower_first,
    natural_key,
    pretty,
    shorten,
    with_unit,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    from skmatgnn._typing import FloatArray

_MARGIN = 0.04
_ROOM_FOR_BARS = 0.2
_GROUP = "group"


def draw_points(
    ax: Axes,
    truth: FloatArray,
    predicted: FloatArray,
    *,
    std: FloatArray | None,
    groups: np.ndarray | None,
    options: dict[str, Any] | None,
) -> tuple[list[PathCollection], list[Any]]:
    """Scatter the pairs, one collection and colour per group.

    Returns
    -------
    points : list of PathCollection
    errorbars : list of LineCollection
    """
    n_points = len(truth)
    style = {
        "s": float(np.clip(900 / np.sqrt(n_points) / 2, 5, 28)),
        "alpha": float(np.clip(12 / np.sqrt(n_points), 0.2, 0.8)),
        "linewidths": 0,
        "zorder": 2,
        "rasterized": n_points > 2000,
        **(options or {}),
    }
    points: list[PathCollection] = []
    bars: list[Any] = []
    for rows, name, color in _groups(groups, n_points):
        own = {"color": color, "label": name, "gid": _GROUP, **style}
        if "c" in own:
            own.pop("color")
        points.append(ax.scatter(truth[rows], predicted[rows], **own))
        if std is not None:
            drawn = ax.errorbar(
                truth[rows],
                predicted[rows],
                yerr=std[rows],
                fmt="none",
                ecolor=color,
                elinewidth=0.8,
                alpha=0.6 * style["alpha"],
                zorder=1.5,
            )
            bars.extend(drawn.lines[2])
    return points, bars


def draw_hexbin(
    ax: Axes,
    truth: FloatArray,
    predicted: FloatArray,
    limits: tuple[float, float],
    options: dict[str, Any] | None,
) -> PolyCollection:
    """Bin the pairs into hexagons that are coloured by log count, with a bar."""
    style = {
        "gridsize": 60,
        "bins": "log",
        "mincnt": 1,
        "cmap": "viridis",
        "extent": (*limits, *limits),
        "linewidths": 0.1,
        **(options or {}),
    }
    bins = ax.hexbin(truth, predicted, **style)
    bar = ax.figure.colorbar(bins, ax=ax, pad=0.03)
    bar.set_label("Samples per bin")
    return bins


def frame(
    ax: Axes, limits: tuple[float, float], options: dict[str, Any] | None
) -> Line2D:
    """Make both axes equal and draw the identity line from corner to corner.

    Ticks and line follow the axes' limits if these are changed later.
    """
    style = {
        "color": "0.25",
        "linestyle": "--",
        "linewidth": 1.0,
        "zorder": 3,
        **(options or {}),
    }
    # Two points and not a slope, so that a logarithmic scale can be set; the lower end
    # may be negative by the margin only.
    middle, high = sum(limits) / 2, limits[1]
    line = ax.axline((middle, middle), (high, high), **style)
    ax.set(xlim=limits, ylim=limits)
    ax.set_aspect("equal", adjustable="box")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(_RoomyLocator(steps=[1, 2, 2.5, 5, 10]))
        # An offset is easily read over, and would stand on the axis' label.
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    return line


class _RoomyLocator(MaxNLocator):
    """Seven intervals, or four of wide labels: the same for the same limits.

    So both axes have the same ticks, and a point's two values can be compared. The
    default depends on the axis' length and the font, which differ.
    """

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Locate the ticks of an axis with these ends."""
        span = abs(vmax - vmin) or 1.0
        decimals = max(0, 1 - int(np.floor(np.log10(span))))
        wide = max(len(f"{end:.{decimals}f}") for end in (vmin, vmax)) > 6
        self.set_params(nbins=4 if wide else 7)
        return super().tick_values(vmin, vmax)


def count_outside(
    limits: tuple[float, float], truth: FloatArray, predicted: FloatArray
) -> int:
    """Count the pairs that the axes do not show."""
    low, high = limits
    lowest, highest = np.minimum(truth, predicted), np.maximum(truth, predicted)
    return int(((lowest < low) | (highest > high)).sum())


def free_corner(ax: Axes, truth: FloatArray, predicted: FloatArray) -> bool:
    """Tell whether the upper left corner holds no more points than the lower right."""
    low, high = ax.get_xlim()
    x, y = (truth - low) / (high - low), (predicted - low) / (high - low)
    upper_left = ((x < 0.36) & (y > 0.74)).sum()
    lower_right = ((x > 0.64) & (y < 0.26)).sum()
    return bool(upper_left <= lower_right)


def label(
    ax: Axes, target_name: str | None, units: str | None, title: str | None
) -> None:
    """Label the axes with the property and its unit."""
    name = "value" if target_name is None else lower_first(target_name)
    ax.set_xlabel(with_unit(f"True {name}", units))
    ax.set_ylabel(with_unit(f"Predicted {name}", units))
    if title is not None:
        ax.set_title(title, fontsize="medium")


def write(ax: Axes, text: str, *, upper_left: bool) -> Text:
    """Write the errors into one of the corners off the diagonal."""
    place, across, up = (
        ((0.03, 0.97), "left", "top")
        if upper_left
        else ((0.97, 0.03), "right", "bottom")
    )
    return ax.text(
        *place,
        text,
        transform=ax.transAxes,
        ha=across,
        va=up,
        multialignment="left",
        fontsize="small",
        linespacing=1.3,
        zorder=5,
        bbox={
            "boxstyle": "round,pad=0.35",
            "facecolor": "white",
            "edgecolor": "0.8",
            "alpha": 0.85,
        },
    )


def draw_legend(ax: Axes, *, upper_left: bool) -> Legend:
    """Name the groups in one of the corners off the diagonal, with opaque markers."""
    # Named by hand, since matplotlib leaves out labels that begin with "_".
    handles = [artist for artist in ax.collections if artist.get_gid() == _GROUP]
    legend = ax.legend(
        handles=handles,
        labels=[str(handle.get_label()) for handle in handles],
        loc="upper left" if upper_left else "lower right",
        fontsize="x-small",
        handletextpad=0.2,
        borderpad=0.4,
        framealpha=0.85,
    )
    legend.set_zorder(5)
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_alpha(1.0)
            handle.set_sizes([22.0])
    return legend


def _groups(
    groups: np.ndarray | None, n_points: int
) -> list[tuple[Any, str | None, Any]]:
    """Rows, name and colour of each group, in natural order of the names."""
    if groups is None:
        return [(np.arange(n_points), None, "tab:blue")]
    names = sorted(np.unique(groups), key=natural_key)
    return [
        (np.flatnonzero(groups == name), pretty(shorten(name)), color)
        for name, color in zip(names, distinct_colors(len(names)), strict=True)
    ]


def range_of(
    truth: FloatArray, predicted: FloatArray, std: FloatArray | None = None
) -> tuple[float, float]:
    """Range of both values; error bars may widen it, but not by much."""
    low = float(min(truth.min(), predicted.min()))
    high = float(max(truth.max(), predicted.max()))
    if std is not None:
        room = _ROOM_FOR_BARS * (high - low)
        low, high = (
            max(low - room, min(low, float((predicted - std).min()))),
            min(high + room, max(high, float((predicted + std).max()))),
        )
    margin = _MARGIN * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin
