"""Names, weights and scores of the columns of a table of properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.metrics._reduce import ensure_targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["property_names", "property_weights", "score_properties"]


def property_names(y: Any) -> list[str] | None:
    """Read the names of the columns of y.

    Parameters
    ----------
    y : array-like or DataFrame

    Returns
    -------
    list of str or None
        None where y has no names.

    Raises
    ------
    InvalidValueError
        If two columns have the same name.
    """
    if getattr(y, "ndim", None) == 1 and getattr(y, "name", None) is not None:
        return [str(y.name)]
    if not hasattr(y, "columns"):
        return None
    names = [str(name) for name in y.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidValueError(
            f"y has two columns named {twice!r}. Rename one, or merge the two with "
            "skmatgnn.preprocessing.merge_properties."
        )
    return names


def property_weights(given: Any, targets: np.ndarray) -> np.ndarray | None:
    """Say how much a known value of each property counts in the loss.

    Parameters
    ----------
    given : None, "balanced" or array-like of shape (t,)
    targets : ndarray of shape (n, t)
        NaN where unknown.

    Returns
    -------
    ndarray of shape (t,) or None
        With a mean of one over the known values; None if all are one.

    Raises
    ------
    InvalidValueError
        If there is not one non-negative number for each property, and a positive one.
    """
    if given is None:
        return None
    n_known = np.isfinite(targets).sum(axis=0)
    if isinstance(given, str):
        return n_known.sum() / (len(n_known) * n_known)
    try:
        weights = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"property_weights must be None, 'balanced' or numbers; got {given!r}."
        ) from error
    usable = weights.shape == n_known.shape and np.isfinite(weights).all()
    if not usable or (weights < 0).any() or not weights.any():
        raise InvalidValueError(
            "property_weights must have a number for each of the "
            f"{len(n_known)} properties, none negative and one positive; got {given!r}."
        )
    return weights * n_known.sum() / (weights * n_known).sum()


def score_properties(
    y_true: Any, y_pred: np.ndarray, names: np.ndarray
) -> pd.DataFrame:
    """Score each column over its known values.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, t)
    names : ndarray of shape (t,)

    Returns
    -------
    DataFrame
        With the columns n, mae, smae and r2.
    """
    import pandas as pd

    rows = []
    targets = ensure_targets(y_true, y_pred, None)
    for index in range(len(names)):
        true, predicted, _ = targets.column(index)
        error = true - predicted
        deviation = true - true.mean() if len(true) else true
        mae = np.abs(error).mean() if len(error) else np.nan
        spread, varies = np.abs(deviation).sum(), bool(deviation.any())
        smae = np.abs(error).sum() / spread if varies else np.nan
        r2 = 1 - (error**2).sum() / (deviation**2).sum() if varies else np.nan
        rows.append({"n": len(true), "mae": mae, "smae": smae, "r2": r2})
    return pd.DataFrame(rows, index=pd.Index(names, name="property"))
