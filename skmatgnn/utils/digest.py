"""Hashes by which results that are kept on disk are found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from functools import partial
from pickle import PicklingError
from types import FunctionType, MethodType
from typing import Any

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator

from skmatgnn.utils.packed_file import release_pages

__all__ = ["IDLE", "digest"]

#: Parameters and attributes of estimators on which no result depends.
IDLE = frozenset(
    {"checkpoint_dir", "n_jobs", "scorer_", "verbose"}
    | {"cv_results_", "history_", "refit_time_"}  # durations are never the same
)

_AT_ONCE = 2**26  # bytes of an array that are copied


def digest(*parts: Any) -> str:
    """Hash values of any kinds, arrays by their content.

    Parameters
    ----------
    *parts : object
        Arrays, numbers, strings, containers and dataclasses of these, estimators (by
        their class and parameters, ``n_jobs``, ``verbose`` and ``checkpoint_dir``
        left out; in a FrozenEstimator, by what they have learnt), functions (by their
        code), or other objects.

    Returns
    -------
    str
        Of 40 hexadecimal digits.

    Examples
    --------
    >>> from skmatgnn.utils.digest import digest
    >>> digest([1, "a"], {"x": 2.0}) == digest((1, "a"), {"x": 2.0})
    True
    >>> digest(1) == digest(1.0)
    False
    """
    hasher = hashlib.sha256()
    for part in parts:
        _feed(hasher, part)
    return hasher.hexdigest()[:40]


def _feed(hasher: Any, value: Any, *, fitted: bool = False) -> None:
    if isinstance(value, np.ndarray) and value.dtype != object:
        hasher.update(f"array {value.dtype.str} {value.shape} ".encode())
        _feed_array(hasher, np.atleast_1d(value))
    elif isinstance(value, str | int | float | bytes | np.generic | None):
        hasher.update(f"{type(value).__name__} {value!r} ".encode())
    elif isinstance(value, Mapping):
        hasher.update(f"mapping {len(value)} ".encode())
        for key in sorted(value, key=lambda key: (type(key).__name__, repr(key))):
            _feed(hasher, key)
            _feed(hasher, value[key], fitted=fitted)
    elif isinstance(value, list | tuple | np.ndarray):
        shape = value.shape if isinstance(value, np.ndarray) else (len(value),)
        hasher.update(f"list {shape} ".encode())
        for item in value.ravel() if isinstance(value, np.ndarray) else value:
            _feed(hasher, item, fitted=fitted)
    elif is_dataclass(value) and not isinstance(value, type):
        hasher.update(_name_of(value))
        _feed(hasher, vars(value), fitted=fitted)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        hasher.update(_name_of(value))
        _feed_estimator(hasher, value, fitted=fitted)
    else:
        _feed_object(hasher, value)


def _feed_object(hasher: Any, value: Any) -> None:
    from skmatgnn.utils.plain import PlainDescriber

    if not isinstance(value, FunctionType | MethodType | partial):
        # what holds a lambda, say, cannot be pickled
        with suppress(PicklingError, AttributeError, TypeError):
            hasher.update(joblib.hash(value).encode())
            return
    plain = PlainDescriber()
    _feed(hasher, [plain.describe(value), plain.referred()])


def _feed_estimator(hasher: Any, value: Any, *, fitted: bool) -> None:
    if isinstance(value, FrozenEstimator):
        fitted = True
        content = {"estimator": value.estimator}
    elif fitted and hasattr(value, "_digest_content"):
        content = value._digest_content()  # noqa: SLF001 - of ours, for this module
    elif fitted:
        content = vars(value)
    else:
        content = value.get_params(deep=False)
    if isinstance(content, dict):
        content = {k: v for k, v in content.items() if k not in IDLE}
    _feed(hasher, content, fitted=fitted)


def _name_of(value: Any) -> bytes:
    return f"{type(value).__module__}.{type(value).__qualname__} ".encode()


def _feed_array(hasher: Any, array: np.ndarray) -> None:
    """Hash an array part by part, as it may be larger than memory, on disk."""
    step = max(1, _AT_ONCE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        hasher.update(array[start : start + step].tobytes())
        release_pages(array)
