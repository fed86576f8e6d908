"""Distance to the k-th neighbour in the plane of two features.

Rows are ordered by strip of one feature and by value of the other within a strip, so
that neighbours are near in that order. All rows are compared with the rows a few
places on, one vectorised step for each place. A row is finished when everything that
it has not been compared with is provably farther away. A few such orders finish
nearly all rows; the rest is compared with all rows inside the distance found so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.feature_selection._columns import Column, Strips

__all__ = ["kth_neighbor_distance"]

_BRUTE_FORCE = 96  # rows
_FEW = 0.03  # unfinished rows that are cheaper one by one
_MANY_FINISHED = 0.2
_AT_ONCE = 2**20  # comparisons held in memory by the last step


def kth_neighbor_distance(
    x: Column, y: Column, wanted: np.ndarray, n_neighbors: int
) -> FloatArray:
    """Compute the Chebyshev distance to the k-th nearest other row.

    Parameters
    ----------
    x, y : Column
    wanted : ndarray of shape (n,), bool
        Rows for which the distance is needed; all rows count as neighbours.
    n_neighbors : int
        The k, smaller than the number of rows.

    Returns
    -------
    ndarray of shape (n,), float64
        Exact where wanted, elsewhere an upper bound or infinite.
    """
    n = len(wanted)
    if n <= _BRUTE_FORCE:
        return _brute_force(x, y, n_neighbors)
    if y.tied > x.tied:
        x, y = y, x
    distance = np.full(n, np.inf)
    is_open = wanted.copy()
    n_open = np.count_nonzero(is_open)
    swept = False
    for a, b in ((x, y), (y, x)):
        for strips in a.strips:
            if n_open > (_FEW * n if swept else 0):
                _sweep_strips(a, b, strips, n_neighbors, distance, is_open)
                n_open = np.count_nonzero(is_open)
                swept = True
    if n_open:
        _finish(x, y, np.flatnonzero(is_open), n_neighbors, distance)
    return distance


def _brute_force(x: Column, y: Column, n_neighbors: int) -> FloatArray:
    gaps = np.maximum(
        np.abs(x.values[:, None] - x.values), np.abs(y.values[:, None] - y.values)
    )
    np.fill_diagonal(gaps, np.inf)
    return np.partition(gaps, n_neighbors - 1, axis=1)[:, n_neighbors - 1]


def _sweep_strips(
    x: Column,
    y: Column,
    strips: Strips,
    n_neighbors: int,
    distance: FloatArray,
    is_open: np.ndarray,
) -> None:
    """Compare rows with their neighbours in the order of one division; in place."""
    reach = 7 + n_neighbors
    rows = _ordered(x, y, strips)
    opened = is_open[rows]
    if np.count_nonzero(opened) < (1 - _MANY_FINISHED) * len(rows):
        keep = _around(opened, reach + 1)
        rows, opened = rows[keep], opened[keep]
    u, v = x.values[rows], y.values[rows]
    kth = _kth_within_reach(u, v, reach, n_neighbors)
    places = np.flatnonzero(opened)
    bound = _bound(x, y, strips, rows, places, reach)
    rows, kth = rows[places], kth[places]
    distance[rows] = np.minimum(distance[rows], kth)
    is_open[rows] = kth > bound


def _ordered(x: Column, y: Column, strips: Strips) -> IntArray:
    """Rows by strip of x, then level of y, then x."""
    n_strips = int(strips.of_row[x.order[-1]]) + 1
    level = y.level[x.order]
    if n_strips * y.n_levels < 2**16:
        key = strips.of_row[x.order] * np.uint16(y.n_levels) + level
        return x.order[np.argsort(key, kind="stable")]
    rows = x.order[np.argsort(level, kind="stable")]
    return rows[np.argsort(strips.of_row[rows], kind="stable")]


def _around(mask: np.ndarray, reach: int) -> IntArray:
    """Places at most ``reach`` away from a true one."""
    n = len(mask)
    count = np.zeros(n + 2 * reach + 1, dtype=np.int64)
    np.cumsum(mask, out=count[reach + 1 : reach + 1 + n])
    count[reach + 1 + n :] = count[reach + n]
    return np.flatnonzero(count[2 * reach + 1 :] > count[:n])


def _kth_within_reach(
    u: FloatArray, v: FloatArray, reach: int, n_neighbors: int
) -> FloatArray:
    """K-th smallest distance to the rows up to ``reach`` places before and after."""
    n = len(u)
    nearest = list(np.full((n_neighbors, n), np.inf))
    gap, other = np.empty((2, n))
    for step in range(1, min(reach, n - 1) + 1):
        d, t = gap[: n - step], other[: n - step]
        np.abs(np.subtract(u[step:], u[:-step], out=d), out=d)
        np.abs(np.subtract(v[step:], v[:-step], out=t), out=t)
        np.maximum(d, t, out=d)
        for side in (slice(None, n - step), slice(step, None)):
            # insertion of d into the ascending list of each row
            lists = [one[side] for one in nearest]
            for rank in range(n_neighbors - 1, 0, -1):
                np.maximum(lists[rank - 1], d, out=t)
                np.minimum(lists[rank], t, out=lists[rank])
            np.minimum(lists[0], d, out=lists[0])
    return nearest[-1]


def _bound(
    x: Column,
    y: Column,
    strips: Strips,
    rows: IntArray,
    places: IntArray,
    reach: int,
) -> FloatArray:
    """Below this distance, a row has been compared with all others."""
    row = rows[places]
    value = y.values[row]
    bound = strips.to_edge[row]
    for step, to_level in ((reach + 1, y.to_next), (-reach - 1, y.to_previous)):
        far = places + step
        inside = np.minimum(np.maximum(far, 0), len(rows) - 1)
        other = rows[inside]
        # Within a level rows follow x: what comes later on the same level is farther
        # in x, all else is on another level, somewhere in the jitter of that level.
        along = np.minimum(np.abs(x.values[other] - x.values[row]), to_level[row])
        across = y.level_low[other] - value if step > 0 else value - y.level_high[other]
        gap = np.where(y.level[other] == y.level[row], along, across)
        gap[(far != inside) | (strips.of_row[other] != strips.of_row[row])] = np.inf
        np.minimum(bound, gap, out=bound)
    return bound


def _finish(
    x: Column, y: Column, rows: IntArray, n_neighbors: int, distance: FloatArray
) -> None:
    """Compare rows with all that the distance found so far can reach; in place."""
    windows = []
    for column in (x, y):
        value, radius = column.values[rows], distance[rows] + column.resolution
        low = np.searchsorted(column.ascending, value - radius)
        high = np.searchsorted(column.ascending, value + radius, side="right")
        windows.append((low, high - low))
    by_x = windows[0][1] <= windows[1][1]
    for a, b, (low, count), chosen in (
        (x, y, windows[0], by_x),
        (y, x, windows[1], ~by_x),
    ):
        selected, start_at, number = rows[chosen], low[chosen], count[chosen]
        part = np.cumsum(number) // _AT_ONCE
        for start, stop in _runs(part):
            piece = slice(start, stop)
            _compare(
                (a, b),
                selected[piece],
                (start_at[piece], number[piece]),
                n_neighbors,
                distance,
            )


def _runs(part: IntArray) -> list[tuple[int, int]]:
    if len(part) == 0:
        return []
    edges = np.flatnonzero(np.diff(part)) + 1
    return list(zip([0, *edges.tolist()], [*edges.tolist(), len(part)], strict=True))


def _compare(
    columns: tuple[Column, Column],
    rows: IntArray,
    window: tuple[IntArray, IntArray],
    n_neighbors: int,
    distance: FloatArray,
) -> None:
    """Compare each row with so many rows from a place in the order of a column."""
    (a, b), (low, count) = columns, window
    query = np.repeat(np.arange(len(rows)), count)
    place = np.arange(len(query)) + (low - np.cumsum(count) + count)[query]
    other = a.order[place]
    radius = distance[rows]
    gap = np.abs(b.values[other] - b.values[rows][query])
    keep = np.flatnonzero(gap <= radius[query])
    query, other = query[keep], other[keep]
    gap = np.maximum(gap[keep], np.abs(a.values[other] - a.values[rows][query]))
    keep = (gap <= radius[query]) & (other != rows[query])
    query, gap = query[keep], gap[keep]
    # One sort by row and distance; the k-th of each row is never beyond its radius.
    order = np.argsort(query + gap / (radius[query] * 1.001))
    first = np.searchsorted(query, np.arange(len(rows)))
    distance[rows] = gap[order[first + n_neighbors - 1]]
