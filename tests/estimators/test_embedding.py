"""GraphEmbedding and embed."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

from skmatgnn import GraphEmbedding


@pytest.mark.parametrize("name", ["ALIGNNRegressor", "CGCNNRegressor"])
def test_embed__head_applied_to_it__is_the_prediction(name, data, small):
    model = small.model(name).fit(data.X, data.y)
    features = model.embed(data.X)
    assert features.shape == (24, 8)
    assert features.dtype == np.float64
    head = model.net_.module_.head
    weight, bias = (p.detach().numpy().astype(float) for p in head.parameters())
    outputs = features @ weight.T + bias
    prediction = model.target_scaler_.inverse_transform(outputs)[:, 0]
    assert model.predict(data.X) == pytest.approx(prediction, rel=1e-4)


@pytest.mark.parametrize("name", ["ALIGNNRegressor", "CGCNNClassifier"])
def test_graph_embedding__fit__trains_a_clone(name, data, small):
    model = small.model(name)
    y = data.labels if hasattr(model, "predict_proba") else data.y
    embedding = GraphEmbedding(model)
    features = embedding.fit_transform(data.X, y)
    assert np.array_equal(features, clone(model).fit(data.X, y).embed(data.X))
    assert not hasattr(model, "net_")
    assert embedding.estimator_.history_


def test_graph_embedding__frozen_model__is_used_as_it_is(data, small):
    model = small.model().fit(data.X, data.y)
    expected = model.embed(data.X)
    embedding = GraphEmbedding(FrozenEstimator(model)).fit(data.X)
    assert np.array_equal(embedding.transform(data.X), expected)
    cloned = clone(embedding).fit(data.X[:2], np.zeros(2))
    assert np.array_equal(cloned.transform(data.X), expected)


def test_graph_embedding__in_cross_validation__trains_on_each_fold(data, small):
    pipeline = make_pipeline(GraphEmbedding(small.model()), Ridge())
    prediction = cross_val_predict(pipeline, data.X, data.y, cv=3)
    train = data.X[8:]
    embedding = GraphEmbedding(small.model()).fit(train, data.y[8:])
    ridge = Ridge().fit(embedding.transform(train), data.y[8:])
    expected = ridge.predict(embedding.transform(data.X[:8]))
    assert prediction[:8] == pytest.approx(expected, rel=1e-9)


def test_graph_embedding__grid_search__reaches_the_estimator(data, small):
    pipeline = make_pipeline(GraphEmbedding(small.model()), Ridge())
    grid = {"graphembedding__estimator__hidden_dim": [3, 5]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(data.X, data.y)
    width = next(iter(search.best_params_.values()))
    assert search.best_estimator_[0].transform(data.X).shape == (24, width)


def test_graph_embedding__pandas_output__has_named_columns_and_rows(data, small):
    embedding = GraphEmbedding(small.model()).set_output(transform="pandas")
    frame = embedding.fit_transform(data.X, data.y)
    assert frame.columns.tolist() == [f"embedding{i}" for i in range(8)]


def test_graph_embedding__fit_parameters__reach_the_estimator(data, small):
    weight = np.r_[np.ones(12), np.zeros(12)]
    embedding = GraphEmbedding(small.model()).fit(
        data.X, data.y, sample_weight=weight, groups=data.groups
    )
    expected = small.model().fit(data.X, data.y, sample_weight=weight).embed(data.X)
    assert np.array_equal(embedding.transform(data.X), expected)


@pytest.mark.parametrize("bad", [Ridge(), FrozenEstimator(Ridge())], ids=str)
def test_graph_embedding__other_estimator__is_refused(bad, data):
    with pytest.raises(TypeError, match=r"must be a graph estimator.*got Ridge"):
        GraphEmbedding(bad).fit(data.X, data.y)


@pytest.mark.parametrize("bad", [None, "ALIGNN", 3])
def test_graph_embedding__no_estimator__is_refused(bad, data):
    with pytest.raises(ValueError, match="'estimator' parameter"):
        GraphEmbedding(bad).fit(data.X, data.y)


def test_graph_embedding__frozen_but_unfitted__says_so_in_fit(data, small):
    with pytest.raises(NotFittedError):
        GraphEmbedding(FrozenEstimator(small.model())).fit(data.X)


def test_graph_embedding__before_fit__is_not_fitted(data, small):
    for method in ("transform", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(GraphEmbedding(small.model()), method)(data.X)


def test_graph_embedding__missing_y__is_explained(data, small):
    with pytest.raises(ValueError, match=r"requires y to be passed.*FrozenEstimator"):
        GraphEmbedding(small.model()).fit(data.X)


def test_embed__before_fit__is_not_fitted(estimator, data):
    with pytest.raises(NotFittedError):
        estimator.embed(data.X)
