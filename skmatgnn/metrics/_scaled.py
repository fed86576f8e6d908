"""Scaled mean absolute error: the error in units of the mean predictor's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.metrics._masked import raw_mean_absolute_error
from skmatgnn.metrics._reduce import (
    Targets,
    average_columns,
    column_values,
    ensure_table,
    ensure_targets,
)
from skmatgnn.utils.targets import ensure_numbers
from skmatgnn.utils.validation import require_option

if TYPE_CHECKING:
    from skmatgnn._typing import ArrayLike, FloatArray

_CONVENTIONS = ("consistent", "paper")


def scaled_mean_absolute_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    y_train: ArrayLike | None = None,
    baseline: ArrayLike | None = None,
    convention: str = "consistent",
    y_unfiltered: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    multioutput: str | ArrayLike = "uniform_average",
) -> float | FloatArray:
    """Mean absolute error over the mean absolute error of a mean predictor (SMAE).

    ``SMAE = MAE(y_true, y_pred) / MAE(y_true, control)``, per property. Zero is
    perfect, one is no better than predicting the mean. It compares models across
    properties and data sets of different spread, which an MAE cannot.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets; NaN means "not known" and is left out, property by property.
    y_pred : array-like of the same shape
        Predictions; finite wherever the target is known.
    y_train : array-like of shape (n_train,) or (n_train, n_outputs), default=None
        Targets that the model was trained on: the control predicts their mean.
    baseline : float or array-like, default=None
        The control's predictions themselves: one number, one per output, or one for
        each cell, for example ``cross_val_predict(DummyRegressor(), X, y, cv=cv)``
        for pooled folds. Not together with ``y_train``. Without either, the control
        predicts the mean of the targets on which it is scored (weighted, if there are
        weights), the best that any constant fitted to the squared error can do.
    convention : {"consistent", "paper"}, default="consistent"
        On which rows the control is scored: on those of ``y_true``, so that the
        control itself has SMAE 1, or on ``y_unfiltered``, as in [1]_, where
        errors of filtered data are divided by the control's error of all data.
    y_unfiltered : array-like of shape (n_all,) or (n_all, n_outputs), default=None
        All targets before filtering; required by, and only by,
        ``convention="paper"``. An array-valued ``baseline`` then belongs to its
        rows, which have weight one.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weight of each sample of ``y_true``.
    multioutput : {"raw_values", "uniform_average"} or array of shape (n_outputs,), \
            default="uniform_average"
        One value per property, their plain mean, or their weighted mean.

    Returns
    -------
    float or ndarray of shape (n_outputs,)
        The scaled error. NaN, with an ``UndefinedMetricWarning``, for a property
        without a known target or whose control makes no error (constant targets, a
        single row); averages are over the other properties.

    Raises
    ------
    InvalidValueError
        If shapes differ, a prediction is NaN where the target is known, or the
        options contradict each other.

    References
    ----------
    .. [1] Wu, Hargreaves, Mishra, Rignanese, "Machine Learning for Electrode
       Materials: Property Prediction via Composition", arXiv:2603.07805 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.metrics import scaled_mean_absolute_error
    >>> y_true = np.array([1.0, 2.0, 3.0, 6.0])
    >>> scaled_mean_absolute_error(y_true, y_true + 0.5)
    0.333...
    >>> scaled_mean_absolute_error(y_true, y_true + 0.5, y_train=[4.0, 6.0])
    0.2
    >>> scaled_mean_absolute_error(
    ...     y_true[:3], y_true[:3] + 0.5, convention="paper", y_unfiltered=y_true
    ... )
    0.333...
    """
    targets = ensure_targets(y_true, y_pred, sample_weight)
    scored = _scored_rows(targets, convention, y_unfiltered)
    control = _control(scored, y_train, baseline)
    errors = column_values(raw_mean_absolute_error, targets)
    scale = column_values(
        raw_mean_absolute_error,
        Targets(scored.y_true, control, scored.known, scored.sample_weight),
    )
    # A constant column's mean is off by rounding, which is no error to divide by.
    magnitude = np.fmax(
        np.nanmax(np.abs(scored.y_true), axis=0, initial=0.0),
        np.nanmax(np.abs(control), axis=0, initial=0.0),
    )
    scale = np.where(scale > 8 * np.finfo(float).eps * magnitude, scale, np.nan)
    return average_columns(
        errors / scale,
        multioutput,
        name="scaled_mean_absolute_error",
        reason="no known value, or the control makes no error there.",
    )


def _scored_rows(
    targets: Targets, convention: str, y_unfiltered: ArrayLike | None
) -> Targets:
    require_option("convention", convention, _CONVENTIONS)
    if (convention == "paper") != (y_unfiltered is not None):
        raise InvalidValueError(
            "y_unfiltered is what convention='paper' scores the control on: give "
            f"both or neither; got convention={convention!r} and y_unfiltered "
            f"{'missing' if y_unfiltered is None else 'given'}."
        )
    if y_unfiltered is None:
        return targets
    table = ensure_table(y_unfiltered, "y_unfiltered")
    _require_outputs(table, targets.y_true.shape[1], "y_unfiltered")
    return Targets(table, np.zeros_like(table), ~np.isnan(table), None)


def _control(scored: Targets, y_train: Any, baseline: Any) -> FloatArray:
    n_outputs = scored.y_true.shape[1]
    if y_train is not None and baseline is not None:
        raise InvalidValueError(
            "y_train and baseline both define the control; give only one of them."
        )
    if baseline is not None:
        return _ensure_baseline(baseline, scored)
    if y_train is None:
        constant = _column_means(scored.y_true, scored.sample_weight)
    else:
        table = ensure_table(y_train, "y_train")
        _require_outputs(table, n_outputs, "y_train")
        constant = _column_means(table, None)
    unknown = np.flatnonzero(np.isnan(constant) & scored.countable(1))
    if len(unknown):
        raise InvalidValueError(
            f"y_train has no known value in column {unknown[0]}, so that the control "
            "has no mean to predict there; drop that column."
        )
    return np.broadcast_to(constant, scored.y_true.shape)


def _column_means(table: FloatArray, weight: FloatArray | None) -> FloatArray:
    known = ~np.isnan(table)
    if known.all():
        return np.average(table, axis=0, weights=weight)
    means = np.full(table.shape[1], np.nan)
    for index, rows in enumerate(known.T):
        chosen = None if weight is None else weight[rows]
        if rows.any() and (chosen is None or chosen.sum()):
            means[index] = np.average(table[rows, index], weights=chosen)
    return means


def _ensure_baseline(baseline: Any, scored: Targets) -> FloatArray:
    shape = scored.y_true.shape
    is_one = np.ndim(baseline) == 0
    given = ensure_numbers([baseline] if is_one else baseline, "baseline")
    given = given[0] if is_one else given
    if given.ndim == 1 and shape[1] == 1 and len(given) == shape[0]:
        given = given.reshape(-1, 1)
    if given.shape not in {(), (shape[1],), shape}:
        raise InvalidValueError(
            f"baseline must be a number, {shape[1]} numbers (one per output) or have "
            f"shape {shape} like the targets; got shape {given.shape}."
        )
    table = np.broadcast_to(given, shape)
    lost = np.argwhere(scored.known & ~np.isfinite(table))
    if len(lost):
        raise InvalidValueError(
            f"baseline is not finite at index {lost[0, 0]}, column {lost[0, 1]}, "
            "where the target is known."
        )
    return table


def _require_outputs(table: FloatArray, n_outputs: int, name: str) -> None:
    if table.shape[1] != n_outputs:
        raise InvalidValueError(
            f"{name} has {table.shape[1]} outputs and y_true {n_outputs}; "
            "both need one column per property, in the same order."
        )
