"""Checks of user input: ``ensure_*`` converts, ``require_*`` rejects.

Nothing here builds a NumPy array from structures or compositions by
``np.asarray``: both are containers, which NumPy would unpack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError

__all__ = [
    "describe",
    "ensure_object_array",
    "ensure_regression_targets",
    "require_consistent_length",
    "to_object_array",
]


def describe(value: Any) -> str:
    """Name an object's type and, if short, its value, for an error message."""
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, str | int | float | np.generic):
        text = repr(value)
        return f"{kind} ({text if len(text) <= 40 else text[:37] + '...'})"
    return kind


def to_object_array(items: Any) -> np.ndarray:
    """Put any sized sequence of objects into a 1-D object array, element by element.

    Parameters
    ----------
    items : sequence
        Structures, compositions, strings or any other objects.

    Returns
    -------
    ndarray of shape (n,), dtype object
        The same objects; never unpacked, however much they look like sequences.
    """
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def ensure_object_array(X: Any, *, what: str, single: tuple[type, ...]) -> np.ndarray:
    """Convert the containers that scikit-learn hands around to a 1-D object array.

    Parameters
    ----------
    X : list, tuple, 1-D or (n, 1) object array, Series or one-column frame
        The samples.
    what : str
        What one sample is, in the plural, for the error messages.
    single : tuple of type
        Types of which a bare instance means that the caller forgot the list.

    Returns
    -------
    ndarray of shape (n,), dtype object

    Raises
    ------
    InvalidTypeError
        If X is None, a single sample, a mapping or otherwise no sequence.
    InvalidValueError
        If X is empty or has more than one column.
    """
    if X is None or isinstance(X, single):
        raise InvalidTypeError(
            f"X must be a sequence of {what}; got a bare {describe(X)}. "
            "Put a single sample into a list: [x]."
        )
    if hasattr(X, "iloc"):
        X = _values_of_frame(X, what)
    if isinstance(X, np.ndarray):
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1:
            raise InvalidValueError(
                f"X must be one-dimensional, one of the {what} a row; "
                f"got an array of shape {X.shape}."
            )
    elif isinstance(X, Mapping | set | frozenset) or not (
        hasattr(X, "__len__") and hasattr(X, "__getitem__")
    ):
        raise InvalidTypeError(
            f"X must be a sequence of {what}; got {describe(X)}. "
            "Convert it to a list first."
        )
    if len(X) == 0:
        raise InvalidValueError(
            f"Found array with 0 sample(s): X is empty; at least one of the {what} "
            "is required."
        )
    return to_object_array(X)


def _values_of_frame(X: Any, what: str) -> np.ndarray:
    if X.ndim == 2:
        if X.shape[1] != 1:
            raise InvalidValueError(
                f"X must have one column with the {what}; got a frame of "
                f"{X.shape[1]} columns {list(X.columns)[:5]}. Select the column, "
                "for example frame['structure']."
            )
        X = X.iloc[:, 0]
    return to_object_array(list(X))


def require_consistent_length(**named: Any) -> None:
    """Reject arguments whose lengths differ.

    Parameters
    ----------
    **named : sequence or None
        Arguments by name; None is skipped. The first is the reference.

    Raises
    ------
    InvalidValueError
        If two lengths differ, naming both arguments.
    """
    lengths = {name: len(value) for name, value in named.items() if value is not None}
    reference, expected = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != expected:
            raise InvalidValueError(
                f"Found input variables with inconsistent numbers of samples: "
                f"{reference} has {expected}, {name} has {length}. "
                "Each sample needs exactly one entry in both."
            )


def ensure_regression_targets(
    y: Any, *, estimator: Any = None
) -> tuple[np.ndarray, bool]:
    """Convert regression targets to a float64 table in which NaN means unknown.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, t)
        Targets. NaN is allowed in a 2-D ``y`` as long as every column has a
        known value.
    estimator : object, optional
        Named in the messages.

    Returns
    -------
    targets : ndarray of shape (n, t), float64
    one_dimensional : bool
        Whether ``y`` was 1-D, so that predictions can have the same shape.

    Raises
    ------
    InvalidValueError
        If y is None, empty, not numeric, infinite, NaN in one dimension, or has a
        column without any known value.
    """
    name = "This estimator" if estimator is None else type(estimator).__name__
    if y is None:
        raise InvalidValueError(
            f"{name} requires y to be passed, but the target y is None."
        )
    targets = _float_targets(y)
    if targets.ndim not in (1, 2):
        raise InvalidValueError(
            "y must have shape (n_samples,) or (n_samples, n_outputs); "
            f"got {targets.ndim} dimensions, shape {targets.shape}."
        )
    one_dimensional = targets.ndim == 1
    _require_no_inf(targets)
    if one_dimensional and np.isnan(targets).any():
        index = int(np.flatnonzero(np.isnan(targets))[0])
        raise InvalidValueError(
            f"Input y contains NaN at index {index} of {len(targets)}. Drop the rows "
            "with unknown targets; NaN as 'not known' is understood in a 2-D y."
        )
    table = targets.reshape(len(targets), -1)
    if table.shape[1] == 0:
        raise InvalidValueError("y has 0 columns; at least one target is required.")
    empty = np.flatnonzero(np.isnan(table).all(axis=0)) if len(table) else []
    if len(empty):
        raise InvalidValueError(
            f"Input y contains NaN only in column {int(empty[0])}: no value is known. "
            "Drop that column."
        )
    return table, one_dimensional


def _float_targets(y: Any) -> np.ndarray:
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    try:
        array = np.asarray(y)
        if array.dtype.kind == "c" or (
            array.dtype == object
            and any(isinstance(value, complex) for value in array.flat)
        ):
            raise InvalidValueError(
                "Complex data not supported: y holds complex numbers. "
                "Give the real part, or the modulus, as the target."
            )
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(
            f"y must be numeric; could not convert it to floats ({error}). "
            "For class labels use a classifier."
        ) from error


def _require_no_inf(targets: np.ndarray) -> None:
    infinite = np.argwhere(np.isinf(targets))
    if len(infinite):
        place = ", column ".join(str(int(i)) for i in infinite[0])
        raise InvalidValueError(
            f"Input y contains infinity at index {place}. Remove or correct that row."
        )
