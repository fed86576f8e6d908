"""MODNet estimators: features, ranking, ensembles, targets, and scikit-learn's ways."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from skmatgnn import MODNetClassifier, MODNetRegressor
from skmatgnn.datasets import load_formation_energies
from skmatgnn.feature_selection import RelevanceRedundancySelector
from skmatgnn.featurizers import CompositionFeatures, MagpieFeatures
from skmatgnn.utils.validation import to_object_array

SMALL = {
    "n_neurons": ((8,), (8,), (8,), ()),
    "max_epochs": 3,
    "n_models": 3,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def energies():
    """300 formulas with formation energies, 200 to train on and 100 to test."""
    formulas, y = load_formation_energies(return_X_y=True)
    picked = np.random.default_rng(0).permutation(len(y))[:300]
    X = [list(formulas)[i] for i in picked]
    y = np.asarray(y, dtype=float)[picked]
    return X[:200], y[:200], X[200:], y[200:]


@pytest.fixture(scope="module")
def table():
    """Rows of which column 0 makes target 0, and column 1 target 1."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(120, 6))
    Y = np.column_stack([2 * X[:, 0] + 5, 100 * X[:, 1] ** 2, X[:, 0] + X[:, 1]])
    return X, Y


def regressor(**parameters):
    return MODNetRegressor(**{**SMALL, **parameters})


def on_table(**parameters):
    return regressor(featurizer=None, **parameters)


def labels_of(y):
    return np.where(y > np.median(y), "high", "low").astype(object)


class TestAccuracy:
    @pytest.mark.parametrize("n_features", [None, 48])
    def test_regressor__real_energies__beats_the_mean_by_far(
        self, energies, n_features
    ):
        X, y, X_test, y_test = energies
        model = MODNetRegressor(
            n_features=n_features, max_epochs=25, random_state=0, device="cpu"
        ).fit(X, y)
        error = np.abs(model.predict(X_test) - y_test).mean()
        assert error < 0.4 * np.abs(y_test - y.mean()).mean()
        assert model.score(X_test, y_test) > 0.6

    def test_classifier__real_labels__beats_the_majority(self, energies):
        X, y, X_test, y_test = energies
        threshold = np.median(y)
        model = MODNetClassifier(max_epochs=40, random_state=0, device="cpu")
        model.fit(X, y > threshold)
        assert model.score(X_test, y_test > threshold) > 0.8

    def test_ensemble__mean__is_better_than_its_members_on_average(self, energies):
        X, y, X_test, y_test = energies
        model = regressor(max_epochs=30, n_models=8, clip=False).fit(X, y)
        members = model.target_scaler_.inverse_transform(model._members(X_test))[..., 0]
        single = np.abs(members - y_test[:, None]).mean()
        assert np.abs(model.predict(X_test) - y_test).mean() < single
        assert model.predict(X_test) == pytest.approx(members.mean(axis=1))


