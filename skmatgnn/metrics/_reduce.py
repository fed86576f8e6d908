"""The one place where metrics leave out unknown cells and average over columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_array

from skmatgnn._typing import ArrayLike, FloatArray
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils._sklearn import check_sample_weight
from skmatgnn.utils.targets import ensure_numbers
from skmatgnn.utils.validation import describe, require_consistent_length

MULTIOUTPUTS = ("raw_values", "uniform_average")

ColumnMetric = Callable[[FloatArray, FloatArray, FloatArray | None], ArrayLike]


@dataclass(frozen=True)
class Targets:
    """Checked targets: ``y_true``, ``y_pred`` and ``known`` of shape (n, t)."""

    y_true: FloatArray
    y_pred: FloatArray
    known: np.ndarray
    sample_weight: FloatArray | None

    def column(self, index: int) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Return the known rows of one column."""
        rows = self.known[:, index]
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return self.y_true[rows, index], self.y_pred[rows, index], weight

    def countable(self, minimum: int) -> np.ndarray:
        """Return which columns have enough known rows, not all of weight zero."""
        enough = self.known.sum(axis=0) >= minimum
        if self.sample_weight is not None:
            enough &= (self.sample_weight @ self.known) > 0
        return enough


def ensure_table(values: ArrayLike, name: str) -> FloatArray:
    """Convert to float64 of shape (n, t); NaN is allowed, infinity is not."""
    table = ensure_numbers(values, name)
    if table.ndim == 1:
        return table.reshape(-1, 1)
    if table.ndim != 2 or table.shape[1] == 0:
        raise InvalidValueError(
            f"{name} must have shape (n_samples,) or (n_samples, n_outputs); "
            f"got shape {table.shape}."
        )
    return table


def ensure_targets(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> Targets:
    """Check what every metric is given.

    Raises
    ------
    InvalidValueError
        If lengths or numbers of outputs differ, or a prediction is NaN where the
        target is known.
    """
    truth, predicted = ensure_table(y_true, "y_true"), ensure_table(y_pred, "y_pred")
    require_consistent_length(y_true=truth, y_pred=predicted)
    if truth.shape[1] != predicted.shape[1]:
        raise InvalidValueError(
            f"y_true has {truth.shape[1]} outputs and y_pred {predicted.shape[1]}; "
            "both need one column per property, in the same order."
        )
    known = ~np.isnan(truth)
    lost = np.argwhere(known & np.isnan(predicted))
    if len(lost):
        raise InvalidValueError(
            f"Input y_pred contains NaN at index {lost[0, 0]}, column {lost[0, 1]}, "
            "where y_true is known. A model must predict every known cell; "
            "impute missing features or drop the row."
        )
    weights = None
    if sample_weight is not None:
        weights = check_sample_weight(
            sample_weight, truth, dtype=np.float64, ensure_non_negative=True
        )
    return Targets(truth, predicted, known, weights)


def column_values(
    metric: ColumnMetric, targets: Targets, *, minimum: int = 1
) -> FloatArray:
    """Evaluate a metric on the known rows of each column; NaN where undefined.

    Parameters
    ----------
    metric : callable
        Given ``(y_true, y_pred, sample_weight)`` without NaN: a table gives one value
        a column, a 1-D column gives one value.
    targets : Targets
    minimum : int, default=1
        Least number of known rows for which the metric is defined.

    Returns
    -------
    ndarray of shape (n_outputs,)
    """
    defined = targets.countable(minimum)
    if defined.all() and targets.known.all():
        whole = metric(targets.y_true, targets.y_pred, targets.sample_weight)
        return np.asarray(whole, dtype=np.float64).reshape(-1)
    values = np.full(len(defined), np.nan)
    for index in np.flatnonzero(defined):
        values[index] = np.asarray(metric(*targets.column(int(index)))).item()
    return values


def average_columns(
    values: FloatArray, multioutput: str | ArrayLike, *, name: str, reason: str
) -> float | FloatArray:
    """Average one value per column as ``multioutput`` says.

    Parameters
    ----------
    values : ndarray of shape (n_outputs,)
        NaN where the metric is undefined; left out of an average.
    multioutput : {"raw_values", "uniform_average"} or array-like of shape (n_outputs,)
    name : str
        Name of the metric, for the warning.
    reason : str
        When the metric is undefined, for the warning.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
    """
    weights = _ensure_multioutput(multioutput, len(values))
    defined = ~np.isnan(values)
    if not defined.all():
        columns = np.flatnonzero(~defined).tolist()
        warnings.warn(
            f"{name} is undefined in column(s) {columns}: {reason} "
            "NaN is returned for them; an average is over the others.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
    if isinstance(multioutput, str) and multioutput == "raw_values":
        return values
    if not defined.any():
        return float("nan")
    chosen = None if weights is None else weights[defined]
    if chosen is not None and not chosen.sum():
        return float("nan")
    return float(np.average(values[defined], weights=chosen))


def reduce_columns(
    metric: ColumnMetric,
    targets: Targets,
    multioutput: str | ArrayLike,
    *,
    name: str,
    minimum: int = 1,
) -> float | FloatArray:
    """Evaluate a metric per column on the known cells and average the columns."""
    values = column_values(metric, targets, minimum=minimum)
    reason = f"fewer than {minimum} known value(s) of non-zero weight."
    return average_columns(values, multioutput, name=name, reason=reason)


def _ensure_multioutput(multioutput: Any, n_outputs: int) -> FloatArray | None:
    if isinstance(multioutput, str):
        if multioutput not in MULTIOUTPUTS:
            raise InvalidValueError(
                f"multioutput must be one of {list(MULTIOUTPUTS)} or an array of "
                f"{n_outputs} weights; got {multioutput!r}."
            )
        return None
    if multioutput is None:
        raise InvalidTypeError(
            f"multioutput must be one of {list(MULTIOUTPUTS)} or an array of "
            f"{n_outputs} weights; got {describe(multioutput)}."
        )
    weights = check_array(
        multioutput, dtype=np.float64, ensure_2d=False, input_name="multioutput"
    )
    if weights.shape != (n_outputs,) or (weights < 0).any() or not weights.sum():
        raise InvalidValueError(
            f"multioutput must hold {n_outputs} non-negative weights, one per output "
            f"and not all zero; got {np.array2string(weights, threshold=8)}."
        )
    return weights
