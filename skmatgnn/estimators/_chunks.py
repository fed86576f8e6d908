"""Predictions for more samples than fit into memory with all that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidValueError, SkmatgnnError

__all__ = ["in_chunks", "predict_in_chunks"]

CHUNK_SIZE = 2**16


def predict_in_chunks(
    estimator: Any,
    X: Any,
    *,
    method: str = "predict",
    chunk_size: int = CHUNK_SIZE,
    **params: Any,
) -> Any:
    """Predict part by part, so that features never exist for all samples at once.

    The estimators with a network do this by themselves. It is for the others, such as
    the pipeline of `make_rf_magpie`, whose 132 features of ten million formulas would
    take 10 GB.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : sequence of n samples
        List, array, Series, frame or anything else that slices.
    method : str, default="predict"
        What to call: ``"predict"``, ``"predict_proba"``, ``"transform"``.
    chunk_size : int, default=65536
        Samples at once.
    **params : object
        For the method, the same for all chunks.

    Returns
    -------
    ndarray, or tuple of ndarray
        What the method gives for all of X.

    Raises
    ------
    InvalidValueError
        If ``chunk_size`` is less than one.

    Examples
    --------
    >>> from skmatgnn.estimators import make_rf_magpie, predict_in_chunks
    >>> model = make_rf_magpie(n_estimators=20, random_state=0)
    >>> _ = model.fit(["NaCl", "KCl", "NaBr", "Fe2O3"], [8.5, 8.4, 7.5, 2.0])
    >>> predict_in_chunks(model, ["KBr", "LiCl", "FeO"], chunk_size=2).shape
    (3,)
    """
    if chunk_size < 1:
        raise InvalidValueError(f"chunk_size must be 1 or more; got {chunk_size}.")
    function = getattr(estimator, method)
    return _in_parts(lambda part: function(part, **params), X, chunk_size)


def in_chunks(method: Callable) -> Callable:
    """Let a method of an estimator see no more than ``_chunk_size`` samples at once.

    Parameters
    ----------
    method : callable
        Of the estimator, the samples, and anything else; gives arrays with a row for
        each sample, which must not depend on the others.

    Returns
    -------
    callable
        With the same signature.
    """

    @wraps(method)
    def chunked(self: Any, X: Any, *args: Any, **params: Any) -> Any:
        return _in_parts(
            lambda part: method(self, part, *args, **params), X, self._chunk_size
        )

    return chunked


def _in_parts(function: Callable[[Any], Any], X: Any, size: int) -> Any:
    if not hasattr(X, "__getitem__") or isinstance(X, Mapping) or _length(X) <= size:
        return function(X)
    rows = X.iloc if hasattr(X, "iloc") else X
    try:
        parts = [function(rows[i : i + size]) for i in range(0, len(X), size)]
    except SkmatgnnError:
        # it counts from the first sample of a part; with all of X it names the right
        # one, and comes before any features are made
        return function(X)
    if isinstance(parts[0], tuple | list):
        return type(parts[0])(np.concatenate(each) for each in zip(*parts, strict=True))
    return np.concatenate(parts)


def _length(X: Any) -> int:
    """Count the samples; zero of what has no length, such as a class or a scalar."""
    try:
        return len(X)
    except TypeError:
        return 0
