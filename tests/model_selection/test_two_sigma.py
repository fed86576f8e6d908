import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmatgnn import make_rf_magpie
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection import (
    TwoSigmaRegressor,
    make_two_sigma_scorer,
    two_sigma_mask,
)


class Recorder(LinearRegression):
    """Keeps what it was fitted on."""

    def fit(self, X, y, groups=None):
        self.seen_ = X, y, groups
        return super().fit(np.zeros((len(y), 1)), y)

    def predict(self, X):
        return np.zeros(len(X))


@parametrize_with_checks([TwoSigmaRegressor(Ridge())])
def test_sklearn_check__two_sigma_regressor__passes(estimator, check):
    check(estimator)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = X @ [1.0, 2.0, 3.0]
    y[[5, 50]] = [60.0, -80.0]
    return X, y


def test_mask__of_the_training_targets__is_the_two_sigma_rule():
    y = np.random.default_rng(1).standard_t(2, size=500)
    np.testing.assert_array_equal(
        two_sigma_mask(y), np.abs(y - y.mean()) <= 2 * y.std()
    )
    np.testing.assert_array_equal(
        two_sigma_mask(y, n_sigma=0.5), np.abs(y - y.mean()) <= 0.5 * y.std()
    )


def test_mask__of_other_targets__is_by_the_training_thresholds():
    train = np.array([0.0, 1.0, 2.0, 1.0])
    limit = 1.0 + 2 * train.std()
    test = [limit - 1e-9, limit + 1e-9, 1e6, 1.0]
    assert two_sigma_mask(train, test).tolist() == [True, False, False, True]
    # had the test targets a say, the largest would widen the interval
    assert two_sigma_mask(test)[1]


def test_mask__with_several_outputs__wants_every_known_target_inside():
    train = np.column_stack([np.arange(100.0), np.arange(100.0)])
    train[0, 1] = np.nan
    test = [[50.0, 50.0], [50.0, 900.0], [np.nan, 50.0], [-900.0, np.nan]]
    assert two_sigma_mask(train, test).tolist() == [True, False, True, False]


def test_mask__of_equal_targets__keeps_them_all():
    assert two_sigma_mask([0.1] * 7).all()
    assert two_sigma_mask([0.1] * 7, [0.1, 0.2]).tolist() == [True, False]


@pytest.mark.parametrize("n_sigma", [0, -1.0, np.nan, "two", True])
def test_mask__with_a_width_that_is_none__is_an_error(n_sigma):
    with pytest.raises(InvalidValueError, match="n_sigma must be a positive number"):
        two_sigma_mask([1.0, 2.0], n_sigma=n_sigma)


def test_mask__of_other_outputs__is_an_error():
    with pytest.raises(InvalidValueError, match=r"2 output.* shape \(3, 1\)"):
        two_sigma_mask(np.eye(2), [1.0, 2.0, 3.0])


def test_regressor__with_outliers__is_the_inner_one_without_those_rows(data):
    X, y = data
    model = TwoSigmaRegressor(Ridge()).fit(X, y)
    inside = np.abs(y - y.mean()) <= 2 * y.std()
    assert model.n_dropped_ == (~inside).sum() == 2
    np.testing.assert_array_equal(
        model.predict(X), Ridge().fit(X[inside], y[inside]).predict(X)
    )
    assert model.lower_ == pytest.approx(y.mean() - 2 * y.std())
    assert model.upper_ == pytest.approx(y.mean() + 2 * y.std())


def test_regressor__in_cross_validation__learns_from_the_training_rows_alone(data):
    X, y = data
    thresholds = []

    def scorer(model, X_test, y_test):
        thresholds.append((model.lower_[0], model.upper_[0]))
        return 0.0

    cv = KFold(4)
    cross_val_score(TwoSigmaRegressor(Ridge()), X, y, cv=cv, scoring=scorer)
    for (train, _), found in zip(cv.split(X), thresholds, strict=True):
        mean, std = y[train].mean(), y[train].std()
        assert found == pytest.approx((mean - 2 * std, mean + 2 * std))


def test_regressor__with_weights__is_that_of_repeated_rows(data):
    X, y = data
    weight = np.random.default_rng(2).integers(0, 4, size=len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    weighted = TwoSigmaRegressor(Ridge()).fit(X, y, sample_weight=weight)
    repeated = TwoSigmaRegressor(Ridge()).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.lower_, repeated.lower_)
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X))


