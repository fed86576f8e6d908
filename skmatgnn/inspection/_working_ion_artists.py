"""What counts and distributions of categories are drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cbook import boxplot_stats
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from skmatgnn.inspection._text import pretty, shorten, with_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.text import Text

    from skmatgnn._typing import FloatArray, IntArray

_COLOR = "tab:blue"
_WHISKERS = (5, 95)
_VIOLIN = (1, 99)
_LONGEST = 14


def draw_counts(
    ax: Axes,
    counts: IntArray,
    shares: FloatArray,
    *,
    log: bool,
    options: dict[str, Any] | None,
) -> tuple[BarContainer, list[Text]]:
    """Draw a bar for each category, with count and share above it."""
    style = {"color": _COLOR, "width": 0.72, "zorder": 2, **(options or {})}
    bars = ax.bar(np.arange(len(counts)), counts, log=log, **style)
    texts = ax.bar_label(
        bars,
        [
            f"{count:,}\n{_percent(share)}"
            for count, share in zip(counts, shares, strict=True)
        ],
        padding=2,
        fontsize="x-small" if len(counts) > 12 else "small",
    )
    if log:
        ax.set_ylim(0.7, counts.max() ** 1.22 * 2)
    else:
        ax.set_ylim(0, counts.max() * 1.22)
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.yaxis.set_major_locator(
            MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=True)
        )
    return bars, list(texts)


def draw_values(
    ax: Axes, values: Sequence[FloatArray], kind: str
) -> dict[str, list[Any]]:
    """Draw the distribution of the target in each category that has known values."""
    places = [i for i, column in enumerate(values) if len(column)]
    known = [values[i] for i in places]
    if not known:
        return {}
    if kind == "violin":
        return _draw_violins(ax, known, places)
    drawn = ax.bxp(
        boxplot_stats(known, whis=_WHISKERS),
        positions=places,
        widths=0.6,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"color": "black", "linewidth": 1.4},
        boxprops={"facecolor": _COLOR, "alpha": 0.55, "edgecolor": "0.2"},
        whiskerprops={"color": "0.2"},
        capprops={"color": "0.2"},
    )
    return dict(drawn)


def _draw_violins(
    ax: Axes, values: Sequence[FloatArray], places: Sequence[int]
) -> dict[str, list[Any]]:
    trimmed = []
    for column in values:
        # Ends that are values: of few, those between would leave nothing.
        low, high = np.percentile(column, _VIOLIN, method="nearest")
        trimmed.append(column[(column >= low) & (column <= high)])
    drawn: dict[str, Any] = ax.violinplot(
        trimmed, positions=places, widths=0.85, showextrema=False, showmedians=False
    )
    for body in drawn["bodies"]:
        body.set(facecolor=_COLOR, edgecolor="0.2", alpha=0.55)
    medians = [float(np.median(column)) for column in values]
    drawn["medians"] = ax.scatter(
        places, medians, marker="_", s=90, color="black", linewidths=1.6, zorder=3
    )
    return dict(drawn)


def label(display: Any, names: Sequence[str], title: str | None) -> None:
    """Name the categories below the lower axes, and both axes."""
    ax, lower = display.ax_, display.target_ax_
    ax.set_ylabel("Samples")
    bottom = ax if lower is None else lower
    slanted = max(map(len, names)) > 4
    for each in (ax,) if lower is None else (ax, lower):
        each.set_xticks(
            np.arange(len(names)),
            [pretty(shorten(name, _LONGEST)) for name in names],
            rotation=45 if slanted else 0,
            ha="right" if slanted else "center",
            rotation_mode="anchor",
        )
        each.set_xlim(-0.6, len(names) - 0.4)
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(axis="x", length=0)
    bottom.set_xlabel(display.label_name)
    if lower is not None:
        ax.tick_params(axis="x", labelbottom=False)
        name = "Value" if display.target_name is None else display.target_name
        lower.set_ylabel(with_unit(name, display.units))
        lower.grid(axis="y", color="0.92", linewidth=0.8)
        lower.set_axisbelow(True)
    if title is not None:
        ax.set_title(title, fontsize="medium")


def _percent(share: float) -> str:
    """Write a share; a small one keeps a digit."""
    percent = 100 * share
    if percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 1.95 else f"{percent:.0f} %"
