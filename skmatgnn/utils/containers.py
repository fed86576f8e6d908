"""Containers that nobody can change afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["as_tuples"]


def as_tuples(value: Any) -> Any:
    """Copy nested lists, tuples and arrays as tuples, which compare by their content.

    Numbers of NumPy, as of a grid, become those of Python, which torch may need.

    Parameters
    ----------
    value : object

    Returns
    -------
    object
        The same if it is neither such a container nor such a number.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.utils.containers import as_tuples
    >>> as_tuples([[1, 2], np.array([3]), "a"])
    ((1, 2), (3,), 'a')
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(as_tuples(item) for item in value)
    return value
