"""Deep ensembles of every estimator that starts from random weights."""

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from skmatgnn import (
    CGCNNRegressor,
    CrabNetClassifier,
    CrabNetRegressor,
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    MODNetRegressor,
    make_rf_magpie,
)
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import StructureToGraph

CRABNET = {"d_model": 8, "n_heads": 2, "n_layers": 1, "max_epochs": 2, "device": "cpu"}


def ensemble(estimator, **parameters):
    return DeepEnsembleRegressor(
        estimator, **{"n_models": 3, "random_state": 0, **parameters}
    )


def test_members__each__are_the_estimator_with_a_seed_of_its_own(regressor, data):
    model = ensemble(regressor).fit(data.X, data.y)
    seeds = [member.random_state for member in model.estimators_]
    assert len(set(seeds)) == 3
    assert regressor.random_state == 0
    for seed, member in zip(seeds, model.estimators_, strict=True):
        alone = clone(regressor).set_params(random_state=seed).fit(data.X, data.y)
        assert np.array_equal(member.predict(data.X), alone.predict(data.X))
    members = np.array([member.predict(data.X) for member in model.estimators_])
    assert len(np.unique(members[:, 0])) == 3
    mean, std = model.predict(data.X, return_std=True)
    assert mean == pytest.approx(members.mean(axis=0))
    assert std == pytest.approx(members.std(axis=0))
    assert np.array_equal(model.predict(data.X), mean)


def test_graphs__of_structures__are_made_once_for_all_members(data, monkeypatch):
    made = []
    real = StructureToGraph.transform_to_packed

    def counted(self, X):
        made.append(len(X))
        return real(self, X)

    monkeypatch.setattr(StructureToGraph, "transform_to_packed", counted)
    network = CGCNNRegressor(max_epochs=1, device="cpu")
    model = ensemble(network).fit(data.X, data.y)
    assert made == [len(data.X)]
    mean = model.predict(data.X[:5])
    assert made == [len(data.X), 5]
    monkeypatch.setattr(DeepEnsembleRegressor, "_chunk_size", 2)
    assert model.predict(data.X[:5]) == pytest.approx(mean)
    assert made == [len(data.X), 5, 2, 2, 1]


def test_graphs__with_parameters_that_are_wrong__are_not_made(data):
    network = CGCNNRegressor(max_epochs=1, device="cpu", cutoff=-1.0)
    with pytest.raises(ValueError, match="'cutoff' parameter of CGCNNRegressor"):
        ensemble(network).fit(data.X, data.y)


def test_classifier__probabilities__are_the_mean_of_the_members(classifier, data):
    model = DeepEnsembleClassifier(classifier, n_models=3, random_state=0)
    model.fit(data.X, data.labels)
    members = np.array([m.predict_proba(data.X) for m in model.estimators_])
    mean, std = model.predict_proba(data.X, return_std=True)
    assert mean == pytest.approx(members.mean(axis=0))
    assert std == pytest.approx(members.std(axis=0))
    assert mean.sum(axis=1) == pytest.approx(1)
    assert model.classes_.tolist() == ["hard", "soft"]
    assert set(model.predict(data.X)) <= {"hard", "soft"}
    expected = model.classes_[mean.argmax(axis=1)]
    assert np.array_equal(model.predict(data.X), expected)
    assert 0 <= model.score(data.X, data.labels) <= 1


def test_random_state__same__gives_the_same_bits_in_processes_too(data, small):
    model = ensemble(small.model("ALIGNNRegressor"))
    first = model.fit(data.X, data.y).predict(data.X)
    parallel = clone(model).set_params(n_jobs=2).fit(data.X, data.y)
    assert np.array_equal(parallel.predict(data.X), first)
    with parallel_config(backend="threading", n_jobs=2):
        assert np.array_equal(clone(model).fit(data.X, data.y).predict(data.X), first)
    assert np.array_equal(pickle.loads(pickle.dumps(parallel)).predict(data.X), first)
    other = clone(model).set_params(random_state=1).fit(data.X, data.y)
    assert not np.array_equal(other.predict(data.X), first)
    more = clone(model).set_params(n_models=4).fit(data.X, data.y)
    seeds = [member.random_state for member in more.estimators_]
    assert seeds[:3] == [member.random_state for member in model.estimators_]


def test_std__members_that_learn_the_noise__adds_it_to_their_spread(data):
    formulas = [x.formula for x in data.X]
    model = ensemble(CrabNetRegressor(**CRABNET)).fit(formulas, data.y)
    pairs = [m.predict(formulas, return_std=True) for m in model.estimators_]
    means, stds = (np.array(part) for part in zip(*pairs, strict=True))
    _, std = model.predict(formulas, return_std=True)
    assert std == pytest.approx(np.sqrt(means.var(axis=0) + (stds**2).mean(axis=0)))
    assert (std > means.std(axis=0)).all()
    model.set_params(estimator__loss="l1").fit(formulas, data.y)
    members = [m.predict(formulas) for m in model.estimators_]
    assert model.predict(formulas, return_std=True)[1] == pytest.approx(
        np.std(members, axis=0)
    )
    frozen = FrozenEstimator(model.fit(formulas, data.y))
    assert frozen.predict(formulas, return_std=True)[1].shape == (24,)


def test_std__modnet_of_one_or_several__is_that_of_all_networks(data):
    X = np.random.default_rng(0).normal(size=(24, 4))
    small = MODNetRegressor(
        featurizer=None, n_neurons=((8,), (8,), (), ()), max_epochs=2, clip=False
    )
    for n_models in (1, 2):
        model = ensemble(clone(small).set_params(n_models=n_models), n_models=2)
        model.fit(X, data.y)
        nets = np.concatenate(
            [
                m.target_scaler_.inverse_transform(m._members(X))[..., 0].T
                for m in model.estimators_
            ]
        )
        assert len(nets) == 2 * n_models
        mean, std = model.predict(X, return_std=True)
        assert mean == pytest.approx(nets.mean(axis=0))
        assert std == pytest.approx(nets.std(axis=0))


