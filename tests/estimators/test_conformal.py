"""Intervals that hold as often as they say, for any regressor and few samples."""

import pickle
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmatgnn
from skmatgnn import ConformalRegressor, CrabNetRegressor, DeepEnsembleRegressor
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._conformal_quantiles import (
    group_weights,
    least_count,
    upper_quantiles,
)
from skmatgnn.nets import GraphNet
from skmatgnn.preprocessing import StructureArray


class Identity(RegressorMixin, BaseEstimator):
    """Predict the first feature, and the second as the standard deviation."""

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X, return_std=False):
        X = np.asarray(X)
        return (X[:, 0], X[:, 1]) if return_std else X[:, 0]


IDENTITY = FrozenEstimator(Identity().fit(None, None))


def linear(rng, n, noise=1.0):
    X = rng.normal(size=(n, 3))
    return X, X @ [1.0, 2.0, 3.0] + noise * rng.standard_t(3, size=n)


def coverage(model, X, y):
    low, high = model.predict_interval(X)
    return ((low <= y) & (y <= high)).mean(axis=0)


def means(values):
    """Mean, and its standard error."""
    values = np.asarray(values)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize(
    ("n_calibration", "level"), [(9, 0.9), (10, 0.9), (4, 0.8), (30, 0.5), (7, 0.3)]
)
def test_split__few_samples__covers_exactly_as_the_theory_says(n_calibration, level):
    expected = np.ceil(Fraction(str(level)) * (n_calibration + 1)) / (n_calibration + 1)
    rng, found = np.random.default_rng(0), []
    for _ in range(500):
        X = rng.normal(size=(n_calibration + 200, 2))
        y = X[:, 0] + rng.exponential(size=len(X))  # a model that is always too low
        model = ConformalRegressor(IDENTITY, confidence_level=level, normalize=False)
        model.fit(X[:n_calibration], y[:n_calibration])
        found.append(coverage(model, X[n_calibration:], y[n_calibration:]))
    mean, error = means(found)
    assert abs(mean - expected) < 4 * error
    assert error < 0.011
    plain = level * (n_calibration - 1) / (n_calibration + 1)  # numpy's quantile
    assert expected - plain > 0.03


@pytest.mark.parametrize("method", ["split", "cv+"])
def test_fit__model_that_is_trained__covers_at_least_the_level(method):
    rng, found = np.random.default_rng(1), []
    for seed in range(100):
        X, y = linear(rng, 130)
        model = ConformalRegressor(
            Ridge(), method=method, calibration_fraction=0.4, random_state=seed
        )
        model.fit(X[:30], y[:30])
        found.append(coverage(model, X[30:], y[30:]))
    mean, error = means(found)
    assert mean > 0.9 - 3 * error
    assert mean < 0.96


def test_split__residuals_of_its_own_training__would_cover_too_rarely():
    rng, found = np.random.default_rng(2), []
    for seed in range(60):
        X, y = rng.normal(size=(140, 30)), rng.normal(size=140)
        model = ConformalRegressor(Ridge(1e-6), method="cv+", random_state=seed)
        model.fit(X[:40], y[:40])
        cheat = FrozenEstimator(Ridge(1e-6).fit(X[:40], y[:40]))
        cheat = ConformalRegressor(cheat).fit(X[:40], y[:40])
        found.append([coverage(m, X[40:], y[40:]) for m in (model, cheat)])
    honest, cheating = np.mean(found, axis=0)
    assert honest > 0.88
    assert cheating < 0.6


