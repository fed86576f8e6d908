"""Neighbours of all rows in the plane of two features, by loops that Numba compiles.

The same numbers as those of :func:`count_neighbors`, which is plain NumPy: distances
are the same differences, and all else is counting.
"""

# ruff: noqa: FURB136 - Numba's min and max look for NaN, which takes longer
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit
from numba.extending import overload

from skmatgnn.feature_selection import _mutual_info
from skmatgnn.feature_selection._columns import prepare_column

if TYPE_CHECKING:
    from skmatgnn._typing import IntArray
    from skmatgnn.feature_selection._columns import Column

__all__ = ["count_neighbors", "probe"]

# no fastmath: distances have to be those of NumPy to the last bit
compiled = njit(nogil=True, error_model="numpy", cache=True)
MOST_NEIGHBORS = 8  # that are kept in registers
AT_ONCE = 512  # searches


def count_neighbors(x: Column, y: Column, n_neighbors: int) -> IntArray:
    """Count as :func:`skmatgnn.feature_selection._mutual_info.count_neighbors` does.

    Parameters
    ----------
    x, y : Column
    n_neighbors : int
        The k, smaller than the number of rows.

    Returns
    -------
    ndarray of shape (n + 1,), int64
    """
    if n_neighbors > MOST_NEIGHBORS:
        return _mutual_info.count_neighbors(x, y, n_neighbors)
    if y.tied > x.tied:
        x, y = y, x
    n = len(x.values)
    numbers = np.zeros(n + 1, dtype=np.int64)
    # so wide that a neighbourhood of independent features spans about one strip
    width = max(8, int(0.75 * np.sqrt((n_neighbors + 1) * n)))
    none = (np.inf,) * n_neighbors
    _count(_arrays(x), _arrays(y), none, width, numbers)
    return numbers


def probe() -> None:
    """Compile all and run it once, so that a broken installation is found out."""
    x = prepare_column(np.arange(8.0), n_neighbors=3, rng=np.random.default_rng(0))
    count_neighbors(x, x, 3)


def _arrays(column: Column) -> tuple[Any, ...]:
    return (
        column.values,
        column.order,
        column.ascending,
        column.multiplicity,
        column.block,
        column.n_blocks,
        column.resolution,
    )


@compiled
def _count(x: Any, y: Any, none: Any, width: int, numbers: Any) -> None:
    n, n_neighbors = len(x[0]), len(none)
    shared = _shared_places(x, y)
    is_open = shared <= n_neighbors
    x_sizes, y_sizes = x[3], y[3]
    n_open = 0
    for row in range(n):
        if is_open[row]:
            n_open += 1
        else:
            numbers[n_neighbors] += 1
            numbers[x_sizes[row]] += 1
            numbers[y_sizes[row]] += 1
            numbers[shared[row]] -= 1
    if n_open:
        u, v, radius = _radii(x, y, is_open, n_open, width, none)
        _count_within(x, u, radius, numbers)
        _count_within(y, v, radius, numbers)


@compiled
def _shared_places(x: Any, y: Any) -> Any:
    """Count the rows at each row's place; 0 where either value is nearly unique."""
    order, sizes, x_block = x[1], x[3], x[4]
    y_block = y[4]
    shared = np.zeros(len(order), np.int64)
    counts = np.zeros(y[5], np.int64)
    place = 0
    while place < len(order):
        level = order[place : place + sizes[order[place]]]
        place += len(level)
        if x_block[level[0]] == 0:
            continue
        for row in level:
            counts[y_block[row]] += 1
        counts[0] = 0
        for row in level:
            shared[row] = counts[y_block[row]]
        for row in level:
            counts[y_block[row]] = 0
    return shared


@compiled
def _divide(x: Any, width: int, strip: Any, starts: Any) -> int:
    """Cut the order of a feature into strips; a level is never cut."""
    order, sizes = x[1], x[3]
    number, in_strip, place = -1, width, 0
    while place < len(order):
        size = sizes[order[place]]
        # a level of many rows gets a strip of its own
        if in_strip >= width or size >= width:
            number += 1
            starts[number] = place
            in_strip = 0
        for row in order[place : place + size]:
            strip[row] = number
        in_strip += size
        place += size
    starts[number + 1] = len(order)
    return number + 1


@compiled
def _sort(x: Any, y: Any, strip: Any, starts: Any, rows: Any, u: Any, v: Any) -> None:
    """Order rows by strip of x, and by y within."""
    values, order, ascending = x[0], y[1], y[2]
    free = starts.copy()
    for i in range(len(order)):
        row = order[i]
        place = free[strip[row]]
        free[strip[row]] = place + 1
        rows[place] = row
        u[place], v[place] = values[row], ascending[i]


def _insert(distance: float, nearest: Any) -> Any:
    raise NotImplementedError


@overload(_insert, strict=False)
def _insert_for(distance: Any, nearest: Any) -> Callable[[float, Any], Any]:
    """Insert into an ascending tuple, in registers and without branches."""
    del distance
    return _insert_last if len(nearest) == 1 else _insert_first


def _insert_last(distance: float, nearest: Any) -> Any:
    return (distance if distance < nearest[0] else nearest[0],)


def _insert_first(distance: float, nearest: Any) -> Any:
    first = nearest[0]
    smaller = distance if distance < first else first
    larger = first if distance < first else distance
    return (smaller,) + _insert(larger, nearest[1:])  # noqa: RUF005 - Numba unpacks no tuples


