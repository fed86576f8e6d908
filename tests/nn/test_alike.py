"""Atoms, bonds and angles that a network cannot tell apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nn import ALIGNN
from skmatgnn.nn._rows import graph_rows
from skmatgnn.nn.ops import _choice, bond_cosines, kernels

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")

PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m",
    Lattice.cubic(4.0),
    ["Sr", "Ti", "O"],
    [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]],
)
SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def make_batch(*structures, dtype=torch.float64):
    graphs = StructureToGraph(three_body_cutoff=3.5).transform(list(structures))
    batch = GraphBatch.from_graphs(graphs)
    return replace(batch, displacement=batch.displacement.to(dtype))


def make_model(**options):
    torch.manual_seed(0)
    sizes = {"n_alignn_layers": 3, "n_gcn_layers": 2, "hidden_dim": 8}
    return ALIGNN(torch.randn(100, 5), **sizes | options)


def run(model, batch, choice):
    model.zero_grad()
    with kernels(choice):
        out = model(batch)
    out.square().sum().backward()
    gradients = [
        torch.zeros(1) if p.grad is None else p.grad for p in parameters(model)
    ]
    return [out.detach(), *(g.clone() for g in gradients)]


def parameters(model):
    return list(model.parameters())


def rows_of(batch, **options):
    with kernels("blocked"):
        return graph_rows(batch, **{"angles": True, "merge": True} | options)


@pytest.mark.parametrize("edge_messages", [False, True])
def test_alignn__symmetric_crystals__merged_rows_change_nothing(edge_messages):
    shaken = SALT.copy().perturb(0.1)
    batch = make_batch(SALT, PEROVSKITE, shaken, SALT)
    assert rows_of(batch).triplets.n_edges < 0.4 * batch.triplets.n_edges
    model = make_model(edge_messages=edge_messages).double()
    found, expected = (run(model, batch, c) for c in ("blocked", "reference"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_alignn__merged_rows__same_bits_each_time():
    model, batch = make_model(), make_batch(SALT, PEROVSKITE, dtype=torch.float32)
    found = [run(model, batch, "blocked") for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_graph_rows__symmetric_crystal__rows_are_the_first_of_equal_ones():
    batch = make_batch(SALT, PEROVSKITE)
    rows = rows_of(batch)
    assert sorted(rows.atomic_numbers.tolist()) == [8, 11, 17, 22, 38]
    assert rows.node_ptr.tolist()[:2] == [0, 2]
    torch.testing.assert_close(
        rows.pool(torch.ones(rows.node_ptr[-1], 1).double()), torch.ones(2, 1).double()
    )
    for graph in (rows.edges, rows.triplets):
        assert (graph.receiver.diff() >= 0).all()
    degrees = torch.zeros(len(rows.atomic_numbers), dtype=torch.int64)
    degrees.index_add_(0, rows.edges.receiver, rows.edges.copies)
    first = [0, 4]  # of sodium and of chlorine
    assert degrees[:2].tolist() == batch.edges.receiver_ptr.diff()[first].tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_graph_rows__any_crystals__as_many_as_refinement_by_comparison(dtype):
    batch = make_batch(SALT, PEROVSKITE, SALT.copy().perturb(0.1), dtype=dtype)
    atoms, bonds, angles = compare(batch)
    rows = rows_of(batch)
    found = (len(rows.atomic_numbers), rows.edges.n_edges, rows.triplets.n_edges)
    assert found == (atoms, bonds, angles)


def compare(batch):
    """Refine colours by comparing what is around, without hashes."""
    s, r = (x.tolist() for x in (batch.edges.sender, batch.edges.receiver))
    ts, tr = (x.tolist() for x in (batch.triplets.sender, batch.triplets.receiver))
    lengths = batch.displacement.norm(dim=1).tolist()
    cosines = bond_cosines(batch.displacement, batch.triplets).tolist()
    kinds = batch.atomic_numbers.tolist()
    atoms = number(zip(batch.node_graph.tolist(), kinds, strict=True))
    edges = number((lengths[e], atoms[s[e]], atoms[r[e]]) for e in range(len(s)))
    for _ in range(12):
        around = [Counter() for _ in edges]
        for t, (sender, receiver) in enumerate(zip(ts, tr, strict=True)):
            around[receiver][cosines[t], edges[sender]] += 1
        edges = number(
            (e, frozenset(a.items())) for e, a in zip(edges, around, strict=True)
        )
        ending = [Counter() for _ in atoms]
        for e, receiver in enumerate(r):
            ending[receiver][edges[e]] += 1
        atoms = number(
            (a, frozenset(e.items())) for a, e in zip(atoms, ending, strict=True)
        )
        edges = number((edges[e], atoms[s[e]], atoms[r[e]]) for e in range(len(s)))
    angles = {(c, edges[i], edges[j]) for c, i, j in zip(cosines, ts, tr, strict=True)}
    return len(set(atoms)), len(set(edges)), len(angles)


def number(keys):
    seen = {}
    return [seen.setdefault(key, len(seen)) for key in keys]


def test_graph_rows__nothing_alike__are_those_of_the_batch():
    batch = make_batch(SALT.copy().perturb(0.1))
    rows = rows_of(batch)
    assert rows.edges is batch.edges
    assert rows.triplets is batch.triplets
    assert rows.share is None


@pytest.mark.parametrize("reason", ["batch norm", "no angles", "forces", "reference"])
def test_graph_rows__cannot_be_merged__are_those_of_the_batch(reason):
    batch = make_batch(SALT)
    if reason == "forces":
        batch.displacement.requires_grad_()
    options = {"batch norm": {"merge": False}, "no angles": {"angles": False}}
    with kernels("reference" if reason == "reference" else "blocked"):
        rows = graph_rows(
            batch, **{"angles": True, "merge": True} | options.get(reason, {})
        )
    assert rows.edges is batch.edges


def test_graph_rows__without_numba__are_those_of_the_batch(monkeypatch):
    monkeypatch.setattr(_choice, "_compiled_blocks", lambda: None)
    batch = make_batch(SALT)
    assert rows_of(batch).edges is batch.edges


def test_alignn__batch_norm__rows_are_not_merged():
    batch = make_batch(SALT)
    model = make_model(norm="batch").double()
    seen = []
    model.atom_embedding.register_forward_hook(lambda *a: seen.append(len(a[2])))
    with kernels("blocked"):
        model(batch)
    assert seen == [len(SALT)]
