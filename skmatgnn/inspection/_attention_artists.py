"""What a matrix of attention is drawn with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps

from skmatgnn.inspection._inputs import ensure_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage
    from matplotlib.text import Text

    from skmatgnn._typing import FloatArray

_MAX_WRITTEN = 8
_BRIGHT = 0.6


def draw_matrix(
    ax: Axes,
    matrix: FloatArray,
    cmap: str,
    limits: tuple[float, float] | None,
    *,
    relative: bool,
) -> tuple[AxesImage, Colorbar]:
    """Draw the cells, those without data blank, and the scale."""
    if limits is None:
        limits = 0.0, float(np.nanmax(matrix)) or 1.0
    low, high = ensure_limits(limits)
    colors = colormaps[cmap].with_extremes(bad="white")
    image = ax.imshow(
        np.ma.masked_invalid(matrix), cmap=colors, vmin=low, vmax=high, aspect="equal"
    )
    bar = ax.figure.colorbar(image, ax=ax, pad=0.03, shrink=0.9)
    bar.set_label("Attention / even attention" if relative else "Attention")
    return image, bar


def write_values(ax: Axes, image: AxesImage) -> list[Text]:
    """Write the numbers into the cells of a small matrix, black on bright ones."""
    matrix: np.ma.MaskedArray = np.ma.asarray(image.get_array())
    if len(matrix) > _MAX_WRITTEN:
        return []
    texts = []
    for row, column in np.argwhere(~np.ma.getmaskarray(matrix)):
        value = float(matrix[row, column])
        red, green, blue, _ = image.to_rgba(np.array([value]))[0]
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > _BRIGHT
        texts.append(
            ax.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize="small",
                color="black" if bright else "white",
            )
        )
    return texts


def label(
    ax: Axes, elements: Sequence[str], fractions: Mapping[str, Any] | None
) -> None:
    """Name rows and columns; a single composition's with their atomic fractions."""
    places = np.arange(len(elements))
    size = "small" if len(elements) > 12 else "medium"
    if fractions is None:
        rows = columns = list(elements)
    else:
        rows = [f"{symbol} {fractions[symbol]:.2f}" for symbol in elements]
        columns = [f"{symbol}\n{fractions[symbol]:.2f}" for symbol in elements]
    ax.set_xticks(places, columns, fontsize=size)
    ax.set_yticks(places, rows, fontsize=size)
    ax.tick_params(length=0)
    ax.set_xlabel("Attended element")
    ax.set_ylabel("Attending element")
    ax.set_xticks(places[:-1] + 0.5, minor=True)
    ax.set_yticks(places[:-1] + 0.5, minor=True)
    ax.grid(which="minor", color="0.9", linewidth=0.5)
    ax.tick_params(which="minor", length=0)
