"""Blocks on the CPU against the plain implementation in float64."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nn import ALIGNN
from skmatgnn.nn.layers import EdgeGatedConv, NormedLinear
from skmatgnn.nn.ops import (
    Adjacency,
    _block_state,
    _choice,
    _products,
    distinct_rows,
    kernels,
)
from skmatgnn.utils import _compiled

DIM = 8
DEGREES = {
    "ragged": [0, 1, 12, 0, 64, 5, 3, 17, 0],
    "every_degree": list(range(1, 65)),
    "one_atom": [6],
    "two_edges": [0, 1, 1],
}
NO_EDGES = {"one_atom_alone": [0], "no_edges": [0, 0, 0]}
HAS_NUMBA = find_spec("numba") is not None


@pytest.fixture(
    params=[
        "torch",
        pytest.param(
            "numba", marks=pytest.mark.skipif(not HAS_NUMBA, reason="needs Numba")
        ),
    ]
)
def blocks(request, monkeypatch):
    """Small blocks, by one of the two implementations."""
    if request.param == "torch":
        monkeypatch.setattr(_choice, "_compiled_blocks", lambda: None)
    monkeypatch.setattr(_block_state, "BLOCK_NUMBERS", 16 * DIM)
    monkeypatch.setattr(_block_state, "MIN_ROWS", 1)
    return request.param


def make_graph(degrees, seed=0):
    generator = torch.Generator().manual_seed(seed)
    degree = torch.tensor(degrees, dtype=torch.int64)
    receiver = torch.repeat_interleave(torch.arange(len(degree)), degree)
    sender = torch.randint(0, len(degree), (len(receiver),), generator=generator)
    return Adjacency.from_edges(sender, receiver, len(degree))


def make_case(degrees, norm="layer", *, indexed=False, dim=DIM, **options):
    """A convolution with random weights, its inputs, and the rows that edges read."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    graph = make_graph(degrees)
    conv = EdgeGatedConv(dim, norm, **options).double()
    for value in conv.parameters():
        value.data = random(*value.shape) * (dim**-0.5 if value.ndim == 2 else 1)
    index = None
    if indexed:  # one row that no edge reads
        index = torch.randint(0, 5, (graph.n_edges,), generator=generator)
    edges = random(6 if indexed else graph.n_edges, dim)
    inputs = [random(graph.n_nodes, dim), edges]
    return conv, [x.requires_grad_() for x in inputs], graph, index


def outputs_and_gradients(choice, conv, inputs, graph, index):
    inputs = [x.detach().to(conv.edge.weight).requires_grad_() for x in inputs]
    with kernels(choice):
        outputs = conv(*inputs, graph, index=index)
    if conv.edge_norm is None:
        outputs = outputs[:1]
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(o.shape, generator=generator).to(o) for o in outputs]
    loss = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
    wanted = [*inputs, *conv.parameters()]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    gradients = [
        torch.zeros_like(x) if g is None else g
        for g, x in zip(found, wanted, strict=True)
    ]
    return [*(o.detach() for o in outputs), *gradients]


