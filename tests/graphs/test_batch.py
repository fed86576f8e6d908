"""Batches and the line graph, against double loops in Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.graphs import DeviceGraphs, GraphArray, GraphBatch, StructureToGraph
from skmatgnn.utils.capacity import Capacity


@pytest.fixture(params=["all", "three_body", "sparse", "no_edges"])
def graphs(request, make, crystals):
    rng = np.random.default_rng(2)
    structures = [make.random_crystal(rng) for _ in range(5)]
    structures += [crystals["bcc_W"], crystals["SrTiO3"], crystals["slab"]]
    params = {
        "all": {"max_neighbors": 4},
        "three_body": {"three_body_cutoff": 2.6, "max_neighbors": 8},
        "sparse": {"max_neighbors": None, "cutoff": 2.4},
        "no_edges": {"max_neighbors": None, "cutoff": 0.6},
    }[request.param]
    return StructureToGraph(**params).transform(structures)


def by_loops(graphs):
    """Number nodes through, list edges and pairs of bonds that share an atom."""
    sender, receiver, vectors, node_graph = [], [], [], []
    first_node = 0
    for index, graph in enumerate(graphs):
        for atom in range(graph.n_atoms[0]):
            node_graph.append(index)
            for edge in range(graph.edge_ptr[atom], graph.edge_ptr[atom + 1]):
                receiver.append(first_node + atom)
                sender.append(first_node + int(graph.sender[edge]))
                vectors.append(graph.displacement[edge])
        first_node += graph.n_atoms[0]
    limit = graphs.settings.three_body_cutoff or np.inf
    short = [np.linalg.norm(v) <= limit for v in vectors]
    pairs = {
        (first, second)
        for first in range(len(sender))
        for second in range(len(sender))
        if receiver[first] == sender[second] and short[first] and short[second]
    }
    return sender, receiver, vectors, node_graph, pairs


def assert_valid(adjacency):
    """Check that both orders describe the same edges."""
    n = adjacency.n_nodes
    receiver, sender = adjacency.receiver, adjacency.sender
    counts = torch.bincount(receiver, minlength=n)
    assert adjacency.receiver_ptr.tolist() == [0, *counts.cumsum(0).tolist()]
    assert (receiver.diff() >= 0).all()
    counts = torch.bincount(sender, minlength=n)
    assert adjacency.sender_ptr.tolist() == [0, *counts.cumsum(0).tolist()]
    assert sorted(adjacency.by_sender.tolist()) == list(range(len(sender)))
    assert (sender[adjacency.by_sender].diff() >= 0).all()


def assert_equal(one, two):
    for name in ("node_ptr", "node_graph", "atomic_numbers", "displacement"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    for graph in ("edges", "triplets"):
        a, b = getattr(one, graph), getattr(two, graph)
        for name in ("receiver_ptr", "receiver", "sender", "sender_ptr", "by_sender"):
            assert torch.equal(getattr(a, name), getattr(b, name)), (graph, name)


def test_batch__all_graphs__equals_loops(graphs):
    batch = GraphBatch.from_graphs(graphs)
    sender, receiver, vectors, node_graph, pairs = by_loops(graphs)
    assert len(batch) == len(graphs)
    assert batch.node_ptr.tolist() == graphs.node_ptr.tolist()
    assert batch.node_graph.tolist() == node_graph
    assert batch.atomic_numbers.tolist() == graphs.atomic_numbers.tolist()
    assert batch.edges.sender.tolist() == sender
    assert batch.edges.receiver.tolist() == receiver
    np.testing.assert_array_equal(
        batch.displacement.numpy(), np.array(vectors).reshape(-1, 3)
    )
    found = zip(
        batch.triplets.sender.tolist(), batch.triplets.receiver.tolist(), strict=True
    )
    found = list(found)
    assert len(found) == len(set(found))
    assert set(found) == pairs


def test_batch__both_orders__describe_the_same_edges(graphs):
    batch = GraphBatch.from_graphs(graphs)
    assert batch.edges.n_nodes == len(batch.atomic_numbers)
    assert batch.triplets.n_nodes == batch.edges.n_edges
    assert_valid(batch.edges)
    assert_valid(batch.triplets)


def test_line_graph__in_edges_of_an_edge__are_consecutive_and_in_order(graphs):
    triplets = GraphBatch.from_graphs(graphs).triplets
    for row in range(triplets.n_nodes):
        start, stop = triplets.receiver_ptr[row : row + 2].tolist()
        assert (triplets.sender[start:stop].diff() == 1).all()


@pytest.mark.parametrize("rows", [[3], [7, 0, 2], [1, 1, 5], list(range(8))[::-1]])
def test_take__some_rows__equals_a_batch_of_their_graphs(graphs, rows):
    packed = DeviceGraphs(graphs, "cpu")
    assert len(packed) == 8
    taken = packed.take(np.array(rows))
    assert_equal(taken, GraphBatch.from_graphs(graphs[rows]))
    single = [graphs[row] for row in rows]
    assert_equal(taken, GraphBatch.from_graphs(GraphArray.concatenate(single)))


def test_take__rows_on_the_device_already__same_batch(graphs):
    packed, rows = DeviceGraphs(graphs, "cpu"), np.array([4, 1])
    assert_equal(packed.take(rows, torch.from_numpy(rows)), packed.take(rows))


def test_take__dtype__converts_vectors_only(graphs):
    batch = DeviceGraphs(graphs, "cpu", dtype=torch.float64).take(np.arange(8))
    assert batch.displacement.dtype == torch.float64
    assert batch.atomic_numbers.dtype == batch.edges.sender.dtype == torch.int64


def test_batch__read_only_memory_map__works_without_warning(graphs, tmp_path):
    graphs.save(tmp_path / "g")
    loaded = GraphArray.load(tmp_path / "g")
    assert_equal(GraphBatch.from_graphs(loaded), GraphBatch.from_graphs(graphs))


def test_batch__writing_into_it__leaves_the_graphs_alone(graphs):
    before = graphs.displacement.copy()
    GraphBatch.from_graphs(graphs).displacement.zero_()
    packed = DeviceGraphs(graphs, "cpu")
    packed.take(np.arange(8)).displacement.zero_()
    np.testing.assert_array_equal(graphs.displacement, before)
    assert_equal(packed.take(np.arange(8)), GraphBatch.from_graphs(graphs))


def test_batch__to_the_same_device__is_equal(graphs):
    batch = GraphBatch.from_graphs(graphs)
    assert_equal(batch.to("cpu"), batch)


def test_line_graph__one_atom_cell__its_own_images_are_neighbours():
    cube = Structure(Lattice.cubic(3.35), ["Po"], [[0] * 3])
    graphs = StructureToGraph(max_neighbors=6).transform([cube])
    batch = GraphBatch.from_graphs(graphs)
    assert batch.edges.n_edges == 6
    assert batch.triplets.n_edges == 36


def test_padded_batch__real_part__equals_the_batch_without(graphs):
    packed, rows = DeviceGraphs(graphs, "cpu"), np.array([6, 0, 3])
    plain = packed.take(rows)
    capacity = packed.capacity(rows)
    padded = packed.take_padded(torch.from_numpy(rows), capacity)
    sizes = capacity.sizes()
    n, n_atoms = len(plain), len(plain.atomic_numbers)
    assert len(padded) == n + 1
    assert len(padded.atomic_numbers) == sizes["nodes"] > n_atoms
    assert padded.node_ptr.tolist() == [*plain.node_ptr.tolist(), sizes["nodes"]]
    assert torch.equal(padded.node_graph[:n_atoms], plain.node_graph)
    assert (padded.node_graph[n_atoms:] == n).all()
    assert torch.equal(padded.atomic_numbers[:n_atoms], plain.atomic_numbers)
    n_edges = plain.edges.n_edges
    assert torch.equal(padded.displacement[:n_edges], plain.displacement)
    for kind in ("edges", "triplets"):
        found, expected = getattr(padded, kind), getattr(plain, kind)
        assert found.n_edges == sizes[kind]
        assert found.n_edges > expected.n_edges or not sizes[kind]
        assert found.n_nodes == (sizes["nodes"] if kind == "edges" else sizes["edges"])
        for name in ("receiver", "sender", "by_sender"):
            values = getattr(found, name)
            real = getattr(expected, name)
            assert torch.equal(values[: expected.n_edges], real), name
            limit = found.n_edges if name == "by_sender" else found.n_nodes
            assert ((values >= 0) & (values < limit)).all(), name
        for name in ("receiver_ptr", "sender_ptr"):
            values = getattr(found, name)
            assert torch.equal(values[: expected.n_nodes + 1], getattr(expected, name))
            assert (values[expected.n_nodes :] == expected.n_edges).all()


def test_capacity__batches_of_like_size__have_few_shapes():
    rng = np.random.default_rng(0)
    usual = {"nodes": 640.0, "edges": 8000.0}
    found = set()
    for scale in rng.normal(1, 0.1, size=500):
        needed = {kind: int(rows * scale) for kind, rows in usual.items()}
        capacity = Capacity.fitting(64, needed, usual)
        found.add(capacity)
        for kind, size in capacity.sizes().items():
            assert needed[kind] < size < 1.1 * needed[kind] + 16
    assert 4 < len(found) < 16
