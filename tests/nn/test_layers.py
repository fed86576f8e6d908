"""Blocks of the networks against loops over the published equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from skmatgnn.nn.layers import (
    BatchNorm,
    CrystalGraphConv,
    EdgeGatedConv,
    ElementEmbedding,
    GaussianBasis,
    NormedLinear,
    make_norm,
)
from skmatgnn.nn.ops import Adjacency, bond_cosines

DIM = 5


def random(*shape, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def halves(linear):
    """Split a linear map of twice the width into the two that it stands for."""

    def part(index):
        weight = linear.weight.chunk(2)[index]
        bias = None if linear.bias is None else linear.bias.chunk(2)[index]
        return lambda x: F.linear(x, weight, bias)

    return part(0), part(1)


def edge_gated_by_loops(conv, nodes, edges, graph):
    """Equations 1-4 of the ALIGNN paper, one atom and one bond at a time."""
    a, v = halves(conv.sender)
    b, u = halves(conv.receiver)
    logits, update = [], []
    for edge in range(graph.n_edges):
        j, i = graph.sender[edge], graph.receiver[edge]
        logits.append(a(nodes[j]) + b(nodes[i]) + conv.edge(edges[edge]))
    for i in range(graph.n_nodes):
        numerator = torch.zeros(DIM, dtype=torch.float64)
        denominator = torch.zeros(DIM, dtype=torch.float64)
        for edge in range(graph.n_edges):
            if graph.receiver[edge] == i:
                gate = 1 / (1 + torch.exp(-logits[edge]))
                numerator = numerator + gate * v(nodes[graph.sender[edge]])
                denominator = denominator + gate
        update.append(u(nodes[i]) + numerator / (denominator + 1e-6))
    new_nodes = nodes + F.silu(conv.node_norm(torch.stack(update)))
    if conv.edge_norm is None or not logits:
        return new_nodes, edges
    return new_nodes, edges + F.silu(conv.edge_norm(torch.stack(logits)))


def crystal_graph_by_loops(conv, nodes, edges, graph):
    """Equation 5 of the CGCNN paper, with the matrices put together again."""
    weight = torch.cat([conv.receiver.weight, conv.sender.weight, conv.edge.weight], 1)
    summed = torch.zeros(graph.n_nodes, DIM, dtype=torch.float64)
    if graph.n_edges:
        z = torch.stack(
            [
                torch.cat([nodes[i], nodes[j], edges[edge]])
                for edge, (i, j) in enumerate(
                    zip(graph.receiver, graph.sender, strict=True)
                )
            ]
        )
        logits = conv.logit_norm(z @ weight.T + conv.receiver.bias)
        messages = torch.sigmoid(logits[:, :DIM]) * F.softplus(logits[:, DIM:])
        for edge, i in enumerate(graph.receiver):
            summed[i] = summed[i] + messages[edge]
    return F.softplus(nodes + conv.node_norm(summed))


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("update_edges", [True, False])
def test_edge_gated_conv__random_graph__equals_loops(
    adjacency, randomise, norm, mode, update_edges
):
    conv = EdgeGatedConv(DIM, norm, update_edges=update_edges).double()
    randomise(conv).train(mode == "train")
    nodes, edges = random(adjacency.n_nodes, DIM), random(adjacency.n_edges, DIM)
    expected = edge_gated_by_loops(conv, nodes, edges, adjacency)
    randomise(conv)  # the statistics of the batch norm moved
    found = conv(nodes, edges, adjacency)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_crystal_graph_conv__random_graph__equals_loops(
    adjacency, randomise, norm, mode
):
    conv = CrystalGraphConv(DIM, 3, norm).double()
    randomise(conv).train(mode == "train")
    nodes, edges = random(adjacency.n_nodes, DIM), random(adjacency.n_edges, 3)
    expected = crystal_graph_by_loops(conv, nodes, edges, adjacency)
    randomise(conv)
    found = conv(nodes, edges, adjacency)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [EdgeGatedConv, CrystalGraphConv])
def test_convolutions__gradients__equal_finite_differences(adjacency, randomise, make):
    conv = make(DIM, "layer") if make is EdgeGatedConv else make(DIM, DIM, "layer")
    randomise(conv.double())
    nodes, edges = random(adjacency.n_nodes, DIM), random(adjacency.n_edges, DIM)
    assert torch.autograd.gradcheck(
        lambda n, e: conv(n, e, adjacency),
        (nodes.requires_grad_(), edges.requires_grad_()),
    )


def test_edge_gated_conv__inputs__are_left_alone(adjacency, randomise):
    conv = randomise(EdgeGatedConv(DIM, "batch").double())
    nodes, edges = random(adjacency.n_nodes, DIM), random(adjacency.n_edges, DIM)
    before = nodes.clone(), edges.clone()
    conv(nodes, edges, adjacency)
    assert torch.equal(nodes, before[0])
    assert torch.equal(edges, before[1])


def test_batch_norm__single_row_in_training__uses_and_keeps_running_statistics():
    norm = BatchNorm(3).train()
    norm.running_mean.fill_(2.0)
    norm.running_var.fill_(4.0)
    x = torch.tensor([[2.0, 4.0, 6.0]])
    expected = (x - 2) / math.sqrt(4 + norm.eps)
    torch.testing.assert_close(norm(x), expected)
    assert norm.running_mean.tolist() == [2.0] * 3
    assert torch.isfinite(norm(x[:0])).all()


def test_batch_norm__many_rows__is_that_of_torch():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = BatchNorm(3), torch.nn.BatchNorm1d(3)
    for mode in (True, True, False):
        assert torch.equal(ours.train(mode)(x), theirs.train(mode)(x))


@pytest.mark.parametrize("n", [9, 6, 2, 1, 0])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm__padded__equals_the_real_rows_alone(randomise, n, momentum):
    rows, by_y = random(9, 3), random(9, 3, seed=4)
    results = []
    for padded in (False, True):
        norm = randomise(BatchNorm(3).double()).train()
        norm.momentum = momentum
        norm.num_batches_tracked += 2
        x = rows.clone() if padded else rows[:n].clone()
        x[n:] = torch.nan  # what nobody wrote
        y = norm(x.requires_grad_(), torch.tensor(n) if padded else None)
        (y * by_y[: len(y)])[:n].sum().backward()
        assert torch.isfinite(y).all()
        assert not x.grad[n:].any()
        grads = [x.grad[:n], norm.weight.grad, norm.bias.grad]
        results.append([y[:n], *grads, *norm.state_dict().values()])
    for found, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_make_norm__unknown__raises():
    with pytest.raises(ValueError, match="'layer' or 'batch'; got 'group'"):
        make_norm("group", 3)


def test_gaussian_basis__alignn__has_the_spacing_as_inverse_width():
    basis = GaussianBasis.alignn(0.0, 8.0, 80).double()
    x = torch.tensor([0.0, 2.7, 8.0, 11.0], dtype=torch.float64)
    centers = torch.linspace(0, 8, 80).double()
    expected = torch.exp(-(79 / 8) * (x[:, None] - centers) ** 2)
    torch.testing.assert_close(basis(x), expected, rtol=1e-12, atol=0)


def test_element_embedding__table__rows_by_atomic_number_and_nan_is_zero():
    table = torch.arange(8.0).reshape(4, 2)
    table[0] = torch.nan
    embedding = ElementEmbedding(table)
    assert embedding(torch.tensor([3, 1, 0])).tolist() == [[6, 7], [2, 3], [0, 0]]
    assert not list(embedding.parameters())


def test_normed_linear__rows__is_linear_norm_silu(randomise):
    block = randomise(NormedLinear(4, 3, "layer").double())
    x = random(5, 4)
    hidden = F.linear(x, block[0].weight, block[0].bias)
    mean, var = hidden.mean(1, keepdim=True), hidden.var(1, False, keepdim=True)
    hidden = (hidden - mean) / (var + 1e-5).sqrt() * block[1].weight + block[1].bias
    torch.testing.assert_close(block(x), hidden / (1 + torch.exp(-hidden)))


def test_bond_cosines__right_angle_and_reverse__are_angles_at_the_shared_atom():
    # atom 0 at the origin, 1 at x, 2 at y, 3 at (1, 1): bonds into 0, then back
    neighbours = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [1.0, 1.0, 0]])
    displacement = torch.cat([neighbours, -neighbours]).double()
    into_0, out_of_0 = torch.arange(3), torch.arange(3, 6)
    sender = into_0.repeat(3)
    receiver = out_of_0.repeat_interleave(3)
    triplets = Adjacency.from_edges(sender, receiver, 6)
    half = math.sqrt(0.5)
    expected = [[1, 0, half], [0, 1, half], [half, half, 1]]
    torch.testing.assert_close(
        bond_cosines(displacement, triplets).reshape(3, 3),
        torch.tensor(expected, dtype=torch.float64),
    )


def test_bond_cosines__parallel_bonds__never_leave_the_range():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(500, 3, generator=generator)
    ids = torch.arange(500)
    triplets = Adjacency.from_edges(ids, ids, 500)
    assert bond_cosines(vectors, triplets).abs().max() <= 1