def assert_close(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        scale = float(other.detach().abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(
            one.double(), other.double(), rtol=tolerance, atol=tolerance * (1 + scale)
        )


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("edge_messages", [False, True])
@pytest.mark.parametrize("update_edges", [False, True])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("degrees", DEGREES)
def test_blocked_update__float64__equals_reference(
    blocks, degrees, norm, update_edges, edge_messages, indexed
):
    case = make_case(
        DEGREES[degrees],
        norm,
        indexed=indexed,
        update_edges=update_edges,
        edge_messages=edge_messages,
    )
    if norm == "batch":
        case[0].eval()  # no variance of one row, and none that cancels
    expected = outputs_and_gradients("reference", *case)
    assert_close(outputs_and_gradients("blocked", *case), expected, 1e-11)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("edge_messages", [False, True])
@pytest.mark.parametrize("update_edges", [False, True])
def test_update__copies__equal_edges_that_are_repeated(
    blocks, update_edges, edge_messages, indexed
):
    conv, inputs, graph, index = make_case(
        DEGREES["ragged"],
        indexed=indexed,
        update_edges=update_edges,
        edge_messages=edge_messages,
    )
    copies = torch.arange(graph.n_edges) % 4 + 1
    every = torch.repeat_interleave(torch.arange(graph.n_edges), copies)
    repeated = Adjacency.from_edges(
        graph.sender[every], graph.receiver[every], graph.n_nodes
    )
    expected, _ = conv(
        inputs[0],
        inputs[1] if indexed else inputs[1][every],
        repeated,
        index=index[every] if indexed else None,
    )
    wanted = [*inputs, *conv.sender.parameters(), *conv.edge.parameters()]
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
    gradients = torch.autograd.grad((expected * weight).sum(), wanted)
    for choice in ("reference", "blocked"):
        with kernels(choice):
            found, _ = conv(*inputs, graph.with_copies(copies), index=index)
        by_found = torch.autograd.grad((found * weight).sum(), wanted)
        assert_close([found, *by_found], [expected, *gradients], 1e-11)


@pytest.mark.parametrize("degrees", NO_EDGES)
def test_update__no_edges__is_the_reference(blocks, degrees):
    case = make_case(NO_EDGES[degrees])
    expected = outputs_and_gradients("reference", *case)
    assert_close(outputs_and_gradients("auto", *case), expected, 0.0)


def test_update__padded_edges__are_the_reference(blocks):
    conv, inputs, graph, _ = make_case(DEGREES["ragged"])
    padding = torch.zeros(5, dtype=torch.int64)
    graph = replace(
        graph,
        sender=torch.cat([graph.sender, padding]),
        receiver=torch.cat([graph.receiver, padding]),
        n_real=torch.tensor(graph.n_nodes),
    )
    inputs[1] = torch.cat([inputs[1].detach(), torch.ones(5, DIM)])
    expected = outputs_and_gradients("reference", conv, inputs, graph, None)
    found = outputs_and_gradients("auto", conv, inputs, graph, None)
    assert_close(found, expected, 0.0)


@pytest.mark.parametrize("dim", [3, 33, 64])
def test_blocked_update__float32__is_near_float64(blocks, dim):
    case = make_case(DEGREES["ragged"], edge_messages=True, dim=dim)
    expected = outputs_and_gradients("reference", *case)
    case[0].float()
    assert_close(outputs_and_gradients("blocked", *case), expected, 2e-5)


@pytest.mark.parametrize("indexed", [False, True])
def test_blocked_update__gradients__equal_finite_differences(blocks, indexed):
    conv, inputs, graph, index = make_case(
        [0, 3, 1, 4], indexed=indexed, edge_messages=True, dim=3
    )

    def compute(*inputs):
        with kernels("blocked"):
            return conv(*inputs, graph, index=index)

    assert torch.autograd.gradcheck(compute, inputs)
    assert torch.autograd.gradgradcheck(compute, inputs, atol=1e-4)


def test_blocked_update__two_threads__same_bits_each_time_and_near_one(blocks):
    case = make_case(DEGREES["every_degree"], indexed=True)
    one = outputs_and_gradients("blocked", *case)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = outputs_and_gradients("blocked", *case)
        again = outputs_and_gradients("blocked", *case)
    finally:
        torch.set_num_threads(before)
    assert_close(two, one, 1e-12)
    assert all(torch.equal(a, b) for a, b in zip(two, again, strict=True))


def test_blocked_update__without_gradients__same_bits(blocks):
    conv, inputs, graph, index = make_case(DEGREES["ragged"])
    with kernels("blocked"):
        expected = conv(*inputs, graph, index=index)
        with torch.no_grad():
            found = conv(*inputs, graph, index=index)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_blocked_update__frozen_parts__leave_the_other_gradients_alone(blocks):
    conv, inputs, graph, index = make_case(DEGREES["ragged"])
    expected = outputs_and_gradients("blocked", conv, inputs, graph, index)
    conv.edge.requires_grad_(requires_grad=False)
    conv.node_norm.requires_grad_(requires_grad=False)
    with kernels("blocked"):
        nodes, edges = conv(inputs[0].detach(), inputs[1], graph, index=index)
    generator = torch.Generator().manual_seed(2)
    weights = [torch.randn(o.shape, generator=generator).to(o) for o in (nodes, edges)]
    ((nodes * weights[0]).sum() + (edges * weights[1]).sum()).backward()
    assert conv.edge.weight.grad is conv.node_norm.weight.grad is None
    found = {name: p.grad for name, p in conv.named_parameters()}
    for (name, _), value in zip(conv.named_parameters(), expected[4:], strict=True):
        if found[name] is not None:
            torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(inputs[1].grad, expected[3], rtol=1e-12, atol=1e-12)


def test_blocked_update__not_a_number__stays_one(blocks):
    conv, inputs, graph, index = make_case([2, 2, 2], update_edges=False)
    conv.float()
    nodes, edges = (x.detach().float() for x in inputs)
    edges[0, 0] = torch.nan
    with kernels("blocked"):
        new_nodes, _ = conv(nodes, edges, graph, index=index)
    assert new_nodes[0].isnan().all()
    assert not new_nodes[1:].isnan().any()


def test_blocked_update__huge_logits__saturate(blocks):
    conv, inputs, graph, index = make_case([2, 2, 2])
    conv.float()
    inputs = [x.detach().float() for x in inputs]
    conv.edge.bias.data[:2] = torch.tensor([300.0, -300.0])
    with torch.no_grad(), kernels("blocked"):
        found = conv(*inputs, graph, index=index)
    conv.double()
    with torch.no_grad(), kernels("reference"):
        expected = conv(*(x.double() for x in inputs), graph, index=index)
    assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normed_linear__blocks__equal_reference(blocks, dtype):
    torch.manual_seed(0)
    layer = NormedLinear(5, DIM, "layer").double()
    x = torch.randn(77, 5, dtype=torch.float64)
    weight = torch.randn(77, DIM, dtype=torch.float64)
    results = {}
    for choice, of in (("reference", torch.float64), ("blocked", dtype)):
        layer.to(of)
        own = x.to(of).requires_grad_()
        with kernels(choice):
            out = layer(own)
        wanted = [own, *layer.parameters()]
        results[choice] = [out, *torch.autograd.grad(out, wanted, weight.to(of))]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert_close(results["blocked"], results["reference"], tolerance)


def test_normed_linear__gradients_of_gradients__exist(blocks):
    torch.manual_seed(0)
    layer = NormedLinear(3, 4, "layer").double()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    with kernels("blocked"):
        assert torch.autograd.gradgradcheck(layer, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distinct_rows__repeated_numbers__come_once_in_order(blocks, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-50, 50, (1000,), generator=generator).to(dtype) / 7
    values, index = distinct_rows(x)
    assert torch.equal(values[index], x)
    assert values.tolist() == list(dict.fromkeys(x.tolist()))
    empty = distinct_rows(x[:0])
    assert [len(part) for part in empty] == [0, 0]


def test_segment_blocks__any_segments__are_whole_and_complete(monkeypatch):
    monkeypatch.setattr(_block_state, "BLOCK_NUMBERS", 10)
    monkeypatch.setattr(_block_state, "MIN_ROWS", 1)
    ptr = torch.tensor([0, 0, 4, 25, 25, 30, 35, 35])
    found = _block_state.segment_blocks(ptr, 1)
    nodes = [(n.start, n.stop) for n, _ in found]
    assert nodes == [(0, 2), (2, 3), (3, 7)]
    assert [(r.start, r.stop) for _, r in found] == [(0, 4), (4, 25), (25, 35)]


def make_batch():
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    shaken = salt.copy().perturb(0.1)
    single = Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])
    graphs = StructureToGraph(cutoff=5.0, three_body_cutoff=4.0)
    return GraphBatch.from_graphs(graphs.transform([salt, shaken, single]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"edge_messages": True},
        {"norm": "batch"},
        {"n_alignn_layers": 0},
        {"n_alignn_layers": 1, "n_gcn_layers": 0},
        {"n_alignn_layers": 0, "n_gcn_layers": 0},
    ],
    ids=str,
)
def test_alignn__blocks__equal_reference(blocks, options, randomise):
    table = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    sizes = {"n_alignn_layers": 2, "n_gcn_layers": 2, "hidden_dim": 16}
    model = randomise(ALIGNN(table, embedding_dim=8, **sizes | options))
    model.double().eval()
    batch = make_batch()
    batch = replace(batch, displacement=batch.displacement.double())
    results = {}
    for choice in ("reference", "blocked"):
        model.zero_grad()
        with kernels(choice):
            out = model(batch)
        out.sum().backward()
        # None where nobody reads what a parameter makes
        gradients = [
            torch.zeros_like(p) if p.grad is None else p.grad
            for p in model.parameters()
        ]
        results[choice] = [out.detach(), *gradients]
    assert_close(results["blocked"], results["reference"], 1e-9)