def test_groups__samples_alike_within_them__cover_a_new_group():
    def draw(n_groups, rng):
        sizes = rng.choice([1, 12], size=n_groups)
        groups = np.repeat(np.arange(n_groups), sizes)
        own = np.where(sizes == 1, 3.0, 0.5) * rng.normal(size=n_groups)
        X = rng.normal(size=(len(groups), 2))
        return X, X[:, 0] + own[groups] + 0.1 * rng.normal(size=len(groups)), groups

    rng, found = np.random.default_rng(3), []
    for _ in range(300):
        X, y, groups = draw(12, rng)
        new = draw(100, rng)
        scores = []
        for given in (groups, None):
            model = ConformalRegressor(IDENTITY, normalize=False)
            low, high = model.fit(X, y, groups=given).predict_interval(new[0])
            held = pd.Series((low <= new[1]) & (new[1] <= high))
            scores.append(held.groupby(new[2]).mean().mean())
        found.append(scores)
    found = np.array(found)
    mean, error = means(found[:, 0])
    assert mean > 0.9 - 3 * error
    assert mean < 0.9 + 1 / 13 + 3 * error
    assert found[:, 1].mean() < 0.85  # what counting every sample alike comes to


def test_normalized__noise_that_the_model_knows__holds_everywhere_and_is_narrower():
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.normal(size=4000), rng.choice([0.1, 2.0], size=4000)])
    y = X[:, 0] + X[:, 1] * rng.normal(size=4000)
    quiet = X[2000:, 1] < 1
    held, width = {}, {}
    for normalize in (False, "auto", True):
        model = ConformalRegressor(IDENTITY, normalize=normalize)
        low, high = model.fit(X[:2000], y[:2000]).predict_interval(X[2000:])
        inside = (low <= y[2000:]) & (y[2000:] <= high)
        held[normalize] = inside[quiet].mean(), inside[~quiet].mean()
        width[normalize] = (high - low).mean()
        assert model.normalized_ == bool(normalize)
    assert held["auto"] == held[True] == pytest.approx((0.9, 0.9), abs=0.03)
    assert held[False][0] == 1.0
    assert held[False][1] < 0.83
    assert width["auto"] < 0.8 * width[False]


def test_normalized__std_of_zero__gives_intervals_of_some_width():
    X = np.column_stack([np.arange(40.0), np.zeros(40)])
    y = X[:, 0] + np.random.default_rng(0).normal(size=40)
    low, high = ConformalRegressor(IDENTITY).fit(X, y).predict_interval(X)
    assert np.isfinite(low).all()
    assert ((low <= y) & (y <= high)).mean() >= 0.9
    assert high - low == pytest.approx(np.full(40, (high - low)[0]))


def test_normalize_true__estimator_without_std__is_refused():
    X, y = linear(np.random.default_rng(0), 60)
    with pytest.raises(InvalidValueError, match="of Ridge gives none"):
        ConformalRegressor(Ridge(), normalize=True).fit(X, y)
    assert not ConformalRegressor(Ridge()).fit(X, y).normalized_


@pytest.mark.parametrize(
    "estimator",
    [
        BayesianRidge(),
        make_pipeline(StandardScaler(), BayesianRidge()),
        GaussianProcessRegressor(alpha=1.0),
    ],
)
def test_normalize_auto__estimator_with_std__uses_it(estimator):
    X, y = linear(np.random.default_rng(0), 60)
    model = ConformalRegressor(estimator, random_state=0).fit(X, y)
    assert model.normalized_
    mean, std = model.estimators_[0].predict(X, return_std=True)
    low, high = model.predict_interval(X)
    half = np.quantile(model.conformity_scores_, 11 / 12, method="higher") * std
    assert high - mean == pytest.approx(half)
    assert mean - low == pytest.approx(half)


def test_cv_plus__leave_one_out__is_the_jackknife_plus():
    rng = np.random.default_rng(5)
    X, y = linear(rng, 25)
    new = rng.normal(size=(6, 3))
    model = ConformalRegressor(Ridge(), method="cv+", cv=LeaveOneOut())
    low, high = model.fit(X, y).predict_interval(new, confidence_level=0.8)
    fits = [Ridge().fit(np.delete(X, i, 0), np.delete(y, i)) for i in range(25)]
    residuals = [abs(y[i] - fits[i].predict(X[[i]])[0]) for i in range(25)]
    for row in range(6):
        centers = np.array([fit.predict(new[[row]])[0] for fit in fits])
        # ceil(0.8 * 26) = 21st of the upper, floor(0.2 * 26) = 5th of the lower ends
        assert high[row] == pytest.approx(np.sort(centers + residuals)[20])
        assert low[row] == pytest.approx(np.sort(centers - residuals)[4])
    predictions = np.mean([fit.predict(new) for fit in fits], axis=0)
    assert model.predict(new) == pytest.approx(predictions)


