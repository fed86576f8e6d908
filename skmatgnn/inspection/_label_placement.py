"""Labels beside points, moved until they cover neither each other nor the edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import patheffects
from matplotlib.text import Annotation, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from skmatgnn._typing import FloatArray

_RADII = (7, 14, 24, 36, 50, 66, 84, 104)
_ANGLES = np.radians([20, 160, -20, -160, 90, -90, 50, 130, -50, -130, 0, 180])
_PADDING = 2.0


def place_labels(
    ax: Axes,
    anchors: FloatArray,
    texts: Sequence[str],
    *,
    colors: Sequence[object],
    points: FloatArray,
) -> list[Annotation]:
    """Write each text near its anchor, the first ones at the best places.

    Parameters
    ----------
    ax : matplotlib Axes
        With its final limits.
    anchors : ndarray of shape (n_labels, 2)
        What the texts belong to, in data coordinates.
    texts : sequence of str
        The labels.
    colors : sequence of colours
        Of the lines that lead from the labels to the anchors.
    points : ndarray of shape (n_samples, 2)
        What should be covered as little as possible.

    Returns
    -------
    list of Annotation
    """
    stroke = [patheffects.withStroke(linewidth=2.6, foreground="white")]
    notes = [
        ax.annotate(
            text,
            anchor,
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize="small",
            path_effects=stroke,
            zorder=5,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.9,
                "shrinkA": 0,
                "shrinkB": 2,
            },
        )
        for text, anchor, color in zip(texts, anchors, colors, strict=True)
    ]
    # The layout engine moves the axes only when the figure is drawn.
    ax.figure.figure.draw_without_rendering()
    _arrange(ax, notes, ax.transData.transform(anchors), points)
    return notes


def _arrange(
    ax: Axes, notes: Sequence[Annotation], anchors: FloatArray, points: FloatArray
) -> None:
    per_point = ax.figure.figure.dpi / 72
    covered = ax.transData.transform(points)
    frame = np.array(ax.get_window_extent().extents)
    pad = _PADDING * per_point
    placed: list[FloatArray] = [
        np.concatenate([anchor - 2 * pad, anchor + 2 * pad]) for anchor in anchors
    ]
    for note, anchor in zip(notes, anchors, strict=True):
        box = Text.get_window_extent(note)  # without the line
        half = np.array([box.width, box.height]) / 2 + pad
        # Text is wider than high: start where its edge is, not its centre.
        offsets = np.array(
            [
                np.array([np.cos(angle), np.sin(angle)]) * (half + radius * per_point)
                for radius in _RADII
                for angle in _ANGLES
            ]
        )
        costs = [
            _cost(anchor + offset, half, placed, covered, frame)
            + 0.02 * np.hypot(*offset) / per_point
            for offset in offsets
        ]
        best = offsets[int(np.argmin(costs))]
        note.set_position(tuple(best / per_point))
        placed.append(np.concatenate([anchor + best - half, anchor + best + half]))


def _cost(
    center: FloatArray,
    half: FloatArray,
    placed: list[FloatArray],
    covered: FloatArray,
    frame: FloatArray,
) -> float:
    """Weigh what a label would cover: other labels most, then the edge, then points."""
    low, high = center - half, center + half
    others = np.array(placed)
    overlap = np.clip(
        np.minimum(high, others[:, 2:]) - np.maximum(low, others[:, :2]), 0, None
    ).prod(axis=1)
    outside = np.clip(frame[:2] - low, 0, None) + np.clip(high - frame[2:], 0, None)
    inside = ((covered > low) & (covered < high)).all(axis=1).mean()
    area = (4 * half.prod()) or 1.0
    return float(
        100 * (overlap > 0).sum()
        + 100 * overlap.sum() / area
        + 20 * (outside > 0).any()
        + 20 * outside.sum()
        + 40 * inside
    )
