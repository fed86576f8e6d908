"""Element mover's distances of tiles, by loops that Numba compiles.

For scales of whole numbers, where all sums are exact: the result is then that of the
plain way to the last bit.
"""

# ruff: noqa: FURB136 - Numba's max looks for NaN, which takes longer
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray

__all__ = ["fill", "probe"]

compiled = njit(nogil=True, error_model="numpy", cache=True)
TILE = 64  # rows
MIRRORED = 64  # rows and columns at once


def fill(
    rows: tuple[IntArray, FloatArray, np.ndarray],
    columns: tuple[IntArray, FloatArray, np.ndarray] | None,
    positions: FloatArray,
    result: FloatArray,
) -> None:
    """Compute all distances, or half of them and mirror it.

    Parameters
    ----------
    rows : tuple of ndarray
        In the order in which they are cut into tiles: their places in the matrix, the
        cumulative fractions (n, n_positions) and which positions have an element.
    columns : tuple of ndarray or None
        The same; None for those of the rows.
    positions : ndarray of shape (n_positions,)
    result : ndarray of shape (n_rows, n_columns)
        Zeros; written.
    """
    symmetric = columns is None
    order, values, present = rows if columns is None else columns
    _fill(
        rows[:2],
        _used(rows[2]),
        order,
        *_tiles(values, present),
        positions,
        symmetric,
        result,
    )
    if symmetric:
        _mirror(result)


def probe() -> None:
    """Compile all and run it once, so that a broken installation is found out."""
    one = (np.arange(1), np.zeros((1, 2)), np.ones((1, 2), dtype=bool))
    fill(one, None, np.arange(2.0), np.zeros((1, 1)))


def _used(present: np.ndarray) -> np.ndarray:
    starts = np.arange(0, len(present), TILE)
    return np.logical_or.reduceat(present, starts, axis=0)


def _tiles(values: FloatArray, present: np.ndarray) -> tuple[FloatArray, np.ndarray]:
    """Cut into tiles of (n_positions, rows): the rows of one position are adjacent."""
    n_tiles = -(-len(values) // TILE)
    filled = np.zeros((n_tiles * TILE, values.shape[1]))
    filled[: len(values)] = values
    tiles = filled.reshape(n_tiles, TILE, -1).transpose(0, 2, 1)
    return np.ascontiguousarray(tiles), _used(present)


@compiled
def _fill(
    left: Any,
    left_used: Any,
    order: Any,
    tiles: Any,
    used: Any,
    positions: Any,
    symmetric: bool,
    result: Any,
) -> None:
    left_order, values = left
    # four positions at a time: the last may be filled up with zeros
    a = np.zeros((TILE, len(positions) + 3))
    b = np.zeros((len(positions) + 3, TILE))
    distances = np.empty((TILE, TILE))
    for i in range(len(left_used)):
        own = values[i * TILE : (i + 1) * TILE]
        for j in range(i if symmetric else 0, len(tiles)):
            chosen = np.flatnonzero(left_used[i] | used[j])
            _take(own, tiles[j], chosen, positions, a, b)
            _distances(a[: len(own)], b, len(chosen) - 1, distances)
            places = order[j * TILE : (j + 1) * TILE]
            for row in range(len(own)):
                to, one = result[left_order[i * TILE + row]], distances[row]
                for k in range(len(places)):
                    to[places[k]] = one[k]


@compiled
def _take(values: Any, tile: Any, chosen: Any, positions: Any, a: Any, b: Any) -> None:
    """Multiply the positions that occur with the distance to the next that does."""
    n = len(chosen) - 1
    for k in range(n):
        width = positions[chosen[k + 1]] - positions[chosen[k]]
        one, other = tile[chosen[k]], b[k]
        for row in range(TILE):
            other[row] = one[row] * width
        for row in range(len(values)):
            a[row, k] = values[row, chosen[k]] * width
    for k in range(n, n + 3):
        b[k] = 0.0
        a[:, k] = 0.0


@compiled
def _distances(a: Any, b: Any, n: int, out: Any) -> None:
    for i in range(len(a)):
        total = out[i]
        for j in range(TILE):
            total[j] = 0.0
        for k in range(0, n, 4):
            a0, a1, a2, a3 = a[i, k], a[i, k + 1], a[i, k + 2], a[i, k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            for j in range(TILE):
                one = (total[j] + abs(a0 - b0[j])) + abs(a1 - b1[j])
                total[j] = (one + abs(a2 - b2[j])) + abs(a3 - b3[j])


@compiled
def _mirror(matrix: Any) -> None:
    """Fill in the zeros: of each pair of entries one is set, both if within a tile."""
    n = len(matrix)
    for top in range(0, n, MIRRORED):
        for left in range(top, n, MIRRORED):
            for i in range(top, min(top + MIRRORED, n)):
                for j in range(max(left, i + 1), min(left + MIRRORED, n)):
                    one, other = matrix[i, j], matrix[j, i]
                    larger = one if one > other else other
                    matrix[i, j] = larger
                    matrix[j, i] = larger
