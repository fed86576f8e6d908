"""Which atoms are joined."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skmatgnn.graphs import StructureToGraph


def distance_lists(structure, graph):
    """Share of the atoms that have each element and list of neighbour distances."""
    length = np.linalg.norm(graph.displacement, axis=1)
    rows = np.split(length, graph.edge_ptr[1:-1])
    counts = Counter(
        (number, *np.round(row, 4).tolist())
        for number, row in zip(structure.atomic_numbers, rows, strict=True)
    )
    return {row: Fraction(count, len(structure)) for row, count in counts.items()}


def test_radius__random_crystals__same_pairs_as_pymatgen(family, reference):
    graphs = StructureToGraph(cutoff=5.3, max_neighbors=None).transform(family)
    assert graphs.n_edges.sum() > 0
    for structure, graph in zip(family, graphs, strict=True):
        expected = reference.pymatgen(structure, 5.3)
        reference.assert_same_edges(reference.edges_of(graph), expected)


def test_radius__random_crystals__same_pairs_as_a_list_of_images(family, reference):
    graphs = StructureToGraph(cutoff=4.1, max_neighbors=None).transform(family)
    for structure, graph in zip(family, graphs, strict=True):
        expected = reference.brute_force(structure, 4.1)
        reference.assert_same_edges(reference.edges_of(graph), expected)


def test_radius__far_larger_than_the_cell__same_pairs(make, reference):
    rng = np.random.default_rng(11)
    cells = [make.random_crystal(rng, n_atoms=1, lengths=(2.2, 3.0)) for _ in range(10)]
    graphs = StructureToGraph(cutoff=11.0, max_neighbors=None).transform(cells)
    for structure, graph in zip(cells, graphs, strict=True):
        assert graph.n_edges[0] > 150
        expected = reference.brute_force(structure, 11.0)
        reference.assert_same_edges(reference.edges_of(graph), expected)


@pytest.mark.parametrize("k", [1, 5, 12])
def test_nearest__random_crystals__follow_the_definition(family, reference, k):
    graphs = StructureToGraph(max_neighbors=k, shell_tolerance=0.05).transform(family)
    for structure, graph in zip(family, graphs, strict=True):
        expected = reference.nearest(structure, k, 0.05)
        reference.assert_same_edges(reference.edges_of(graph), expected)


@pytest.mark.parametrize("k", [3, 4, 7, 12, 13])
def test_nearest__degenerate_shells__follow_the_definition(crystal, reference, k):
    (graph,) = StructureToGraph(max_neighbors=k).transform([crystal])
    expected = reference.nearest(crystal, k, 0.01)
    reference.assert_same_edges(reference.edges_of(graph), expected)


@pytest.mark.parametrize(
    ("name", "k", "degrees"),
    [
        ("NaCl", 5, {6}),
        ("NaCl", 12, {18}),
        ("CsCl", 12, {14}),
        ("fcc_Cu", 12, {12}),
        ("fcc_Cu", 13, {18}),
        ("bcc_W", 12, {14}),
        ("ZnS", 4, {4}),
        ("ZnS", 12, {16}),
        ("hcp_Mg", 12, {12}),
        ("SrTiO3", 12, {14, 20}),
    ],
)
def test_nearest__textbook_coordination__shells_are_whole(crystals, name, k, degrees):
    (graph,) = StructureToGraph(max_neighbors=k).transform([crystals[name]])
    assert set(np.diff(graph.edge_ptr).tolist()) == degrees


def test_nearest__rattle_below_the_tolerance__same_bonds_as_ideal(crystal):
    shaken = crystal.copy()
    rng = np.random.default_rng(0)
    for i, shift in enumerate(rng.normal(0, 5e-4, size=(len(crystal), 3))):
        shaken.translate_sites([i], shift, frac_coords=False, to_unit_cell=False)
    ideal, real = StructureToGraph().transform([crystal, shaken])
    np.testing.assert_array_equal(ideal.edge_ptr, real.edge_ptr)


def test_nearest__no_tolerance__splits_a_shaken_shell(salt):
    salt.perturb(0.05)
    loose, tight = (
        StructureToGraph(shell_tolerance=tol).transform([salt]) for tol in (0.5, 0.0)
    )
    assert np.diff(loose.edge_ptr).min() >= 18
    assert tight.n_edges[0] < loose.n_edges[0]
    assert np.diff(tight.edge_ptr).min() >= 12


@pytest.mark.parametrize("cutoff", [0.5, 3.0, 20.0])
def test_nearest__any_cutoff__same_edges(crystal, cutoff):
    one, other = (
        StructureToGraph(cutoff=c).transform([crystal]) for c in (8.0, cutoff)
    )
    np.testing.assert_array_equal(one.edge_ptr, other.edge_ptr)
    np.testing.assert_array_equal(one.displacement, other.displacement)


def test_nearest__very_dilute_crystal__radius_grows_until_found():
    thin = Structure(Lattice.tetragonal(2.9, 120), ["W"], [[0.3] * 3])
    (graph,) = StructureToGraph().transform([thin])
    length = np.linalg.norm(graph.displacement, axis=1)
    assert graph.n_edges[0] == 12
    np.testing.assert_allclose(length.max(), 5.8, rtol=1e-6)


def test_nearest__single_atom_without_any_image__has_no_edges():
    box = Lattice.cubic(10, pbc=(False, False, False))
    (graph,) = StructureToGraph().transform([Structure(box, ["H"], [[0.5] * 3])])
    assert graph.n_edges.tolist() == [0]


@pytest.mark.parametrize("cutoff", [4.0, 4.0 - 1e-9])
def test_radius__shell_on_the_cutoff__rounding_does_not_decide(cutoff, make):
    cube = Structure(Lattice.cubic(4.0), ["Po"], [[0.1, 0.2, 0.3]])
    rng = np.random.default_rng(0)
    cells = [cube, *make.equivalents(cube, rng).values()]
    graphs = StructureToGraph(cutoff=cutoff, max_neighbors=None).transform(cells)
    assert set(np.diff(graphs.edge_ptr).tolist()) == {6}


@pytest.mark.parametrize("params", [{}, {"cutoff": 4.7, "max_neighbors": None}])
def test_edges__equivalent_descriptions__same_distances(crystal, make, params):
    rng = np.random.default_rng(3)
    transformer = StructureToGraph(dtype="float64", **params)
    expected = distance_lists(crystal, transformer.transform([crystal]))
    for name, same in make.equivalents(crystal, rng).items():
        found = distance_lists(same, transformer.transform([same]))
        assert found == expected, name


def test_edges__random_crystals_described_otherwise__same_distances(make):
    rng = np.random.default_rng(5)
    transformer = StructureToGraph(dtype="float64")
    for _ in range(30):
        structure = make.random_crystal(rng)
        expected = distance_lists(structure, transformer.transform([structure]))
        for name, same in make.equivalents(structure, rng).items():
            found = distance_lists(same, transformer.transform([same]))
            assert found == expected, name


def test_edges__same_input_twice__identical_arrays(family):
    one, two = (StructureToGraph().transform(family) for _ in range(2))
    for name in ("edge_ptr", "sender", "reverse", "displacement", "bond_count"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_edges__alone_or_among_others__identical(family):
    together = StructureToGraph().transform(family)
    for index in (0, 17, 59):
        alone = StructureToGraph().transform(family[index : index + 1])
        np.testing.assert_array_equal(alone.displacement, together[index].displacement)
        np.testing.assert_array_equal(alone.sender, together[index].sender)


def test_edges__all_of_them__have_their_reverse(family):
    for graph in StructureToGraph().transform(family):
        receiver = np.repeat(np.arange(graph.n_atoms[0]), np.diff(graph.edge_ptr))
        reverse = graph.reverse
        np.testing.assert_array_equal(reverse[reverse], np.arange(len(reverse)))
        assert (reverse != np.arange(len(reverse))).all()
        np.testing.assert_array_equal(graph.sender[reverse], receiver)
        np.testing.assert_array_equal(receiver[reverse], graph.sender)
        np.testing.assert_array_equal(graph.displacement[reverse], -graph.displacement)


def test_edges__displacement__leads_from_receiver_to_an_image_of_the_sender(family):
    for structure, graph in zip(
        family, StructureToGraph(dtype="float64").transform(family), strict=True
    ):
        receiver = np.repeat(np.arange(graph.n_atoms[0]), np.diff(graph.edge_ptr))
        end = structure.cart_coords[receiver] + graph.displacement
        frac = structure.lattice.get_fractional_coords(end)
        image = frac - structure.frac_coords[graph.sender]
        np.testing.assert_allclose(image, np.round(image), atol=1e-9)
        fixed = ~np.array(structure.lattice.pbc)
        assert (np.abs(image[:, fixed]) < 0.5).all()


@pytest.mark.parametrize("cutoff", [2.0, 3.0, None])
def test_bonds__three_body_cutoff__are_the_first_edges_of_each_atom(family, cutoff):
    graphs = StructureToGraph(three_body_cutoff=cutoff).transform(family)
    length = np.linalg.norm(graphs.displacement, axis=1)
    for atom, count in enumerate(graphs.bond_count):
        row = length[graphs.edge_ptr[atom] : graphs.edge_ptr[atom + 1]]
        assert (np.diff(row) > -1e-5).all()
        limit = np.inf if cutoff is None else cutoff
        assert count == (row <= limit).sum()


def test_bonds__three_body_cutoff__does_not_change_the_edges(family):
    every = StructureToGraph().transform(family)
    short = StructureToGraph(three_body_cutoff=2.5).transform(family)
    np.testing.assert_array_equal(every.displacement, short.displacement)
    assert short.bond_count.sum() < every.bond_count.sum()