def test_regressor__of_formulas_and_groups__hands_on_the_rows_kept():
    formulas = [f"Fe{i}O" for i in range(1, 31)]
    y = np.r_[np.arange(29.0), 1e4]
    groups = np.arange(30) // 2
    model = TwoSigmaRegressor(Recorder()).fit(formulas, y, groups=groups)
    X_seen, y_seen, groups_seen = model.estimator_.seen_
    assert X_seen == formulas[:29]
    np.testing.assert_array_equal(y_seen, y[:29])
    np.testing.assert_array_equal(groups_seen, groups[:29])
    series = pd.Series(formulas, index=range(70, 100))
    kept = TwoSigmaRegressor(Recorder()).fit(series, pd.Series(y)).estimator_.seen_
    pd.testing.assert_series_equal(kept[0], series.iloc[:29])


def test_regressor__around_random_forest_of_magpie__fits_and_clones():
    formulas = ["NaCl", "KCl", "Fe2O3", "TiO2", "MgO", "CaO", "SrO", "BaO", "LiF"] * 3
    y = np.r_[np.linspace(0, 1, 26), 50.0]
    inner = make_rf_magpie(n_estimators=5, random_state=0)
    model = TwoSigmaRegressor(inner).fit(formulas, y)
    assert model.n_dropped_ == 1
    assert model.predict(formulas).max() < 2
    again = pickle.loads(pickle.dumps(clone(model).fit(formulas, y)))
    np.testing.assert_array_equal(again.predict(formulas), model.predict(formulas))


def test_regressor__with_several_outputs_and_unknowns__drops_rows(data):
    X, y = data
    Y = np.column_stack([y, np.roll(y, 3)])
    model = TwoSigmaRegressor(RandomForestRegressor(5, random_state=0)).fit(X, Y)
    assert model.n_dropped_ == 4
    assert model.predict(X).shape == (120, 2)
    assert model.lower_.shape == (2,)


def test_regressor__given_what_it_cannot_use__says_so(data):
    X, y = data
    with pytest.raises(
        InvalidValueError, match="KNeighborsRegressor takes no sample_w"
    ):
        TwoSigmaRegressor(KNeighborsRegressor()).fit(X, y, sample_weight=y * 0 + 1)
    with pytest.raises(InvalidValueError, match="X has 119, y has 120"):
        TwoSigmaRegressor(Ridge()).fit(X[1:], y)
    with pytest.raises(ValueError, match="n_sigma"):
        TwoSigmaRegressor(Ridge(), n_sigma=0).fit(X, y)
    with pytest.raises(NotFittedError):
        TwoSigmaRegressor(Ridge()).predict(X)


def test_scorer__on_test_rows__leaves_out_what_the_training_rows_say(data):
    X, y = data
    model = TwoSigmaRegressor(DummyRegressor()).fit(X[60:], y[60:])
    inside = two_sigma_mask(y[60:], y[:60])
    assert 0 < (~inside).sum() < 60
    error = np.abs(y[:60][inside] - model.predict(X[:1])[0])
    scorer = make_two_sigma_scorer("neg_mean_absolute_error")
    assert scorer(model, X[:60], y[:60]) == pytest.approx(-error.mean())
    weight = np.arange(60.0)
    assert scorer(model, X[:60], y[:60], sample_weight=weight) == pytest.approx(
        -np.average(error, weights=weight[inside])
    )
    named = make_two_sigma_scorer("neg_smae")(model, X[:60], y[:60])
    control = np.abs(y[:60][inside] - y[:60][inside].mean()).mean()
    assert named == pytest.approx(-error.mean() / control)


def test_scorer__in_a_search_over_a_pipeline__finds_the_filter(data):
    X, y = data
    scorer = make_two_sigma_scorer()
    pipeline = make_pipeline(StandardScaler(), TwoSigmaRegressor(Ridge()))
    search = GridSearchCV(
        pipeline,
        {"twosigmaregressor__n_sigma": [1.0, 2.0]},
        scoring=scorer,
        error_score="raise",
        n_jobs=2,
    ).fit(X, y)
    rows = two_sigma_mask(y, n_sigma=search.best_params_["twosigmaregressor__n_sigma"])
    expected = -np.abs(search.predict(X) - y)[rows].mean()
    assert scorer(search, X, y) == pytest.approx(expected)


def test_scorer__without_a_filter_or_rows__is_an_error(data):
    X, y = data
    with pytest.raises(InvalidTypeError, match=r"fitted TwoSigmaRegressor.* got Ridge"):
        make_two_sigma_scorer()(Ridge().fit(X, y), X, y)
    model = TwoSigmaRegressor(Ridge()).fit(X, y)
    with pytest.raises(InvalidValueError, match="None of the 2 targets"):
        make_two_sigma_scorer()(model, X[:2], [1e9, -1e9])
    with pytest.raises(NotFittedError):
        make_two_sigma_scorer()(TwoSigmaRegressor(Ridge()), X, y)
