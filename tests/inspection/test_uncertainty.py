"""Observed against expected coverage of predicted uncertainties."""

import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import Ridge

from skmatgnn import ConformalRegressor
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection import UncertaintyCalibrationDisplay


@pytest.fixture
def errors():
    return np.random.default_rng(0).normal(size=2000)


class WithStd(RegressorMixin, BaseEstimator):
    def __init__(self, std=1.0):
        self.std = std

    def fit(self, X, y):
        return self

    def predict(self, X, return_std=False):
        mean = np.asarray(X)[:, 0]
        return (mean, np.full(len(mean), self.std)) if return_std else mean


def draw(errors, std=1.0, **options):
    zero = np.zeros(len(errors))
    return UncertaintyCalibrationDisplay.from_predictions(
        errors, zero, zero + std, **options
    )


def inside(display):
    display.figure_.canvas.draw()
    box = display.figure_.bbox
    artists = [display.ax_.xaxis.label, display.ax_.yaxis.label, display.ax_.title]
    artists += [display.text_, display.legend_]
    extents = [
        a.get_window_extent()
        for a in artists
        if a is not None and getattr(a, "get_text", lambda: "legend")()
    ]
    return all(
        e.x0 >= box.x0 - 1
        and e.y0 >= box.y0 - 1
        and e.x1 <= box.x1 + 1
        and e.y1 <= box.y1 + 1
        for e in extents
    )


def test_coverage__each_level__is_the_share_that_the_intervals_hold(errors):
    display = draw(errors, levels=[0.5, 0.9])
    for i, level in enumerate((0.5, 0.9)):
        half = stats.norm.ppf((1 + level) / 2)
        assert display.coverage_[i] == (np.abs(errors) <= half).mean()
        assert display.width_[i] == pytest.approx(2 * half)
    x, y = display.line_.get_data()
    assert x.tolist() == [0.5, 0.9]
    assert np.array_equal(y, display.coverage_)
    assert display.n_shown_ == 2000
    assert display.line_.get_marker() == "o"
    assert inside(display)


@pytest.mark.parametrize(("std", "side"), [(0.3, -1), (1.0, 0), (3.0, 1)])
def test_area__too_sure_right_or_too_unsure__is_that_of_the_theory(std, side, errors):
    display = draw(errors, std)
    levels = np.arange(1, 100) / 100
    held = 2 * stats.norm.cdf(std * stats.norm.ppf((1 + levels) / 2)) - 1
    expected = np.abs(held - levels).mean()
    assert display.miscalibration_area_ == pytest.approx(expected, abs=0.02)
    assert np.sign(np.mean(display.coverage_ - levels).round(1)) == side
    assert 0 <= display.miscalibration_area_ <= 0.5


def test_area__never_or_always_held__is_a_half():
    never = draw(np.full(10, 9.0), std=1e-9)
    assert never.miscalibration_area_ == pytest.approx(0.5, abs=0.01)
    always = draw(np.zeros(10), std=1.0)
    assert always.miscalibration_area_ == pytest.approx(0.5, abs=0.01)


def test_distribution__laplace__has_that_standard_deviation():
    rng = np.random.default_rng(1)
    errors = rng.laplace(scale=2.0 / 2**0.5, size=20000)
    assert draw(errors, 2.0, distribution="laplace").miscalibration_area_ < 0.01
    assert draw(errors, 2.0).miscalibration_area_ > 0.03
    with pytest.raises(InvalidValueError, match="distribution must be one of"):
        draw(errors, distribution="cauchy")


def test_band__calibrated_model__is_left_at_one_level_in_twenty():
    rng = np.random.default_rng(2)
    shown = draw(rng.normal(size=50), levels=[0.5])
    vertices = shown.band_.get_paths()[0].vertices
    ends = vertices[np.isclose(vertices[:, 0], 0.5), 1]
    held = np.abs(rng.normal(size=(4000, 50))) <= stats.norm.ppf(0.75)
    coverage = held.mean(axis=1)
    outside = ((coverage < ends.min()) | (coverage > ends.max())).mean()
    assert 0.01 < outside < 0.07
    many = draw(rng.normal(size=5000), levels=[0.5]).band_.get_paths()[0].vertices
    assert np.ptp(many[np.isclose(many[:, 0], 0.5), 1]) < 0.2 * np.ptp(ends)


def test_text__box__tells_of_the_level_asked_for(errors):
    display = draw(errors, 2.0, confidence_level=0.8, units="eV")
    assert display.text_.get_text() == (
        f"80 % intervals hold {100 * display.coverage_[79]:.1f} %\n"
        "Mean width 5.13 eV\n"
        f"Miscalibration area {display.miscalibration_area_:.3f}\nn = 2,000"
    )
    assert display.text_.get_position() == (0.97, 0.03)  # the curve is above
    assert draw(errors, 0.5).text_.get_position() == (0.03, 0.97)
    assert draw(errors, metrics=False).text_ is None


