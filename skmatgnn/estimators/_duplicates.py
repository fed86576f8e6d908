"""Compositions that occur more than once."""

from __future__ import annotations

import numpy as np

from skmatgnn.estimators._net_base import Samples
from skmatgnn.preprocessing._formula import PackedCompositions
from skmatgnn.utils.ragged import ragged_indices, row_pointers

__all__ = ["composition_codes", "merge_duplicates", "row_codes"]

DECIMALS = 8  # of the fractions; rounding of amounts such as 0.3333333333 stays below


def composition_codes(compositions: PackedCompositions) -> np.ndarray:
    """Give distinct compositions numbers in the order in which they appear.

    Parameters
    ----------
    compositions : PackedCompositions

    Returns
    -------
    ndarray of shape (n,), int64
        Equal where the elements and their fractions are.
    """
    numbers = compositions.atomic_numbers
    fractions = np.round(compositions.fractions, DECIMALS)
    ptr = compositions.row_ptr.tolist()
    seen: dict[bytes, int] = {}
    codes = np.empty(len(compositions), dtype=np.int64)
    for index in range(len(compositions)):
        entries = slice(ptr[index], ptr[index + 1])
        key = numbers[entries].tobytes() + fractions[entries].tobytes()
        codes[index] = seen.setdefault(key, len(seen))
    return codes


def row_codes(table: np.ndarray) -> np.ndarray:
    """Give distinct rows numbers in the order in which they appear.

    Parameters
    ----------
    table : ndarray of shape (n, d), float64
        NaN equals NaN.

    Returns
    -------
    ndarray of shape (n,), int64
    """
    seen: dict[bytes, int] = {}
    codes = np.empty(len(table), dtype=np.int64)
    for index, row in enumerate(table):
        # one kind of NaN and of zero, of which there are several
        key = np.where(np.isnan(row), np.nan, row + 0.0).tobytes()
        codes[index] = seen.setdefault(key, len(seen))
    return codes


def merge_duplicates(samples: Samples, *keys: np.ndarray) -> Samples:
    """Make one of the samples that agree in all keys.

    Parameters
    ----------
    samples : Samples
        Its X is PackedCompositions; its y of shape (n, t) is averaged over the known
        values, its y of labels taken from the first.
    *keys : ndarray of shape (n,)

    Returns
    -------
    Samples
        In order of first appearance, with the sums of the weights, of mean one. The
        same samples if there are no duplicates.
    """
    _, first, code = np.unique(
        np.column_stack(keys), axis=0, return_index=True, return_inverse=True
    )
    n_merged = len(first)
    if n_merged == len(samples.y):
        return samples
    order = np.argsort(first)
    rank = np.empty(n_merged, dtype=np.int64)
    rank[order] = np.arange(n_merged)
    first, code = first[order], rank[code.ravel()]
    weight = np.ones(len(code)) if samples.weight is None else samples.weight
    total = np.bincount(code, weight)
    y = samples.y[first]
    if samples.y.ndim == 2:
        y = _weighted_means(samples.y, weight, code, n_merged)
    return Samples(
        _take(samples.X, first),
        y,
        total / total.mean(),
        None if samples.groups is None else samples.groups[first],
        first,
    )


def _weighted_means(
    y: np.ndarray, weight: np.ndarray, code: np.ndarray, n_merged: int
) -> np.ndarray:
    """Means over known values; samples that all weigh nothing count alike."""
    weighs = np.bincount(code, weight, n_merged)[code] > 0
    share = np.where(weighs, weight, 1.0)
    means = np.full((n_merged, y.shape[1]), np.nan)
    for column, values in enumerate(y.T):
        known = np.isfinite(values)
        total = np.bincount(code[known], share[known], n_merged)
        sums = np.bincount(code[known], (share * values)[known], n_merged)
        np.divide(sums, total, out=means[:, column], where=total > 0)
    return means


def _take(compositions: PackedCompositions, rows: np.ndarray) -> PackedCompositions:
    counts = compositions.counts[rows]
    entries = ragged_indices(compositions.row_ptr[rows], counts)
    return PackedCompositions(
        row_pointers(counts),
        compositions.atomic_numbers[entries],
        compositions.amounts[entries],
    )
