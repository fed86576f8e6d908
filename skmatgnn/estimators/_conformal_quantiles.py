"""Quantiles of conformity scores that are right for few samples, and for groups."""

from __future__ import annotations

import numpy as np

from skmatgnn._typing import FloatArray, IntArray

__all__ = ["group_weights", "highest_level", "least_count", "upper_quantiles"]

_ROUNDING = 1e-9
_BLOCK = 4_000_000


def least_count(level: float) -> int:
    """Least number of samples, or groups, with which a level can be reached."""
    return int(np.ceil(level / (1 - level) - _ROUNDING))


def highest_level(count: int) -> float:
    """Highest level that this number of samples, or groups, allows."""
    return count / (count + 1)


def group_weights(groups: IntArray | None, n_samples: int) -> FloatArray:
    """Weigh samples so that groups count the same, and a new one as each of them.

    Parameters
    ----------
    groups : ndarray of shape (n_samples,) or None
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples,)
        With a sum of ``k / (k + 1)`` for ``k`` groups; what lacks to one belongs to
        the unknown score of the new group.
    """
    if groups is None:
        return np.full(n_samples, 1 / (n_samples + 1))
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return 1 / ((len(sizes) + 1) * sizes[codes])


def upper_quantiles(
    centers: FloatArray,
    scales: FloatArray,
    scores: FloatArray,
    folds: IntArray,
    weights: FloatArray,
    levels: FloatArray,
) -> FloatArray:
    """Find the least of ``center + scale * score`` that carries each level.

    Parameters
    ----------
    centers, scales : ndarray of shape (n, k)
        Of n samples, by each of k models.
    scores, folds, weights : ndarray of shape (c,)
        Score of each calibration sample, the number of its model, and its weight as
        from `group_weights`.
    levels : ndarray of shape (m,)
        None of them higher than the sum of the weights.

    Returns
    -------
    ndarray of shape (m, n)
    """
    found = np.empty((len(levels), len(centers)))
    step = max(1, _BLOCK // len(scores))
    for start in range(0, len(centers), step):
        rows = slice(start, start + step)
        values = centers[rows][:, folds] + scales[rows][:, folds] * scores
        if np.all(weights == weights[0]):
            ranks = np.ceil(levels / weights[0] - _ROUNDING).astype(int) - 1
            chosen = np.partition(values, np.unique(ranks), axis=1)[:, ranks]
        else:
            order = np.argsort(values, axis=1)
            carried = np.cumsum(weights[order], axis=1)
            ranks = np.stack(
                [(carried < level - _ROUNDING).sum(axis=1) for level in levels], axis=1
            )
            values = np.take_along_axis(values, order, axis=1)
            chosen = np.take_along_axis(values, ranks, axis=1)
        found[:, rows] = chosen.T
    return found