@compiled
def _compare(place: int, a: float, b: float, u: Any, v: Any, nearest: Any) -> Any:
    across, along = abs(u[place] - a), abs(v[place] - b)
    return _insert(across if across > along else along, nearest)


@compiled
def _scan_up(
    place: int, stop: int, a: float, b: float, u: Any, v: Any, nearest: Any
) -> Any:
    """Compare with rows from a place on until the rest of the strip is farther."""
    while place < stop and abs(v[place] - b) < nearest[-1]:
        nearest = _compare(place, a, b, u, v, nearest)
        place += 1
    return nearest


@compiled
def _scan_down(
    place: int, start: int, a: float, b: float, u: Any, v: Any, nearest: Any
) -> Any:
    while place >= start and abs(v[place] - b) < nearest[-1]:
        nearest = _compare(place, a, b, u, v, nearest)
        place -= 1
    return nearest


@compiled
def _scan_own(
    place: int, start: int, stop: int, a: float, b: float, u: Any, v: Any, nearest: Any
) -> Any:
    """Compare a row with its own strip."""
    k = len(nearest)
    before, after = place - 1, place + 1
    if before - start >= k and stop - after > k:
        # neighbours in the order are near: with them, most of the rest is too far
        for step in range(1, k + 1):
            nearest = _compare(place - step, a, b, u, v, nearest)
            nearest = _compare(place + step, a, b, u, v, nearest)
        before -= k
        after += k
    nearest = _scan_up(after, stop, a, b, u, v, nearest)
    return _scan_down(before, start, a, b, u, v, nearest)


@compiled
def _scan_other(
    start: int, stop: int, begin: int, a: float, b: float, u: Any, v: Any, nearest: Any
) -> Any:
    """Compare a row with another strip, whose rows before ``begin`` are less in y."""
    while begin < stop and v[begin] < b:
        begin += 1
    nearest = _scan_up(begin, stop, a, b, u, v, nearest)
    return begin, _scan_down(begin - 1, start, a, b, u, v, nearest)


@compiled
def _radii(x: Any, y: Any, is_open: Any, n_open: int, width: int, none: Any) -> Any:
    """Compute x, y and the distance to the k-th neighbour of open rows, by strip."""
    n, ascending = len(is_open), x[2]
    strip, rows = np.empty(n, np.int32), np.empty(n, np.int32)
    u, v = np.empty(n), np.empty(n)
    out_u, out_v, radius = np.empty(n_open), np.empty(n_open), np.empty(n_open)
    found = 0
    starts = np.empty(n + 1, np.int64)
    n_strips = _divide(x, width, strip, starts)
    _sort(x, y, strip, starts, rows, u, v)
    for number in range(n_strips):
        # rows of a strip ascend in y, so that these places only move up
        begin = starts[:n_strips].copy()
        for place in range(starts[number], starts[number + 1]):
            if not is_open[rows[place]]:
                continue
            a, b = u[place], v[place]
            near = _scan_own(
                place, starts[number], starts[number + 1], a, b, u, v, none
            )
            s = number - 1
            while s >= 0 and a - ascending[starts[s + 1] - 1] < near[-1]:
                begin[s], near = _scan_other(
                    starts[s], starts[s + 1], begin[s], a, b, u, v, near
                )
                s -= 1
            s = number + 1
            while s < n_strips and ascending[starts[s]] - a < near[-1]:
                begin[s], near = _scan_other(
                    starts[s], starts[s + 1], begin[s], a, b, u, v, near
                )
                s += 1
            out_u[found], out_v[found], radius[found] = a, b, near[-1]
            found += 1
    return out_u, out_v, radius


@compiled
def _search_below(ascending: Any, values: Any, places: Any) -> None:
    """Count the numbers below each value, bisecting for all values at once.

    No search then waits for another, and none guesses which half comes next.
    """
    for j in range(len(values)):
        places[j] = 0
    length = len(ascending)
    while length > 1:
        half = length >> 1
        for j in range(len(values)):
            middle = ascending[np.uint64(places[j] + half - 1)]
            places[j] += half if middle < values[j] else 0
        length -= half
    for j in range(len(values)):
        places[j] += 1 if ascending[np.uint64(places[j])] < values[j] else 0


@compiled
def _search_up_to(ascending: Any, values: Any, places: Any) -> None:
    for j in range(len(values)):
        places[j] = 0
    length = len(ascending)
    while length > 1:
        half = length >> 1
        for j in range(len(values)):
            middle = ascending[np.uint64(places[j] + half - 1)]
            places[j] += half if middle <= values[j] else 0
        length -= half
    for j in range(len(values)):
        places[j] += 1 if ascending[np.uint64(places[j])] <= values[j] else 0


@compiled
def _count_within(x: Any, values: Any, radius: Any, numbers: Any) -> None:
    """Count, as numbers, the rows closer in one feature than the k-th neighbour."""
    ascending, resolution = x[2], x[6]
    ends = np.empty(AT_ONCE)
    low, high = np.empty(AT_ONCE, np.int64), np.empty(AT_ONCE, np.int64)
    for first in range(0, len(values), AT_ONCE):
        n = min(AT_ONCE, len(values) - first)
        for i in range(n):
            ends[i] = values[first + i] - (radius[first + i] - resolution)
        _search_below(ascending, ends[:n], low)
        for i in range(n):
            ends[i] = values[first + i] + (radius[first + i] - resolution)
        _search_up_to(ascending, ends[:n], high)
        for i in range(n):
            numbers[max(high[i] - low[i], 1)] += 1
