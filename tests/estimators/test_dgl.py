"""Estimators on lists of DGL graphs: the same as on structures."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from skmatgnn import ALIGNNRegressor, CGCNNClassifier, CGCNNRegressor
from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs import StructureToGraph
from skmatgnn.nn.ops import kernels

pytestmark = pytest.mark.skipif(
    find_spec("dgl") is None, reason="needs the extra skmatgnn[dgl]"
)
SMALL = {"max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    X, y = make_crystals(24, random_state=0, return_X_y=True)
    return X, y, StructureToGraph(output="dgl").transform(X)


@pytest.mark.parametrize("cls", [ALIGNNRegressor, CGCNNRegressor])
def test_estimator__dgl_graphs__same_as_structures_bit_for_bit(data, cls):
    X, y, graphs = data
    expected = cls(**SMALL).fit(X, y).predict(X)
    model = cls(**SMALL).fit(graphs, y)
    for same in (graphs, tuple(graphs), X):
        np.testing.assert_array_equal(model.predict(same), expected)
    frozen = np.empty(len(graphs), dtype=object)
    frozen[:] = graphs
    np.testing.assert_array_equal(model.embed(frozen), model.embed(X))


def test_estimator__in_pipeline_and_cross_validation__takes_dgl_graphs(data):
    X, y, graphs = data
    model = ALIGNNRegressor(**SMALL)
    expected = cross_val_predict(model, X, y, cv=KFold(3))
    np.testing.assert_array_equal(
        cross_val_predict(model, graphs, y, cv=KFold(3)), expected
    )
    pipeline = make_pipeline(StructureToGraph(output="dgl"), model)
    np.testing.assert_array_equal(
        cross_val_predict(pipeline, X, y, cv=KFold(3)), expected
    )


def test_cgcnn__lengths_only__will_do_and_alignn_says_why_not(data):
    _, y, graphs = data
    graphs = [graph.clone() for graph in graphs]
    for graph in graphs:
        graph.edata["d"] = graph.edata.pop("r").norm(dim=1)
    model = CGCNNClassifier(**SMALL).fit(graphs, y > np.median(y))
    expected = CGCNNClassifier(**SMALL).fit(data[2], y > np.median(y))
    np.testing.assert_allclose(
        model.predict_proba(graphs), expected.predict_proba(data[2]), atol=1e-4
    )
    with pytest.raises(InvalidValueError, match="index 0 has only lengths of bonds"):
        ALIGNNRegressor(**SMALL).fit(graphs, y)


def test_estimator__trained_through_dgl_kernels__learns_the_same(data):
    X, y, _ = data
    model = ALIGNNRegressor(precision="float64", **SMALL)
    expected = model.fit(X, y).predict(X)
    with kernels("dgl"):
        found = model.fit(X, y).predict(X)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert not np.array_equal(found, expected)


def test_estimator__mixed_or_spoilt_input__is_named_by_its_index(data):
    X, y, graphs = data
    model = ALIGNNRegressor(**SMALL)
    with pytest.raises(InvalidTypeError, match="DGLGraph at index 2; got Structure"):
        model.fit([*graphs[:2], *X[2:]], y)
    bare = graphs[5].clone()
    del bare.ndata["Z"], bare.ndata["atom_features"]
    with pytest.raises(InvalidValueError, match="DGLGraph at index 5 does not say"):
        model.fit([*graphs[:5], bare, *graphs[6:]], y)
    with pytest.raises(InvalidTypeError, match="sequence of structures"):
        model.fit(graphs[0], y)
    other = StructureToGraph(max_neighbors=8).transform(X)
    with pytest.raises(InvalidValueError, match="max_neighbors=12 instead of 8"):
        model.fit(other, y).predict(graphs)
