"""Batches and the line graph, against double loops in Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.graphs import DeviceGraphs, GraphArray, GraphBatch, StructureToGraph


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
