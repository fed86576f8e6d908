"""Errors per cluster with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray, RandomState

_CHUNK = 4_000_000


@dataclass(frozen=True)
class ClusterErrors:
    """Errors of several models on several clusters.

    Parameters
    ----------
    values, low, high : ndarray of shape (n_models, n_clusters)
        Errors and the ends of their intervals; NaN for the ends where a cluster has
        one row or unit only, and wherever an error is undefined.
    pooled : ndarray of shape (n_models,)
        Errors over all rows.
    control : ndarray of shape (n_clusters,)
        Errors of the control by the same metric.
    """

    values: FloatArray
    low: FloatArray
    high: FloatArray
    pooled: FloatArray
    control: FloatArray


def score_clusters(
    errors: FloatArray,
    control: FloatArray,
    codes: IntArray,
    units: IntArray | None = None,
    *,
    scaled: bool,
    n_resamples: int,
    confidence_level: float,
    random_state: RandomState,
) -> ClusterErrors:
    """Average absolute errors per cluster, and resample its rows for intervals.

    Parameters
    ----------
    errors : ndarray of shape (n_models, n_rows)
        Absolute errors.
    control : ndarray of shape (n_rows,)
        Absolute errors of the control; NaN where it is not known.
    codes : ndarray of shape (n_rows,), int
        Cluster of each row.
    units : ndarray of shape (n_rows,), int, default=None
        Rows of one unit are drawn together.
    scaled : bool
        Whether to divide by the control's error on the same rows.
    n_resamples : int
        All models are scored on the same resamples; 0 gives no intervals.
    confidence_level : float
    random_state : int, RandomState or None

    Returns
    -------
    ClusterErrors
    """
    rng = check_random_state(random_state)
    tails = [(1 - confidence_level) / 2, (1 + confidence_level) / 2]
    n_clusters = codes.max() + 1
    values = np.full((len(errors), n_clusters), np.nan)
    low, high = values.copy(), values.copy()
    table = np.vstack([errors, control])
    controls = np.full(n_clusters, np.nan)
    for cluster in range(n_clusters):
        rows = codes == cluster
        own = table[:, rows]
        means = own.mean(axis=1, keepdims=True)
        values[:, cluster] = _ratio(means, scaled)[:, 0]
        controls[cluster] = means[-1, 0]
        unit_of = (
            None if units is None else np.unique(units[rows], return_inverse=True)[1]
        )
        n_units = own.shape[1] if unit_of is None else unit_of.max() + 1
        if n_resamples and n_units > 1:
            drawn = resample_means(own, n_resamples, rng, unit_of)
            resampled = _ratio(drawn, scaled)
            low[:, cluster], high[:, cluster] = np.quantile(resampled, tails, axis=1)
    pooled = _ratio(table.mean(axis=1, keepdims=True), scaled)[:, 0]
    if scaled:
        controls = np.where(controls > 0, 1.0, np.nan)
    return ClusterErrors(values, low, high, pooled, controls)


def _ratio(means: FloatArray, scaled: bool) -> FloatArray:
    """Errors of the models, in units of the control's (the last row) if scaled."""
    if not scaled:
        return means[:-1]
    control = np.where(means[-1] > 0, means[-1], np.nan)
    return means[:-1] / control


def resample_means(
    table: FloatArray,
    n_resamples: int,
    rng: np.random.RandomState,
    units: IntArray | None = None,
) -> FloatArray:
    """Average resamples of the columns, in parts that fit into memory.

    Parameters
    ----------
    table : ndarray of shape (n_models, n_rows)
    n_resamples : int
        The same for all models.
    rng : RandomState
    units : ndarray of shape (n_rows,), int, default=None
        Columns of one unit, numbered from 0, are drawn together.

    Returns
    -------
    ndarray of shape (n_models, n_resamples)
    """
    sizes = np.ones(table.shape[1]) if units is None else np.bincount(units)
    if units is not None:
        table = np.array([np.bincount(units, weights=row) for row in table])
    n_units = len(sizes)
    step = max(1, _CHUNK // n_units)
    parts = []
    for start in range(0, n_resamples, step):
        size = (min(step, n_resamples - start), n_units)
        drawn = rng.randint(n_units, size=size)
        count = sizes[drawn].sum(axis=1)
        parts.append(np.array([row[drawn].sum(axis=1) / count for row in table]))
    return np.concatenate(parts, axis=1)
