"""Hashes by which results that are kept on disk are found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

import joblib
import numpy as np

from skmatgnn.utils.packed_file import release_pages

__all__ = ["digest"]

#: Parameters of estimators on which no result depends.
_IDLE = frozenset({"checkpoint_dir", "n_jobs", "verbose"})

_AT_ONCE = 2**26  # bytes of an array that are copied


def digest(*parts: Any) -> str:
    """Hash values of any kinds, arrays by their content.

    Parameters
    ----------
    *parts : object
        Arrays, numbers, strings, containers and dataclasses of these, estimators (by
        their class and parameters, ``n_jobs``, ``verbose`` and ``checkpoint_dir``
        left out), or what joblib can hash.

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


def _feed(hasher: Any, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype != object:
        hasher.update(f"array {value.dtype.str} {value.shape} ".encode())
        _feed_array(hasher, np.atleast_1d(value))
    elif isinstance(value, str | int | float | bytes | np.generic | None):
        hasher.update(f"{type(value).__name__} {value!r} ".encode())
    elif isinstance(value, Mapping):
        hasher.update(f"mapping {len(value)} ".encode())
        for key in sorted(value):
            _feed(hasher, key)
            _feed(hasher, value[key])
    elif isinstance(value, list | tuple | np.ndarray):
        hasher.update(f"list {len(value)} ".encode())
        for item in value:
            _feed(hasher, item)
    elif is_dataclass(value) and not isinstance(value, type):
        hasher.update(type(value).__name__.encode())
        _feed(hasher, vars(value))
    elif hasattr(value, "get_params") and not isinstance(value, type):
        hasher.update(type(value).__name__.encode())
        given = value.get_params(deep=False)
        _feed(hasher, {k: v for k, v in given.items() if k not in _IDLE})
    else:
        hasher.update(joblib.hash(value).encode())


def _feed_array(hasher: Any, array: np.ndarray) -> None:
    """Hash an array part by part, as it may be larger than memory, on disk."""
    step = max(1, _AT_ONCE // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        hasher.update(array[start : start + step].tobytes())
        release_pages(array)
