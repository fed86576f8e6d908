"""Checks of user input: ``ensure_*`` converts, ``require_*`` rejects.

Nothing here builds a NumPy array from structures or compositions by
``np.asarray``: both are containers, which NumPy would unpack.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from numbers import Integral, Number, Real
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError

__all__ = [
    "describe",
    "ensure_groups",
    "ensure_object_array",
    "is_bare_sample",
    "is_count",
    "is_missing",
    "require_consistent_length",
    "require_count",
    "require_fraction",
    "require_option",
    "require_samples",
    "require_usable_weights",
    "to_object_array",
]


def describe(value: Any) -> str:
    """Name an object's type and, if short, its value, for an error message.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
    """
    kind = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
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


def is_bare_sample(X: Any) -> bool:
    """Tell whether X is one formula, composition or structure, without its list.

    Parameters
    ----------
    X : object

    Returns
    -------
    bool
    """
    # a frame may have a column of that name, and thereby the attribute
    is_structure = not hasattr(X, "iloc") and (
        hasattr(X, "composition") or hasattr(X, "get_atomic_numbers")
    )
    return is_structure or isinstance(X, str | bytes | Mapping)


def require_samples(X: Any) -> None:
    """Reject what is no sequence of samples, whatever kind of samples are due.

    Parameters
    ----------
    X : object

    Raises
    ------
    InvalidTypeError
        If X is a single sample, or no sequence.
    InvalidValueError
        If X is empty.
    """
    shape = getattr(X, "shape", None)  # of a sparse matrix, which has no length
    if not shape and is_bare_sample(X):
        raise InvalidTypeError(
            f"X must be a sequence of samples; got a bare {describe(X)}. "
            "Put a single sample into a list: [x]."
        )
    is_sized = _is_sized_sequence(X)
    if shape == () or not (shape or is_sized or hasattr(X, "__array__")):
        raise InvalidTypeError(
            f"X must be a sequence of samples; got {describe(X)}. "
            "Convert it to a list first."
        )
    if (shape and shape[0] == 0) or (is_sized and len(X) == 0):
        raise InvalidValueError(
            "Found array with 0 sample(s): X is empty; at least one is required."
        )


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
    elif isinstance(X, Mapping | set | frozenset) or not _is_sized_sequence(X):
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


def _is_sized_sequence(X: Any) -> bool:
    try:
        return len(X) >= 0 and hasattr(X, "__getitem__")
    except TypeError:  # no length, or, as of a class or a sparse matrix, none to give
        return False


def _values_of_frame(X: Any, what: str) -> np.ndarray:
    if X.ndim == 2:
        if X.shape[1] != 1:
            name = X.columns[0] if X.shape[1] else "structure"
            raise InvalidValueError(
                f"X must have one column with the {what}; got a frame of "
                f"{X.shape[1]} columns {list(X.columns)[:5]}. Select the column, "
                f"for example frame[{name!r}]."
            )
        X = X.iloc[:, 0]
    return to_object_array(list(X))


def require_option(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Reject the value of a parameter that is not among those allowed.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What the user gave.
    allowed : iterable
        What there is to choose from.

    Raises
    ------
    InvalidValueError
        If it is none of them.
    """
    options = list(allowed)
    # what has no hash, such as an array, may not have one answer to == either
    if not isinstance(value, Hashable) or value not in options:
        raise InvalidValueError(f"{name} must be one of {options}; got {value!r}.")


def is_count(value: Any, least: int = 1) -> bool:
    """Tell whether a value is an integer of a size or more, and no bool.

    Parameters
    ----------
    value : object
    least : int, default=1
        The size.

    Returns
    -------
    bool
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and int(value) >= least


def require_count(name: str, value: Any, least: int = 1) -> None:
    """Reject the value of a parameter that is no integer of a size or more.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What the user gave.
    least : int, default=1
        The size.

    Raises
    ------
    InvalidValueError
        If it is anything else.
    """
    if not is_count(value, least):
        raise InvalidValueError(
            f"{name} must be an integer of {least} or more; got {value!r}."
        )


def require_fraction(name: str, value: Any) -> None:
    """Reject the value of a parameter that does not lie between 0 and 1.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What the user gave.

    Raises
    ------
    InvalidValueError
        If it is no number, or 0 or 1 or beyond.
    """
    if not (isinstance(value, Real) and 0 < float(value) < 1):
        raise InvalidValueError(f"{name} must be between 0 and 1; got {value!r}.")


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


def ensure_groups(groups: Any, n_samples: int) -> np.ndarray:
    """Give groups numbers in the order in which they appear.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Labels of any hashable kind.
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples,), int

    Raises
    ------
    InvalidTypeError
        If it is no sequence, or a label cannot be hashed.
    InvalidValueError
        If it has another length, or a label is missing.

    Examples
    --------
    >>> from skmatgnn.utils.validation import ensure_groups
    >>> ensure_groups(["NaCl", "KCl", "NaCl"], 3).tolist()
    [0, 1, 0]
    """
    if isinstance(groups, str | bytes | Mapping | set) or not hasattr(
        groups, "__len__"
    ):
        raise InvalidTypeError(
            f"groups must have one label for each sample; got {describe(groups)}."
        )
    labels = ensure_object_array(groups, what="group labels", single=())
    require_consistent_length(X=range(n_samples), groups=labels)
    seen: dict[Any, int] = {}
    codes = np.empty(n_samples, dtype=np.int64)
    for index, label in enumerate(labels):
        if is_missing(label):
            raise InvalidValueError(
                f"groups has no label at index {index}: got {describe(label)}. Give "
                "such a sample a group of its own."
            )
        try:
            codes[index] = seen.setdefault(label, len(seen))
        except TypeError as error:
            raise InvalidTypeError(
                f"groups must hold labels such as numbers or strings; got "
                f"{describe(label)} at index {index}."
            ) from error
    return codes


def is_missing(value: Any) -> bool:
    """Tell whether a label is None, NaN, NaT or pandas' NA.

    Parameters
    ----------
    value : object

    Returns
    -------
    bool
    """
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def require_usable_weights(sample_weight: Any, n_samples: int) -> None:
    """Reject weights by their place, before scikit-learn does without it.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or float
    n_samples : int

    Raises
    ------
    InvalidTypeError
        If it is no sequence.
    InvalidValueError
        If the number of weights differs, or one is negative or not finite.
    """
    if isinstance(sample_weight, Number) or getattr(sample_weight, "ndim", 1) == 0:
        return  # one weight for all
    if hasattr(sample_weight, "__array__"):
        sample_weight = np.asarray(sample_weight)
    if not hasattr(sample_weight, "__len__"):
        raise InvalidTypeError(
            "sample_weight must have one number for each sample; got "
            f"{describe(sample_weight)}."
        )
    require_consistent_length(X=range(n_samples), sample_weight=sample_weight)
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"sample_weight must hold numbers; could not convert it ({error})."
        ) from error
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if weights.ndim == 1 and len(bad):
        raise InvalidValueError(
            f"sample_weight has {weights[bad[0]]} at index {int(bad[0])}: NaN, "
            "infinite or negative values in data passed to `sample_weight` are not "
            "allowed. Set it to zero to leave the sample out."
        )
