"""What matrices and curves of transfer learning are drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from skmatgnn.inspection._axes import distinct_colors, draw_legend
from skmatgnn.inspection._learning_curve_artists import scale
from skmatgnn.inspection._text import pretty, shorten, with_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import FillBetweenPolyCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

_BRIGHT = 0.6
_LEAST_RANGE = 1.1
_MARKERS = {"scratch": "o", "MPT": "D", "MPT without target": "s"}
_LOWEST = 0.1  # of the mean


def draw_ratios(
    ax: Axes, ratios: pd.DataFrame, cmap: str, metric: str
) -> tuple[AxesImage, Colorbar]:
    """Draw the cells, those without data blank, on a scale that is even about one."""
    values = ratios.to_numpy()
    reach = max(_LEAST_RANGE, float(np.exp(np.nanmax(np.abs(np.log(values))))))
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=colormaps[cmap].with_extremes(bad="0.93"),
        norm=LogNorm(1 / reach, reach),
        aspect="auto",
    )
    bar = ax.figure.colorbar(image, ax=ax, pad=0.03)
    root = np.sqrt(reach)
    bar.set_ticks([1 / reach, 1 / root, 1, root, reach])
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2f}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.set_label(f"{metric} / {metric} from scratch")
    return image, bar


def write_ratios(ax: Axes, display: Any) -> list[Text]:
    """Write ratio and spread into the cells, black on bright ones."""
    texts = []
    ratios = display.ratios_.to_numpy()
    low, high = display.low_.to_numpy(), display.high_.to_numpy()
    for row, column in np.argwhere(np.isfinite(ratios)):
        value = ratios[row, column]
        text = f"{value:.2f}"
        if np.isfinite(low[row, column]):
            ends = (low[row, column], high[row, column])
            text += (
                f"\n[{ends[0]:.2f}, {ends[1]:.2f}]"
                if display.spread == "interval"
                else f"\n± {ends[1] - value:.2f}"
            )
        red, green, blue, _ = display.image_.cmap(display.image_.norm(value))
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT
        style: Any = {"ha": "center", "va": "center", "fontsize": "small"}
        color = "black" if bright else "white"
        texts.append(ax.text(column, row, text, color=color, **style))
    return texts


def label_matrix(ax: Axes, ratios: pd.DataFrame, title: str) -> None:
    """Name rows and columns; set what is no pair apart."""
    rows, columns = list(ratios.index), list(ratios.columns)
    ax.set_yticks(range(len(rows)), [pretty(shorten(str(name), 24)) for name in rows])
    ax.set_xticks(range(len(columns)), [pretty(shorten(str(name))) for name in columns])
    ax.tick_params(length=0)
    ax.set(xlabel="Target", ylabel="Pre-trained on")
    ax.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    ax.set_title(title, fontsize="medium")


def draw_lines(
    ax: Axes, display: Any, options: dict[str, Any] | None
) -> tuple[list[Line2D], list[FillBetweenPolyCollection]]:
    """Draw one line per design and source, and a band if it has several trials."""
    lines, bands = [], []
    colors = distinct_colors(len(display.curves_))
    for (name, curve), color in zip(display.curves_.items(), colors, strict=True):
        is_pair = "pair: " in name
        style = {
            "color": color,
            "marker": _MARKERS.get(name, "v"),
            "markersize": 4 if is_pair else 5,
            "linewidth": 1.1 if is_pair else 1.8,
            "linestyle": "--" if is_pair else "-",
            "label": shorten(name, 30),
            "zorder": 3 if is_pair else 4,
            **(options or {}),
        }
        sizes = curve.index.to_numpy()
        lines.extend(ax.plot(sizes, curve["mean"], **style))
        if curve["low"].notna().any():
            lowest = np.maximum(curve["low"], _LOWEST * curve["mean"])
            bands.append(
                ax.fill_between(
                    sizes,
                    lowest,
                    curve["high"],
                    color=lines[-1].get_color(),
                    alpha=0.08 if is_pair else 0.18,
                    linewidth=0,
                    zorder=2,
                )
            )
    return lines, bands


def label_curves(
    ax: Axes,
    display: Any,
    *,
    scales: tuple[str, str],
    metric: str,
    title: str,
) -> None:
    """Scale and name the axes; a logarithmic axis has ticks at the sizes."""
    scale(ax, *scales)
    sizes = sorted({size for curve in display.curves_.values() for size in curve.index})
    if scales[0] == "log" and len(sizes) <= 8:
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
    units = display.units if display.metric == "mae" else None
    ax.set(xlabel="Training rows of the target", ylabel=with_unit(metric, units))
    ax.grid(color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_title(pretty(title), fontsize="medium")


def legend_of_curves(ax: Axes, display: Any) -> Legend:
    """List the lines and tell what the bands are."""
    handles: list[Any] = list(display.lines_)
    if display.bands_:
        level = f"{100 * display.confidence_level:g} % interval of the mean"
        text = level if display.spread == "interval" else "standard deviation"
        handles.append(Patch(color="0.5", alpha=0.25, linewidth=0, label=text))
    return draw_legend(ax, handles, None)
