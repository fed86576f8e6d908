"""What messages about targets and containers say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.targets import ensure_regression_targets
from skmatgnn.utils.validation import ensure_object_array


@pytest.mark.parametrize(
    ("y", "place"),
    [
        ([1.0, "2", "3.1 eV", "n.a."], r"at index 2 \(2 of 4 values are no numbers\)"),
        (pd.Series([1, None, [2]], index=[5, 5, 5]), r"at index 2 \(1 of 3 values"),
        (pd.DataFrame({"a": [1, 2], "b": [3, "x"]}), r"at index 1, column 1 \(1 of 4"),
    ],
)
def test_targets__with_text__error_names_the_first_and_counts_the_rest(y, place):
    with pytest.raises(InvalidValueError, match=rf"y must be numeric.*{place}"):
        ensure_regression_targets(y)


def test_targets__numbers_as_text__are_converted():
    targets, one_dimensional = ensure_regression_targets(["1", " 2.5", "-3e1"])
    np.testing.assert_array_equal(targets, [[1.0], [2.5], [-30.0]])
    assert one_dimensional


@pytest.mark.parametrize("y", [(v for v in [1.0]), {"a": 1.0}, {1.0, 2.0}])
def test_targets__no_sequence__are_to_become_a_list(y):
    with pytest.raises(InvalidTypeError, match=r"a sequence; got.*to a list first"):
        ensure_regression_targets(y)


def test_frame__several_columns__remedy_names_one_of_them():
    frame = pd.DataFrame({"formula": ["NaCl"], "gap": [5.0]})
    with pytest.raises(InvalidValueError, match=r"for example frame\['formula'\]"):
        ensure_object_array(frame, what="formulas", single=())


def test_targets__masked_array__are_unknown_where_masked():
    hidden = np.ma.array([[1, 5], [2, 7]], mask=[[False, True], [False, False]])
    targets, _ = ensure_regression_targets(hidden)
    np.testing.assert_array_equal(targets, [[1.0, np.nan], [2.0, 7.0]])
