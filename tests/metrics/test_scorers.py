import pickle
from copy import deepcopy

import numpy as np
import pytest
import sklearn
from sklearn import metrics as sk
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.datasets import make_regression
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from skmatgnn.metrics import (
    get_scorer,
    get_scorer_names,
    make_masked_scorer,
    masked_r2_score,
    scaled_mean_absolute_error,
)


class ColumnMeans(RegressorMixin, BaseEstimator):
    """Predicts shrunken means; the only regressor here that accepts NaN in y."""

    def __init__(self, shrink=1.0):
        self.shrink = shrink

    def fit(self, X, y):
        self.mean_ = np.nanmean(y, axis=0)
        return self

    def predict(self, X):
        return np.tile(self.shrink * self.mean_, (len(X), 1))


@pytest.fixture
def sparse_targets():
    rng = np.random.default_rng(0)
    Y = rng.normal(5, 1, size=(60, 3))
    Y[rng.random(Y.shape) < 0.4] = np.nan
    return rng.normal(size=(60, 2)), Y


@pytest.mark.parametrize("name", get_scorer_names())
def test_named_scorer__nan_targets__scores_every_fold_and_picks_the_best(
    name, sparse_targets
):
    X, Y = sparse_targets
    search = GridSearchCV(
        ColumnMeans(),
        {"shrink": [0.2, 1.0, 3.0]},
        scoring=get_scorer(name),
        cv=3,
        error_score="raise",
    ).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"shrink": 1.0}


@pytest.mark.parametrize("name", get_scorer_names())
def test_named_scorer__pickled_copied_cloned__scores_the_same(name, sparse_targets):
    X, Y = sparse_targets
    scorer = get_scorer(name)
    model = ColumnMeans(0.9).fit(X, Y)
    expected = scorer(model, X, Y)
    for twin in (
        pickle.loads(pickle.dumps(scorer)),
        deepcopy(scorer),
        clone(GridSearchCV(model, {}, scoring=scorer)).scoring,
    ):
        assert twin(model, X, Y) == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("masked_r2", "r2"),
        ("neg_masked_mae", "neg_mean_absolute_error"),
        ("neg_masked_rmse", "neg_root_mean_squared_error"),
    ],
)
def test_named_scorer__complete_targets__equals_sklearns(ours, theirs):
    X, y = make_regression(80, 5, n_targets=2, noise=5, random_state=0)
    np.testing.assert_array_equal(
        cross_val_score(Ridge(), X, y, scoring=get_scorer(ours)),
        cross_val_score(Ridge(), X, y, scoring=theirs),
    )


def test_named_scorers__together_in_two_processes__give_one_column_each():
    X, y = make_regression(60, 4, noise=5, random_state=0)
    scoring = {name: get_scorer(name) for name in ("neg_smae", "masked_r2")}
    scoring["median"] = make_masked_scorer(
        sk.median_absolute_error, greater_is_better=False
    )
    parallel, serial = (
        cross_validate(Ridge(), X, y, scoring=scoring, cv=3, n_jobs=n) for n in (2, 1)
    )
    for name in scoring:
        np.testing.assert_array_equal(parallel[f"test_{name}"], serial[f"test_{name}"])
    assert (serial["test_neg_smae"] < 0).all()


def test_get_scorer__with_training_targets__measures_against_their_mean():
    X, y = make_regression(40, 3, random_state=0)
    model = Ridge().fit(X, y)
    assert get_scorer("neg_smae", y_train=y + 7)(
        model, X, y
    ) == -scaled_mean_absolute_error(y, model.predict(X), y_train=y + 7)


def test_get_scorer__sklearn_name_or_callable__passes_through():
    assert get_scorer("r2")._score_func is sk.r2_score
    assert get_scorer(len) is len


@pytest.mark.parametrize(
    ("name", "params", "match"),
    [
        ("smae", {}, "scoring must be one of .*'neg_smae'.* got 'smae'"),
        ("r2", {"y_train": [1]}, r"Parameters \['y_train'\] can only be given to"),
        ("neg_smae", {"multioutput": "raw_values"}, "returns one number"),
    ],
)
def test_get_scorer__bad_arguments__name_the_alternatives(name, params, match):
    with pytest.raises(ValueError, match=match):
        get_scorer(name, **params)


def test_make_masked_scorer__any_metric__is_averaged_over_the_known(sparse_targets):
    X, Y = sparse_targets
    model = ColumnMeans(0.8).fit(X, Y)
    expected = [
        sk.mean_pinball_loss(y[~np.isnan(y)], p[~np.isnan(y)], alpha=0.3)
        for y, p in zip(Y.T, model.predict(X).T, strict=True)
    ]
    scorer = make_masked_scorer(
        sk.mean_pinball_loss, greater_is_better=False, alpha=0.3
    )
    assert scorer(model, X, Y) == pytest.approx(-np.mean(expected))
    assert "masked_mean_pinball_loss" in repr(scorer)
    weights = make_masked_scorer(sk.mean_pinball_loss, multioutput=[0, 0, 2], alpha=0.3)
    assert weights(model, X, Y) == pytest.approx(expected[2])
    assert pickle.loads(pickle.dumps(scorer))(model, X, Y) == scorer(model, X, Y)


def test_make_masked_scorer__too_few_known__leaves_the_property_out():
    X, Y = np.zeros((3, 1)), np.array([[1.0, 1.0], [2.0, np.nan], [4.0, np.nan]])
    model = ColumnMeans().fit(X, Y)
    scorer = make_masked_scorer(sk.max_error, minimum_known=2)
    with pytest.warns(UndefinedMetricWarning, match="fewer than 2 known"):
        assert scorer(model, X, Y) == pytest.approx(4 - 7 / 3)


def test_make_masked_scorer__sample_weight__reaches_the_metric_or_raises():
    X, y = make_regression(30, 3, noise=3, random_state=0)
    weight = np.arange(30.0)
    model = Ridge().fit(X, y)
    for metric, reference in (
        (masked_r2_score, sk.r2_score),
        (sk.mean_absolute_error, sk.mean_absolute_error),
    ):
        assert make_masked_scorer(metric)(
            model, X, y, sample_weight=weight
        ) == pytest.approx(reference(y, model.predict(X), sample_weight=weight))
    with pytest.raises(TypeError, match="masked_max_error was given sample_weight"):
        make_masked_scorer(sk.max_error)(model, X, y, sample_weight=weight)


def test_make_masked_scorer__metadata_routing__requests_weights():
    X, y = make_regression(30, 3, noise=3, random_state=0)
    with sklearn.config_context(enable_metadata_routing=True):
        for metric in (scaled_mean_absolute_error, sk.mean_squared_error):
            scorer = make_masked_scorer(metric).set_score_request(sample_weight=True)
            scores = cross_val_score(
                Ridge().set_fit_request(sample_weight=False),
                X,
                y,
                scoring=scorer,
                params={"sample_weight": np.arange(1.0, 31.0)},
                error_score="raise",
            )
            assert np.isfinite(scores).all()


def test_make_masked_scorer__not_callable__is_a_type_error():
    with pytest.raises(TypeError, match="metric must be callable"):
        make_masked_scorer("masked_r2")
