"""Tables of many properties out of one dataset for each."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from skmatgnn.datasets import make_crystals
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing import StructureArray, merge_properties


@pytest.fixture
def polymorphs(salt):
    """NaCl as rock salt, and with the structure of caesium chloride."""
    other = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    return salt, other


def as_lists(frame):
    return np.where(frame.isna(), None, frame).tolist()


def test_merge__no_match__stacks_the_rows(crystals):
    a, b, c = (crystals[name] for name in ("NaCl", "SrTiO3", "CsCl"))
    table = merge_properties([([a, b], [1, 2], "gap"), ([b, c], [3, 4], "volume")])
    assert as_lists(table.target) == [[1, None], [2, None], [None, 3], [None, 4]]
    assert [x is y for x, y in zip(table.data, [a, b, b, c], strict=True)] == [True] * 4
    assert table.target_names == ["gap", "volume"] == list(table.target.columns)
    assert table.overlaps.to_numpy().tolist() == [[2, 0], [0, 2]]
    assert table.sources.to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_merge__structure__joins_equivalent_cells_and_no_polymorphs(polymorphs, make):
    salt, other = polymorphs
    same = make.equivalents(salt, np.random.default_rng(0))
    for equivalent in (same["supercell"], same["rotated"], same["niggli"]):
        table = merge_properties(
            [([salt, other], [1, 2], "gap"), ([equivalent, other], [3, 4], "volume")],
            match="structure",
        )
        assert as_lists(table.target) == [[1, 3], [2, 4]]
        assert table.data[0] is salt
        assert table.overlaps.loc["gap", "volume"] == 2


def test_merge__formula__joins_polymorphs_and_averages(polymorphs, crystals):
    salt, other = polymorphs
    copper = crystals["fcc_Cu"]
    table = merge_properties(
        [([salt, copper, other], [1, 2, 5], "gap"), ([other], [4], "volume")],
        match="formula",
    )
    assert as_lists(table.target) == [[3, 4], [2, None]]
    assert table.report["matched"].tolist() == [1, 1]
    assert table.report["averaged"].tolist() == [2, 0]


def test_merge__one_property_twice__is_one_column(crystals):
    a, b = crystals["NaCl"], crystals["CsCl"]
    table = merge_properties(
        [([a], [1.0], "gap"), ([a, b], [2.0, 3.0], "gap")], match="formula"
    )
    assert as_lists(table.target) == [[1.5], [3]]
    assert table.report["averaged"].tolist() == [1, 1]


def test_merge__exclude__drops_every_row_of_a_test_material(polymorphs, crystals):
    salt, other = polymorphs
    rest = crystals["SrTiO3"]
    data = [([salt, other, rest], [1, 2, 3], "gap"), ([other, rest], [4, 5], "volume")]

    def left(**parameters):
        table = merge_properties(data, **parameters)
        return as_lists(table.target), table.report["excluded"].tolist()

    both = [[3, None], [None, 5]], [2, 1]
    assert left(exclude=[salt]) == both
    assert left(exclude=["Na2Cl2"]) == both
    assert left(exclude=[salt.composition]) == both
    assert left(exclude=StructureArray.from_structures([other])) == both
    only = [[2, 4], [3, 5]], [1, 0]
    structure = {"exclude_match": "structure", "match": "structure"}
    assert left(exclude=[salt * (1, 2, 1)], **structure) == only
    assert left(exclude=[], match="formula")[1] == [0, 0]
    assert left(exclude=None)[1] == [0, 0]


def test_merge__exclude__leaves_nothing_that_matches(crystals):
    """What the published study could not rule out."""
    structures = list(crystals.values())
    test = structures[::2]
    table = merge_properties(
        [(structures, range(len(structures)), "a"), (structures[1:], [1.0] * 8, "b")],
        match="structure",
        exclude=test,
    )
    formulas = {s.composition.reduced_formula for s in test}
    assert len(table.data) >= 3
    assert not formulas & {s.composition.reduced_formula for s in table.data}


def test_merge__unknown_values__are_left_out(crystals):
    a, b = crystals["NaCl"], crystals["CsCl"]
    table = merge_properties(
        [([a, b], [np.nan, 2], "gap"), ([a, b], pd.array([3, None]), "volume")],
        match="formula",
    )
    assert as_lists(table.target) == [[2, None], [None, 3]]
    assert table.report["unknown"].tolist() == [1, 1]
    assert table.data.tolist() == [b, a]


def test_merge__masked_values__are_unknown(crystals):
    a, b = crystals["NaCl"], crystals["CsCl"]
    y = np.ma.array([1.0, 1e9], mask=[False, True])
    table = merge_properties([([a, b], y, "gap")])
    assert as_lists(table.target) == [[1.0]]
    assert table.report["unknown"].tolist() == [1]


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, True, False)])
def test_merge__molecules_and_slabs__are_compared_in_their_boxes(pbc):
    def in_box(distance, pbc):
        box = Lattice(np.diag([5.0, 5.0, 9.0]), pbc=pbc)
        coords = [[0, 0, 0], [distance, 0, 0]]
        return Structure(box, ["Si", "O"], coords, coords_are_cartesian=True)

    one, near, other = in_box(1.5, pbc), in_box(1.5001, pbc), in_box(1.5, (True,) * 3)
    table = merge_properties(
        [([one], [1], "gap"), ([near, other], [2, 3], "volume")], match="structure"
    )
    assert as_lists(table.target) == [[1, 2], [None, 3]]


def test_merge__containers__do_not_matter(crystals):
    structures = [crystals[name] for name in ("NaCl", "SrTiO3", "hcp_Mg")]
    expected = merge_properties([(structures, [1, 2, 3], "a")]).target
    for contain in (tuple, StructureArray.from_structures, pd.Series):
        found = merge_properties([(contain(structures), pd.Series([1, 2, 3]), "a")])
        pd.testing.assert_frame_equal(found.target, expected)


@pytest.mark.parametrize(
    ("datasets", "parameters", "error", "message"),
    [
        ([], {}, InvalidValueError, "datasets is empty"),
        ([([1], [1])], {}, InvalidTypeError, "structures, y and the property"),
        ([("X", [1.0], 3)], {}, InvalidTypeError, "name of a property.*dataset 0"),
        ([("X", [1.0, 2.0], "a")], {}, InvalidValueError, "Dataset 0, 'a'.*y has 2"),
        ([("X", [np.inf], "a")], {}, InvalidValueError, "infinite at index 0"),
        ([("X", [[1.0]], "a")], {}, InvalidValueError, "one dimension"),
        ([("X", ["one"], "a")], {}, ValueError, "Dataset 0, 'a'"),
        ([("NaCl", [1.0], "a")], {}, InvalidTypeError, "Dataset 0, 'a'"),
        ([("X", [np.nan], "a")], {}, InvalidValueError, "No value of 'a' is left"),
        ([("X", [1.0], "a")], {"exclude": ["ClNa"]}, InvalidValueError, "excluded"),
        ([("X", [1.0], "a")], {"match": "name"}, InvalidValueError, "match must be"),
        ([("X", [1.0], "a")], {"exclude_match": None}, InvalidValueError, "exclude_m"),
        (
            [("X", [1.0], "a")],
            {"exclude": ["NaCl"], "exclude_match": "structure"},
            InvalidTypeError,
            "str",
        ),
    ],
)
def test_merge__bad_input__is_refused(datasets, parameters, error, message, salt):
    given = [
        tuple(
            [salt] if part == "X" else ["NaCl"] if part == "NaCl" else part
            for part in d
        )
        if isinstance(d[0], str)
        else d
        for d in datasets
    ]
    with pytest.raises(error, match=message):
        merge_properties(given, **parameters)


def test_merge__two_properties_of_the_same_objects__compares_no_structures(monkeypatch):
    from pymatgen.analysis import structure_matcher

    X = list(make_crystals(6, random_state=0).data)
    copies = [*X, *(x.copy() for x in X[:1])]

    def called(*_, **__):
        raise AssertionError("structures were compared")

    monkeypatch.setattr(structure_matcher.StructureMatcher, "fit", called)
    y = np.arange(7.0)
    table = merge_properties([(copies, y, "a"), (X, y[:6], "b")], match="structure")
    assert table.target.shape == (6, 2)
    assert table.target["a"][0] == 3.0  # of the first and of its copy
    assert table.target["b"].tolist() == y[:6].tolist()


def test_merge__cells_of_other_size_and_shape__are_reduced_to_the_same_material():
    (cell,) = make_crystals(1, prototypes=["perovskite"], random_state=0).data
    skewed = (cell * (1, 1, 2)).copy()
    skewed.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    strained = cell.copy()
    strained.apply_strain([1.0, 0.0, 0.0])
    table = merge_properties(
        [([cell, strained], [1.0, 2.0], "a"), ([skewed], [3.0], "b")], match="structure"
    )
    np.testing.assert_array_equal(table.target, [[1.0, 3.0], [2.0, np.nan]])
    exclude = merge_properties(
        [([cell, strained], [1.0, 2.0], "a")],
        exclude=[skewed],
        exclude_match="structure",
    )
    assert exclude.target["a"].tolist() == [2.0]
