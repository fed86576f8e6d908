import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import KFold, cross_val_predict

from skmatgnn.errors import InvalidValueError
from skmatgnn.metrics import scaled_mean_absolute_error


@given(seed=st.integers(0, 2**31 - 1), n_outputs=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_smae__of_the_dummy_regressor__is_one_and_ratios_are_exact(seed, n_outputs):
    rng = np.random.default_rng(seed)
    train, test, pred = (rng.normal(3, 10, size=(n, n_outputs)) for n in (50, 20, 20))
    zeros = np.zeros((50, 1))
    dummy = DummyRegressor().fit(zeros, train).predict(zeros[:20]).reshape(20, -1)
    options = {"y_train": train, "multioutput": "raw_values"}
    np.testing.assert_array_equal(
        scaled_mean_absolute_error(test, dummy, **options), np.ones(n_outputs)
    )
    raw = {"multioutput": "raw_values"}
    np.testing.assert_array_equal(
        scaled_mean_absolute_error(test, pred, **options),
        mean_absolute_error(test, pred, **raw)
        / mean_absolute_error(test, dummy, **raw),
    )


def test_smae__published_figures__follow_from_the_papers_convention():
    # The study's gravimetric RF figure: a 2-sigma MAE of 35.166 over the control's
    # unfiltered 87.095 is printed as 0.404 (METHODS Part 2, section 7).
    everything = np.array([-87.095, 87.095])
    filtered = np.array([5.0, -5.0])
    got = scaled_mean_absolute_error(
        filtered, filtered + 35.166, convention="paper", y_unfiltered=everything
    )
    assert round(got, 3) == 0.404


def test_smae__default_control__is_the_mean_of_the_scored_targets():
    y_true, y_pred = np.array([0.0, 1.0, 5.0]), np.array([1.0, 1.0, 3.0])
    assert scaled_mean_absolute_error(y_true, y_pred) == 1.0 / 2.0
    weighted = scaled_mean_absolute_error(y_true, y_pred, sample_weight=[1, 1, 2])
    control = np.average(y_true, weights=[1, 1, 2])
    assert weighted == pytest.approx(
        np.average([1, 0, 2], weights=[1, 1, 2])
        / np.average(np.abs(y_true - control), weights=[1, 1, 2])
    )


def test_smae__pooled_folds__takes_the_controls_own_predictions():
    y = np.random.default_rng(0).normal(size=37)
    control = cross_val_predict(DummyRegressor(), np.zeros((37, 1)), y, cv=KFold(5))
    assert scaled_mean_absolute_error(y, control, baseline=control) == 1.0
    assert scaled_mean_absolute_error(y, y * 0, baseline=control) == pytest.approx(
        np.abs(y).mean() / np.abs(y - control).mean()
    )


def test_smae__baseline_of_every_shape__gives_the_same_value():
    Y = np.random.default_rng(1).normal(size=(6, 2))
    P = Y + 1
    values = [
        scaled_mean_absolute_error(Y, P, baseline=given)
        for given in (0.5, [0.5, 0.5], np.full((6, 2), 0.5))
    ]
    assert values[0] == values[1] == values[2]
    assert scaled_mean_absolute_error(
        Y, P, convention="paper", y_unfiltered=Y, baseline=0.5
    ) == pytest.approx(values[0])


def test_smae__unknown_cells__are_left_out_of_both_errors():
    nan = np.nan
    Y = np.array([[1.0, nan], [3.0, 10.0], [nan, 20.0], [8.0, 60.0]])
    P = np.array([[2.0, 0.0], [2.0, 20.0], [0.0, 30.0], [9.0, 50.0]])
    expected = [
        scaled_mean_absolute_error(Y[rows, j], P[rows, j])
        for j, rows in enumerate(~np.isnan(Y.T))
    ]
    np.testing.assert_allclose(
        scaled_mean_absolute_error(Y, P, multioutput="raw_values"), expected, rtol=1e-12
    )
    train = np.array([[0.0, nan], [nan, 6.0]])
    np.testing.assert_allclose(
        scaled_mean_absolute_error(Y, P, y_train=train, multioutput="raw_values"),
        [1.0 / 4.0, 10.0 / 24.0],
    )


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9 / 3])
def test_smae__control_without_error__is_undefined_not_infinite(constant):
    y_true = np.full(7, constant)
    with pytest.warns(UndefinedMetricWarning, match="the control makes no error"):
        assert np.isnan(scaled_mean_absolute_error(y_true, y_true + 1))
    with pytest.warns(UndefinedMetricWarning, match=r"column\(s\) \[0\]"):
        value = scaled_mean_absolute_error(
            np.column_stack([y_true, np.arange(7.0)]), np.zeros((7, 2)) + 3
        )
    assert value == 1.0


def test_smae__small_but_real_spread__is_not_taken_for_none():
    y_true = 1.0 + np.array([0, 1e-12, 2e-12])
    assert scaled_mean_absolute_error(y_true, np.ones(3)) == pytest.approx(
        1.5, rel=1e-3
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"convention": "papers"}, "convention must be one of"),
        ({"convention": "paper"}, "y_unfiltered missing"),
        ({"y_unfiltered": [1.0, 2.0]}, "give both or neither"),
        ({"y_train": [1.0], "baseline": 1.0}, "only one of them"),
        ({"y_train": [[1.0, 2.0]]}, "y_train has 2 outputs and y_true 1"),
        ({"y_train": [np.nan]}, "y_train has no known value in column 0"),
        ({"baseline": [1.0, 2.0]}, r"got shape \(2,\)"),
        ({"baseline": [1.0, np.nan, 1.0]}, "baseline is not finite at index 1"),
    ],
)
def test_smae__contradicting_options__say_what_to_do(options, match):
    with pytest.raises(ValueError, match=match):
        scaled_mean_absolute_error([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], **options)


def test_smae__baseline_without_numbers__is_named():
    with pytest.raises(InvalidValueError, match=r"baseline must be finite.*'mean'"):
        scaled_mean_absolute_error([1.0, 2.0], [1.0, 2.0], baseline="mean")
