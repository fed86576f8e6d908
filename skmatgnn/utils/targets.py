"""Checks of targets: what is unknown, infinite or no number is named by its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe, is_missing, to_object_array

__all__ = [
    "ensure_class_labels",
    "ensure_numbers",
    "ensure_regression_targets",
    "require_computable",
    "require_given",
]

LARGEST = 1e300  # whose differences and sums over a dataset are finite


def ensure_regression_targets(
    y: Any,
    *,
    estimator: Any = None,
    allow_unknown: bool = True,
    allow_empty_columns: bool = False,
) -> tuple[np.ndarray, bool]:
    """Convert regression targets to a float64 table in which NaN means unknown.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, t)
        Targets. NaN is allowed in a 2-D ``y``.
    estimator : object, optional
        Named in the messages.
    allow_unknown : bool, default=True
        Whether a 2-D ``y`` may have NaN.
    allow_empty_columns : bool, default=False
        Whether one known value is enough, not one in each column.

    Returns
    -------
    targets : ndarray of shape (n, t), float64
    one_dimensional : bool
        Whether ``y`` was 1-D, so that predictions can have the same shape.

    Raises
    ------
    InvalidValueError
        If y is None, empty, not numeric, infinite, NaN in one dimension, or no value
        is known of it or of a column.
    """
    require_given(y, estimator)
    targets = _float_targets(y)
    if targets.ndim not in (1, 2):
        raise InvalidValueError(
            "y must have shape (n_samples,) or (n_samples, n_outputs); "
            f"got {targets.ndim} dimensions, shape {targets.shape}."
        )
    one_dimensional = targets.ndim == 1
    _require_no_inf(targets)
    if not allow_unknown:
        _require_all_known(targets, estimator)
    if one_dimensional and np.isnan(targets).any():
        index = int(np.flatnonzero(np.isnan(targets))[0])
        raise InvalidValueError(
            f"Input y contains NaN at index {index} of {len(targets)}. Drop the rows "
            "with unknown targets; NaN as 'not known' is understood in a 2-D y."
        )
    table = targets[:, None] if one_dimensional else targets
    if table.shape[1] == 0:
        raise InvalidValueError("y has 0 columns; at least one target is required.")
    empty = np.flatnonzero(np.isnan(table).all(axis=0) & (len(table) > 0))
    if len(empty) and not (allow_empty_columns and len(empty) < table.shape[1]):
        raise InvalidValueError(
            f"Input y contains NaN only in column {int(empty[0])}: no value is known. "
            "Drop that column."
        )
    return table, one_dimensional


def ensure_numbers(values: Any, name: str) -> np.ndarray:
    """Convert numbers to float64; NaN is left, infinity and text are errors.

    Parameters
    ----------
    values : array-like
        Masked entries, None and pandas' NA become NaN.
    name : str
        The argument, for the message.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InvalidValueError
        If a value is infinite or no number, with the place of the first, or if the
        shape is none of numbers in one or two dimensions.
    InvalidTypeError
        If it is no array-like of numbers.
    """
    values = _with_nan(values)
    try:
        return check_array(
            values,
            dtype=np.float64,
            ensure_2d=False,
            ensure_all_finite="allow-nan",
            input_name=name,
        )
    except ValueError as error:
        reason = str(error).strip().rstrip(".")
        place = _place_of_no_number(values, finite=True)
        if place:
            reason = f"{name} must be finite numbers, or NaN for unknown: {reason}"
        raise InvalidValueError(f"{reason}{place}.") from error
    except TypeError as error:
        raise InvalidTypeError(
            f"{name} must be numbers, one for each sample; got {describe(values)}."
        ) from error


def ensure_class_labels(y: Any, *, estimator: Any = None) -> np.ndarray:
    """Convert class labels to an array.

    Parameters
    ----------
    y : array-like of shape (n,)
    estimator : object, optional
        Named in the messages.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    InvalidValueError
        If y is None, or a label is missing or infinite.
    ValueError
        If y is no classes, or has several columns.
    """
    require_given(y, estimator)
    # NumPy would turn a NaN among strings into the label "nan"
    given = to_object_array(y) if isinstance(y, list | tuple) else None
    labels = column_or_1d(y, warn=True)
    given = labels if given is None else given
    missing = np.flatnonzero([is_missing(label) for label in given])
    if len(missing):
        raise InvalidValueError(
            f"Input y contains NaN or None at index {int(missing[0])}. Drop the "
            "rows with unknown labels."
        )
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise InvalidValueError("Input y contains infinity. Drop such rows.")
    check_classification_targets(labels)
    return labels


def require_computable(targets: np.ndarray) -> None:
    """Reject targets so large that their differences or sums overflow.

    Parameters
    ----------
    targets : ndarray of shape (n, t)
        NaN where unknown.

    Raises
    ------
    InvalidValueError
        Naming the first of them.
    """
    large = np.argwhere(np.abs(targets) > LARGEST)
    if len(large):
        row, column = large[0].tolist()
        raise InvalidValueError(
            f"Input y has {targets[row, column]:g} at index {row}, column {column}; "
            f"beyond {LARGEST:g} there are no differences to compute. Give that "
            "target in a larger unit."
        )


def _require_all_known(targets: np.ndarray, estimator: Any) -> None:
    unknown = np.argwhere(np.isnan(targets))
    if len(unknown):
        place = ", column ".join(str(int(i)) for i in unknown[0])
        raise InvalidValueError(
            f"Input y contains NaN at index {place}, and {type(estimator).__name__} "
            "needs all targets. Drop the rows where one is unknown, train a model for "
            "each column, or use a network, such as CrabNetRegressor, which skips "
            "unknown ones in a 2-D y."
        )


def require_given(y: Any, estimator: Any) -> None:
    """Reject targets that are None.

    Parameters
    ----------
    y : object
    estimator : object or None
        Named in the message.

    Raises
    ------
    InvalidValueError
        If y is None.
    """
    if y is None:
        name = "This estimator" if estimator is None else type(estimator).__name__
        raise InvalidValueError(
            f"{name} requires y to be passed, but the target y is None."
        )


def _without_mask(values: Any) -> Any:
    """Make unknown, NaN, what a masked array hides; NumPy would take it for known."""
    if isinstance(values, np.ma.MaskedArray) and values.dtype.kind in "biuf":
        return np.ma.filled(values.astype(np.float64), np.nan)
    return values


def _with_nan(values: Any) -> Any:
    """Put NaN for what is missing, in whatever way; leave all else as it is."""
    values = _without_mask(values)
    try:
        array = values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)
    except ValueError:  # rows of different lengths
        return values
    return _nan_for_missing(array) if array.dtype == object and array.ndim else values


def _nan_for_missing(array: np.ndarray) -> np.ndarray:
    missing = [is_missing(value) for value in array.flat]
    return np.where(np.reshape(missing, array.shape), np.nan, array)


def _float_targets(y: Any) -> np.ndarray:
    y = _without_mask(y)
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    if isinstance(y, Iterator | Mapping | set):
        raise InvalidTypeError(
            f"y must be numeric, a sequence; got {describe(y)}. Convert it to a list "
            "first."
        )
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
        if array.dtype.kind in "mM":
            raise InvalidValueError(
                f"y must be numeric; got dates or times ({array.dtype}). Convert them "
                "to numbers of a unit that you choose."
            )
        if array.dtype == object:  # pandas' NA has no float
            array = _nan_for_missing(array)
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(
            f"y must be numeric; could not convert it to floats ({error})"
            f"{_place_of_no_number(y)}. For class labels use a classifier."
        ) from error


def _place_of_no_number(y: Any, *, finite: bool = False) -> str:
    """Say where the first is that float does not take, and how many there are."""
    try:
        cells = np.asarray(y, dtype=object)
    except ValueError:  # rows of different lengths
        return ""
    bad = np.array([not _is_number(cell, finite) for cell in cells.flat], dtype=bool)
    places = np.argwhere(bad.reshape(cells.shape))
    if cells.ndim == 0 or len(places) == 0:
        return ""
    place = ", column ".join(str(int(i)) for i in places[0])
    kind = "finite numbers" if finite else "numbers"
    return f" at index {place} ({len(places)} of {cells.size} values are no {kind})"


def _is_number(cell: Any, finite: bool) -> bool:
    if is_missing(cell):
        return True
    try:
        number = float(cell)
    except (TypeError, ValueError):
        return False
    return not (finite and np.isinf(number))


def _require_no_inf(targets: np.ndarray) -> None:
    infinite = np.argwhere(np.isinf(targets))
    if len(infinite):
        place = ", column ".join(str(int(i)) for i in infinite[0])
        raise InvalidValueError(
            f"Input y contains infinity at index {place}. Remove or correct that row."
        )