def test_cv_plus__low_levels__never_give_ends_in_the_wrong_order():
    rng = np.random.default_rng(6)
    X, y = rng.normal(size=(12, 8)), rng.normal(size=12)
    model = ConformalRegressor(Ridge(1e-9), method="cv+", cv=6, confidence_level=0.5)
    levels = np.linspace(0.01, 0.9, 30)
    low, high = model.fit(X, y).predict_interval(X, confidence_level=levels)
    assert low.shape == (30, 12)
    assert (low <= high).all()


def test_quantiles__weights_of_groups__are_those_of_the_definition():
    rng = np.random.default_rng(7)
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 4])
    scores, folds = rng.exponential(size=11), rng.integers(3, size=11)
    centers, scales = rng.normal(size=(5, 3)), rng.exponential(size=(5, 3))
    weights, levels = group_weights(groups, 11), np.array([0.2, 0.5, 0.8])
    assert weights.sum() == pytest.approx(5 / 6)
    found = upper_quantiles(centers, scales, scores, folds, weights, levels)
    for row in range(5):
        values = [
            centers[row, f] + scales[row, f] * s
            for f, s in zip(folds, scores, strict=True)
        ]
        for i, level in enumerate(levels):
            reached = [v for v in values if weights[values <= v].sum() >= level - 1e-12]
            assert found[i, row] == pytest.approx(min(reached))


def test_quantiles__groups_of_one__are_as_without_groups():
    rng = np.random.default_rng(8)
    X, y = linear(rng, 60)
    for method in ("split", "cv+"):
        model = ConformalRegressor(IDENTITY if method == "split" else Ridge())
        model.set_params(method=method, normalize=False, random_state=0)
        model.set_params(cv=list(KFold(5).split(X)))
        alone = model.fit(X, y).predict_interval(X)
        grouped = model.fit(X, y, groups=np.arange(60)).predict_interval(X)
        assert np.array_equal(alone, grouped)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_least_count__each_level__is_just_enough(level):
    exact, count = Fraction(str(level)), least_count(level)
    assert np.ceil(exact * (count + 1)) <= count
    assert count == 1 or np.ceil(exact * count) > count - 1


class Untrainable(DummyRegressor):
    def fit(self, *_, **__):
        raise AssertionError("training began")


def test_fit__too_few_to_calibrate__says_how_many_are_needed_before_training():
    X, y = linear(np.random.default_rng(0), 40)
    model = ConformalRegressor(Untrainable(), confidence_level=0.95)
    with pytest.raises(
        InvalidValueError,
        match=r"needs at least 19 samples .*; got 8 of n_samples=40.*0\.889.*about 95 s"
        r".*'cv\+'",
    ):
        model.fit(X, y)
    with pytest.raises(
        InvalidValueError, match=r"9 groups to calib.*; got 2 of.*0\.66"
    ):
        clone(model).set_params(confidence_level=0.9).fit(X, y, np.arange(40) // 4)
    with pytest.raises(InvalidValueError, match=r"19 samples.*; got 12 of"):
        ConformalRegressor(Untrainable(), confidence_level=0.95, method="cv+").fit(
            X[:12], y[:12]
        )
    table = np.column_stack([y, y])
    table[9:, 1] = np.nan
    with pytest.raises(InvalidValueError, match=r"target in column 1; got \d of"):
        clone(model).set_params(calibration_fraction=0.5).fit(X, table)
    with pytest.raises(InvalidValueError, match="n_samples=1 "):
        ConformalRegressor(Untrainable()).fit(X[:1], y[:1])


def test_fit__just_enough__works_and_one_fewer_does_not():
    X, y = linear(np.random.default_rng(0), 10)
    model = ConformalRegressor(IDENTITY, normalize=False).fit(X[:9], y[:9])
    assert model.max_confidence_level_ == pytest.approx(0.9)
    low, high = model.predict_interval(X)
    assert (high - low)[0] / 2 == pytest.approx(model.conformity_scores_.max())
    with pytest.raises(InvalidValueError, match="at least 9 samples"):
        clone(model).fit(X[:8], y[:8])
    with pytest.raises(InvalidValueError, match=r"0\.91 is more than 9 calib.*=0\.9\."):
        model.predict_interval(X, confidence_level=[0.5, 0.91])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.1, np.nan, "high", [[0.5]]])
