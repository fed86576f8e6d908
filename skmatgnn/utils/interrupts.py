"""Ctrl-C in one of many fits, which a network answers by keeping its best model."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from skmatgnn.utils.warning_filters import without_warnings

__all__ = ["fit_or_stop", "was_interrupted"]

INSIDE = ("estimator_", "regressor_", "best_estimator_", "final_estimator_")


def was_interrupted(estimator: Any) -> bool:
    """Tell whether Ctrl-C ended the training of a fitted estimator.

    Parameters
    ----------
    estimator : estimator
        One with a network, or around such ones.

    Returns
    -------
    bool
    """
    if getattr(getattr(estimator, "net_", None), "interrupted_", False):
        return True
    inside = [getattr(estimator, name, None) for name in INSIDE]
    if isinstance(estimator, Pipeline):
        inside += [step for _, step in estimator.steps]
    inside += getattr(estimator, "estimators_", [])
    return any(was_interrupted(part) for part in inside if part is not None)


def fit_or_stop(estimator: Any, X: Any, y: Any, **fit_params: Any) -> None:
    """Fit one of several, of which none counts alone.

    Parameters
    ----------
    estimator : estimator
    X : sequence of n materials
    y : array-like of shape (n,) or (n, t)
    **fit_params : object
        For ``fit``.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended a training, also where a model was kept, so that the others are
        not begun.
    """
    with without_warnings(UserWarning, "Training was interrupted"):
        estimator.fit(X, y, **fit_params)
    if was_interrupted(estimator):
        raise KeyboardInterrupt
