"""Scores of pooled out-of-fold predictions, with bootstrap intervals."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skmatgnn.metrics import (
    masked_mean_absolute_error,
    masked_r2_score,
    masked_root_mean_squared_error,
    scaled_mean_absolute_error,
)

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray

__all__ = ["bootstrap_intervals", "score"]

LEVEL = 0.95
_AT_ONCE = 64  # resamples whose counts are in memory together


def score(
    y_true: FloatArray, y_pred: FloatArray, control: FloatArray
) -> dict[str, float]:
    """Compute the errors.

    Parameters
    ----------
    y_true, y_pred : ndarray of shape (n,)
        Targets and predictions.
    control : ndarray of shape (n,)
        What the mean of the training rows predicts.

    Returns
    -------
    dict of str to float
        ``mae``, ``rmse``, ``smae``, ``r2``; NaN where undefined.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        varied = len(y_true) > 1 and np.ptp(y_true) > 0
        return {
            "mae": float(masked_mean_absolute_error(y_true, y_pred)),
            "rmse": float(masked_root_mean_squared_error(y_true, y_pred)),
            "smae": float(scaled_mean_absolute_error(y_true, y_pred, baseline=control)),
            "r2": float(masked_r2_score(y_true, y_pred)) if varied else float("nan"),
        }


def bootstrap_intervals(
    y_true: FloatArray,
    y_pred: FloatArray,
    control: FloatArray,
    *,
    groups: np.ndarray | None,
    n_resamples: int,
    random_state: int,
) -> dict[str, list[float]]:
    """Percentile intervals of the scores over fixed predictions.

    Rows are drawn with replacement, or whole groups where there are any. The models
    are not trained again, so the intervals tell how the scores depend on which
    materials happened to be tested, not on which were trained on.

    Parameters
    ----------
    y_true, y_pred, control : ndarray of shape (n,)
        As for `score`.
    groups : ndarray of shape (n,) or None
        What is drawn together.
    n_resamples : int
        How often; 0 gives no intervals.
    random_state : int
        Seed; the same one draws the same rows for every model.

    Returns
    -------
    dict of str to [low, high]
        The central 95 % of ``mae``, ``rmse``, ``smae`` and ``r2``.
    """
    if not n_resamples:
        return {}
    sums = _sums_by_unit(y_true, y_pred, control, groups)
    rng = np.random.default_rng(random_state)
    n_units = len(sums)
    drawn = np.empty((n_resamples, sums.shape[1]))
    for start in range(0, n_resamples, _AT_ONCE):
        size = min(_AT_ONCE, n_resamples - start)
        counts = rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=size)
        drawn[start : start + size] = counts @ sums
    tail = (1 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        return {
            name: np.nanquantile(values, [tail, 1 - tail]).tolist()
            for name, values in _scores_of_sums(drawn).items()
        }


def _sums_by_unit(
    y_true: FloatArray,
    y_pred: FloatArray,
    control: FloatArray,
    groups: np.ndarray | None,
) -> FloatArray:
    """Sum over the rows of each unit what every score of a resample follows from."""
    error = y_true - y_pred
    centred = y_true - y_true.mean()  # for the cancellation in the variance
    columns = np.column_stack(
        [
            np.ones_like(error),
            np.abs(error),
            error**2,
            np.abs(y_true - control),
            centred,
            centred**2,
        ]
    )
    if groups is None:
        return columns
    _, codes = np.unique(groups, return_inverse=True)
    sums = np.zeros((codes.max() + 1, columns.shape[1]))
    np.add.at(sums, codes, columns)
    return sums


def _scores_of_sums(sums: FloatArray) -> dict[str, Any]:
    n, absolute, squared, of_control, total, total_squared = sums.T
    variation = total_squared - total**2 / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "mae": absolute / n,
            "rmse": np.sqrt(squared / n),
            "smae": np.where(of_control > 0, absolute / of_control, np.nan),
            "r2": np.where(
                variation > 1e-12 * total_squared, 1 - squared / variation, np.nan
            ),
        }