def test_predict_interval__no_level__is_refused(level):
    X, y = linear(np.random.default_rng(0), 20)
    model = ConformalRegressor(IDENTITY).fit(X, y)
    with pytest.raises(InvalidValueError, match="confidence_level must be"):
        model.predict_interval(X, confidence_level=level)


def test_predict_interval__higher_level__holds_the_lower_one():
    X, y = linear(np.random.default_rng(0), 60)
    levels = [0.9, 0.5, 0.7]
    for method in ("split", "cv+"):
        model = ConformalRegressor(Ridge(), method=method, random_state=0).fit(X, y)
        low, high = model.predict_interval(X, confidence_level=levels)
        order = np.argsort(levels)
        assert (np.diff(low[order], axis=0) <= 0).all()
        assert (np.diff(high[order], axis=0) >= 0).all()
        assert np.array_equal(model.predict_interval(X), (low[0], high[0]))


def test_groups__splits__keep_them_together_and_hand_them_on():
    seen = []

    class Watch(DummyRegressor):
        def fit(self, X, y, groups=None):
            seen.append(set(np.asarray(groups)))
            return super().fit(X, y)

    X, y = linear(np.random.default_rng(0), 60)
    groups = np.arange(60) // 3
    model = ConformalRegressor(Watch(), calibration_fraction=0.5, random_state=0)
    model.fit(X, y, groups=groups)
    tested = set(groups[model.calibration_indices_])
    assert len(tested) == 10
    assert seen[0] == set(range(20)) - tested
    seen.clear()
    model.set_params(method="cv+", cv=4).fit(X, y, groups=groups)
    folds = [
        set(groups[model.calibration_indices_[model._folds == k]]) for k in range(4)
    ]
    assert [trained & fold for trained, fold in zip(seen, folds, strict=True)] == [
        set() for _ in range(4)
    ]
    assert set.union(*folds) == set(range(20))
    clone(model).set_params(cv=GroupKFold(3)).fit(X, y, groups=groups)


