import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from skmatgnn.model_selection import (
    chemical_system_groups,
    formula_groups,
    prototype_groups,
    working_ion_groups,
)


@given(
    amounts=st.dictionaries(
        st.sampled_from(["Li", "Fe", "P", "O", "Na", "S"]),
        st.integers(1, 12),
        min_size=1,
    ),
    factor=st.sampled_from([1, 2, 3, 7, 0.5, 0.25, 1 / 3]),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_formula_groups__multiple_in_any_order__is_the_same_compound(
    amounts, factor, seed
):
    items = list(amounts.items())
    np.random.default_rng(seed).shuffle(items)
    scaled = {element: float(amount) * factor for element, amount in items}
    labels = formula_groups([amounts, scaled, Composition(amounts).reduced_formula])
    assert set(labels) == {Composition(amounts).reduced_formula}


def test_formula_groups__close_but_different_compositions__stay_apart():
    labels = formula_groups(["Li0.99FePO4", "LiFePO4", "Li1.01FePO4", "Fe3O4", "FeO"])
    assert len(set(labels)) == 5


def test_formula_groups__structure_atoms_and_formula__agree(rocksalts):
    atoms = AseAtomsAdaptor.get_atoms(rocksalts[0])
    species = rocksalts[0].copy()
    species.add_oxidation_state_by_guess()
    labels = formula_groups([rocksalts[0], atoms, species, "OMg", Composition("Mg2O2")])
    assert labels.tolist() == ["MgO"] * 5
    systems = chemical_system_groups([rocksalts[0], atoms, species, "Mg3O"])
    assert systems.tolist() == ["Mg-O"] * 4


@pytest.mark.parametrize("container", [tuple, np.array, pd.Series, pd.DataFrame])
def test_formula_groups__containers__are_all_read(container):
    X = container(["Fe2O3", "NaCl"])
    assert formula_groups(X).tolist() == ["Fe2O3", "NaCl"]


@pytest.mark.parametrize(
    "groups", [formula_groups, chemical_system_groups, working_ion_groups]
)
def test_composition_groups__bad_sample__is_named_with_its_index(groups):
    with pytest.raises(ValueError, match=r"index 1 .*unknown element 'Xx'"):
        groups(["NaCl", "Xx2O"])
    with pytest.raises(TypeError, match="bare"):
        groups("NaCl")


def test_electrode_groups__of_the_battery_explorer__match_what_is_recorded(electrodes):
    discharged = electrodes.formula_discharge.tolist()
    ions = electrodes.working_ion.to_numpy()
    both = working_ion_groups(discharged, electrodes.formula_charge)
    np.testing.assert_array_equal(both, ions)
    assert np.mean(working_ion_groups(discharged) == ions) > 0.99
    np.testing.assert_array_equal(working_ion_groups(electrodes), ions)
    groups = formula_groups(discharged)
    distinct = {
        tuple(sorted((e.symbol, round(fraction, 6)) for e, fraction in c.items()))
        for c in (Composition(text).fractional_composition for text in discharged)
    }
    assert len(set(groups)) == len(distinct)


def test_working_ion_groups__ambiguous_host__is_settled_by_the_charged_formula():
    discharged = ["Li2MgMn3O8", "Li2MgMn3O8", "LiFePO4"]
    charged = ["MgMn3O8", "Li2Mn3O8", "Li0.5FePO4"]
    assert working_ion_groups(discharged, charged).tolist() == ["Li", "Mg", "Li"]
    assert working_ion_groups(discharged).tolist() == ["Li", "Li", "Li"]
    assert working_ion_groups(discharged, ions=("Mg",)).tolist() == [
        "Mg",
        "Mg",
        "none",
    ]
    assert working_ion_groups(["LiFePO4"], ["LiFePO4"]).tolist() == ["none"]
    assert working_ion_groups(["LiCoO2"], ["FePO4"]).tolist() == ["none"]


def test_working_ion_groups__bad_input__is_named():
    with pytest.raises(TypeError, match=r"got (None|float \(nan\)) at index 1"):
        working_ion_groups(pd.DataFrame({"working_ion": ["Li", None]}))
    with pytest.raises(ValueError, match="X has 1, charged has 2"):
        working_ion_groups(["LiCoO2"], ["CoO2", "CoO2"])


def test_prototype_groups__same_type__is_one_group_in_any_cell(rocksalts):
    zincblende = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.4), ["Zn", "S"], [[0] * 3, [0.25] * 3]
    )
    supercell = rocksalts[0] * (2, 1, 1)
    primitive = rocksalts[1].get_primitive_structure()
    atoms = AseAtomsAdaptor.get_atoms(zincblende)
    labels = prototype_groups([*rocksalts, supercell, primitive, zincblende, atoms])
    assert labels.tolist() == ["AB-225-2"] * 7 + ["AB-216-2"] * 2


def test_prototype_groups__no_structure_or_overlapping_atoms__names_the_index(
    rocksalts,
):
    with pytest.raises(TypeError, match=r"got str \('NaCl'\) at index 1"):
        prototype_groups([rocksalts[0], "NaCl"])
    with pytest.raises(TypeError, match="bare Structure"):
        prototype_groups(rocksalts[0])
    clash = Structure(Lattice.cubic(4), ["Na", "Na"], [[0] * 3, [0] * 3])
    with pytest.raises(ValueError, match=r"structure at index 1 .*overlapping"):
        prototype_groups([rocksalts[0], clash])


@pytest.mark.parametrize(
    "formulas",
    [
        ["Si0.71Ge0.29", "Si71Ge29", "Si1.42Ge0.58"],
        ["Si0.1234Ge0.8766", "Si617Ge4383", "Ge8.766Si1.234"],
    ],
)
def test_formula_groups__same_fractions_in_separate_calls__have_one_name(formulas):
    assert len({formula_groups([formula])[0] for formula in formulas}) == 1