class TestFeatures:
    def test_featurizer__default__is_composition_features(self, energies):
        X, y, X_test, _ = energies
        features = CompositionFeatures()
        by_hand = on_table().fit(features.fit_transform(X), y)
        expected = by_hand.predict(features.transform(X_test))
        assert np.array_equal(regressor().fit(X, y).predict(X_test), expected)

    def test_featurizer__pipeline__is_cloned_and_learns_from_training_rows(
        self, energies
    ):
        X, y, X_test, _ = energies
        featurizer = make_pipeline(MagpieFeatures(), SimpleImputer(), PCA(5))
        model = regressor(featurizer=featurizer).fit(X, y)
        assert not hasattr(featurizer[-1], "components_")
        mean = featurizer[:2].fit_transform(X).mean(axis=0)
        assert model.featurizer_[-1].mean_ == pytest.approx(mean)
        assert model.predict(X_test).shape == (100,)
        assert model.get_ranked_features().tolist() == [f"pca{i}" for i in range(5)]

    def test_featurizer__number_of_features_changes__is_refused(self, energies):
        X, y, *_ = energies

        class Growing:
            def fit(self, X):
                return self

            def transform(self, X):
                return np.arange(len(X) ** 2, dtype=float).reshape(len(X), -1)

            def get_params(self, deep=True):
                return {}

        model = regressor(featurizer=Growing()).fit(X[:10], y[:10])
        with pytest.raises(ValueError, match="3 features of X, but 10 in fit"):
            model.predict(X[:3])

    def test_ranking__is_that_of_the_selector_on_training_rows(self, table):
        X, Y = table
        model = on_table(n_features=3).fit(X, Y[:, 0])
        seed = np.random.RandomState(0).randint(2**31 - 1, size=4)[2]
        selector = RelevanceRedundancySelector(n_features=3, random_state=int(seed))
        assert np.array_equal(model.ranking_, selector.fit(X, Y[:, 0]).ranking_)
        assert model.ranking_[0] == 0
        assert model.net_.module_.shared[0].in_features == 3

    def test_ranking__several_targets__has_the_features_of_each(self, table):
        X, Y = table
        model = on_table(n_features=2).fit(X, Y[:, :2])
        assert sorted(model.ranking_) == [0, 1]

    def test_ranking__names__are_those_of_featurizer_frame_or_place(
        self, energies, table
    ):
        X, y, *_ = energies
        model = regressor(n_features=4).fit(X, y)
        names = CompositionFeatures().get_feature_names_out()[model.ranking_]
        assert model.get_ranked_features().tolist() == names.tolist()
        X, Y = table
        frame = pd.DataFrame(X, columns=list("abcdef"))
        named = on_table(n_features=1).fit(frame, Y[:, 0])
        assert named.get_ranked_features().tolist() == ["a"]
        plain = on_table(n_features=1).fit(X, Y[:, 1])
        assert plain.get_ranked_features().tolist() == ["x1"]

    def test_ranking__rows_of_no_weight__play_no_part(self, table):
        X, Y = table
        weight = np.ones(len(X))
        weight[60:] = 0
        y = np.where(weight > 0, Y[:, 0], 1e6 * X[:, 3])
        model = on_table(n_features=2).fit(X, y, sample_weight=weight)
        alone = on_table(n_features=2).fit(X[:60], y[:60])
        assert np.array_equal(model.ranking_, alone.ranking_)
        assert model.predict(X) == pytest.approx(alone.predict(X))

    def test_ranking__nothing_to_rank_by__takes_features_that_vary(self):
        X = np.column_stack([np.ones(4), [0, 1, 0, 1], [np.nan, 1, 1, 2]])
        model = on_table(n_features=5).fit(X, [1.0, 2, 3, 4])
        assert model.ranking_.tolist() == [1, 2]
        constant = on_table(n_features=2).fit(np.ones((5, 3)), np.arange(5.0))
        assert constant.ranking_.tolist() == [0, 1]
        assert np.isfinite(constant.predict(np.ones((2, 3)))).all()

    def test_memory__ranking__is_read_from_the_cache(self, table, tmp_path):
        X, Y = table
        plain = on_table(n_features=3).fit(X, Y[:, 0])
        cached = on_table(n_features=3, memory=str(tmp_path)).fit(X, Y[:, 0])
        assert np.array_equal(cached.ranking_, plain.ranking_)
        assert any(tmp_path.rglob("*.pkl"))

    @pytest.mark.parametrize("feature_scaling", ["standard", "minmax"])
    def test_nan_in_features__is_filled_in(self, table, feature_scaling):
        X, Y = table
        X = X.copy()
        X[::5, 2] = np.nan
        model = on_table(feature_scaling=feature_scaling).fit(X, Y[:, 0])
        assert np.isfinite(model.predict(X)).all()
        assert np.isfinite(model.predict(np.full((2, 6), np.nan))).all()


