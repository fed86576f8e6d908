"""Neighbours by the definition: slow, simple and independent of the package."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from pymatgen.core import Structure

FAMILIES = {
    "triclinic": {},
    "one_atom": {"n_atoms": 1, "lengths": (2.5, 6.0)},
    "small_cells": {"n_atoms": 2, "lengths": (2.2, 3.5)},
    "needles": {"n_atoms": 3, "lengths": (2.5, 18.0)},
    "slabs": {"pbc": (True, True, False)},
    "wires": {"pbc": (False, True, False)},
    "molecules": {"pbc": (False, False, False), "n_atoms": 5},
}


def brute_force(structure, radius):
    """All (centre, neighbour, distance) up to a radius, by listing images."""
    matrix, frac = structure.lattice.matrix, structure.frac_coords
    heights = 1 / np.linalg.norm(np.linalg.inv(matrix), axis=0)
    spread = np.ptp(frac, axis=0)
    reach = np.ceil(radius / heights + spread).astype(int)
    reach = np.where(structure.lattice.pbc, reach, 0)
    images = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    delta = frac[None, :, None] - frac[:, None, None] + images
    distance = np.linalg.norm(delta @ matrix, axis=-1)
    i, j, image = np.nonzero((distance <= radius) & (distance > 1e-8))
    return i, j, distance[i, j, image]


def pymatgen_list(structure, radius):
    i, j, _, distance = structure.get_neighbor_list(radius)
    return i, j, distance


def nearest_by_definition(structure, k, tolerance):
    """Join the k nearest and whoever is as near as the last of them, either way."""
    n, isolated = len(structure), not any(structure.lattice.pbc)
    k = min(k, n - 1) if isolated else k
    radius = 4.0
    while True:
        i, j, distance = pymatgen_list(structure, radius)
        rows = [np.sort(distance[i == atom]) for atom in range(n)]
        if all(len(row) >= k for row in rows):
            kth = np.array([row[k - 1] if k else 0.0 for row in rows])
            if kth.max() + tolerance < radius:
                break
        radius *= 1.4
    keep = (distance <= kth[i] + tolerance) | (distance <= kth[j] + tolerance)
    return i[keep], j[keep], distance[keep]


def edges_of(graph):
    """Triples (receiver, sender, distance) of a single graph."""
    receiver = np.repeat(np.arange(len(graph.edge_ptr) - 1), np.diff(graph.edge_ptr))
    return receiver, graph.sender, np.linalg.norm(graph.displacement, axis=1)


def assert_same_edges(actual, expected, atol=1e-5):
    def ordered(edges):
        i, j, distance = (np.asarray(column) for column in edges)
        order = np.lexsort((distance, j, i))
        return i[order], j[order], distance[order]

    (i, j, d), (ei, ej, ed) = ordered(actual), ordered(expected)
    np.testing.assert_array_equal(i, ei)
    np.testing.assert_array_equal(j, ej)
    np.testing.assert_allclose(d, ed, atol=atol, rtol=0)


@pytest.fixture
def reference():
    class Reference:
        brute_force = staticmethod(brute_force)
        pymatgen = staticmethod(pymatgen_list)
        nearest = staticmethod(nearest_by_definition)
        edges_of = staticmethod(edges_of)
        assert_same_edges = staticmethod(assert_same_edges)

    return Reference


@pytest.fixture
def many(make):
    """More than two chunks of structures, all different."""
    rng = np.random.default_rng(4)
    few = [make.random_crystal(rng, n_atoms=2) for _ in range(20)]
    return [
        Structure(s.lattice.scale(s.volume * (1 + i / 500)), s.species, s.frac_coords)
        for i, s in enumerate(few * 14)
    ]


@pytest.fixture(params=FAMILIES)
def family(request, make):
    rng = np.random.default_rng(list(FAMILIES).index(request.param))
    return [make.random_crystal(rng, **FAMILIES[request.param]) for _ in range(60)]


@pytest.fixture(scope="session")
def families():
    """What random crystals are made with, by kind."""
    return FAMILIES