def test_alignn__blocks__embed_equal_angles_once(blocks, monkeypatch):
    table = torch.ones(100, 5)
    model = ALIGNN(table, n_alignn_layers=1, n_gcn_layers=1, hidden_dim=8)
    seen = []
    model.angle_embedding[0].register_forward_hook(lambda *a: seen.append(len(a[1][0])))
    batch = make_batch()
    with kernels("blocked"):
        model(batch)
    assert 0 < seen[0] < 0.7 * batch.triplets.n_edges


@pytest.mark.parametrize("indexed", [False, True])
def test_blocked_update__bfloat16__rounds_factors_of_wide_products_only(
    blocks, monkeypatch, indexed
):
    monkeypatch.setattr(_products, "PADDING", 8)
    case = make_case(DEGREES["every_degree"], indexed=indexed, dim=128)
    expected = outputs_and_gradients("reference", *case)
    case[0].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = outputs_and_gradients("blocked", *case)
        plain = outputs_and_gradients("reference", *case)
    assert all(x.dtype == torch.float32 for x in found)
    errors = [
        [
            float((x.double() - e).norm() / e.norm())
            for x, e in zip(xs, expected, strict=True)
        ]
        for xs in (found, plain)
    ]
    assert max(errors[0]) < 0.02
    assert sum(errors[0]) < sum(errors[1])
    monkeypatch.setattr(_products, "MIN_HALF_DIM", 129)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = outputs_and_gradients("blocked", *case)
    assert_close(found, expected, 1e-4)


