"""Predictions for more samples than are encoded at once."""

from __future__ import annotations

import inspect
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from skmatgnn import (
    CGCNNRegressor,
    CrabNetClassifier,
    CrabNetRegressor,
    MODNetClassifier,
    MODNetRegressor,
    make_rf_magpie,
)
from skmatgnn.datasets import load_formation_energies, make_crystals
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators import predict_in_chunks
from skmatgnn.graphs import StructureToGraph

FAST = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
SIZE = 7


@pytest.fixture(scope="module")
def table():
    data = load_formation_energies()
    return list(data.data[:60]), data.target[:60]


@pytest.fixture(scope="module")
def fitted(table):
    X, y = table
    models = {
        "crabnet": CrabNetRegressor(**FAST, d_model=16),
        "crabnet_classifier": CrabNetClassifier(**FAST, d_model=16),
        "modnet": MODNetRegressor(**FAST, n_models=2),
        "modnet_classifier": MODNetClassifier(**FAST, n_models=2),
        "forest": make_rf_magpie(n_estimators=5, random_state=0),
    }
    labels = np.where(y > np.median(y), "stable, or so", "not")
    return {
        name: model.fit(X, labels if "classifier" in name else y)
        for name, model in models.items()
    }


@pytest.fixture
def seen(monkeypatch):
    """Sizes of what the estimators encode, in chunks of seven."""
    sizes = []
    for cls in (CrabNetRegressor, CrabNetClassifier, MODNetRegressor, MODNetClassifier):
        original = cls._ensure_samples

        def note(self, X, original=original):
            sizes.append(len(X))
            return original(self, X)

        monkeypatch.setattr(cls, "_ensure_samples", note)
    return sizes


def small_chunks(monkeypatch, model):
    monkeypatch.setattr(type(model), "_chunk_size", SIZE)


@pytest.mark.parametrize(
    ("name", "method", "params"),
    [
        ("crabnet", "predict", {}),
        ("crabnet", "predict", {"return_std": True}),
        ("crabnet", "embed", {}),
        ("crabnet_classifier", "predict", {}),
        ("crabnet_classifier", "predict_proba", {}),
        ("modnet", "predict", {"return_std": True}),
        ("modnet_classifier", "predict_proba", {}),
        ("modnet_classifier", "predict_proba", {"return_std": True}),
    ],
)
def test_chunked__any_method__gives_the_rows_of_one_go(
    fitted, table, seen, monkeypatch, name, method, params
):
    function = getattr(fitted[name], method)
    expected = function(table[0], **params)
    small_chunks(monkeypatch, fitted[name])
    del seen[:]
    found = function(table[0], **params)
    assert seen == [SIZE] * 8 + [4]
    assert type(found) is type(expected)
    for one, two in zip(
        *((x if isinstance(x, tuple) else (x,)) for x in (found, expected)), strict=True
    ):
        assert one.shape == two.shape
        assert one.dtype == two.dtype
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
        else:
            assert one.tolist() == two.tolist()


@pytest.mark.parametrize(
    "container",
    [tuple, np.array, pd.Series, lambda X: pd.DataFrame({"formula": X})],
    ids=["tuple", "array", "Series", "frame"],
)
def test_chunked__any_container__is_cut(fitted, table, monkeypatch, container):
    X = container(table[0])
    if hasattr(X, "iloc"):
        X.index = range(100, 40, -1)
    expected = fitted["crabnet"].predict(table[0])
    small_chunks(monkeypatch, fitted["crabnet"])
    found = fitted["crabnet"].predict(X)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_chunked__structures_and_graphs__are_cut_too(monkeypatch):
    X, y = make_crystals(20, random_state=0, return_X_y=True)
    model = CGCNNRegressor(**FAST).fit(X, y)
    graphs = StructureToGraph().transform(X)
    whole = model.predict(X), model.embed(X)
    monkeypatch.setattr(CGCNNRegressor, "_chunk_size", SIZE)
    for samples in (X, graphs):
        np.testing.assert_allclose(model.predict(samples), whole[0], rtol=1e-5)
        np.testing.assert_allclose(model.embed(samples), whole[1], atol=1e-5)


def test_chunked__bad_formula_in_a_later_chunk__has_its_index_in_x(
    fitted, table, monkeypatch
):
    X = [*table[0][:20], "Xx2O", *table[0][20:]]
    for name in ("crabnet", "modnet"):
        small_chunks(monkeypatch, fitted[name])
        with pytest.raises(InvalidValueError, match=r"1 of 61 compositions.*index 20 "):
            fitted[name].predict(X)
    with pytest.raises(InvalidValueError, match=r"1 of 61 compositions.*index 20 "):
        predict_in_chunks(fitted["forest"], X, chunk_size=SIZE)
    with pytest.raises(InvalidTypeError, match=r"index 60 \(.*int"):
        fitted["crabnet"].predict([*table[0], 5])


def test_chunked__unknown_element_in_a_later_chunk__has_its_index_in_x(
    fitted, table, monkeypatch
):
    small_chunks(monkeypatch, fitted["crabnet"])
    with pytest.raises(InvalidValueError, match="at index 30 has the element Og"):
        fitted["crabnet"].predict([*table[0][:30], "OgO2", *table[0][30:]])


def test_chunked__bare_formula_or_mapping__is_refused_as_ever(fitted, monkeypatch):
    small_chunks(monkeypatch, fitted["crabnet"])
    for X in ("Li2FeSiO4", {f"Fe{i}O": i for i in range(1, 12)}):
        with pytest.raises(InvalidTypeError, match="got a bare"):
            fitted["crabnet"].predict(X)


def test_chunked__signature__is_that_of_the_method():
    parameters = inspect.signature(CrabNetRegressor.predict).parameters
    assert list(parameters) == ["self", "X", "return_std"]
    assert CrabNetRegressor.predict.__doc__.startswith("Predict.")


@pytest.mark.parametrize("chunk_size", [1, 7, 60, 1000])
def test_predict_in_chunks__forest__equals_predict(fitted, table, chunk_size):
    forest = fitted["forest"]
    found = predict_in_chunks(forest, table[0], chunk_size=chunk_size)
    np.testing.assert_array_equal(found, forest.predict(table[0]))


def test_predict_in_chunks__other_method_and_parameters__are_passed_on(fitted, table):
    features = predict_in_chunks(
        fitted["forest"][:-1], table[0], method="transform", chunk_size=9
    )
    np.testing.assert_array_equal(features, fitted["forest"][:-1].transform(table[0]))
    mean, std = predict_in_chunks(
        fitted["modnet"], table[0], chunk_size=9, return_std=True
    )
    assert mean.shape == std.shape == (60,)


def test_predict_in_chunks__bad_size__raises(fitted, table):
    with pytest.raises(InvalidValueError, match="1 or more; got 0"):
        predict_in_chunks(fitted["forest"], table[0], chunk_size=0)


def test_predict_in_chunks__many_rows__features_never_exist_at_once(fitted, table):
    X = table[0] * 40

    def peak(function):
        tracemalloc.start()
        function()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    forest = fitted["forest"]
    one_copy = len(X) * 132 * 8
    assert peak(lambda: forest.predict(X)) > one_copy
    assert peak(lambda: predict_in_chunks(forest, X, chunk_size=100)) < one_copy / 3