def test_fit_params__per_sample__are_split_with_the_samples():
    X, y = linear(np.random.default_rng(0), 60)
    weight = np.where(X[:, 0] > 0, 1e9, 1.0)
    model = ConformalRegressor(Ridge(), random_state=0).fit(X, y, sample_weight=weight)
    train = np.setdiff1d(np.arange(60), model.calibration_indices_)
    expected = Ridge().fit(X[train], y[train], sample_weight=weight[train])
    assert np.allclose(model.predict(X), expected.predict(X))
    with config_context(enable_metadata_routing=True):
        routed = ConformalRegressor(
            Ridge().set_fit_request(sample_weight=True), random_state=0
        ).fit(X, y, sample_weight=weight)
        assert np.allclose(routed.predict(X), expected.predict(X))
        search = GridSearchCV(
            ConformalRegressor(Ridge()).set_fit_request(groups=True),
            {"confidence_level": [0.5]},
            cv=GroupKFold(2),
        )
        search.fit(X, y, groups=np.arange(60) // 2)
        assert search.best_estimator_._groups is not None


def test_several_targets_some_unknown__are_calibrated_one_by_one():
    rng = np.random.default_rng(9)
    X = rng.normal(size=(400, 3))
    Y = np.column_stack([X @ [1, 2, 3], X @ [3, 2, 1]])
    Y += rng.normal(size=(400, 2)) * [0.1, 10.0]
    table = pd.DataFrame(Y, columns=["a", "b"])
    for method in ("split", "cv+"):
        model = ConformalRegressor(Ridge(), method=method, random_state=0)
        model.fit(X[:200], Y[:200])
        held = coverage(model, X[200:], Y[200:])
        assert held == pytest.approx([0.9, 0.9], abs=0.08)
        low, high = model.predict_interval(X[200:], confidence_level=[0.5, 0.9])
        assert low.shape == (2, 200, 2)
        ratio = (high - low)[1].mean(axis=0)
        assert ratio[1] / ratio[0] == pytest.approx(100, rel=0.4)
    frozen = FrozenEstimator(Ridge().fit(X[:200], Y[:200]))
    unknown = table[200:].mask(rng.random((200, 2)) < 0.5)
    model = ConformalRegressor(frozen).fit(X[200:], unknown)
    for name in ("a", "b"):
        known = unknown[name].notna().to_numpy()
        single = FrozenEstimator(Ridge().fit(X[:200], table[name][:200]))
        single = ConformalRegressor(single)
        single.fit(X[200:][known], unknown[name][known])
        column = list(table).index(name)
        low = model.predict_interval(X)[0][:, column]
        assert low == pytest.approx(single.predict_interval(X)[0])
    assert np.isfinite(model.score(X[200:], unknown))


def test_random_state__same__gives_the_same_and_seeds_the_estimator(data, small):
    graph = small.model(random_state=None)
    model = ConformalRegressor(graph, confidence_level=0.5, random_state=3)
    for method in ("split", "cv+"):
        model.set_params(method=method, cv=2)
        first = clone(model).fit(data.X, data.y).predict_interval(data.X)
        again = clone(model).fit(data.X, data.y).predict_interval(data.X)
        other = clone(model).set_params(random_state=4).fit(data.X, data.y)
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other.predict_interval(data.X))
    read = pickle.loads(pickle.dumps(clone(model).fit(data.X, data.y)))
    assert np.array_equal(first, read.predict_interval(data.X))


def test_random_state__of_estimator_and_folds__comes_from_ours_where_it_is_none():
    X, y = linear(np.random.default_rng(0), 40)
    forest = RandomForestRegressor(2)
    model = ConformalRegressor(forest, method="cv+", random_state=0).fit(X, y)
    assert len({m.random_state for m in model.estimators_}) == 5
    assert forest.random_state is None
    assert np.abs(np.diff(model.calibration_indices_)).max() > 1  # sorted data
    fixed = clone(model).set_params(estimator__random_state=7).fit(X, y)
    assert {m.random_state for m in fixed.estimators_} == {7}
    folds = clone(model).set_params(cv=list(KFold(4).split(X)))
    first, second = (
        clone(folds).set_params(random_state=seed).fit(X, y) for seed in (0, 1)
    )
    assert np.array_equal(first.calibration_indices_, np.arange(40))
    assert not np.array_equal(first.predict(X), second.predict(X))


def test_materials__in_every_container__give_the_same(data, small):
    graph = small.model("ALIGNNRegressor")
    model = ConformalRegressor(graph, confidence_level=0.5, random_state=0)
    expected = clone(model).fit(data.X, data.y).predict_interval(data.X)
    array = np.empty(24, dtype=object)
    array[:] = data.X
    frame = pd.DataFrame({"structure": pd.Series(data.X, index=range(5, 29))})
    graphs = small.graphs(graph, data.X)
    packed = StructureArray.from_structures(data.X)
    for X in (array, frame, frame["structure"], packed, graphs):
        found = clone(model).fit(X, data.y, groups=data.groups)
        assert len(found.predict(X)) == 24
        found = clone(model).fit(X, data.y).predict_interval(X)
        assert np.allclose(found, expected, rtol=1e-4)
    formulas = [x.formula for x in data.X]
    crabnet = CrabNetRegressor(d_model=8, n_heads=2, max_epochs=1, random_state=0)
    model = ConformalRegressor(crabnet, confidence_level=0.5).fit(formulas, data.y)
    assert model.normalized_
    assert np.isfinite(model.predict_interval(formulas)).all()
    model.set_params(estimator__loss="l1").fit(formulas, data.y)
    assert not model.normalized_


