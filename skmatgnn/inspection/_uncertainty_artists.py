"""What curves of calibration are drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import PercentFormatter
from scipy import stats

from skmatgnn.inspection._text import with_unit

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    from skmatgnn._typing import FloatArray

_BAND = 0.95
_GID = "model"


def draw_reference(ax: Axes, n_samples: int) -> tuple[Line2D, PolyCollection]:
    """Draw the diagonal, and where so many samples put a calibrated model."""
    expected = np.linspace(0, 1, 201)
    tail = (1 - _BAND) / 2
    ends = stats.binom.ppf([[tail], [1 - tail]], n_samples, expected) / n_samples
    band = ax.fill_between(
        expected, *ends, color="0.5", alpha=0.18, linewidth=0, zorder=1
    )
    (line,) = ax.plot(
        [0, 1], [0, 1], color="0.25", linestyle="--", linewidth=1.0, zorder=2
    )
    for place, text in (((0.34, 0.46), "too wide"), ((0.62, 0.50), "too narrow")):
        ax.text(
            *place,
            text,
            color="0.55",
            fontsize="small",
            rotation=45,
            ha="center",
            va="center",
            zorder=1.5,
        )
    return line, band


def draw_curve(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    name: str | None,
    options: dict[str, Any] | None,
) -> Line2D:
    """Draw the curve of one model, with markers if its points are few."""
    style = {
        "linewidth": 1.8,
        "marker": "o" if len(x) <= 25 else None,
        "markersize": 4,
        "zorder": 4,
        **(options or {}),
    }
    n_models = len(_models(ax))
    if not {"color", "c"} & set(style):
        style["color"] = f"C{n_models}"
    label = name if name is not None else f"_model{n_models}"
    (line,) = ax.plot(x, y, **{"label": label, **style})
    line.set_gid(_GID)
    return line


def label(ax: Axes, kind: str, units: str | None, title: str | None) -> None:
    """Scale and name the axes."""
    percent = PercentFormatter(xmax=1, decimals=0)
    ax.xaxis.set_major_formatter(percent)
    ax.set_xlim(0, 1)
    if kind == "coverage":
        ax.yaxis.set_major_formatter(percent)
        ax.set(ylim=(0, 1), xlabel="Expected coverage", ylabel="Observed coverage")
        ax.set_aspect("equal", adjustable="box")
    else:
        widths = np.concatenate([line.get_ydata() for line in _models(ax)])
        # an interval without an end has no place on the axis
        widest = np.max(widths, where=np.isfinite(widths), initial=0.0)
        ax.set_ylim(0, 1.05 * widest if widest > 0 else 1.0)
        ax.set_xlabel("Observed coverage")
        if units or not ax.get_ylabel():  # of a model that was drawn before
            ax.set_ylabel(with_unit("Mean interval width", units))
    ax.grid(color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    if title is not None:
        ax.set_title(title, fontsize="medium")


def free_corner(x: FloatArray, y: FloatArray, kind: str) -> bool:
    """Tell whether the upper left corner is free, rather than the lower right."""
    return kind == "width" or bool(np.mean(y - x) <= 0.02)


def write_metrics(ax: Axes, text: str, *, upper_left: bool) -> Text:
    """Write the box into one of the corners off the diagonal."""
    return ax.text(
        0.03 if upper_left else 0.97,
        0.97 if upper_left else 0.03,
        text,
        transform=ax.transAxes,
        ha="left" if upper_left else "right",
        va="top" if upper_left else "bottom",
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


def update_legend(ax: Axes, place: Any) -> Legend | None:
    """Name all models that are in the axes."""
    named = [m for m in _models(ax) if not str(m.get_label()).startswith("_")]
    if not named:
        return None
    handles: list[Artist] = [*named]
    legend = ax.legend(handles=handles, loc=place, fontsize="small", framealpha=0.85)
    legend.set_zorder(6)
    return legend


def _models(ax: Axes) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == _GID]
