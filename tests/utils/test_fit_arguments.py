import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmatgnn import (
    ConformalRegressor,
    CrabNetRegressor,
    DeepEnsembleRegressor,
    make_rf_magpie,
)
from skmatgnn.model_selection import (
    LeaveOneClusterOut,
    TwoSigmaRegressor,
    bootstrap_score,
)
from skmatgnn.model_selection._transfer_plan import fit_and_predict
from skmatgnn.utils.fit_arguments import arguments_for_fit, fit_keyword

X = np.arange(30.0).reshape(-1, 1)
y = np.arange(30.0)
GROUPS = np.arange(30) // 3
HANDED = []


class Grouped(RegressorMixin, BaseEstimator):
    """Writes down the groups and weights that it gets."""

    def __init__(self, random_state=None, alpha=1):
        self.random_state = random_state
        self.alpha = alpha

    def fit(self, X, y, sample_weight=None, groups=None):
        HANDED.append((np.ravel(X), groups, sample_weight))
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.fixture
def handed():
    HANDED.clear()
    return HANDED


GRID = {"alpha": [1, 2]}
WRAPPED = {
    "ensemble": DeepEnsembleRegressor(Grouped(), n_models=2, random_state=0),
    "pipeline": make_pipeline(
        StandardScaler(with_mean=False, with_std=False), Grouped()
    ),
    "both": DeepEnsembleRegressor(make_pipeline(Grouped()), n_models=2, random_state=0),
    "in a pipeline": make_pipeline(
        DeepEnsembleRegressor(Grouped(), n_models=2, random_state=0)
    ),
    "two pipelines": make_pipeline(make_pipeline(Grouped())),
    "scaled": TransformedTargetRegressor(make_pipeline(Grouped())),
    "filtered": TwoSigmaRegressor(make_pipeline(Grouped()), n_sigma=9),
    "conformal": make_pipeline(
        ConformalRegressor(make_pipeline(Grouped()), confidence_level=0.5)
    ),
}


@pytest.mark.parametrize(
    ("estimator", "name", "expected"),
    [
        (Grouped(), "groups", "groups"),
        (Ridge(), "groups", None),
        (Ridge(), "sample_weight", "sample_weight"),
        (WRAPPED["both"], "groups", "grouped__groups"),
        (WRAPPED["two pipelines"], "groups", "pipeline__grouped__groups"),
        (make_rf_magpie(), "sample_weight", "forest__sample_weight"),
        (make_rf_magpie(), "groups", None),
        (DeepEnsembleRegressor(CrabNetRegressor()), "groups", "groups"),
        (DeepEnsembleRegressor(Ridge()), "groups", None),
        (FrozenEstimator(Grouped()), "groups", None),
        (make_pipeline(StandardScaler(), "passthrough"), "groups", None),
        (TransformedTargetRegressor(), "groups", None),
        (MultiOutputRegressor(Grouped()), "groups", "groups"),
        # these refuse what they do not know
        (VotingRegressor([("a", Grouped())]), "groups", None),
        (BaggingRegressor(Grouped()), "groups", None),
        (GridSearchCV(Grouped(), GRID, cv=GroupKFold(3)), "groups", "groups"),
        (GridSearchCV(Grouped(), GRID), "groups", None),
        (GridSearchCV(Grouped(), GRID, cv=LeaveOneClusterOut()), "groups", None),
        (
            GridSearchCV(make_pipeline(Grouped()), GRID),
            "sample_weight",
            "grouped__sample_weight",
        ),
    ],
)
def test_keyword__of_estimators_around_others__is_what_their_fit_takes(
    estimator, name, expected
):
    assert fit_keyword(estimator, name) == expected


def test_keyword__with_metadata_routing__is_what_was_asked_for():
    with config_context(enable_metadata_routing=True):
        silent = make_pipeline(Grouped())
        asked = make_pipeline(Grouped().set_fit_request(groups=True))
        assert fit_keyword(silent, "groups") is None
        assert fit_keyword(asked, "groups") == "groups"
        asked.fit(X, y, **arguments_for_fit(asked, groups=GROUPS))


@pytest.mark.parametrize("name", WRAPPED)
def test_bootstrap__of_an_estimator_around_another__hands_on_whose_copies_rows_are(
    handed, name
):
    bootstrap_score(WRAPPED[name], X, y, n_resamples=2, random_state=0)
    assert handed
    for rows, groups, _ in handed:
        assert len(np.unique(rows)) == len(np.unique(groups))
        assert len(set(zip(rows, groups, strict=True))) == len(np.unique(rows))


@pytest.mark.parametrize("name", WRAPPED)
def test_two_sigma__of_an_estimator_around_another__hands_on_groups_and_weights(
    handed, name
):
    weight = 1 + np.arange(30.0)
    model = TwoSigmaRegressor(WRAPPED[name], n_sigma=9)
    if "conformal" in name:
        model.fit(X, y, groups=GROUPS)
    else:
        model.fit(X, y, groups=GROUPS, sample_weight=weight)
        for rows, _, weights in handed:
            np.testing.assert_array_equal(weights, 1 + rows)
    for rows, groups, _ in handed:
        assert len(set(zip(rows // 3, groups, strict=True))) == len(np.unique(groups))


@pytest.mark.parametrize("name", WRAPPED)
def test_conformal__of_an_estimator_around_another__hands_on_groups(handed, name):
    model = ConformalRegressor(WRAPPED[name], confidence_level=0.5, random_state=0)
    model.fit(X, y, groups=GROUPS)
    assert handed
    for rows, groups, _ in handed:
        assert len(set(zip(rows // 3, groups, strict=True))) == len(np.unique(groups))


@pytest.mark.parametrize("name", WRAPPED)
def test_transfer__of_an_estimator_around_another__hands_on_groups(handed, name):
    fit_and_predict(WRAPPED[name], X, y, GROUPS, X[:3])
    for rows, groups, _ in handed:
        assert len(set(zip(rows // 3, groups, strict=True))) == len(np.unique(groups))


def test_bootstrap__of_a_search_by_groups__gives_them_to_its_splitter():
    search = GridSearchCV(Grouped(), GRID, cv=GroupKFold(3))
    result = bootstrap_score(search, X, y, groups=GROUPS, n_resamples=2, random_state=0)
    assert np.isfinite(result.scores).all()