class TestTargets:
    def test_units__of_the_target__do_not_matter(self, table):
        X, Y = table
        plain = on_table().fit(X, Y[:, 0]).predict(X)
        scaled = on_table().fit(X, 1e5 * Y[:, 0] - 3e6).predict(X)
        assert scaled == pytest.approx(1e5 * plain - 3e6, rel=1e-4)

    def test_units__that_make_targets_huge__change_no_digit(self, table):
        X, Y = table
        expected = on_table().fit(X, Y).predict(X, return_std=True)
        model = on_table().fit(X, np.ldexp(Y, 600))
        for ours, theirs in zip(
            model.predict(X, return_std=True), expected, strict=True
        ):
            assert np.array_equal(ours, np.ldexp(theirs, 600))

    def test_several_targets__some_unknown__are_learnt_from_the_rest(self, table):
        X, Y = table
        holes = Y.copy()
        holes[::2, 0] = np.nan
        holes[1::3, 1] = np.nan
        holes[5] = np.nan
        settings = {"max_epochs": 60, "n_neurons": ((32,), (16,), (8,), ())}
        model = on_table(**settings).fit(X[:90], holes[:90])
        assert model.predict(X[90:]).shape == (30, 3)
        assert model.score(X[90:], Y[90:]) > 0.7
        assert np.isfinite(model.history_[-1]["train_loss"])

    def test_unknown_targets__do_not_change_the_other_target(self, table):
        """What is unknown neither enters the loss nor the scale."""
        X, Y = table
        holes = Y.copy()
        holes[::2, 1] = np.nan
        model = on_table().fit(X, holes)
        known = holes[1::2, 1]
        assert model.target_scaler_.mean_[1] == pytest.approx(known.mean())
        assert model.target_range_[:, 1] == pytest.approx([known.min(), known.max()])

    def test_target_groups__reach_the_network(self, table):
        X, Y = table
        model = on_table(target_groups=[[0, 2], [1]]).fit(X, Y)
        assert model.net_.module_.groups == [[[0], [2]], [[1]]]
        assert len(model.net_.module_.group_blocks) == 2
        with pytest.raises(ValueError, match="each of the 3 targets"):
            on_table(target_groups=[[0]]).fit(X, Y)

    def test_clip__far_away__ends_a_quarter_beyond_the_range(self, table):
        X, Y = table
        y = Y[:, 0]
        margin = np.ptp(y) / 4
        far = np.sign(np.random.default_rng(0).normal(size=(40, 6))) * 50
        settings = {"max_epochs": 30, "random_state": 0}
        clipped = on_table(**settings).fit(X, y).predict(far)
        assert clipped.max() <= y.max() + margin + 1e-9
        assert clipped.min() >= y.min() - margin - 1e-9
        free = on_table(**settings, clip=False).fit(X, y).predict(far)
        assert free.max() > y.max() + margin
        assert np.array_equal(
            on_table(**settings).fit(X, y).predict(far), clipped
        )  # nothing random in it

    def test_constant_target__is_predicted(self, table):
        X, _ = table
        assert on_table().fit(X, np.full(120, 7.0)).predict(X) == pytest.approx(
            7.0, rel=1e-2
        )

    @pytest.mark.parametrize("loss", ["l1", "mse", "huber"])
    def test_loss__each__trains(self, table, loss):
        X, Y = table
        model = on_table(loss=loss, max_epochs=10).fit(X, Y[:, 0])
        losses = [row["train_loss"] for row in model.history_]
        assert min(losses[5:]) < losses[0]


