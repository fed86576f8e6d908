"""What errors per cluster are drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from skmatgnn.inspection._axes import distinct_colors, draw_legend
from skmatgnn.inspection._text import (
    lower_first,
    pretty,
    shorten,
    three_digits,
    with_unit,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.legend import Legend

    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.inspection._cluster_errors import ClusterErrors

_GROUP_HEIGHT = 0.8
_CONTROL_COLOR = "black"


def draw_bars(
    ax: Axes,
    scores: ClusterErrors,
    names: Sequence[str],
    options: dict[str, Any] | None,
) -> tuple[list[BarContainer], list[ErrorbarContainer]]:
    """Draw the models side by side within each cluster, the first on top."""
    n_models, n_clusters = scores.values.shape
    height = _GROUP_HEIGHT / n_models
    bars, whiskers = [], []
    for row, color in enumerate(distinct_colors(n_models)):
        y = np.arange(n_clusters) + (row - (n_models - 1) / 2) * height
        style = {"color": color, "label": names[row], "zorder": 2, **(options or {})}
        bars.append(ax.barh(y, scores.values[row], height=0.92 * height, **style))
        ends = np.abs([scores.low[row], scores.high[row]] - scores.values[row])
        whiskers.append(
            ax.errorbar(
                scores.values[row],
                y,
                xerr=ends,
                fmt="none",
                ecolor="0.2",
                elinewidth=1.0,
                capsize=min(2.5, 8 * height),
                zorder=3,
            )
        )
    return bars, whiskers


def draw_pooled(ax: Axes, pooled: FloatArray) -> list[Line2D]:
    """Draw a line through all clusters at each model's pooled error."""
    return [
        ax.axvline(value, color=color, linestyle="--", linewidth=1.2, zorder=2.5)
        for value, color in zip(pooled, distinct_colors(len(pooled)), strict=True)
    ]


def draw_control(ax: Axes, control: FloatArray) -> LineCollection:
    """Mark the control's error across all bars of each cluster."""
    y = np.arange(len(control))
    half = _GROUP_HEIGHT / 2
    return ax.vlines(
        control, y - half, y + half, colors=_CONTROL_COLOR, linewidths=1.6, zorder=4
    )


def label(
    ax: Axes,
    names: Sequence[str],
    sizes: IntArray,
    error: str,
    title: str | None,
) -> None:
    """Name the clusters with their sizes, the largest on top, and the axis."""
    ax.set_yticks(
        np.arange(len(names)),
        [
            f"{pretty(shorten(name, 30))} ({size:,})"
            for name, size in zip(names, sizes, strict=True)
        ],
    )
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.set_xlim(left=0)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=error, ylabel="Cluster (samples)")
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if title is not None:
        ax.set_title(title, fontsize="medium")


def error_name(metric: str, target_name: str | None, units: str | None) -> str:
    """Label of the axis; an SMAE has no unit."""
    name = metric.upper()
    if target_name is not None:
        name = f"{name} of {lower_first(target_name)}"
    return with_unit(name, units if metric == "mae" else None)


def legend_of(display: Any, *, several: bool) -> Legend:
    """List the models with their pooled errors, the interval and the control."""
    handles: list[Any] = []
    if several:
        for bars, name in zip(display.bars_, display.model_names_, strict=True):
            bars.set_label(shorten(name))
            handles.append(bars)
    for number, line in enumerate(display.pooled_lines_):
        name = f" {shorten(display.model_names_[number])}" if several else ""
        line.set_label(f"pooled{name}: {three_digits(display.pooled_[number])}")
        handles.append(line)
    if display.n_resamples:
        whisker = display.errorbars_[0]
        whisker.set_label(f"{100 * display.confidence_level:g} % interval")
        handles.append(whisker)
    if np.isfinite(display.control_errors_).any():
        handles.append(
            Line2D(
                [],
                [],
                color=_CONTROL_COLOR,
                linestyle="",
                marker="|",
                markersize=10,
                markeredgewidth=1.6,
                label="control (mean)",
            )
        )
    return draw_legend(display.ax_, handles, None)
