"""Masked and weighted losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from skmatgnn.nn.losses import (
    REGRESSION_LOSSES,
    absolute_errors,
    cross_entropy,
    masked_reduce,
)

NAN = math.nan


def elementwise(name, p, t):
    d = p - t
    if name == "huber":
        return 0.5 * d * d if abs(d) <= 1 else abs(d) - 0.5
    return abs(d) if name == "l1" else d * d


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    prediction, target = rng.normal(size=(2, 6, 3)) * 2
    target[rng.random((6, 3)) < 0.4] = NAN
    target[2] = NAN
    return prediction, target, rng.random(6)


@pytest.mark.parametrize("name", REGRESSION_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_masked_reduce__unknown_targets__mean_over_known_cells(table, name, weighted):
    prediction, target, weight = table
    known = [(i, k) for i in range(6) for k in range(3) if not np.isnan(target[i, k])]
    expected = sum(
        elementwise(name, prediction[i, k], target[i, k])
        * (weight[i] if weighted else 1.0)
        for i, k in known
    ) / len(known)
    p = torch.tensor(prediction, requires_grad=True)
    w = torch.tensor(weight) if weighted else None
    loss = masked_reduce(REGRESSION_LOSSES[name], p, torch.tensor(target), w)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert torch.isfinite(p.grad).all()
    assert ((p.grad != 0).numpy() == ~np.isnan(target)).all()


def test_masked_reduce__gradient__equals_finite_differences(table):
    prediction, target, weight = table
    target, weight = torch.tensor(target), torch.tensor(weight)
    assert torch.autograd.gradcheck(
        lambda p: masked_reduce(REGRESSION_LOSSES["mse"], p, target, weight),
        torch.tensor(prediction, requires_grad=True),
    )


@pytest.mark.parametrize("name", REGRESSION_LOSSES)
def test_masked_reduce__nothing_known__is_zero_with_zero_gradient(name):
    p = torch.ones(2, 2, requires_grad=True)
    loss = masked_reduce(REGRESSION_LOSSES[name], p, torch.full((2, 2), NAN))
    loss.backward()
    assert loss.item() == 0.0
    assert (p.grad == 0).all()


def test_masked_reduce__infinite_prediction_of_an_unknown__does_not_spread():
    p = torch.tensor([[1e30, 1.0]], requires_grad=True)
    loss = masked_reduce(REGRESSION_LOSSES["mse"], p, torch.tensor([[NAN, 0.0]]))
    loss.backward()
    assert loss.item() == 1.0
    assert p.grad.tolist() == [[0.0, 2.0]]


def test_masked_reduce__zero_weight__equals_leaving_the_sample_out_of_the_sum():
    p, t = torch.tensor([[3.0], [5.0]]), torch.zeros(2, 1)
    loss = masked_reduce(REGRESSION_LOSSES["l1"], p, t, torch.tensor([2.0, 0.0]))
    assert loss.item() == 3.0


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 0.5]])
def test_cross_entropy__class_indices__is_the_mean_negative_log_likelihood(weight):
    logits = np.array([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0], [-1.0, 4.0, 2.0]])
    classes = [0, 2, 1]
    each = [
        math.log(np.exp(row).sum()) - row[k]
        for row, k in zip(logits, classes, strict=True)
    ]
    expected = np.mean(np.array(each) * (1.0 if weight is None else np.array(weight)))
    loss = cross_entropy(
        torch.tensor(logits),
        torch.tensor(classes, dtype=torch.float64)[:, None],
        None if weight is None else torch.tensor(weight, dtype=torch.float64),
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_absolute_errors__unknown_targets_and_more_columns__sums_per_target(
    table, weighted
):
    prediction, target, weight = table
    more = torch.tensor(np.column_stack([prediction, np.full((6, 3), 1e9)]))
    given = torch.tensor(weight) if weighted else None
    total, known = absolute_errors(more, torch.tensor(target), given)
    w = weight[:, None] if weighted else np.ones((6, 1))
    expected = np.nansum(w * np.abs(prediction - target), axis=0)
    assert total.numpy() == pytest.approx(expected)
    assert known.tolist() == np.isfinite(target).sum(axis=0).tolist()
