"""What an embedding map is drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.lines import Line2D

from skmatgnn.inspection._axes import NOISE_COLOR, distinct_colors, draw_legend
from skmatgnn.inspection._label_placement import place_labels
from skmatgnn.inspection._text import pretty, shorten, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.legend import Legend
    from matplotlib.text import Annotation

    from skmatgnn._typing import FloatArray
    from skmatgnn.inspection._map_clusters import Clusters

_MARGIN = 0.06


def frame(
    ax: Axes, points: FloatArray, names: tuple[str, str], title: str | None
) -> None:
    """Fix the limits, since labels are placed within them, and name the axes."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.where(high > low, _MARGIN * (high - low), 1.0)
    ax.set(
        xlim=(low[0] - room[0], high[0] + room[0]),
        ylim=(low[1] - room[1], high[1] + room[1]),
        xlabel=names[0],
        ylabel=names[1],
    )
    if title is not None:
        ax.set_title(title, fontsize="medium")


def style_of(n_points: int, options: dict[str, Any] | None) -> dict[str, Any]:
    """Make points smaller and more transparent the more there are."""
    return {
        "s": float(np.clip(700 / np.sqrt(n_points), 6, 40)),
        "alpha": float(np.clip(25 / np.sqrt(n_points), 0.45, 0.9)),
        "linewidths": 0,
        "rasterized": n_points > 2000,
        **(options or {}),
    }


def _scatter(ax: Axes, points: FloatArray, **style: Any) -> PathCollection:
    return ax.scatter(points[:, 0], points[:, 1], **style)


def draw_clusters(
    ax: Axes, points: FloatArray, clusters: Clusters, style: dict[str, Any]
) -> dict[Any, PathCollection]:
    """Scatter each cluster in its colour, and noise in grey below them."""
    drawn: dict[Any, PathCollection] = {}
    if not clusters.labels:
        rows = clusters.codes >= 0
        if rows.any():
            own = {"color": "tab:blue", **style}
            drawn["all"] = _scatter(ax, points[rows], zorder=2, **own)
    colors = distinct_colors(len(clusters.labels))
    for place, label in enumerate(clusters.labels):
        own = {"color": colors[place], **style}
        rows = clusters.codes == place
        drawn[label] = _scatter(ax, points[rows], zorder=2, **own)
    noise = clusters.codes < 0
    if noise.any():
        own = {**style, "color": NOISE_COLOR}
        drawn[-1] = _scatter(ax, points[noise], zorder=1.5, **own)
    return drawn


def draw_values(
    ax: Axes,
    points: FloatArray,
    values: FloatArray,
    limits: tuple[float, float],
    style: dict[str, Any],
) -> dict[str, PathCollection]:
    """Scatter the points coloured by value, and unknown ones in grey below them."""
    known = ~np.isnan(values)
    drawn = {
        "values": _scatter(
            ax,
            points[known],
            c=values[known],
            vmin=limits[0],
            vmax=limits[1],
            zorder=2,
            **style,
        )
    }
    if not known.all():
        own = {k: v for k, v in style.items() if k != "cmap"} | {"color": NOISE_COLOR}
        drawn["unknown"] = _scatter(ax, points[~known], zorder=1.5, **own)
    return drawn


def colorbar_of(
    ax: Axes,
    scatter: PathCollection,
    values: FloatArray,
    name: str | None,
    units: str | None,
) -> Colorbar:
    """Draw the scale; arrows tell that values lie beyond it."""
    low, high = scatter.get_clim()
    below, above = np.nanmin(values) < low, np.nanmax(values) > high
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    opaque = ScalarMappable(scatter.norm, scatter.cmap)
    bar = ax.figure.colorbar(
        opaque, ax=ax, pad=0.02, extend=extend[int(below), int(above)]
    )
    bar.set_label(with_unit("Value" if name is None else name, units))
    return bar


def legend_of(ax: Axes, clusters: Clusters, max_named: int) -> Legend:
    """List the largest clusters, the sum of the others, and noise."""
    colors = distinct_colors(len(clusters.labels))
    entries: list[tuple[Any, str]] = [
        (colors[place], f"{pretty(shorten(str(label)))} ({clusters.sizes[place]:,})")
        for place, label in enumerate(clusters.labels[:max_named])
    ]
    others = clusters.sizes[max_named:]
    if others:
        entries.append(("none", f"{len(others)} smaller ({sum(others):,})"))
    noise = int((clusters.codes < 0).sum())
    if noise:
        entries.append((NOISE_COLOR, f"noise ({noise:,})"))
    handles = [
        Line2D([], [], linestyle="", marker="o", color=color, markersize=6, label=text)
        for color, text in entries
    ]
    return draw_legend(ax, handles, "Cluster (samples)")


def draw_medoids(
    ax: Axes, points: FloatArray, clusters: Clusters, max_named: int, *, plain: bool
) -> tuple[PathCollection | None, list[Annotation]]:
    """Mark the representatives of the largest clusters and write their formulas."""
    places = [place for place in range(max_named) if place in clusters.anchors]
    if not places:
        return None, []
    rows = [clusters.anchors[place] for place in places]
    colors: list[Any] = distinct_colors(len(clusters.labels))
    colors = ["white" if plain else colors[place] for place in places]
    style = {"s": 42, "edgecolors": "black", "linewidths": 1.1, "zorder": 4}
    markers = _scatter(ax, points[rows], c=colors, **style)
    texts = place_labels(
        ax,
        points[rows],
        [pretty(clusters.texts[place]) for place in places],
        colors=["0.2"] * len(places),
        points=points,
    )
    return markers, texts
