import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk
from sklearn.exceptions import UndefinedMetricWarning

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics import (
    masked_mean_absolute_error,
    masked_r2_score,
    masked_root_mean_squared_error,
)

PAIRS = [
    (masked_mean_absolute_error, sk.mean_absolute_error),
    (masked_root_mean_squared_error, sk.root_mean_squared_error),
    (masked_r2_score, sk.r2_score),
]
# scikit-learn loses the squares of smaller ones
FLOATS = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-100 else 0.0)


@st.composite
def complete_tables(draw):
    shape = draw(st.sampled_from([(2, 1), (5, 1), (7, 3), (40, 2), (9,), (300,)]))
    weights = draw(st.none() | arrays(float, shape[0], elements=st.floats(0.1, 10)))
    y_true, y_pred = (draw(arrays(float, shape, elements=FLOATS)) for _ in range(2))
    return y_true, y_pred, weights


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@given(tables=complete_tables(), multioutput=st.sampled_from(["raw_values", None]))
@settings(max_examples=100, deadline=None)
def test_masked_metric__without_nan__equals_sklearn_bit_for_bit(
    ours, theirs, tables, multioutput
):
    y_true, y_pred, weights = tables
    options = {"sample_weight": weights, "multioutput": multioutput}
    options["multioutput"] = multioutput or "uniform_average"
    np.testing.assert_array_equal(
        ours(y_true, y_pred, **options), theirs(y_true, y_pred, **options)
    )


@pytest.mark.parametrize("unit", [2.0**-700, 2.0**700])
def test_masked_r2_score__values_whose_squares_are_no_numbers__is_that_of_others(unit):
    y_true, y_pred = np.random.default_rng(0).normal(size=(2, 20, 3))
    found = masked_r2_score(unit * y_true, unit * y_pred, multioutput="raw_values")
    expected = sk.r2_score(y_true, y_pred, multioutput="raw_values")
    np.testing.assert_array_equal(found, expected)
    assert masked_r2_score([0.0, 0.0], [unit, unit]) == 0.0


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@given(seed=st.integers(0, 2**31 - 1), weighted=st.booleans())
@settings(max_examples=60, deadline=None)
def test_masked_metric__with_nan__equals_sklearn_on_the_known_rows(
    ours, theirs, seed, weighted
):
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.normal(size=(2, 30, 4))
    mask = rng.random((30, 4)) < 0.5
    mask[:2] = False
    y_true[mask] = np.nan
    y_pred[mask & (rng.random((30, 4)) < 0.5)] = np.nan
    weights = rng.random(30) + 0.1 if weighted else None
    expected = [
        theirs(
            y_true[~m, j],
            y_pred[~m, j],
            sample_weight=weights[~m] if weighted else None,
        )
        for j, m in enumerate(mask.T)
    ]
    options = {"sample_weight": weights}
    got = ours(y_true, y_pred, multioutput="raw_values", **options)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert ours(y_true, y_pred, **options) == pytest.approx(np.mean(expected))
    shares = [4.0, 1.0, 0.0, 2.0]
    assert ours(y_true, y_pred, multioutput=shares, **options) == pytest.approx(
        np.average(expected, weights=shares)
    )


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_masked_metric__of_a_frame_and_a_column__accepts_both(ours, theirs):
    y_true = np.arange(8.0)
    y_pred = y_true + np.cos(y_true)
    frame = pd.DataFrame({"a": y_true})
    assert ours(frame, y_pred) == theirs(y_true, y_pred)
    assert ours(list(y_true), y_pred[:, None]) == theirs(y_true, y_pred)
    y_true[3] = np.nan
    keep = np.arange(8) != 3
    assert ours(y_true, y_pred) == pytest.approx(theirs(y_true[keep], y_pred[keep]))


@pytest.mark.parametrize(
    ("ours", "known", "others"),
    [
        (masked_mean_absolute_error, 0, 1.0),
        (masked_root_mean_squared_error, 0, 1.0),
        (masked_r2_score, 1, -0.5),
    ],
)
def test_masked_metric__column_without_enough_values__is_nan_and_left_out(
    ours, known, others
):
    y_true = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, np.nan]])
    y_true[:known, 1] = 5.0
    y_pred = np.column_stack([[2.0, 3.0, 4.0], [0.0, 0.0, 0.0]])
    with pytest.warns(UndefinedMetricWarning, match=r"undefined in column\(s\) \[1\]"):
        raw = ours(y_true, y_pred, multioutput="raw_values")
    assert np.isnan(raw[1])
    assert raw[0] == pytest.approx(others)
    with pytest.warns(UndefinedMetricWarning, match="average is over the others"):
        assert ours(y_true, y_pred) == pytest.approx(others)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(ours(y_true, y_pred, multioutput=[0.0, 1.0]))
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(ours(y_true[:, 1], y_pred[:, 1]))


