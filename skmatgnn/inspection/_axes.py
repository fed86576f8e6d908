"""What the displays share: figures, colours and legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidTypeError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

NOISE_COLOR = "0.78"


def new_axes(
    width: float, height: float, *, layout: str = "constrained", **options: Any
) -> Any:
    """Make a figure of this size in inches, whose axes leave room for all text.

    Further options are those of ``pyplot.subplots``.
    """
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout=layout, **options)[1]


def require_axes(ax: Any, name: str = "ax") -> Axes:
    """Reject what is not one matplotlib Axes."""
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise InvalidTypeError(
            f"{name} must be one matplotlib Axes; got {describe(ax)}. An array of "
            "axes, as plt.subplots(1, 2) makes it, has to be indexed."
        )
    return ax


def given_or_new_axes(
    ax: Any, width: float, height: float, *, layout: str = "constrained"
) -> Axes:
    """Return the axes to draw on; None makes a figure of this size in inches."""
    return new_axes(width, height, layout=layout) if ax is None else require_axes(ax)


def distinct_colors(n_colors: int) -> list[tuple[float, ...]]:
    """Colours that can be told apart, none of them the grey of noise."""
    from matplotlib import colormaps

    if n_colors <= 18:
        shades = colormaps["tab20"]
        paired: list[tuple[float, ...]] = [shades(place)[:3] for place in range(20)]
        strong = [c for i, c in enumerate(paired[0::2]) if i != 7]
        light = [c for i, c in enumerate(paired[1::2]) if i != 7]
        return [*strong, *light][:n_colors]
    places = np.linspace(0.02, 0.98, n_colors)
    return [tuple(c) for c in colormaps["turbo"](places)]


def draw_legend(ax: Axes, handles: list[Any], title: str | None) -> Legend:
    """Put a legend beside the axes, or inside where no layout makes room for it."""
    beside = ax.figure.figure.get_layout_engine() is not None
    place = (
        {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
        if beside
        else {"loc": "best"}
    )
    legend = ax.legend(
        handles=handles,
        title=title,
        fontsize="small",
        title_fontsize="small",
        handletextpad=0.4,
        framealpha=0.85,
        **place,
    )
    legend.set_zorder(6)
    return legend