def test_spread__far_from_the_training_data__is_larger():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(100, 2))
    y = np.sin(3 * X[:, 0])
    member = MODNetRegressor(
        featurizer=None, n_models=1, n_neurons=((32,), (32,), (), ()), max_epochs=60
    )
    model = ensemble(member, n_models=4).fit(X, y)
    _, near = model.predict(X, return_std=True)
    _, far = model.predict(5 * X, return_std=True)
    assert np.median(far) > 3 * np.median(near)
    errors = [np.abs(m.predict(X) - y).mean() for m in model.estimators_]
    assert np.abs(model.predict(X) - y).mean() < np.mean(errors)


def test_several_targets_some_unknown__have_a_std_each(data, small):
    table = pd.DataFrame({"energy": data.y, "volume": [x.volume for x in data.X]})
    table.loc[::3, "energy"] = np.nan
    for name in ("CGCNNRegressor", "MPTRegressor"):
        model = ensemble(small.model(name)).fit(data.X, table)
        mean, std = model.predict(data.X, return_std=True)
        assert mean.shape == std.shape == (24, 2)
        assert (std > 0).all()
        assert np.isfinite(model.score(data.X, table))


def test_pipelines__around_and_inside__are_seeded_alike(data, small):
    graph = small.model()
    graphs = StructureToGraph(cutoff=8.0, max_neighbors=4)
    inside = ensemble(make_pipeline(graphs, graph)).fit(data.X, data.y)
    around = make_pipeline(graphs, ensemble(graph)).fit(data.X, data.y)
    plain = ensemble(graph).fit(data.X, data.y)
    expected = plain.predict(data.X, return_std=True)
    assert np.allclose(inside.predict(data.X, return_std=True), expected)
    assert np.allclose(around.predict(data.X, return_std=True), expected)
    crabnet = make_pipeline(CrabNetRegressor(**CRABNET))
    formulas = [x.formula for x in data.X]
    model = ensemble(crabnet).fit(formulas, data.y)
    member = model.estimators_[0]
    _, std = model.predict(formulas, return_std=True)
    assert (std > 0.3 * member.predict(formulas, return_std=True)[1]).all()


def test_pretrained__members__start_from_it_and_differ(data, small):
    source = FrozenEstimator(small.model().fit(data.X, data.y))
    tuned = CGCNNRegressor(pretrained=source, max_epochs=1, device="cpu", head="new")
    model = ensemble(tuned.set_params(fine_tuning="head")).fit(data.X, data.y)
    trunks = [m.net_.module_.conv_layers[0].edge.weight for m in model.estimators_]
    heads = [m.net_.module_.head.weight for m in model.estimators_]
    assert (trunks[0] == trunks[1]).all()
    assert (heads[0] != heads[1]).any()
    out = cross_val_predict(model, data.X, data.y, cv=2)
    assert np.isfinite(out).all()


def test_fit_params__weights_and_groups__reach_the_members(data, small):
    weight = np.linspace(0.1, 2, 24)
    graph = small.model(early_stopping=True, validation_fraction=0.3)
    model = ensemble(graph, n_models=2)
    model.fit(data.X, data.y, sample_weight=weight, groups=data.groups)
    seed = model.estimators_[0].random_state
    alone = clone(graph).set_params(random_state=seed)
    alone.fit(data.X, data.y, sample_weight=weight, groups=data.groups)
    expected = alone.predict(data.X)
    assert np.array_equal(model.estimators_[0].predict(data.X), expected)
    with config_context(enable_metadata_routing=True):
        routed = clone(model).set_params(
            estimator=clone(graph).set_fit_request(sample_weight=True, groups=True)
        )
        routed.fit(data.X, data.y, sample_weight=weight, groups=data.groups)
        assert np.array_equal(routed.estimators_[0].predict(data.X), expected)


def test_fit__what_cannot_be_an_ensemble__is_refused(data, small):
    with pytest.raises(InvalidValueError, match="LinearRegression has no random_state"):
        ensemble(LinearRegression()).fit(data.X, data.y)
    with pytest.raises(InvalidTypeError, match=r"a regressor.*CrabNetClassifier"):
        ensemble(CrabNetClassifier()).fit(data.X, data.labels)
    with pytest.raises(InvalidTypeError, match=r"a classifier.*CGCNNRegressor"):
        DeepEnsembleClassifier(small.model()).fit(data.X, data.labels)
    with pytest.raises(ValueError, match="n_models"):
        ensemble(small.model(), n_models=1).fit(data.X, data.y)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        ensemble(small.model()).fit(data.X, data.y[:-1])


def test_other_estimators__of_scikit_learn__can_be_members():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = X[:, 0]
    forest = ensemble(RandomForestRegressor(5)).fit(X, y)
    assert (forest.predict(X, return_std=True)[1] >= 0).all()
    assert forest.n_features_in_ == 2
    process = ensemble(GaussianProcessRegressor(alpha=0.1)).fit(X, y)
    alone = process.estimators_[0].predict(X, return_std=True)
    assert np.allclose(process.predict(X, return_std=True), alone)
    formulas = ["NaCl", "KCl", "MgO", "CaO", "Fe2O3", "LiF"]
    magpie = ensemble(make_rf_magpie(n_estimators=5)).fit(formulas, np.arange(6.0))
    assert magpie.predict(formulas).shape == (6,)
