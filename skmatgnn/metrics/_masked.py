"""Regression metrics over the known cells of a table with NaN for unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import (
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from skmatgnn.metrics._reduce import ensure_targets, reduce_columns
from skmatgnn.utils.units import binary_unit

if TYPE_CHECKING:
    from skmatgnn._typing import ArrayLike, FloatArray


def masked_mean_absolute_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | FloatArray:
    """Mean absolute error over the known targets of each property.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; NaN means "not known".
    y_pred : array-like of the same shape
        Predictions; finite wherever the target is known.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weight of each sample.
    multioutput : {"raw_values", "uniform_average"} or array of shape (n_outputs,), \
            default="uniform_average"
        One value per property, their plain mean, or their weighted mean.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The error. NaN for a property without a known target, with an
        ``UndefinedMetricWarning``; averages are over the other properties.

    Raises
    ------
    InvalidValueError
        If shapes differ or a prediction is NaN where the target is known.

    See Also
    --------
    sklearn.metrics.mean_absolute_error : The same where every target is known.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.metrics import masked_mean_absolute_error
    >>> y_true = np.array([[1.0, np.nan], [3.0, 4.0]])
    >>> masked_mean_absolute_error(y_true, np.zeros((2, 2)), multioutput="raw_values")
    array([2., 4.])
    """
    return reduce_columns(
        raw_mean_absolute_error,
        ensure_targets(y_true, y_pred, sample_weight),
        multioutput,
        name="masked_mean_absolute_error",
    )


def masked_root_mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | FloatArray:
    """Root mean squared error over the known targets of each property.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; NaN means "not known".
    y_pred : array-like of the same shape
        Predictions; finite wherever the target is known.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weight of each sample.
    multioutput : {"raw_values", "uniform_average"} or array of shape (n_outputs,), \
            default="uniform_average"
        One value per property, their plain mean, or their weighted mean. The root
        is taken per property, before the mean.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The error. NaN for a property without a known target, with an
        ``UndefinedMetricWarning``; averages are over the other properties.

    Raises
    ------
    InvalidValueError
        If shapes differ or a prediction is NaN where the target is known.

    See Also
    --------
    sklearn.metrics.root_mean_squared_error : The same where every target is known.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.metrics import masked_root_mean_squared_error
    >>> y_true = np.array([[3.0, np.nan], [4.0, 2.0]])
    >>> masked_root_mean_squared_error(y_true, np.zeros((2, 2)), multioutput=[0, 1])
    2.0
    """
    return reduce_columns(
        _raw_root_mean_squared_error,
        ensure_targets(y_true, y_pred, sample_weight),
        multioutput,
        name="masked_root_mean_squared_error",
    )


def masked_r2_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | FloatArray:
    """Coefficient of determination over the known targets of each property.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; NaN means "not known".
    y_pred : array-like of the same shape
        Predictions; finite wherever the target is known.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weight of each sample.
    multioutput : {"raw_values", "uniform_average"} or array of shape (n_outputs,), \
            default="uniform_average"
        One value per property, their plain mean, or their weighted mean.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The score, at most 1. NaN for a property with fewer than two known targets,
        with an ``UndefinedMetricWarning``; averages are over the other properties.
        A constant property gives 1 if predicted exactly and else 0, as in
        scikit-learn.

    Raises
    ------
    InvalidValueError
        If shapes differ or a prediction is NaN where the target is known.

    See Also
    --------
    sklearn.metrics.r2_score : The same where every target is known.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.metrics import masked_r2_score
    >>> y_true = np.array([[1.0, 5.0], [2.0, np.nan], [3.0, 7.0]])
    >>> y_pred = np.array([[1.0, 6.0], [2.0, 0.0], [3.0, 6.0]])
    >>> masked_r2_score(y_true, y_pred, multioutput="raw_values")
    array([1., 0.])
    """
    return reduce_columns(
        _raw_r2_score,
        ensure_targets(y_true, y_pred, sample_weight),
        multioutput,
        name="masked_r2_score",
        minimum=2,
    )


def raw_mean_absolute_error(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None
) -> FloatArray:
    """Mean absolute error of each column of tables without NaN."""
    return mean_absolute_error(
        y_true, y_pred, sample_weight=sample_weight, multioutput="raw_values"
    )


def _raw_root_mean_squared_error(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None
) -> FloatArray:
    return root_mean_squared_error(
        y_true, y_pred, sample_weight=sample_weight, multioutput="raw_values"
    )


def _raw_r2_score(
    y_true: FloatArray, y_pred: FloatArray, sample_weight: FloatArray | None
) -> FloatArray:
    # of size one, else squares of huge or tiny values overflow or vanish
    unit = binary_unit(np.maximum(np.abs(y_true), np.abs(y_pred)).max(axis=0))
    y_true, y_pred = y_true / unit, y_pred / unit
    return r2_score(
        y_true, y_pred, sample_weight=sample_weight, multioutput="raw_values"
    )
