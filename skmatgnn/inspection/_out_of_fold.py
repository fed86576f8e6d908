"""Predictions of every sample by a model that has not seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import cross_validate

from skmatgnn.errors import InvalidValueError
from skmatgnn.inspection._inputs import ensure_column
from skmatgnn.utils._sklearn import safe_indexing

if TYPE_CHECKING:
    from skmatgnn._typing import ArrayLike, FloatArray, IntArray


def predict_out_of_fold(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    cv: Any,
    groups: ArrayLike | None,
    n_jobs: int | None,
    purpose: str,
) -> tuple[FloatArray, IntArray]:
    """Predict each sample by the model of the fold that tests it.

    Parameters
    ----------
    estimator, X, y, cv, groups, n_jobs
        As for ``cross_validate``.
    purpose : str
        What shows each sample once, for the message.

    Returns
    -------
    y_pred : ndarray of shape (n_samples,)
        NaN for samples that are never tested.
    fold_of : ndarray of shape (n_samples,), int
        Number of the fold; -1 for samples that are never tested.

    Raises
    ------
    InvalidValueError
        If a sample is in more than one test set, or y has several columns.
    """
    n_samples = len(ensure_column(y, "y"))
    result = cross_validate(
        estimator,
        X,
        y,
        groups=groups,
        cv=cv,
        n_jobs=n_jobs,
        scoring=_no_score,
        error_score="raise",
        return_estimator=True,
        return_indices=True,
    )
    folds = result["indices"]["test"]
    y_pred, fold_of = np.full(n_samples, np.nan), np.full(n_samples, -1)
    for number, (fitted, rows) in enumerate(
        zip(result["estimator"], folds, strict=True)
    ):
        if (fold_of[rows] >= 0).any():
            raise InvalidValueError(
                f"Sample {rows[fold_of[rows] >= 0][0]} is in more than one test "
                f"set of {cv!r}; {purpose} shows each sample once."
            )
        fold_of[rows] = number
        y_pred[rows] = np.ravel(fitted.predict(safe_indexing(X, rows)))
    return y_pred, fold_of


def _no_score(estimator: Any, X: Any, y: Any) -> float:
    """Stand in for a score where only the predictions are wanted."""
    del estimator, X, y
    return 0.0
