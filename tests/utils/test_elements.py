import numpy as np
import pytest
from matminer.utils.data import MagpieData, MatscholarElementData
from pymatgen.core import Element

from skmatgnn.utils import elements
from skmatgnn.utils.elements import (
    ATOMIC_NUMBERS,
    ELEMENT_SYMBOLS,
    MAGPIE_PROPERTIES,
    cgcnn_element_features,
    magpie_element_table,
    matscholar_element_features,
)


def test_symbols__all_elements__equal_pymatgens():
    assert ELEMENT_SYMBOLS[0] == ""
    assert list(ELEMENT_SYMBOLS[1:]) == [
        Element.from_Z(z).symbol for z in range(1, 119)
    ]
    assert ATOMIC_NUMBERS["Og"] == 118
    assert ATOMIC_NUMBERS["D"] == ATOMIC_NUMBERS["T"] == 1
    assert "" not in ATOMIC_NUMBERS


@pytest.mark.parametrize("impute_nan", [False, True])
def test_magpie_table__all_elements_and_properties__equals_matminer(impute_nan):
    source = MagpieData(impute_nan=impute_nan)
    expected = [
        [source.get_elemental_property(Element.from_Z(z), p) for p in MAGPIE_PROPERTIES]
        for z in range(1, 119)
    ]
    table = magpie_element_table(impute_nan=impute_nan)
    assert table.shape == (119, 22)
    assert np.isnan(table[0]).all()
    np.testing.assert_allclose(table[1:], expected, rtol=1e-12)
    assert np.isnan(table[1:]).any() != impute_nan


def test_cgcnn_features__known_elements__are_the_published_one_hot_blocks():
    table = cgcnn_element_features()
    assert table.shape == (119, 92)
    assert np.isnan(table[0]).all()
    assert np.isnan(table[101:]).all()
    known = table[1:101]
    assert set(np.unique(known)) == {0.0, 1.0}
    groups, periods = known[:, :18].argmax(axis=1), known[:, 18:26].argmax(axis=1)
    assert groups[Element("O").Z - 1] - groups[Element("N").Z - 1] == 1
    assert groups[Element("Cl").Z - 1] == groups[Element("F").Z - 1]
    assert periods[Element("Cl").Z - 1] - periods[Element("F").Z - 1] == 1
    assert known[:, :26].sum(axis=1).tolist() == [2.0] * 100


def test_matscholar_features__known_elements__equal_matminers():
    table = matscholar_element_features()
    assert table.shape == (119, 200)
    assert np.isnan(table[[0, *range(104, 119)]]).all()
    source = MatscholarElementData()
    for z in (1, 8, 26, 103):
        expected = [
            source.get_elemental_property(Element.from_Z(z), name)
            for name in source.prop_names
        ]
        assert table[z].tolist() == expected


def test_tables__shared_between_calls__cannot_be_changed():
    for read in (
        cgcnn_element_features,
        magpie_element_table,
        matscholar_element_features,
    ):
        table = read()
        with pytest.raises(ValueError, match="read-only"):
            table[1, 1] = 0.0


def test_tables__matminer_absent_or_too_old__is_an_import_error(monkeypatch):
    with pytest.raises(ImportError, match=r"data file 'nothing.json'"):
        elements._matminer_data("nothing.json")
    monkeypatch.setattr(elements, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install matminer"):
        elements._matminer_data("cgcnn_atom_feature.json")