class TestUncertainty:
    def test_return_std__is_the_spread_of_the_members(self, energies):
        X, y, X_test, _ = energies
        model = regressor().fit(X, y)
        mean, std = model.predict(X_test, return_std=True)
        assert np.array_equal(mean, model.predict(X_test))
        assert std.shape == mean.shape
        assert (std > 0).all()

    def test_return_std__two_targets__has_their_shape(self, table):
        X, Y = table
        mean, std = on_table(bootstrap=True).fit(X, Y).predict(X, return_std=True)
        assert mean.shape == std.shape == (120, 3)
        assert (std >= 0).all()

    def test_return_std__single_model__is_refused(self, table):
        X, Y = table
        model = on_table(n_models=1).fit(X, Y)
        assert model.predict(X).shape == (120, 3)
        with pytest.raises(ValueError, match="n_models=1"):
            model.predict(X, return_std=True)

    def test_bootstrap__rows__make_members_differ_more(self, energies):
        X, y, X_test, _ = energies
        spread = {
            bootstrap: regressor(bootstrap=bootstrap, max_epochs=30, n_models=8)
            .fit(X, y)
            .predict(X_test, return_std=True)[1]
            .mean()
            for bootstrap in (True, False)
        }
        assert spread[True] > 1.1 * spread[False]

    def test_early_stopping__with_bootstrap__keeps_groups_together(self, table):
        X, Y = table
        model = on_table(
            bootstrap=True, early_stopping=True, max_epochs=40, n_iter_no_change=2
        )
        model.fit(X, Y[:, 0], groups=np.arange(120) // 10)
        assert "valid_loss" in model.history_[0]
        best = model.best_epoch_
        losses = [row["valid_loss"] for row in model.history_]
        assert losses[best - 1] == min(losses)

    def test_predict_proba__std__is_the_spread_of_the_members(self, energies):
        X, y, X_test, _ = energies
        model = MODNetClassifier(**SMALL).fit(X, labels_of(y))
        mean, std = model.predict_proba(X_test, return_std=True)
        assert mean.shape == std.shape == (100, 2)
        assert mean.sum(axis=1) == pytest.approx(np.ones(100))
        assert std[:, 0] == pytest.approx(std[:, 1])
        assert np.array_equal(model.predict_proba(X_test), mean)
        assert set(model.predict(X_test)) <= {"high", "low"}
        with pytest.raises(ValueError, match="n_models=1"):
            MODNetClassifier(**{**SMALL, "n_models": 1}).fit(
                X, labels_of(y)
            ).predict_proba(X_test, return_std=True)


class TestScikitLearn:
    @pytest.mark.parametrize(
        "contain",
        [
            tuple,
            to_object_array,
            lambda X: to_object_array(X)[:, None],
            lambda X: pd.Series(X, index=[f"mp-{i}" for i in range(len(X))]),
            lambda X: pd.DataFrame({"formula": X}),
            lambda X: [Composition(formula) for formula in X],
        ],
        ids=["tuple", "object_array", "column", "series", "frame", "compositions"],
    )
    def test_container__each__gives_the_model_of_the_list(self, energies, contain):
        X, y, X_test, _ = energies
        expected = regressor().fit(X, y).predict(X_test)
        model = regressor().fit(contain(X), y)
        assert model.predict(contain(X_test)) == pytest.approx(expected)

    def test_clone_and_pickle__give_the_same_bits(self, energies):
        X, y, X_test, _ = energies
        model = regressor(n_features=16, bootstrap=True, batch_size=32)
        expected = model.fit(X, y).predict(X_test, return_std=True)
        again = clone(model).fit(X, y)
        loaded = pickle.loads(pickle.dumps(model))
        for other in (again, loaded):
            for one, two in zip(
                other.predict(X_test, return_std=True), expected, strict=True
            ):
                assert np.array_equal(one, two)
        assert not np.allclose(
            clone(model).set_params(random_state=1).fit(X, y).predict(X_test),
            expected[0],
        )

    def test_cross_validation__in_processes__gives_the_same_bits(self, energies):
        X, y, *_ = energies
        model = regressor(n_features=16, bootstrap=True, early_stopping=True)
        cv = KFold(2, shuffle=True, random_state=0)
        serial = cross_val_predict(model, X, y, cv=cv)
        parallel = cross_val_predict(model, X, y, cv=cv, n_jobs=2)
        assert np.array_equal(serial, parallel)

    def test_grid_search__over_features_and_network__finds_the_better(self, table):
        X, Y = table
        grid = {"n_features": [1, 4], "n_neurons": [[[16], [8], [], []]]}
        model = on_table(max_epochs=40, lr=1e-2)
        search = GridSearchCV(model, grid, cv=2, error_score="raise")
        search.fit(X, Y[:, 2])
        assert search.best_params_["n_features"] == 4

    def test_order_of_rows__in_predict__does_not_matter(self, energies):
        X, y, X_test, _ = energies
        model = regressor(precision="float64").fit(X, y)
        whole = model.predict(X_test)
        assert model.predict(X_test[::-1])[::-1] == pytest.approx(whole)
        assert model.predict(X_test[:1]) == pytest.approx(whole[:1])

    def test_warm_start__continues_and_refuses_another_network(self, table):
        X, Y = table
        model = on_table(warm_start=True, max_epochs=20, lr=2e-2).fit(X, Y[:, 0])
        ranking, first = model.ranking_, model.history_[0]["train_loss"]
        model.fit(X, Y[:, 0])
        assert np.array_equal(model.ranking_, ranking)
        assert model.history_[0]["train_loss"] < 0.7 * first
        with pytest.raises(ValueError, match="n_models changed"):
            model.set_params(n_models=2).fit(X, Y[:, 0])

    def test_partial_fit__epochs__lower_the_error(self, table):
        X, Y = table
        model = on_table(lr=1e-2)
        errors = []
        for _ in range(15):
            model.partial_fit(X, Y[:, 0])
            errors.append(np.abs(model.predict(X) - Y[:, 0]).mean())
        assert errors[-1] < 0.7 * errors[0]

    def test_tiny_data__of_four_rows__works(self):
        X = ["NaCl", "KCl", "MgO", "CaO"]
        model = regressor(n_features=10).fit(X, [1.0, 2.0, 3.0, 4.0])
        assert np.isfinite(model.predict(["LiF"])).all()

    @pytest.mark.parametrize(
        ("parameters", "match"),
        [
            ({"featurizer": "magpie"}, "featurizer"),
            ({"n_features": 0}, "n_features"),
            ({"n_models": 0}, "n_models"),
            ({"n_neurons": ((8,),)}, "four sequences"),
            ({"activation": "sine"}, "activation"),
            ({"loss": "cross_entropy"}, "for classifiers"),
            ({"feature_scaling": "none"}, "feature_scaling"),
        ],
    )
    def test_parameters__bad__are_named(self, table, parameters, match):
        X, Y = table
        with pytest.raises(ValueError, match=match):
            regressor(**{"featurizer": None, **parameters}).fit(X, Y)

    def test_formula__unusable__is_named_with_its_index(self, energies):
        X, y, *_ = energies
        with pytest.raises(ValueError, match="index 2"):
            regressor().fit([*X[:2], "Xx2O", *X[3:]], y)
        with pytest.raises(ValueError, match=r"199.*200|200.*199"):
            regressor().fit(X, y[:-1])
        with pytest.raises(ValueError, match="infinity"):
            on_table().fit([[1.0, np.inf]] * 5, y[:5])
