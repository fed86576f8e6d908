"""Segment operations against loops, and their gradients against finite differences."""

from __future__ import annotations

import pytest
import torch

from skmatgnn.nn.ops import (
    Adjacency,
    gather_receivers,
    gather_senders,
    segment_mean,
    segment_sum,
)


def random(*shape, seed=5):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.requires_grad_()


def test_adjacency__from_edges__sorts_both_ways(adjacency):
    for node in range(adjacency.n_nodes):
        start, stop = adjacency.receiver_ptr[node : node + 2].tolist()
        assert (adjacency.receiver[start:stop] == node).all()
        assert stop - start == (adjacency.receiver == node).sum()
        start, stop = adjacency.sender_ptr[node : node + 2].tolist()
        assert (adjacency.sender[adjacency.by_sender[start:stop]] == node).all()
        assert stop - start == (adjacency.sender == node).sum()


def test_adjacency__to__is_a_new_equal_object(adjacency):
    copy = adjacency.to("cpu")
    assert copy is not adjacency
    assert torch.equal(copy.by_sender, adjacency.by_sender)
    assert (copy.n_nodes, copy.n_edges) == (adjacency.n_nodes, adjacency.n_edges)


@pytest.mark.parametrize("operation", ["sum", "mean"])
@pytest.mark.parametrize("width", [1, 4])
def test_segments__ragged_rows__equal_loops(adjacency, operation, width):
    values = random(adjacency.n_edges, width)
    function = {"sum": segment_sum, "mean": segment_mean}[operation]
    result = function(values, adjacency.receiver_ptr, adjacency.receiver)
    expected = torch.zeros(adjacency.n_nodes, width, dtype=torch.float64)
    for node in range(adjacency.n_nodes):
        rows = [
            values[edge].detach()
            for edge in range(adjacency.n_edges)
            if adjacency.receiver[edge] == node
        ]
        if rows:
            total = torch.stack(rows).sum(0)
            expected[node] = total / (len(rows) if operation == "mean" else 1)
    torch.testing.assert_close(result.detach(), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("function", [segment_sum, segment_mean])
def test_segments__gradient__equals_finite_differences(adjacency, function):
    values = random(adjacency.n_edges, 3)
    assert torch.autograd.gradcheck(
        lambda v: function(v, adjacency.receiver_ptr, adjacency.receiver), values
    )


@pytest.mark.parametrize("end", ["sender", "receiver"])
def test_gather__rows__equal_loops(adjacency, end):
    x = random(adjacency.n_nodes, 3)
    function = {"sender": gather_senders, "receiver": gather_receivers}[end]
    result = function(x, adjacency)
    assert result.shape == (adjacency.n_edges, 3)
    for edge, node in enumerate(getattr(adjacency, end).tolist()):
        assert torch.equal(result[edge], x[node])


@pytest.mark.parametrize("function", [gather_senders, gather_receivers])
def test_gather__gradient__equals_finite_differences(adjacency, function):
    x = random(adjacency.n_nodes, 3)
    assert torch.autograd.gradcheck(lambda v: function(v, adjacency), x)


@pytest.mark.parametrize("function", [gather_senders, gather_receivers])
def test_gather__gradient_with_strides__equals_autograd_of_indexing(
    adjacency, function
):
    x, index = random(adjacency.n_nodes, 4), random(adjacency.n_edges, 2, seed=9)
    ids = adjacency.sender if function is gather_senders else adjacency.receiver
    (expected,) = torch.autograd.grad((x[ids][:, ::2] * index).sum(), x)
    (found,) = torch.autograd.grad((function(x, adjacency)[:, ::2] * index).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)


def test_operations__float32_and_bfloat16__keep_the_format(adjacency):
    for dtype in (torch.float32, torch.bfloat16):
        x = random(adjacency.n_nodes, 3).detach().to(dtype)
        edges = gather_senders(x, adjacency)
        pooled = segment_mean(edges, adjacency.receiver_ptr, adjacency.receiver)
        assert edges.dtype == pooled.dtype == dtype


def test_segment_mean__single_nodes__is_the_identity():
    ids = torch.arange(5)
    graph = Adjacency.from_edges(ids, ids, 5)
    x = random(5, 2)
    assert torch.equal(segment_mean(x, graph.receiver_ptr, ids), x)
