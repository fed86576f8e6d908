"""Ctrl-C in one of many fits, which a network answers by keeping its best model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import local
from typing import Any

from skmatgnn.utils.warning_filters import without_warnings

__all__ = ["count_interrupt", "ends_all", "fit_or_stop", "n_interrupts"]

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
    """Say that Ctrl-C ended a training, and that its best model was kept.

    Raises
    ------
    KeyboardInterrupt
        Within `ends_all`.
    """
    _OF_THREAD.count = n_interrupts() + 1
    if getattr(_OF_THREAD, "ends_all", False):
        raise KeyboardInterrupt


@contextmanager
def ends_all() -> Iterator[None]:
    """Let Ctrl-C pass through all trainings of this thread, which keep no model.

    For many fits that are made by code of others, to which `fit_or_stop` cannot be
    given.

    Yields
    ------
    None
    """
    before = getattr(_OF_THREAD, "ends_all", False)
    _OF_THREAD.ends_all = True
    try:
        yield
    finally:
        _OF_THREAD.ends_all = before


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
