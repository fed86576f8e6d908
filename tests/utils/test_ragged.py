"""Index arithmetic on packed rows."""

from __future__ import annotations

import numpy as np
import pytest

from skmatgnn.errors import InvalidTypeError
from skmatgnn.utils.ragged import (
    ensure_row_index,
    order_in_rows,
    ragged_indices,
    row_pointers,
)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_row_pointers__lengths__are_running_sums(dtype):
    ptr = row_pointers(np.array([2, 0, 255, 1], dtype=dtype))
    assert ptr.tolist() == [0, 2, 2, 257, 258]
    assert ptr.dtype == np.int64
    assert row_pointers(np.array([], dtype=dtype)).tolist() == [0]


def test_ragged_indices__random_rows__equal_loops():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = rng.integers(0, 8)
        starts, lengths = rng.integers(0, 100, n), rng.integers(0, 5, n)
        pairs = zip(starts, lengths, strict=True)
        expected = [i for start, length in pairs for i in range(start, start + length)]
        assert ragged_indices(starts, lengths).tolist() == expected


@pytest.mark.parametrize("n_rows", [1, 7, 65_536, 65_537, 3_000_000])
def test_order_in_rows__many_ties__is_that_of_lexsort(n_rows):
    rng = np.random.default_rng(n_rows)
    for n in (0, 1, 2, 5000):
        rows = rng.integers(0, n_rows, n)
        values = np.abs(rng.normal(size=n)) * 10.0 ** rng.integers(-300, 300, n)
        values[::3] = rng.choice(
            [0.0, -0.0, 1.0, np.nextafter(1, 2), np.inf], len(values[::3])
        )
        rows[n // 2 :] = rows[: n - n // 2]
        before = rows.copy(), values.copy()
        np.testing.assert_array_equal(
            order_in_rows(rows, values), np.lexsort((values, rows))
        )
        np.testing.assert_array_equal(rows, before[0])
        np.testing.assert_array_equal(values, before[1])


KEYS = [
    *(slice(None), slice(2, None), slice(None, None, -1), slice(9, 2)),
    *([], [0], [3, 3, -1], (1, 2)),
    *(np.array([4, 0], dtype=np.uint8), np.arange(5) > 2, [True, False] * 2 + [True]),
]


@pytest.mark.parametrize("key", KEYS[:-4] + KEYS[-3:])
@pytest.mark.parametrize("wrap", [False, True])
def test_ensure_row_index__as_numpy__same_rows(key, wrap):
    index = ensure_row_index((key, Ellipsis) if wrap else key, 5)
    assert index.dtype == np.int64
    assert index.tolist() == np.arange(5)[key].tolist()


@pytest.mark.parametrize("key", [2, -3, np.int8(2), np.array(2), (2, slice(None))])
def test_ensure_row_index__scalar__is_a_non_negative_int(key):
    index = ensure_row_index(key, 5)
    assert isinstance(index, int)
    assert index == 2


def test_ensure_row_index__empty_tuple_or_ellipsis__is_everything():
    assert ensure_row_index((), 3).tolist() == [0, 1, 2]
    assert ensure_row_index((Ellipsis,), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("key", [5, -6, [0, 5], np.array([True, False])])
def test_ensure_row_index__out_of_bounds__raises_index_error(key):
    with pytest.raises(IndexError, match=r"out of bounds|did not match"):
        ensure_row_index(key, 5)


@pytest.mark.parametrize(
    "key", [None, 1.0, "a", [0.5], [[1, 2]], np.zeros((2, 2), int), {"a": 1}]
)
def test_ensure_row_index__no_index__raises_type_error(key):
    with pytest.raises(InvalidTypeError, match="Index with an int, a slice"):
        ensure_row_index(key, 5)


def test_ensure_row_index__two_axes__raises_type_error():
    with pytest.raises(InvalidTypeError, match="One index is allowed; got 2"):
        ensure_row_index((1, 2), 5)