def test_from_estimator__standard_deviations__are_those_of_predict(errors):
    X = np.column_stack([np.arange(2000.0)])
    y = X[:, 0] + errors
    shown = UncertaintyCalibrationDisplay.from_estimator(WithStd(0.5), X, y)
    assert np.array_equal(shown.coverage_, draw(errors, 0.5).coverage_)
    with pytest.raises(InvalidTypeError, match=r"Ridge predicts no.*ConformalRegr"):
        UncertaintyCalibrationDisplay.from_estimator(Ridge().fit(X, y), X, y)


def test_from_estimator__conformal_model__is_calibrated_as_far_as_it_can_be():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3200, 2))
    y = X @ [1.0, 2.0] + rng.exponential(size=3200)
    few = ConformalRegressor(Ridge(), random_state=0).fit(X[:100], y[:100])
    shown = UncertaintyCalibrationDisplay.from_estimator(few, X[200:], y[200:])
    assert shown.levels[-1] == 0.95  # of 20 / 21
    low, high = few.predict_interval(X[200:])
    held = ((low <= y[200:]) & (y[200:] <= high)).mean()
    assert shown.coverage_[shown.levels == 0.9] == held
    many = ConformalRegressor(Ridge(), method="cv+").fit(X[:1000], y[:1000])
    shown = UncertaintyCalibrationDisplay.from_estimator(
        many, X[1000:], y[1000:], levels=[0.5, 0.9]
    )
    assert shown.coverage_ == pytest.approx([0.5, 0.9], abs=0.04)
    assert shown.miscalibration_area_ < 0.03


def test_several_models__in_one_axes__are_told_apart(errors):
    first = draw(errors, 0.5, name="narrow", metrics=False)
    second = draw(
        errors, 1.0, name="right", ax=first.ax_, ref_line=False, metrics=False
    )
    assert second.ax_ is first.ax_
    assert second.ref_line_ is None
    assert second.band_ is None
    labels = [text.get_text() for text in second.legend_.get_texts()]
    assert labels == [
        f"{d.name} (area {d.miscalibration_area_:.3f})" for d in (first, second)
    ]
    assert first.line_.get_color() != second.line_.get_color()
    assert draw(errors).legend_ is None


def test_width__against_observed_coverage__shows_all_of_every_model(errors):
    first = draw(errors, 0.5, name="narrow", kind="width", units="eV", metrics=False)
    second = draw(errors, 4.0, name="wide", kind="width", ax=first.ax_)
    assert np.array_equal(second.line_.get_xdata(), second.coverage_)
    assert np.array_equal(second.line_.get_ydata(), second.width_)
    assert first.ax_.get_ylim()[1] > second.width_.max()
    assert first.ax_.get_ylim()[0] == 0
    assert first.ref_line_ is None
    assert first.ax_.get_ylabel() == "Mean interval width (eV)"
    assert inside(second)


def test_nan__truth_or_prediction__is_left_out(errors):
    truth, std = errors.copy(), np.ones(2000)
    truth[:500], std[-500:] = np.nan, np.nan
    zero = np.zeros(2000)
    display = UncertaintyCalibrationDisplay.from_predictions(truth, zero, std)
    assert display.n_shown_ == 1000
    assert np.array_equal(display.coverage_, draw(errors[500:1500]).coverage_)
    with pytest.raises(InvalidValueError, match="None of the 2000 samples"):
        UncertaintyCalibrationDisplay.from_predictions(zero * np.nan, zero, std)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"levels": [0.5, 0.4]}, "ascending"),
        ({"levels": [0.0, 0.4]}, "between 0 and 1"),
        ({"levels": [0.5]}, r"a row for each of 1 levels.*\(2, 3\)"),
        ({"y_true": [1.0, 2.0]}, "each of 2 samples"),
        ({"low": [[0.0, 9.0, 0.0]] * 2}, "low is above high at the level 0.5, sample"),
        ({"kind": "bars"}, "kind must be one of"),
    ],
)
def test_from_intervals__what_does_not_fit__is_refused(changes, match):
    given = {
        "y_true": [1.0, 2.0, 3.0],
        "low": [[0.0, 1.0, 2.0]] * 2,
        "high": [[1.5, 2.5, 3.5]] * 2,
        "levels": [0.5, 0.9],
        **changes,
    }
    with pytest.raises(InvalidValueError, match=match):
        UncertaintyCalibrationDisplay.from_intervals(**given)


def test_from_predictions__negative_std__is_refused(errors):
    with pytest.raises(InvalidValueError, match=r"must not be negative; got -1\.0"):
        draw(errors, -1.0)


@pytest.mark.parametrize("kind", ["coverage", "width"])
def test_intervals__without_an_end__hold_their_samples(kind):
    inf = np.inf
    display = UncertaintyCalibrationDisplay.from_intervals(
        [0.0, 1.0, 5.0],
        [[-1.0, 0.0, 0.0], [-inf, -inf, 0.0]],
        [[1.0, 2.0, 2.0], [inf, inf, 2.0]],
        levels=[0.5, 0.99],
        kind=kind,
    )
    assert display.n_shown_ == 3
    np.testing.assert_allclose(display.coverage_, 2 / 3)
    assert display.width_.tolist() == [2.0, inf]
