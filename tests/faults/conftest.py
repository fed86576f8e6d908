"""Small crystals and a small network that trains in a fraction of a second."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import make_crystals

SMALL = {
    "max_neighbors": 4,
    "node_dim": 8,
    "hidden_dim": 8,
    "n_conv_layers": 1,
    "edge_step": 1.0,
    "max_epochs": 6,
    "batch_size": 8,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture(scope="session")
def data():
    X, y = make_crystals(24, random_state=0, return_X_y=True)
    return SimpleNamespace(X=list(X), y=y)


@pytest.fixture
def make_model():
    return lambda **parameters: CGCNNRegressor(**{**SMALL, **parameters})
