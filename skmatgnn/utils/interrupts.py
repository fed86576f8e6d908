"""Ctrl-C in one of many fits, which a network answers by keeping its best model."""

from __future__ import annotations

from threading import local
from typing import Any

from skmatgnn.utils.warning_filters import without_warnings

__all__ = ["count_interrupt", "fit_or_stop", "n_interrupts"]

_OF_THREAD = local()


def n_interrupts() -> int:
    """Count the trainings of this thread that Ctrl-C ended and that kept a model.

    Returns
    -------
    int
        To be compared with what it was before a fit.
    """
    return getattr(_OF_THREAD, "count", 0)


def count_interrupt() -> None:
    """Say that Ctrl-C ended a training, and that its best model was kept."""
    _OF_THREAD.count = n_interrupts() + 1


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
    before = n_interrupts()
    with without_warnings(UserWarning, "Training was interrupted"):
        estimator.fit(X, y, **fit_params)
    if n_interrupts() > before:
        raise KeyboardInterrupt
