"""Prototype crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from skmatgnn.datasets import load_prototypes
from skmatgnn.datasets._prototypes import _shortest_distance
from skmatgnn.errors import InvalidTypeError, InvalidValueError


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


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize(
    "names",
    [["packing_fraction", "volume_per_atom"], ("volume_per_atom",)],
)
def test_prototypes__list_of_targets__gives_their_columns_in_that_order(
    bunch, names, as_frame
):
    loaded = load_prototypes(target=names, as_frame=as_frame)
    values = np.asarray(loaded.target)
    assert values.dtype == np.float64
    assert values.shape == (288, len(names))
    np.testing.assert_array_equal(values, bunch.frame[list(names)])
    assert loaded.target_names == list(names)
    assert set(loaded.units) == set(names)
    if as_frame:
        assert list(loaded.target.columns) == list(names)
    _, y = load_prototypes(target=names, as_frame=as_frame, return_X_y=True)
    np.testing.assert_array_equal(y, values)


def test_prototypes__max_atoms__leaves_out_larger_cells_everywhere(bunch):
    sizes = np.array([len(structure) for structure in bunch.data["structure"]])
    small = load_prototypes(max_atoms=12, as_frame=True)
    assert [len(s) for s in small.data["structure"]] == sizes[sizes <= 12].tolist()
    assert 12 in sizes
    np.testing.assert_array_equal(small.groups, bunch.groups[sizes <= 12])
    np.testing.assert_array_equal(small.prototypes, bunch.prototypes[sizes <= 12])
    np.testing.assert_array_equal(small.target, bunch.target[sizes <= 12])
    assert small.frame.index.tolist() == list(range(212))
    assert "288 of the 288" in small.DESCR
    assert "only the 212 with at most 12 atoms" in small.DESCR
    assert len(load_prototypes().data) == 288


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"target": ["volume_per_atom", "crystal_system"]}, "take it alone"),
        ({"target": []}, "at least one property"),
        ({"target": ["volume_per_atom"] * 2}, "each once"),
        ({"target": ["volume"]}, r"one of .*packing_fraction"),
        ({"max_atoms": 0}, "max_atoms must be"),
        ({"max_atoms": 2.5}, "max_atoms must be an integer"),
    ],
)
def test_prototypes__impossible_choice__says_what_is_possible(arguments, match):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=match):
        load_prototypes(**arguments)


@pytest.mark.parametrize("target", ["volume", None, 3])
def test_prototypes__unknown_target__names_the_choices(target):
    with pytest.raises(InvalidValueError, match=r"one of .*packing_fraction"):
        load_prototypes(target=target)


def test_shortest_distance__one_atom_in_a_flat_cell__is_the_shortest_period():
    structure = Structure(Lattice.orthorhombic(2.0, 9.0, 14.0), ["Po"], [[0, 0, 0]])
    assert _shortest_distance(structure) == pytest.approx(2.0)
