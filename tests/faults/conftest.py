"""Small crystals and a small network that trains in a fraction of a second."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import make_crystals
from skmatgnn.nets._training_record import TrainingRecord

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


class Stop(BaseException):
    """Something that ends a process."""


@pytest.fixture(scope="session")
def data():
    X, y = make_crystals(24, random_state=0, return_X_y=True)
    return SimpleNamespace(X=list(X), y=y)


@pytest.fixture
def make_model():
    return lambda **parameters: CGCNNRegressor(**{**SMALL, **parameters})


@pytest.fixture
def fit_until(monkeypatch):
    """Fit a model and stop it after an epoch."""

    def fit(model, data, epoch, **kwargs):
        after = TrainingRecord.after_epoch

        def stop(self, net):
            after(self, net)
            if len(net.history) == epoch:
                raise Stop

        with monkeypatch.context() as patch:
            patch.setattr(TrainingRecord, "after_epoch", stop)
            with pytest.raises(Stop):
                model.fit(data.X, data.y, **kwargs)

    return fit
