"""Bonds at the three-body cutoff: which are counted where lengths differ by rounding.

The length of each cubic crystal's edge is within rounding of the limit, and a rotation
makes its bonds differ in the last digits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from scipy.spatial.transform import Rotation

from skmatgnn.graphs import GraphArray, GraphBatch, StructureToGraph
from skmatgnn.graphs._bonds import MARGIN

CUTOFF = 3.5
LIMIT = CUTOFF * (1 + MARGIN)


def rotated_cube(seed, spread=3e-8):
    rng = np.random.default_rng(seed)
    edge = LIMIT * (1 + rng.uniform(-spread, spread))
    rotation = Rotation.random(random_state=seed).as_matrix()
    return Structure(Lattice(edge * rotation), ["Po"], [[0, 0, 0]])


@pytest.fixture(scope="module")
def cubes():
    return [rotated_cube(seed) for seed in range(40)]


def assert_valid_line_graph(graphs):
    triplets = GraphBatch.from_graphs(graphs).triplets
    assert int(triplets.receiver_ptr[-1]) == int(triplets.sender_ptr[-1])
    order = np.sort(triplets.by_sender.numpy())
    np.testing.assert_array_equal(order, np.arange(triplets.n_edges))


def test_bonds__cutoff_within_rounding_of_a_shell__are_whole_shells(cubes):
    builder = StructureToGraph(max_neighbors=6, three_body_cutoff=CUTOFF)
    graphs = builder.transform(cubes)
    # so that the crystals do what they are for
    length = np.linalg.norm(graphs.displacement.astype(float), axis=1).reshape(-1, 6)
    split = (length <= LIMIT).any(axis=1) & (length > LIMIT).any(axis=1)
    assert split.sum() > 5
    assert set(graphs.bond_count[split]) == {6}
    assert set(graphs.bond_count) <= {0, 6}
    for graph in graphs:
        assert_valid_line_graph(graph)


def test_bonds__cutoff_within_rounding_of_a_shell__same_for_all_atoms(cubes):
    supercells = [cube * (2, 1, 3) for cube in cubes]
    graphs = StructureToGraph(three_body_cutoff=CUTOFF).transform(supercells)
    counts = graphs.bond_count.reshape(-1, 6)
    assert set(counts[:, 0]) <= {0, 6}
    assert (counts == counts[:, :1]).all()
    assert_valid_line_graph(graphs)


def test_bonds__other_graphs_beside_it__do_not_matter(cubes):
    together = StructureToGraph(three_body_cutoff=CUTOFF).transform(cubes)
    for index, cube in enumerate(cubes):
        alone = StructureToGraph(three_body_cutoff=CUTOFF).transform([cube])
        np.testing.assert_array_equal(alone.bond_count, together[index].bond_count)


def test_bonds__from_a_file__are_those_in_memory(cubes, tmp_path):
    StructureToGraph().transform_to_file(cubes, tmp_path / "graphs")
    mapped = GraphArray.load(tmp_path / "graphs").with_three_body_cutoff(CUTOFF)
    graphs = StructureToGraph(three_body_cutoff=CUTOFF).transform(cubes)
    np.testing.assert_array_equal(mapped.bond_count, graphs.bond_count)


def test_bonds__many_lengths_a_little_apart__end_at_the_first_gap():
    steps = np.cumsum([0, 1e-7, 4e-7, 4e-7, 6e-7, 1e-7])
    length = LIMIT * (1 - 0.5e-7 + steps)
    vector = np.zeros((2 * len(length), 3))
    vector[:, 0] = np.column_stack([length, -length]).ravel()
    cube = StructureToGraph(max_neighbors=12).transform([rotated_cube(0)])[0]
    graph = replace(
        cube,
        edge_ptr=np.array([0, len(vector)]),
        displacement=vector,
        sender=np.zeros(len(vector), dtype=np.int32),
        reverse=np.arange(len(vector), dtype=np.int32) ^ 1,
    )
    assert graph.with_three_body_cutoff(CUTOFF).bond_count.tolist() == [8]
    assert graph.with_three_body_cutoff(CUTOFF / 2).bond_count.tolist() == [0]
