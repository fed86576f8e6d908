"""Prototype crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skmatgnn.datasets import load_prototypes
from skmatgnn.datasets._prototypes import _shortest_distance
from skmatgnn.errors import InvalidValueError


@pytest.fixture(scope="module")
def bunch():
    return load_prototypes(as_frame=True)


def test_prototypes__default__is_volume_per_atom():
    loaded = load_prototypes()
    assert loaded.data.shape == loaded.target.shape == (288,)
    assert all(isinstance(structure, Structure) for structure in list(loaded.data)[:60])
    expected = [structure.volume / len(structure) for structure in loaded.data]
    np.testing.assert_allclose(loaded.target, expected, rtol=1e-12)
    assert loaded.target_names == ["volume_per_atom"]
    assert loaded.units == {"volume_per_atom": "A^3"}
    assert loaded.frame is None
    assert "288 of the 288" in loaded.DESCR


def test_prototypes__all__are_ordered_valid_and_grouped_by_chemical_system(bunch):
    for structure, group in zip(bunch.data["structure"], bunch.groups, strict=True):
        assert structure.is_ordered
        assert structure.is_valid(tol=0.5)
        assert structure.chemical_system == group
    assert len(set(bunch.groups)) == 215
    assert bunch.frame["mineral"].isna().sum() == 107
    assert not bunch.frame["strukturbericht"].isin(["", "None"]).any()


@pytest.mark.parametrize(
    ("label", "fraction"),
    [
        ("A_cF4_225_a", np.sqrt(2) * np.pi / 6),
        ("A_cI2_229_a", np.sqrt(3) * np.pi / 8),
        ("A_cF8_227_a", np.sqrt(3) * np.pi / 16),
        ("A_cP1_221_a", np.pi / 6),
    ],
)
def test_prototypes__packing_fraction_of_cubic_elements__is_the_textbook_value(
    bunch, label, fraction
):
    row = bunch.frame.set_index("prototype").loc[label]
    assert row["packing_fraction"] == pytest.approx(fraction, abs=1e-6)
    assert row["crystal_system"] == "cubic"


def test_prototypes__packing_fraction__agrees_with_a_plain_neighbour_search(bunch):
    for structure, fraction in zip(
        bunch.data["structure"][::12],
        bunch.frame["packing_fraction"][::12],
        strict=True,
    ):
        shortest = min(
            neighbour.nn_distance
            for neighbours in structure.get_all_neighbors(6.0)
            for neighbour in neighbours
        )
        spheres = len(structure) * 4 / 3 * np.pi * (shortest / 2) ** 3
        assert fraction == pytest.approx(spheres / structure.volume, rel=1e-9)
    assert bunch.frame["packing_fraction"].max() < 0.7405


def test_prototypes__crystal_system__is_that_of_the_aflow_label_but_for_one():
    loaded = load_prototypes(target="crystal_system", as_frame=True)
    limits = (2, 15, 74, 142, 167, 194, 230)
    names = (
        *("triclinic", "monoclinic", "orthorhombic", "tetragonal"),
        *("trigonal", "hexagonal", "cubic"),
    )
    numbers = [int(label.split("_")[2]) for label in loaded.prototypes]
    expected = np.array([names[np.searchsorted(limits, n)] for n in numbers])
    found = loaded.target.to_numpy()
    assert (found == expected).sum() >= 285
    assert Counter(found)["cubic"] == 66
    assert len(set(found)) == 7


def test_prototypes__structure_changed_by_the_caller__is_whole_on_the_next_call():
    first = load_prototypes()
    first.data[0].scale_lattice(1.0)
    again = load_prototypes()
    np.testing.assert_allclose(
        again.data[0].volume / len(again.data[0]), again.target[0]
    )


def test_prototypes__return_x_y__gives_structures_and_classes():
    X, y = load_prototypes(target="crystal_system", return_X_y=True)
    assert isinstance(X[0], Structure)
    assert y[0] == "trigonal"


@pytest.mark.parametrize("target", ["volume", None, ["volume_per_atom"], 3])
def test_prototypes__unknown_target__names_the_choices(target):
    with pytest.raises(InvalidValueError, match=r"one of .*packing_fraction"):
        load_prototypes(target=target)


def test_shortest_distance__one_atom_in_a_flat_cell__is_the_shortest_period():
    structure = Structure(Lattice.orthorhombic(2.0, 9.0, 14.0), ["Po"], [[0, 0, 0]])
    assert _shortest_distance(structure) == pytest.approx(2.0)
