"""save and load of estimators around others."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from skmatgnn import (
    ConformalRegressor,
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    GraphEmbedding,
    load_estimator,
)
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.nets._checkpoint import read_checkpoint, write_checkpoint


@pytest.fixture
def network(small):
    return small.model("CGCNNRegressor", random_state=None)


@pytest.fixture
def ensemble(network, data):
    model = DeepEnsembleRegressor(network, n_models=2, random_state=0)
    return model.fit(data.X, data.y)


@pytest.fixture
def back(tmp_path):
    def saved_and_loaded(model, **options):
        path = tmp_path / "model.safetensors"
        model.save(path)
        loaded = load_estimator(path, **options)
        assert type(loaded) is type(model)
        again = type(model).load(path, **options)
        assert repr(again) == repr(loaded)
        return loaded

    return saved_and_loaded


def test_ensemble__loaded__predicts_the_same_bits(ensemble, data, back):
    loaded = back(ensemble)
    for ours, theirs in zip(
        loaded.predict(data.X, return_std=True),
        ensemble.predict(data.X, return_std=True),
        strict=True,
    ):
        assert np.array_equal(ours, theirs)
    assert repr(loaded) == repr(ensemble)
    assert loaded.n_models == 2
    with pytest.raises(NotFittedError):
        loaded.estimator.predict(data.X)  # as that of the saved one
    refitted = clone(loaded).fit(data.X, data.y)
    assert np.array_equal(refitted.predict(data.X), ensemble.predict(data.X))


def test_classifier__loaded__predicts_the_same_bits(small, data, back):
    network = small.model("CGCNNClassifier", random_state=None)
    model = DeepEnsembleClassifier(network, n_models=2, random_state=0)
    model.fit(data.X, data.labels)
    loaded = back(model)
    assert loaded.classes_.tolist() == model.classes_.tolist()
    assert np.array_equal(loaded.predict_proba(data.X), model.predict_proba(data.X))
    assert loaded.predict(data.X).tolist() == model.predict(data.X).tolist()


@pytest.mark.parametrize("method", ["split", "cv+"])
def test_intervals__of_an_ensemble__are_the_same_bits(method, network, data, back):
    inner = DeepEnsembleRegressor(network, n_models=2, random_state=0)
    model = ConformalRegressor(
        inner, method=method, cv=2, confidence_level=0.5, calibration_fraction=0.5,
        random_state=0,
    )  # fmt: skip
    model.fit(data.X, data.y, groups=data.groups)
    loaded = back(model)
    assert loaded.normalized_ is True
    levels = [0.3, 0.5]
    for ours, theirs in zip(
        loaded.predict_interval(data.X, levels),
        model.predict_interval(data.X, levels),
        strict=True,
    ):
        assert np.array_equal(ours, theirs)
    assert np.array_equal(loaded.calibration_indices_, model.calibration_indices_)


def test_intervals__of_a_frozen_network__are_the_same_bits(network, data, back):
    fitted = network.fit(data.X[:12], data.y[:12])
    model = ConformalRegressor(FrozenEstimator(fitted), confidence_level=0.5)
    model.fit(data.X[12:], data.y[12:])
    loaded = back(model)
    assert isinstance(loaded.estimator, FrozenEstimator)
    assert np.array_equal(
        loaded.predict_interval(data.X), model.predict_interval(data.X)
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_embedding__loaded__gives_the_same_bits(frozen, network, data, back):
    inner = FrozenEstimator(network.fit(data.X, data.y)) if frozen else network
    model = GraphEmbedding(inner).fit(data.X, data.y)
    loaded = back(model)
    assert np.array_equal(loaded.transform(data.X), model.transform(data.X))
    names = loaded.get_feature_names_out()
    assert names.tolist() == model.get_feature_names_out().tolist()


def test_load__device__is_that_of_all_inside(ensemble, back):
    loaded = back(ensemble, device="cpu:0")
    members = [loaded.estimator, *loaded.estimators_]
    assert [member.device for member in members] == ["cpu:0"] * 3


def test_save__other_packages_inside__is_refused_by_name(data, tmp_path):
    formulas = [structure.formula for structure in data.X]
    table = np.arange(len(formulas), dtype=float).reshape(-1, 1)
    for inner in (Ridge(), make_pipeline(Ridge())):
        model = ConformalRegressor(inner, confidence_level=0.5, random_state=0)
        model.fit(table, data.y)
        with pytest.raises(InvalidTypeError, match=r"^estimator cannot be saved"):
            model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_save__unfitted__says_so(network, tmp_path):
    for model in (DeepEnsembleRegressor(network), GraphEmbedding(network)):
        with pytest.raises(NotFittedError):
            model.save(tmp_path / "model")


def test_load__parts_that_do_not_fit_each_other__is_refused(ensemble, tmp_path):
    path = tmp_path / "model"
    ensemble.save(path)

    def without_network(config):
        del config["fitted"]["estimators_"][1]["!estimator"]["network"]

    def not_fitted(config):
        del config["fitted"]

    def of_another_class(config):
        config["fitted"]["estimators_"][0]["!estimator"]["estimator"] = "list"

    def left_over(config):
        del config["fitted"]["estimators_"][1]

    for change in (without_network, not_fitted, of_another_class, left_over):
        config, arrays = read_checkpoint(path)
        config = json.loads(json.dumps(config))
        change(config)
        other = tmp_path / change.__name__
        write_checkpoint(other, config, arrays)
        with pytest.raises(InvalidValueError, match="cannot be loaded"):
            load_estimator(other)
