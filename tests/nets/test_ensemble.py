"""Losses of members that are trained side by side."""

import numpy as np
import pytest
import torch

from skmatgnn.nets import TableDataset
from skmatgnn.nets._dataset import Labels
from skmatgnn.nets._ensemble import (
    EnsembleClassificationLoss,
    EnsembleRegressionLoss,
    bootstrap_weights,
)

NAN = float("nan")


def test_bootstrap_weights__each_member__draws_as_many_rows_as_there_are():
    weight = np.array([1.0, 2.0, 0.5, 0.5])
    drawn = bootstrap_weights(4, 50, weight, np.random.RandomState(0))
    assert np.array_equal(drawn[:, 0], weight)
    counts = drawn[:, 1:] / weight[:, None]
    assert np.array_equal(counts, counts.round())
    assert (counts.sum(axis=0) == 4).all()
    assert 0.2 < (counts == 0).mean() < 0.45  # (3/4)^4 = 0.32
    unweighted = bootstrap_weights(4, 50, None, np.random.RandomState(0))
    assert np.array_equal(unweighted[:, 1:], counts)


def test_bootstrap_weights__in_a_dataset__follow_their_rows():
    weight = bootstrap_weights(5, 2, None, np.random.RandomState(0))
    data = TableDataset(np.zeros((5, 1)), np.zeros((5, 1)), weight)
    _, labels = data.pack("cpu", torch.float64).take(np.array([3, 1]))
    assert np.array_equal(labels.weight.numpy(), weight[[3, 1]])


def test_regression_loss__training__averages_what_each_member_sees():
    target = torch.tensor([[1.0, NAN], [2.0, 4.0]])
    # two members, two targets
    prediction = torch.tensor([[2.0, 0, 4, 0], [2, 5, 0, 8]], requires_grad=True)
    weight = torch.tensor([[1.0, 2, 0], [1.0, 1, 1]])
    loss = EnsembleRegressionLoss("l1", n_members=2).train()
    value = loss(prediction, Labels(target, weight))
    # member 0: 2 * 1, 0, 1; member 1: 0 * 3, 2, 4; six known cells
    assert value.item() == pytest.approx((2 + 0 + 1 + 0 + 2 + 4) / 6)
    value.backward()
    assert prediction.grad.isfinite().all()
    assert prediction.grad[0, 2] == 0


def test_regression_loss__evaluation__is_that_of_the_mean_prediction():
    target = torch.tensor([[1.0, NAN], [2.0, 4.0]])
    prediction = torch.tensor([[2.0, 0, 4, 0], [2, 5, 0, 8]])
    weight = torch.tensor([[3.0, 2, 0], [1.0, 1, 1]])
    loss = EnsembleRegressionLoss("l1", n_members=2).eval()
    expected = (3 * 2 + 1 + 2.5) / 3
    assert float(loss(prediction, Labels(target, weight))) == pytest.approx(expected)
    plain = loss(prediction, Labels(target, weight[:, 0]))
    assert float(plain) == pytest.approx(expected)


def test_classification_loss__training__is_the_mean_over_members():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0.0], [2.0], [1.0], [0.0]])
    loss = EnsembleClassificationLoss(n_members=2).train()
    expected = np.mean(
        [
            float(torch.nn.functional.cross_entropy(part, target[:, 0].long()))
            for part in logits.split(3, dim=1)
        ]
    )
    assert float(loss(logits, Labels(target, None))) == pytest.approx(expected)
    ones = torch.ones(4, 3)
    assert float(loss(logits, Labels(target, ones))) == pytest.approx(expected)


def test_classification_loss__evaluation__is_that_of_the_mean_probability():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0.0], [2.0], [1.0], [0.0]])
    loss = EnsembleClassificationLoss(n_members=2).eval()
    mean = logits.unflatten(1, (2, 3)).softmax(dim=2).mean(dim=1)
    expected = -mean.gather(1, target.long()).log().mean()
    assert float(loss(logits, Labels(target, None))) == pytest.approx(float(expected))
