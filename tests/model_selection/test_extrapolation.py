"""Errors out of distribution beside the distance to the training set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline

from skmatgnn import CGCNNRegressor, CrabNetRegressor, GraphEmbedding, make_rf_magpie
from skmatgnn.datasets import make_crystals, read_structures
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.graphs import StructureToGraph
from skmatgnn.metrics import element_movers_distance
from skmatgnn.model_selection import (
    HoldOutGroups,
    chemical_system_groups,
    extrapolation_report,
)

PHONONS = (Path(__file__).parents[2] / "../shared/data/phonons.json.gz").resolve()
SMALL = {"node_dim": 8, "hidden_dim": 8, "n_conv_layers": 1, "max_epochs": 1}


class Nearest(RegressorMixin, BaseEstimator):
    """Predict the mean; features are the numbers themselves."""

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)

    def embed(self, X):
        return np.asarray(X, dtype=float)


class Shifted(TransformerMixin, BaseEstimator):
    """Shift by the least of the training rows."""

    def fit(self, X, y=None):
        self.least_ = np.min(X)
        return self

    def transform(self, X):
        return (np.asarray(X, dtype=float) - self.least_) * [[1.0]]


@pytest.fixture(scope="module")
def crystals():
    return make_crystals(30, random_state=0, return_X_y=True)


def test_report__numbers__has_the_errors_and_distances_of_a_hand_calculation():
    X = np.array([[0.0], [1.0], [3.0], [10.0], [14.0]])
    y = np.array([1.0, 2.0, 3.0, 8.0, 9.0])
    formulas = ["NaCl", "KCl", "NaBr", "MgO", "CaO"]
    report = extrapolation_report(
        Nearest(), X, y, groups=[0, 0, 0, 1, 1], cv=LeaveOneGroupOut(),
        compositions=formulas,
    )  # fmt: skip
    assert report["sample"].tolist() == [0, 1, 2, 3, 4]
    assert report["fold"].tolist() == [0, 0, 0, 1, 1]
    assert report["group"].tolist() == [0, 0, 0, 1, 1]
    assert report["y_pred"].tolist() == [8.5, 8.5, 8.5, 2.0, 2.0]
    assert report["error"].tolist() == [7.5, 6.5, 5.5, 6.0, 7.0]
    # units: training samples 10, 14 are 4 apart; of 0, 1, 3 the nearest are 1, 1, 2
    assert report["latent_distance"].tolist() == [2.5, 2.25, 1.75, 7.0, 11.0]
    for row in report.itertuples():
        others = [3, 4] if row.fold == 0 else [0, 1, 2]
        expected = min(
            element_movers_distance(formulas[row.sample], formulas[i]) for i in others
        )
        assert row.elmd_distance == pytest.approx(expected, abs=1e-9)


def test_report__more_neighbors__averages_over_them():
    X = np.array([[0.0], [1.0], [3.0], [10.0]])
    formulas = ["NaCl", "KCl", "RbCl", "NaF"]
    report = extrapolation_report(
        Nearest(), X, [1.0, 2, 3, 4], groups=[0, 0, 0, 1], cv=HoldOutGroups([1]),
        compositions=formulas, n_neighbors=2,
    )  # fmt: skip
    # among 0, 1, 3 the means of two are 2, 1.5, 2.5; of 10 they are 8
    assert report["latent_distance"].tolist() == [8.0 / 2.0]
    pair = sorted(element_movers_distance("NaF", name) for name in formulas[:3])
    assert report["elmd_distance"][0] == pytest.approx(np.mean(pair[:2]))


def test_report__equal_training_samples__give_a_unit_of_the_others():
    X = np.array([[0.0], [0.0], [0.0], [2.0], [5.0]])
    cv = [([0, 1, 2, 3], [4]), ([0, 1, 2], [3])]
    report = extrapolation_report(
        Nearest(), X, np.arange(5.0), cv=cv, compositions=["NaCl"] * 5
    )
    assert report["latent_distance"].tolist() == [1.5, 2.0]
    assert report["elmd_distance"].tolist() == [0.0, 0.0]


def test_report__graph_estimator__measures_in_the_pooled_features(crystals):
    X, y = crystals
    cv = KFold(3, shuffle=True, random_state=0)
    model = CGCNNRegressor(**SMALL, random_state=0, device="cpu")
    report = extrapolation_report(model, X, y, cv=cv)
    train, test = next(iter(cv.split(X)))
    fitted = model.fit([X[i] for i in train], y[train])
    known, new = (fitted.embed([X[i] for i in rows]) for rows in (train, test))
    among = cdist(known, known) + np.diag(np.full(len(known), np.inf))
    expected = cdist(new, known).min(axis=1) / np.median(among.min(axis=1))
    first = report[report["fold"] == 0]
    np.testing.assert_array_equal(first["sample"], test)
    np.testing.assert_allclose(first["latent_distance"], expected, rtol=1e-4)
    np.testing.assert_allclose(first["y_true"], y[test])
    np.testing.assert_allclose(first["y_pred"], fitted.predict([X[i] for i in test]))


def test_report__graphs_and_processes__change_nothing(crystals):
    X, y = crystals
    model = CGCNNRegressor(**SMALL, random_state=0, device="cpu")
    options = {"groups": chemical_system_groups(X), "cv": GroupKFold(3)}
    expected = extrapolation_report(model, X, y, **options)
    graphs = StructureToGraph().transform(X)
    with parallel_config(backend="threading"):
        found = extrapolation_report(model, graphs, y, **options, n_jobs=2)
    assert found["group"].tolist() == expected["group"].tolist()
    for name in ("sample", "y_pred", "latent_distance", "elmd_distance"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)
    for _, fold in found.groupby("fold"):
        held_out = set(fold["group"])
        others = found[found["fold"] != fold["fold"].iloc[0]]
        assert held_out.isdisjoint(others["group"])


def test_report__fixed_embedding__is_one_space_for_all_folds(crystals):
    X, y = crystals
    source = CGCNNRegressor(**SMALL, random_state=0, device="cpu").fit(X, y)
    latent = FrozenEstimator(GraphEmbedding(FrozenEstimator(source)).fit(X))
    cv = [(range(20), range(20, 30))]
    report = extrapolation_report(
        CGCNNRegressor(**SMALL, random_state=1, device="cpu"), X, y, cv=cv,
        latent=latent,
    )  # fmt: skip
    points = source.embed(X)
    nearest = cdist(points[20:], points[:20]).min(axis=1)
    ratio = report["latent_distance"] / nearest
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_report__transformer__is_fitted_on_training_rows_only():
    X = np.array([[5.0], [6.0], [8.0], [0.0]])
    seen = []

    class Watching(Shifted):
        def fit(self, X, y=None):
            seen.append(np.ravel(X).tolist())
            return super().fit(X, y)

    report = extrapolation_report(
        Nearest(), X, np.arange(4.0), cv=[([0, 1, 2], [3])], latent=Watching(),
        compositions=["NaCl", "KCl", "MgO", "CaO"],
    )  # fmt: skip
    assert seen == [[5.0, 6.0, 8.0]]
    assert report["latent_distance"].tolist() == [5.0]


def test_report__formulas__come_with_magpie_or_with_what_crabnet_has_learnt():
    X = ["NaCl", "KCl", "RbCl", "NaBr", "KBr", "MgO", "CaO", "SrO", "BaO", "Fe2O3"]
    y = np.arange(10.0)
    cv = [(range(1, 10), [0])]
    forest = extrapolation_report(make_rf_magpie(n_estimators=3), X, y, cv=cv)
    ridge = make_pipeline(MagpieFeatures(), Ridge())
    np.testing.assert_allclose(
        extrapolation_report(ridge, X, y, cv=cv)["latent_distance"],
        forest["latent_distance"],
    )
    assert 0 < forest["latent_distance"][0] < 2
    model = CrabNetRegressor(d_model=8, n_heads=2, max_epochs=1, random_state=0)
    learnt = extrapolation_report(model, X, y, cv=cv)
    assert learnt["latent_distance"][0] != forest["latent_distance"][0]
    assert learnt["elmd_distance"].tolist() == forest["elmd_distance"].tolist()


def test_report__pipeline__uses_the_features_of_its_last_step(crystals):
    X, y = crystals
    model = CGCNNRegressor(**SMALL, random_state=0, device="cpu")
    cv = [(range(20), range(20, 30))]
    alone = extrapolation_report(model, X, y, cv=cv)
    piped = extrapolation_report(make_pipeline(StructureToGraph(), model), X, y, cv=cv)
    np.testing.assert_allclose(
        piped["latent_distance"], alone["latent_distance"], rtol=1e-4
    )


@pytest.mark.parametrize(
    "around", [make_pipeline, lambda x: make_pipeline(make_pipeline(x))]
)
def test_report__pipeline_of_one_step__is_as_the_step_alone(around):
    X = np.arange(12.0).reshape(-1, 1)
    options = {"cv": KFold(3), "compositions": ["NaCl", "KCl", "MgO"] * 4}
    alone = extrapolation_report(Nearest(), X, X[:, 0], **options)
    found = extrapolation_report(around(Nearest()), X, X[:, 0], **options)
    pd.testing.assert_frame_equal(found, alone)


def test_report__without_latent_or_groups__has_no_such_values():
    X, y = ["NaCl", "KCl", "MgO", "CaO"], np.arange(4.0)
    model = make_rf_magpie(n_estimators=3)
    report = extrapolation_report(model, X, y, cv=2, latent=None)
    assert "latent_distance" not in report
    assert report["group"].isna().all()
    clustered = extrapolation_report(model, X, y, latent=None)
    assert sorted(clustered["sample"]) == [0, 1, 2, 3]
    assert clustered["fold"].nunique() == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y": [1.0, 2.0, np.nan, 4.0]}, "index 2"),
        ({"y": np.ones((4, 2))}, "one property; got 2"),
        ({"y": [1.0, 2.0]}, "inconsistent numbers"),
        ({"latent": "magpie"}, "latent must be 'auto'"),
        ({"n_neighbors": 0}, "integer of 1 or more"),
        ({"n_neighbors": 3}, "needs at least 4 samples"),
        ({"compositions": ["NaCl"]}, "inconsistent numbers"),
        ({"compositions": None}, "compositions cannot be read from X"),
        ({"compositions": ["NaCl", "Xx", "MgO", "CaO"]}, "from compositions: .*Xx"),
    ],
)
def test_report__unusable_arguments__are_refused(changed, message):
    given = {
        "X": np.arange(4.0)[:, None],
        "y": np.arange(4.0),
        "compositions": ["NaCl", "KCl", "MgO", "CaO"],
        "cv": LeaveOneGroupOut(),
        "groups": [0, 0, 1, 1],
    }
    with pytest.raises((InvalidValueError, InvalidTypeError), match=message):
        extrapolation_report(Nearest(), **{**given, **changed})


def test_report__real_clusters__are_farther_and_worse_than_random_folds():
    if not PHONONS.exists():
        pytest.skip(f"the data set {PHONONS.name} is not here")
    found = read_structures(PHONONS, target_columns="last_phdos_peak")
    X = [x.composition.reduced_formula for x in found.data[::3]]
    y = found.target[::3]
    model = make_rf_magpie(n_estimators=20, random_state=0)
    random = KFold(5, shuffle=True, random_state=0)
    near = extrapolation_report(model, X, y, cv=random)
    far = extrapolation_report(model, X, y)
    for name in ("error", "latent_distance", "elmd_distance"):
        assert far[name].mean() > 1.2 * near[name].mean()
    ranks = near[["error", "latent_distance"]].corr(method="spearman")
    assert ranks.iloc[0, 1] > 0.1
