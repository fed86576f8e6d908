"""Names, kinds, weights and scores of the columns of a table of properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from skmatgnn.errors import InvalidValueError
from skmatgnn.metrics._reduce import ensure_targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CLASSIFICATION",
    "property_kinds",
    "property_names",
    "property_weights",
    "require_labels",
    "score_properties",
]

CLASSIFICATION, REGRESSION = "classification", "regression"


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


def property_kinds(given: Any, names: list[str]) -> np.ndarray:
    """Say which properties are real numbers and which are classes.

    Parameters
    ----------
    given : None, dict of str to str, or array-like of str of shape (t,)
    names : list of str
        Of the t properties.

    Returns
    -------
    ndarray of shape (t,), dtype object
        ``"regression"`` or ``"classification"`` for each.

    Raises
    ------
    InvalidValueError
        If a property or a kind is unknown, or there is not one kind for each property.
    """
    if given is None:
        given = {}
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InvalidValueError(
                f"property_kinds names {unknown[0]!r}, but y has the properties "
                f"{names}."
            )
        kinds = [given.get(name, REGRESSION) for name in names]
    else:
        kinds = list(given)
    wrong = [kind for kind in kinds if kind not in (REGRESSION, CLASSIFICATION)]
    if wrong or len(kinds) != len(names):
        raise InvalidValueError(
            f"property_kinds must have 'regression' or 'classification' for each of "
            f"the {len(names)} properties, or by name; got {given!r}."
        )
    return np.array(kinds, dtype=object)


def require_labels(targets: np.ndarray, kinds: np.ndarray, names: list[str]) -> None:
    """Reject values of classes that are no probabilities.

    Parameters
    ----------
    targets : ndarray of shape (n, t)
        NaN where unknown.
    kinds : ndarray of shape (t,)
    names : list of str

    Raises
    ------
    InvalidValueError
        Naming the property, the value and its index.
    """
    for column in np.flatnonzero(kinds == CLASSIFICATION):
        values = targets[:, column]
        wrong = np.flatnonzero((values < 0) | (values > 1))
        if len(wrong):
            raise InvalidValueError(
                f"y has {values[wrong[0]]:g} at index {int(wrong[0])} of "
                f"{names[column]!r}, whose values must be 0 or 1, False or True, or "
                "between if unsure, since property_kinds has it as a classification. "
                "Of several classes make a column for each: y['phase'] == 'cubic'."
            )


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
        # none are known of a property that only an earlier fit had
        return n_known.sum() / (np.count_nonzero(n_known) * np.maximum(n_known, 1))
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
    if not (weights * n_known).any():
        raise InvalidValueError(
            "y has no known value of a property that counts: property_weights are "
            f"{given!r}, and the numbers of values {n_known.tolist()}."
        )
    return weights * n_known.sum() / (weights * n_known).sum()


def score_properties(
    y_true: Any, y_pred: np.ndarray, names: np.ndarray, kinds: np.ndarray | None = None
) -> pd.DataFrame:
    """Score each column over its known values.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,) or (n, t)
        Classes are 0 or 1, told apart at 0.5, and predicted as the probability of 1.
    names : ndarray of shape (t,)
    kinds : ndarray of shape (t,), optional
        All are regressions by default.

    Returns
    -------
    DataFrame
        With the columns n, mae, smae and r2, and accuracy and auc if any property is a
        class; NaN where a column does not apply.
    """
    import pandas as pd

    targets = ensure_targets(y_true, y_pred, None)
    is_class = np.zeros(len(names), bool) if kinds is None else kinds == CLASSIFICATION
    rows = []
    for index in range(len(names)):
        true, predicted, _ = targets.column(index)
        score = _class_scores if is_class[index] else _real_scores
        rows.append({"n": len(true), **score(true, predicted)})
    of_classes = ["accuracy", "auc"] if is_class.any() else []
    columns = ["n", "mae", "smae", "r2", *of_classes]
    index = pd.Index(names, name="property")
    return pd.DataFrame(rows, index=index, columns=columns)


def _real_scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    error = true - predicted
    deviation = true - true.mean() if len(true) else true
    spread, varies = np.abs(deviation).sum(), bool(deviation.any())
    return {
        "mae": np.abs(error).mean() if len(error) else np.nan,
        "smae": np.abs(error).sum() / spread if varies else np.nan,
        "r2": 1 - (error**2).sum() / (deviation**2).sum() if varies else np.nan,
    }


def _class_scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    label = true > 0.5
    right = (predicted > 0.5) == label
    both = label.any() and not label.all()
    return {
        "accuracy": right.mean() if len(true) else np.nan,
        "auc": float(roc_auc_score(label, predicted)) if both else np.nan,
    }
