"""The two ways to search, on any device: the same graphs to the last bit."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs import StructureToGraph, _neighbors, _transformer
from skmatgnn.graphs._pairs import _canonical_order
from skmatgnn.preprocessing import StructureArray

SETTINGS = [
    {},
    {"max_neighbors": 3, "shell_tolerance": 0.3},
    {"max_neighbors": 30, "dtype": "float64"},
    {"max_neighbors": None, "cutoff": 4.7},
    {"max_neighbors": None, "cutoff": 2.0},
]


def skewed(crystal, rng):
    """Describe a crystal by a cell of the same volume with tiny angles."""
    transformation = np.eye(3, dtype=int)
    transformation[2, :2] = rng.integers(-6, 7, 2)
    transformation[1, 0] = rng.integers(-6, 7)
    matrix = transformation @ crystal.lattice.matrix
    frac = crystal.frac_coords @ np.linalg.inv(transformation)
    return Structure(matrix, crystal.species, frac + rng.integers(-3, 4, frac.shape))


@pytest.fixture
def many(make, crystals, families):
    rng = np.random.default_rng(0)
    found = [
        make.random_crystal(rng, **params)
        for params in families.values()
        for _ in range(30)
    ]
    found += crystals.values()
    found += [skewed(crystal, rng) for crystal in found[:40] + found[-8:]]
    found += list(make_crystals(60, random_state=1).data)
    found.append(Structure(Lattice.tetragonal(2.9, 120), ["W"], [[0.3] * 3]))
    slab = found[0].copy()
    slab.lattice = Lattice.from_parameters(4, 5, 80, 80, 95, 100)
    return StructureArray.from_structures([*found, slab])


def search_with(monkeypatch, *, waste, at_once=2**19):
    monkeypatch.setattr(_neighbors, "WASTE", {"cpu": waste, "cuda": waste})
    limits = {"cpu": at_once, "cuda": 2**22}
    monkeypatch.setattr(_neighbors, "PAIRS_AT_ONCE", limits)


def assert_identical(actual, expected):
    for field in fields(expected):
        one, other = getattr(actual, field.name), getattr(expected, field.name)
        if field.name == "settings":
            assert one == other
        else:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, err_msg=field.name)


@pytest.mark.parametrize("settings", SETTINGS)
def test_listed_pairs__hundreds_of_crystals__same_graphs_as_pymatgens_search(
    many, monkeypatch, settings
):
    search_with(monkeypatch, waste=0)
    expected = StructureToGraph(**settings).transform(many)
    search_with(monkeypatch, waste=np.inf)
    assert_identical(StructureToGraph(**settings).transform(many), expected)
    search_with(monkeypatch, waste=4)
    assert_identical(StructureToGraph(**settings).transform(many), expected)


def test_listed_pairs__cutoff_far_larger_than_the_cells__same_graphs(many, monkeypatch):
    small = many[np.flatnonzero(many.n_atoms < 4)[:80]]
    transformer = StructureToGraph(max_neighbors=None, cutoff=11.0)
    search_with(monkeypatch, waste=0)
    expected = transformer.transform(small)
    search_with(monkeypatch, waste=np.inf)
    assert_identical(transformer.transform(small), expected)
    assert expected.n_edges.max() > 1000


@pytest.mark.parametrize("waste", [0, 4, np.inf])
@pytest.mark.parametrize("at_once", [1, 500, 20_000])
def test_search__few_pairs_at_once__same_graphs(many, monkeypatch, waste, at_once):
    some = many[::3]
    expected = StructureToGraph().transform(some)
    search_with(monkeypatch, waste=waste, at_once=at_once)
    assert_identical(StructureToGraph().transform(some), expected)


def test_search__first_radius_far_too_small__same_graphs(many, monkeypatch):
    expected = StructureToGraph().transform(many)
    monkeypatch.setattr(_neighbors, "SEARCH_MARGIN", 0.4)
    assert_identical(StructureToGraph().transform(many), expected)


def test_long_chunks__those_of_a_gpu__same_graphs(many, monkeypatch):
    expected = StructureToGraph().transform(many)
    monkeypatch.setattr(_transformer, "CHUNK", 7)
    assert_identical(StructureToGraph().transform(many), expected)
    parts = list(_transformer._slices(many, on_gpu=True))
    assert [start for start, _ in parts] == [0]
    monkeypatch.setattr(_transformer, "GPU_ATOMS", 100)
    monkeypatch.setattr(_transformer, "GPU_CHUNK", 20)
    parts = list(_transformer._slices(many, on_gpu=True))
    assert sum(len(part) for _, part in parts) == len(many)
    assert max(len(part) for _, part in parts) == 20
    for (start, part), (following, _) in pairwise(parts):
        assert following == start + len(part)
        assert part.atom_ptr[-1] <= 100 or len(part) == 1


@pytest.mark.parametrize("waste", [0, np.inf])
def test_overlap__several_structures__the_first_and_its_closest_pair_are_named(
    monkeypatch, waste
):
    good = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    bad = Structure(
        Lattice.cubic(10), ["H"] * 3, [[0.1] * 3, [0.1, 0.1, 0.109], [0.1, 0.1, 0.114]]
    )
    worse = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0, 0, 1.0]])
    search_with(monkeypatch, waste=waste)
    with pytest.raises(InvalidValueError, match=r"index 2 .*sites 1 and 2 are 0\.05 "):
        StructureToGraph().transform([good, good, bad, worse])


def test_canonical_order__keys_too_large_for_an_integer__same_order():
    rng = np.random.default_rng(0)
    first, second = np.sort(rng.integers(0, 3, (2, 500)), axis=0)
    image = rng.integers(-2, 3, (500, 3))
    expected = _canonical_order(first, second, image)
    np.testing.assert_array_equal(
        expected, np.lexsort((*image.T[::-1], second, first, first != second))
    )
    far = image * 2**21
    np.testing.assert_array_equal(_canonical_order(first, second, far), expected)


def test_device__unknown_or_missing__is_an_error(monkeypatch):
    salt = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(InvalidValueError, match="device must be 'auto' or a torch"):
        StructureToGraph(device="gpu").transform([salt])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidValueError, match="torch sees no CUDA device"):
        StructureToGraph(device="cuda").fit([salt])
    auto = StructureToGraph(device="auto").transform([salt])
    assert_identical(auto, StructureToGraph().transform([salt]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("settings", SETTINGS)
def test_search__on_cuda__same_graphs_as_on_cpu(many, monkeypatch, settings, tmp_path):
    expected = StructureToGraph(**settings).transform(many)
    on_gpu = StructureToGraph(**settings, device="cuda")
    assert_identical(on_gpu.transform(many), expected)
    file = on_gpu.transform_to_file(iter(many), tmp_path / "some.graphs")
    assert_identical(file, expected)
    monkeypatch.setattr(_neighbors, "PAIRS_AT_ONCE", {"cpu": 2**19, "cuda": 3000})
    monkeypatch.setattr(_neighbors, "SEARCH_MARGIN", 0.8)
    monkeypatch.setattr(_transformer, "GPU_CHUNK", 100)
    assert_identical(on_gpu.transform(many), expected)
