"""Small data and small networks: a fit takes some 20 ms."""

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest

import skmatgnn
from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import StructureToGraph
from skmatgnn.nets import GraphNet

ALIGNN = {
    "hidden_dim": 8,
    "embedding_dim": 8,
    "n_radial": 8,
    "n_angular": 4,
    "n_alignn_layers": 1,
    "n_gcn_layers": 1,
}
CGCNN = {"node_dim": 8, "hidden_dim": 8, "n_conv_layers": 1, "edge_step": 1.0}
GRAPH = {"max_epochs": 2, "max_neighbors": 4, "random_state": 0, "device": "cpu"}
SMALL = {
    "ALIGNNRegressor": ALIGNN,
    "ALIGNNClassifier": ALIGNN,
    "CGCNNRegressor": CGCNN,
    "CGCNNClassifier": CGCNN,
    "MPTRegressor": {**ALIGNN, "head_dim": 4},
}


def make_model(name="CGCNNRegressor", **parameters):
    return getattr(skmatgnn, name)(**{**GRAPH, **SMALL[name], **parameters})


def make_graphs(model, structures):
    """Graphs as the model itself makes them."""
    transformer = StructureToGraph(
        cutoff=model.cutoff,
        max_neighbors=model.max_neighbors,
        three_body_cutoff=getattr(model, "three_body_cutoff", None),
    )
    return transformer.fit_transform(structures)


@pytest.fixture(scope="session")
def small():
    """Factories of small models."""
    return SimpleNamespace(
        model=make_model,
        graphs=make_graphs,
        names=tuple(SMALL),
        alignn=ALIGNN,
        cgcnn=CGCNN,
    )


@pytest.fixture(scope="session")
def data():
    """24 crystals of one to five atoms, with a target, labels and groups."""
    X, y = make_crystals(24, random_state=0, return_X_y=True)
    labels = np.where(y > np.median(y), "hard", "soft").astype(object)
    return SimpleNamespace(X=list(X), y=y, labels=labels, groups=np.arange(24) // 3)


@pytest.fixture(params=["ALIGNNRegressor", "CGCNNRegressor", "MPTRegressor"])
def regressor(request):
    return make_model(request.param)


@pytest.fixture(params=["ALIGNNClassifier", "CGCNNClassifier"])
def classifier(request):
    return make_model(request.param)


@pytest.fixture(params=list(SMALL))
def estimator(request):
    return make_model(request.param)


@pytest.fixture(scope="module")
def never_trains():
    """Fail as soon as a network is trained."""

    def fail(*_, **__):
        raise AssertionError("training began")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GraphNet, "fit_loop", fail)
        yield


def _refusal(call, *arguments, **parameters):
    """Error of a call that must be refused, quickly, with a complete message."""
    start = time.process_time()
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arguments, **parameters)
    assert time.process_time() - start < 5
    text = str(caught.value)
    assert len(text) < 1500
    return caught.value, text


def _names_index(text, index):
    return re.search(rf"\bindex {index}\b", text) is not None


@pytest.fixture(scope="session")
def refusal():
    """Calls that must be refused, and what their messages must have."""
    _refusal.names_index = _names_index
    return _refusal
