"""Index arithmetic on packed variable-length rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmatgnn.errors import InvalidTypeError

__all__ = [
    "ensure_row_index",
    "order_in_rows",
    "order_of_integers",
    "ragged_indices",
    "row_pointers",
]


def row_pointers(lengths: np.ndarray) -> np.ndarray:
    """Turn row lengths into row pointers.

    Parameters
    ----------
    lengths : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n + 1,), int64

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.utils.ragged import row_pointers
    >>> row_pointers(np.array([2, 3])).tolist()
    [0, 2, 5]
    """
    ptr = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=ptr[1:])
    return ptr


def ragged_indices(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Concatenate ``range(start, start + length)`` of many rows without a loop.

    Parameters
    ----------
    starts, lengths : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (sum(lengths),), int64

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.utils.ragged import ragged_indices
    >>> ragged_indices(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    offsets = row_pointers(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def order_in_rows(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sort by row and, within it, by value; equal ones keep their order.

    The same as ``np.lexsort((values, rows))`` in a third of the time: NumPy sorts
    16-bit integers by counting, and the bits of positive numbers sort as they do.

    Parameters
    ----------
    rows : ndarray of shape (n,), int64
        Not negative.
    values : ndarray of shape (n,), float64
        Not negative, nor NaN.

    Returns
    -------
    ndarray of shape (n,), int64

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.utils.ragged import order_in_rows
    >>> order_in_rows(np.array([1, 0, 1]), np.array([0.5, 2.0, 0.25])).tolist()
    [1, 2, 0]
    """
    bits = (values + 0.0).view(np.uint64)  # of -0.0 those of 0.0
    order = _order_by_word(bits, 0)
    for shift in (16, 32, 48):
        order = order[_order_by_word(bits[order], shift)]
    highest = int(rows.max(initial=0))
    for shift in range(0, highest.bit_length(), 16):
        order = order[_order_by_word(rows[order], shift)]
    return order


def order_of_integers(values: np.ndarray) -> np.ndarray:
    """Sort integers; equal ones keep their order.

    Parameters
    ----------
    values : ndarray of shape (n,), int64
        Not negative.

    Returns
    -------
    ndarray of shape (n,), int64

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.utils.ragged import order_of_integers
    >>> order_of_integers(np.array([70000, 3, 70000])).tolist()
    [1, 0, 2]
    """
    order = _order_by_word(values, 0)
    for shift in range(16, int(values.max(initial=0)).bit_length(), 16):
        order = order[_order_by_word(values[order], shift)]
    return order


def _order_by_word(integers: np.ndarray, shift: int) -> np.ndarray:
    word = (integers >> integers.dtype.type(shift)).astype(np.uint16)
    return np.argsort(word, kind="stable")


def ensure_row_index(key: Any, n_rows: int) -> int | np.ndarray:
    """Normalise what NumPy accepts as an index of the first axis.

    Parameters
    ----------
    key : int, slice, sequence of int or bool, or tuple of one of these and Ellipsis
        The tuple is how scikit-learn indexes anything that has a ``shape``.
    n_rows : int
        Number of rows that are indexed.

    Returns
    -------
    int or ndarray of int64
        Non-negative.

    Raises
    ------
    InvalidTypeError
        If it is anything else.
    IndexError
        If it is out of bounds.
    """
    if isinstance(key, tuple):
        rest = [part for part in key if not _selects_all(part)]
        if len(rest) > 1:
            raise InvalidTypeError(f"One index is allowed; got {len(rest)}: {key!r}.")
        key = rest[0] if rest else slice(None)
    try:
        index = np.arange(n_rows)[key]
    except IndexError as error:
        if "out of bounds" in str(error) or "did not match" in str(error):
            raise
        raise InvalidTypeError(
            f"Index with an int, a slice, integers or booleans; got {key!r}."
        ) from error
    if np.ndim(index) > 1:
        raise InvalidTypeError(
            f"Index with an int, a slice, integers or booleans; got {key!r}."
        )
    return int(index) if np.ndim(index) == 0 else np.asarray(index, dtype=np.int64)


def _selects_all(part: Any) -> bool:
    # an array must not be compared with ==, which would go element by element
    return part is Ellipsis or (isinstance(part, slice) and part == slice(None))
