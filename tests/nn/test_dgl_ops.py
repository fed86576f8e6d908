"""Message passing through DGL's kernels against the reference, values and gradients."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nn.layers import CrystalGraphConv, EdgeGatedConv
from skmatgnn.nn.ops import (
    _choice,
    gather_receivers,
    gather_senders,
    kernels,
    segment_mean,
    segment_sum,
)

pytestmark = pytest.mark.skipif(
    find_spec("dgl") is None, reason="needs the extra skmatgnn[dgl]"
)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def random(*shape, seed=5):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return values.requires_grad_()


def results(function, inputs, choice):
    """Outputs, and gradients of a sum in which all of them have other weights."""
    with kernels(choice):
        outputs = function()
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        total = sum(
            (out * random(*out.shape, seed=i).detach()).sum()
            for i, out in enumerate(outputs)
        )
        gradients = torch.autograd.grad(total, inputs, allow_unused=True)
    return outputs, gradients


def assert_same(function, inputs):
    inputs = list(inputs)
    found, expected = (results(function, inputs, c) for c in ("dgl", "reference"))
    for ours, theirs in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, **CLOSE)
    return found


@pytest.mark.parametrize("function", [segment_sum, segment_mean])
@pytest.mark.parametrize("width", [1, 4])
def test_segments__random_graph__equal_the_reference(adjacency, function, width):
    values = random(adjacency.n_edges, width)
    ends = adjacency.receiver_ptr, adjacency.receiver
    assert_same(lambda: function(values, *ends), [values])


@pytest.mark.parametrize("function", [gather_senders, gather_receivers])
def test_gathers__random_graph__equal_the_reference(adjacency, function):
    x = random(adjacency.n_nodes, 3)
    assert_same(lambda: function(x, adjacency), [x])


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("edge_messages", [False, True])
@pytest.mark.parametrize("update_edges", [False, True])
def test_edge_gated_conv__random_graph__equals_the_reference(
    adjacency, randomise, norm, edge_messages, update_edges
):
    conv = EdgeGatedConv(
        4, norm, update_edges=update_edges, edge_messages=edge_messages
    )
    randomise(conv.double()).eval()
    nodes, edges = random(adjacency.n_nodes, 4), random(adjacency.n_edges, 4, seed=8)
    inputs = [nodes, edges, *conv.parameters()]
    assert_same(lambda: conv(nodes, edges, adjacency), inputs)


def test_crystal_graph_conv__random_graph__equals_the_reference(adjacency, randomise):
    conv = randomise(CrystalGraphConv(4, 3).double()).eval()
    nodes, edges = random(adjacency.n_nodes, 4), random(adjacency.n_edges, 3, seed=8)
    inputs = [nodes, edges, *conv.parameters()]
    assert_same(lambda: conv(nodes, edges, adjacency), inputs)


@pytest.fixture(scope="module")
def batch():
    transformer = StructureToGraph(dtype="float64", three_body_cutoff=4.0)
    crystals = make_crystals(4, random_state=0).data
    return GraphBatch.from_graphs(transformer.transform(crystals))


def test_networks__crystals__equal_the_reference(batch, make_model):
    model = make_model().double()
    found = assert_same(lambda: model(batch), model.parameters())
    assert found[0][0].std() > 1e-6  # not the same for all crystals


def test_edge_gated_conv__choice__is_what_computes(adjacency, randomise):
    conv = randomise(EdgeGatedConv(4, "layer").double())
    nodes, edges = random(adjacency.n_nodes, 4), random(adjacency.n_edges, 4, seed=8)

    def steps(choice):
        with kernels(choice):
            nodes_out, edges_out = conv(nodes, edges, adjacency)
        seen, todo = set(), [nodes_out.grad_fn, edges_out.grad_fn]
        while todo:
            step = todo.pop()
            if step is not None and step not in seen:
                seen.add(step)
                todo.extend(after for after, _ in step.next_functions)
        return {type(step).__name__ for step in seen}

    assert any("GSpMM" in name for name in steps("dgl"))
    assert any("GSDDMM" in name for name in steps("dgl"))
    assert not any("GSp" in n or "GSD" in n for n in steps("reference"))


def test_choice__dgl__is_made_by_the_variable_and_never_by_auto(monkeypatch):
    monkeypatch.delenv(_choice.VARIABLE, raising=False)
    assert not _choice.use_dgl()
    monkeypatch.setenv(_choice.VARIABLE, "dgl")
    assert _choice.use_dgl()
    assert not _choice.use_kernels(torch.zeros(1), 4)
    with kernels("reference"):
        assert not _choice.use_dgl()