def test_masked_metric__known_rows_of_weight_zero__is_undefined():
    y_true = np.array([[1.0, 1.0], [2.0, np.nan]])
    with pytest.warns(UndefinedMetricWarning, match="non-zero weight"):
        raw = masked_mean_absolute_error(
            y_true, np.zeros((2, 2)), sample_weight=[0, 1], multioutput="raw_values"
        )
    np.testing.assert_array_equal(raw, [2.0, np.nan])


@pytest.mark.parametrize(("ours", "_theirs"), PAIRS)
@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        (([1, 2], [1, np.nan]), {}, "y_pred contains NaN at index 1, column 0"),
        (([1, np.inf], [1, 2]), {}, "y_true contains infinity"),
        (([1, 2, 3], [1, 2]), {}, "y_true has 3, y_pred has 2"),
        (([[1, 2]], [1]), {}, "y_true has 2 outputs and y_pred 1"),
        (([], []), {}, "0 sample"),
        ((np.zeros((2, 2, 2)), np.zeros((2, 2, 2))), {}, "dim"),
        (([1, 2], [1, 2]), {"multioutput": "mean"}, "must be one of"),
        (([[1, 2]] * 2, [[1, 2]] * 2), {"multioutput": [1, 2, 3]}, "hold 2 non-neg"),
        (([[1, 2]] * 2, [[1, 2]] * 2), {"multioutput": [1, -2]}, "hold 2 non-neg"),
        (([1, 2], [1, 2]), {"sample_weight": [1, -1]}, "Negative values"),
        (([1, 2], [1, 2]), {"sample_weight": [1, 1, 1]}, "sample_weight.shape"),
    ],
)
def test_masked_metric__bad_input__says_what_is_wrong(
    ours, _theirs, arguments, options, match
):
    with pytest.raises(ValueError, match=match):
        ours(*arguments, **options)


def test_masked_metric__multioutput_none__is_a_type_error():
    with pytest.raises(TypeError, match="multioutput must be one of"):
        masked_r2_score([1, 2], [1, 2], multioutput=None)


def test_masked_metric__read_only_inputs__are_not_written():
    y_true, y_pred = np.array([1.0, np.nan, 3.0]), np.array([1.0, np.nan, 4.0])
    y_true.flags.writeable = y_pred.flags.writeable = False
    assert masked_mean_absolute_error(y_true, y_pred) == 0.5


def test_masked_metric__of_masked_array__leaves_out_what_is_masked():
    hidden = np.ma.array([1, 2, 9], mask=[False, False, True])
    assert masked_mean_absolute_error(hidden, [1.0, 2.5, 0.0]) == 0.25


@pytest.mark.parametrize(
    ("y_true", "match"),
    [
        (["1", "a"], r"y_true must be finite.*'a' at index 1 \(1 of 2"),
        ([[1, 2], [3, np.inf]], r"y_true.*infinity.* at index 1, column 1 \(1 of 4"),
    ],
)
def test_masked_metric__no_number__is_named_by_its_place(y_true, match):
    with pytest.raises(InvalidValueError, match=match):
        masked_mean_absolute_error(y_true, np.zeros(np.shape(y_true)))


@pytest.mark.parametrize(
    "y_true",
    [
        [1, pd.NA],
        np.array([1, None], dtype=object),
        pd.Series([1, pd.NaT], dtype=object),
        pd.DataFrame({"a": [1, pd.NA]}),
    ],
)
def test_masked_metric__whatever_is_missing__is_unknown(y_true):
    assert masked_mean_absolute_error(y_true, [2.0, 3.0]) == 1.0


def test_masked_metric__no_array__is_named():
    with pytest.raises(InvalidTypeError, match=r"y_true must be numbers, one.*dict"):
        masked_mean_absolute_error({"a": 1.0}, [1.0])