def test_normed_linear__bfloat16__rounds_factors_only(blocks):
    torch.manual_seed(0)
    layer, x = NormedLinear(20, 128, "layer"), torch.randn(77, 20)
    with kernels("reference"):
        expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16), kernels("blocked"):
        found = layer(x)
    found.sum().backward()
    assert found.dtype == layer[0].weight.grad.dtype == torch.float32
    error = (found - expected).detach().norm() / expected.detach().norm()
    assert 1e-4 < float(error) < 0.01


def test_alignn__blocks__give_gradients_of_positions(blocks):
    table = torch.ones(100, 5)
    model = ALIGNN(table, n_alignn_layers=1, n_gcn_layers=1, hidden_dim=8).double()
    batch = make_batch()
    found = {}
    for choice in ("reference", "blocked"):
        displacement = batch.displacement.double().requires_grad_()
        with kernels(choice):
            out = model(replace(batch, displacement=displacement))
        (found[choice],) = torch.autograd.grad(out.sum(), displacement)
    assert float(found["reference"].abs().max()) > 0
    assert_close([found["blocked"]], [found["reference"]], 1e-10)


def test_kernels__blocks_under_autocast_to_float16__raise_or_are_left_aside():
    nodes = torch.randn(2, 4)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not _choice.use_blocks(nodes)
        with kernels("blocked"), pytest.raises(RuntimeError, match="autocast is to"):
            _choice.use_blocks(nodes)
    with kernels("blocked"), pytest.raises(RuntimeError, match="numbers are"):
        _choice.use_blocks(nodes.bfloat16())
    with kernels("reference"):
        assert not _choice.use_blocks(nodes)
    assert _choice.use_blocks(nodes)


def test_kernels__broken_numba__warns_once_and_computes_in_torch(monkeypatch):
    broken = ModuleType("skmatgnn.nn.ops._block_numba")
    monkeypatch.setitem(sys.modules, broken.__name__, broken)
    monkeypatch.setattr(_compiled, "find_spec", lambda _: object())
    _compiled.compiled_module.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="Numba does not work here"):
            assert _choice.block_kernels().__name__.endswith("_block_torch")
        assert _choice._compiled_blocks() is None
    finally:
        _compiled.compiled_module.cache_clear()