def test_search__over_the_estimator_inside__works_in_processes(data, small):
    search = GridSearchCV(
        ConformalRegressor(
            DeepEnsembleRegressor(small.model(), n_models=2),
            confidence_level=0.5,
            random_state=0,
        ),
        {"estimator__n_models": [2, 3], "method": ["split", "cv+"], "cv": [2]},
        cv=2,
        error_score="raise",
        n_jobs=2,
    )
    search.fit(data.X, data.y)
    serial = clone(search).set_params(n_jobs=1).fit(data.X, data.y)
    scores = search.cv_results_["mean_test_score"]
    assert np.array_equal(scores, serial.cv_results_["mean_test_score"])
    assert len(set(scores)) == 4
    cv_plus = search.best_estimator_.set_params(method="cv+")
    serial, parallel = (
        clone(cv_plus).set_params(n_jobs=n).fit(data.X, data.y) for n in (1, 2)
    )
    ends = serial.predict_interval(data.X)
    assert np.array_equal(parallel.predict_interval(data.X), ends)
    scores = cross_val_score(cv_plus, data.X, data.y, cv=2)
    assert np.isfinite(scores).all()


def test_frozen__fitted_estimator__is_calibrated_with_all_and_never_trained(
    data, small, monkeypatch
):
    model = small.model().fit(data.X[:12], data.y[:12])
    with monkeypatch.context() as patch:
        patch.setattr(GraphNet, "fit_loop", None)
        conformal = ConformalRegressor(FrozenEstimator(model))
        conformal.fit(data.X[12:], data.y[12:])
    assert conformal.calibration_indices_.tolist() == list(range(12))
    assert np.array_equal(conformal.predict(data.X), model.predict(data.X))
    error = np.abs(model.predict(data.X[12:]) - data.y[12:])
    assert conformal.conformity_scores_[:, 0] == pytest.approx(error)
    with pytest.raises(InvalidValueError, match="it is frozen"):
        conformal.set_params(method="cv+").fit(data.X, data.y)


def test_fit__what_cannot_be_used__is_refused(data):
    X, y = linear(np.random.default_rng(0), 60)
    with pytest.raises(InvalidTypeError, match=r"a regressor.*LogisticRegression"):
        ConformalRegressor(LogisticRegression()).fit(X, y)
    with pytest.raises(InvalidValueError, match="more than one test set"):
        ConformalRegressor(
            Ridge(), method="cv+", cv=ShuffleSplit(3, random_state=0)
        ).fit(X, y)
    with pytest.raises(InvalidValueError, match="NaN at index 3"):
        ConformalRegressor(Ridge()).fit(X, np.where(np.arange(60) == 3, np.nan, y))
    with pytest.raises(ValueError, match="inconsistent numbers"):
        ConformalRegressor(Ridge()).fit(X, y[:-1])
    with pytest.raises(InvalidValueError, match="predict 2 finite"):
        ConformalRegressor(IDENTITY, normalize=False).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="method"):
        ConformalRegressor(Ridge(), method="naive").fit(X, y)


@pytest.mark.parametrize("name", ["ALIGNNRegressor", "MPTRegressor"])
def test_multi_property__frame_with_unknown_values__keeps_its_names(name, data, small):
    table = pd.DataFrame({"energy": data.y, "volume": [x.volume for x in data.X]})
    table.loc[::4, "energy"] = np.nan
    model = ConformalRegressor(
        small.model(name), confidence_level=0.5, method="cv+", cv=3
    )
    low, high = model.fit(data.X, table).predict_interval(data.X)
    assert low.shape == (24, 2)
    assert (low < high).all()
    if name == "MPTRegressor":
        names = model.estimators_[0].property_names_.tolist()
        assert names == ["energy", "volume"]
    assert skmatgnn.ConformalRegressor is ConformalRegressor
