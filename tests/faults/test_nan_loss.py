"""Training that goes astray: where, and what is kept."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skmatgnn import CrabNetRegressor
from skmatgnn.nets import GraphNet, TrainingInterruptedWarning


def spoil(patch, epoch, row):
    """Make the loss of the batch with a given sample NaN in some epoch."""
    begin, step = GraphNet.on_epoch_begin, GraphNet.train_step_single
    get = GraphNet.get_iterator
    place = {}

    def get_iterator(self, dataset, training=False):
        iterator = get(self, dataset, training=training)
        place.update({"iterator": iterator} if training else {})
        return iterator

    def on_epoch_begin(self, net, **kwargs):
        place["step"] = 0
        begin(self, net, **kwargs)

    def train_step_single(self, batch, **kwargs):
        iterator, number = place["iterator"], place["step"]
        rows = np.array_split(iterator.drawn, len(iterator))[number]
        place["step"] += 1
        found = step(self, batch, **kwargs)
        if len(self.history) == epoch and row in rows:
            found["loss"] = found["loss"] * torch.nan
        return found

    for changed in (get_iterator, on_epoch_begin, train_step_single):
        patch.setattr(GraphNet, changed.__name__, changed)


def test_fit__loss_becomes_nan__names_epoch_step_and_samples(
    make_model, data, monkeypatch
):
    kept = make_model(max_epochs=3, lr_schedule="constant").fit(data.X, data.y)
    spoil(monkeypatch, 4, 11)
    model = make_model(lr_schedule="constant")
    with pytest.warns(TrainingInterruptedWarning) as caught:
        model.fit(data.X, data.y)
    text = str(caught[0].message)
    pattern = r"became nan in epoch 4; .*step \d of 3, with .* index ([\d, ]+)\."
    found = re.search(pattern, text)
    assert found, text
    rows = [int(row) for row in found[1].split(", ")]
    assert 11 in rows
    assert len(rows) == 8
    assert rows == sorted(rows)
    assert np.array_equal(model.predict(data.X), kept.predict(data.X))
    assert model.best_epoch_ <= 3


class NanGradients(Callback):
    """Break the gradients of one epoch, after its loss."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_grad_computed(self, net, named_parameters=(), **_):
        if len(net.history) == self.epoch:
            for _, parameter in named_parameters:
                parameter.grad.fill_(torch.nan)


@pytest.mark.parametrize("epoch", [1, 3])
def test_fit__weights_become_nan_after_the_best_loss__are_not_kept(
    make_model, data, epoch
):
    settings = {"batch_size": 100, "lr_schedule": "constant", "norm": "layer"}
    model = make_model(callbacks=[NanGradients(epoch)], **settings)
    kept = "no model is kept" if epoch == 1 else "the model of epoch 2 is kept"
    with pytest.warns(TrainingInterruptedWarning, match=kept):
        model.fit(data.X, data.y)
    if epoch == 3:
        expected = make_model(**{**settings, "max_epochs": 2}).fit(data.X, data.y)
        assert np.array_equal(model.predict(data.X), expected.predict(data.X))


def test_fit__outlier_in_y__is_named_where_it_stood(data):
    formulas = [structure.formula for structure in data.X]
    formulas = [formulas[0], formulas[0], *formulas]  # the first three become one
    y = np.array([data.y[0], data.y[0], *data.y])
    y[9] = 1e30
    small = {"d_model": 8, "n_heads": 2, "n_layers": 0, "max_epochs": 5}
    model = CrabNetRegressor(loss="mse", lr=1e19, random_state=0, device="cpu", **small)
    with pytest.warns(
        TrainingInterruptedWarning, match="that at index 9 is 5 standard"
    ):
        model.fit(formulas, y)


def test_fit__with_a_checkpoint_dir__is_not_taken_for_finished(
    make_model, data, monkeypatch, tmp_path
):
    with monkeypatch.context() as patch:
        spoil(patch, 4, 11)
        with pytest.warns(TrainingInterruptedWarning):
            make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    model = make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    assert model.n_epochs_ == 6
    assert np.array_equal(
        model.predict(data.X), make_model().fit(data.X, data.y).predict(data.X)
    )
