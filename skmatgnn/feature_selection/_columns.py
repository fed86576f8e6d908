"""A feature made ready for the search of neighbours in pairs of features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray

__all__ = ["Column", "Strips", "prepare_column"]

_JITTER = 1e-10
_STRIP = 256  # rows: wide enough for a neighbourhood, narrow enough to be few


@dataclass(frozen=True)
class Strips:
    """Intervals of a feature that together hold all rows.

    Parameters
    ----------
    of_row : ndarray of shape (n,)
        Number of the interval that each row lies in.
    to_edge : ndarray of shape (n,), float64
        Distance of each row to the nearest row outside its interval.
    """

    of_row: IntArray
    to_edge: FloatArray


@dataclass(frozen=True)
class Column:
    """One feature: scaled, jittered, sorted, and divided into strips.

    Parameters
    ----------
    values : ndarray of shape (n,), float64
        Over the standard deviation, with the jitter that breaks ties.
    order : ndarray of shape (n,), int64
        Rows by ascending value.
    ascending : ndarray of shape (n,), float64
        The values in that order.
    level : ndarray of shape (n,)
        Number of the distinct value (before the jitter), ascending.
    n_levels : int
    multiplicity : ndarray of shape (n,), int64
        Rows that share the row's level.
    block : ndarray of shape (n,), int64
        Number from 1 of the level if more than ``n_neighbors`` rows share it, else 0.
    n_blocks : int
        Number of such levels, plus one.
    tied : float
        Probability that two rows share a level.
    counts : ndarray of shape (n_levels,), int64
        Rows of each level.
    resolution : float
        Rounding error of a difference of two values.
    """

    values: FloatArray
    order: IntArray
    ascending: FloatArray
    level: IntArray
    n_levels: int
    multiplicity: IntArray
    block: IntArray
    n_blocks: int
    tied: float
    counts: IntArray
    resolution: float

    @cached_property
    def ranges(self) -> tuple[FloatArray, FloatArray]:
        """Least and greatest jittered value on each level."""
        return _level_ranges(self.values, self.level)

    @cached_property
    def level_low(self) -> FloatArray:
        """Least jittered value on the row's level."""
        return self.ranges[0][self.level]

    @cached_property
    def level_high(self) -> FloatArray:
        """Greatest jittered value on the row's level."""
        return self.ranges[1][self.level]

    @cached_property
    def to_next(self) -> FloatArray:
        """Distance of each row to the nearest row of a higher level."""
        return np.append(self.ranges[0][1:], np.inf)[self.level] - self.values

    @cached_property
    def to_previous(self) -> FloatArray:
        """Distance of each row to the nearest row of a lower level."""
        below = np.append(-np.inf, self.ranges[1][:-1])
        return self.values - below[self.level]

    @cached_property
    def strips(self) -> tuple[Strips, ...]:
        """One division, and where it helps a second one, shifted by half a strip."""
        return _divide(self.order, self.ascending, self.counts)


def prepare_column(
    x: FloatArray, *, n_neighbors: int, rng: np.random.Generator
) -> Column:
    """Scale, jitter, sort and divide a feature.

    Parameters
    ----------
    x : ndarray of shape (n,), float64
        Finite values.
    n_neighbors : int
    rng : Generator
        Draws the jitter.

    Returns
    -------
    Column

    Notes
    -----
    Scale and size of the jitter are those of scikit-learn's
    ``mutual_info_regression``: 1e-10 times the larger of 1 and the mean absolute
    value, in units of the standard deviation. Values closer than a tenth of that
    are one level: no estimate with this jitter can tell them apart.
    """
    deviation = x.std()
    scaled = x / deviation if deviation > 0 else np.zeros_like(x)
    jitter = _JITTER * max(1.0, float(np.abs(scaled).mean()))
    level, counts = _levels(scaled, tolerance=0.1 * jitter)
    values = scaled + jitter * rng.standard_normal(len(x))
    order = np.argsort(values)
    ascending = values[order]
    multiplicity = counts[level]
    is_block = counts > n_neighbors
    block = np.where(is_block, np.cumsum(is_block), 0)[level]
    return Column(
        values=values,
        order=order,
        ascending=ascending,
        level=level.astype(_smallest_type(len(counts))),
        n_levels=len(counts),
        multiplicity=multiplicity,
        block=block,
        n_blocks=int(is_block.sum()) + 1,
        tied=float((counts[is_block] / len(x)) @ (counts[is_block] / len(x))),
        counts=counts,
        resolution=8e-16 * float(np.abs(ascending[[0, -1]]).max()),
    )


def _levels(scaled: FloatArray, *, tolerance: float) -> tuple[IntArray, IntArray]:
    order = np.argsort(scaled, kind="stable")
    level = np.empty(len(scaled), dtype=np.int64)
    level[order] = np.cumsum(
        np.diff(scaled[order], prepend=scaled[order[0]]) > tolerance
    )
    return level, np.bincount(level)


def _level_ranges(values: FloatArray, level: IntArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(level, kind="stable")
    first = np.flatnonzero(np.diff(level[order], prepend=-1))
    sorted_by_level = values[order]
    lowest = np.minimum.reduceat(sorted_by_level, first)
    return lowest, np.maximum.reduceat(sorted_by_level, first)


def _divide(
    order: IntArray, ascending: FloatArray, counts: IntArray
) -> tuple[Strips, ...]:
    """Divide twice, the second time with the edges in the middle of the first."""
    first = _strips(order, ascending, counts, offset=0)
    second = _strips(order, ascending, counts, offset=_STRIP // 2)
    # Levels with many rows set the edges of both: then the second adds little.
    if np.mean(second.to_edge > first.to_edge) > 0.25:
        return (first, second)
    return (first,)


def _strips(
    order: IntArray, ascending: FloatArray, counts: IntArray, *, offset: int
) -> Strips:
    n, cuts, last, end = len(order), [], -offset, 0
    for count in counts.tolist():
        start, end = end, end + count
        # A level is never cut; one with many rows gets a strip of its own.
        if count >= _STRIP // 2 and start > 0 and start != last:
            cuts.append(start)
            last = start
        if end - last >= _STRIP and end < n:
            cuts.append(end)
            last = end
    edges = np.asarray([0, *cuts, n])
    strip = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    below = np.append(-np.inf, ascending[edges[1:-1] - 1])
    above = np.append(ascending[edges[1:-1]], np.inf)
    of_row = np.empty(n, dtype=_smallest_type(len(edges)))
    to_edge = np.empty(n)
    of_row[order] = strip
    to_edge[order] = np.minimum(ascending - below[strip], above[strip] - ascending)
    return Strips(of_row, to_edge)


def _smallest_type(n: int) -> type[np.unsignedinteger]:
    # numpy sorts integers of up to 16 bits by radix, ten times faster than others
    return np.uint16 if n < 2**16 else np.uint32
