"""Dimensionality of structures, and the split that holds groups out."""

import numpy as np
import pytest
from joblib import parallel_config
from pymatgen.analysis.local_env import JmolNN
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_validate

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection import HoldOutGroups, dimensionality_groups

THIRD = 1 / 3
CRYSTALS = {
    "CO2": ("Pa-3", Lattice.cubic(5.62), ["C", "O"], [[0] * 3, [0.118] * 3], "0D"),
    "Se": (
        *("P3_121", Lattice.hexagonal(4.366, 4.954), ["Se"]),
        *([[0.225, 0, THIRD]], "1D"),
    ),
    "MoS2": (
        *("P6_3/mmc", Lattice.hexagonal(3.16, 12.3), ["Mo", "S"]),
        *([[THIRD, 2 * THIRD, 0.25], [THIRD, 2 * THIRD, 0.621]], "2D"),
    ),
    "Bi2Te3": (
        *("R-3m", Lattice.hexagonal(4.38, 30.5), ["Bi", "Te", "Te"]),
        *([[0, 0, 0.4], [0] * 3, [0, 0, 0.21]], "2D"),
    ),
    "LiCoO2": (
        *("R-3m", Lattice.hexagonal(2.82, 14.05), ["Li", "Co", "O"]),
        *([[0, 0, 0.5], [0] * 3, [0, 0, 0.2606]], "3D"),
    ),
    "CsI": ("Pm-3m", Lattice.cubic(4.567), ["Cs", "I"], [[0] * 3, [0.5] * 3], "3D"),
    "Fe": ("Im-3m", Lattice.cubic(2.866), ["Fe"], [[0] * 3], "3D"),
}


def crystal(name):
    return Structure.from_spacegroup(*CRYSTALS[name][:4])


@pytest.mark.parametrize("name", CRYSTALS)
def test_dimensionality__known_crystals__have_that_of_the_textbook(name):
    structure = crystal(name)
    atoms = AseAtomsAdaptor.get_atoms(structure)
    expected = [CRYSTALS[name][-1]] * 2
    assert dimensionality_groups([structure, atoms]).tolist() == expected


def test_dimensionality__other_bonds__give_other_groups_in_any_number_of_processes():
    X = [crystal("CsI"), crystal("MoS2"), crystal("Se")]
    found = dimensionality_groups(X, neighbors=JmolNN())
    assert found.tolist() == ["0D", "2D", "1D"]  # it has no ionic bonds
    with parallel_config(backend="threading"):
        again = dimensionality_groups(X, neighbors=JmolNN(), n_jobs=2)
    np.testing.assert_array_equal(found, again)


def test_dimensionality__verbose__shows_progress(capsys):
    dimensionality_groups([crystal("Fe"), crystal("CsI")], verbose=True)
    assert "2/2" in capsys.readouterr().err


def test_dimensionality__unusable_arguments__are_refused_with_the_index():
    with pytest.raises(InvalidTypeError, match="index 1"):
        dimensionality_groups([crystal("Fe"), "NaCl"])
    with pytest.raises(InvalidTypeError, match="neighbors must be one of pymatgen"):
        dimensionality_groups([crystal("Fe")], neighbors="jmol")

    class Broken(JmolNN):
        def get_bonded_structure(self, structure):
            if len(structure) > 2:
                raise IndexError("no neighbours")
            return super().get_bonded_structure(structure)

    with pytest.raises(InvalidValueError, match=r"index 1 could not .*IndexError: no"):
        dimensionality_groups([crystal("Fe"), crystal("MoS2")], neighbors=Broken())


def test_hold_out_groups__trains_on_none_of_them():
    groups = np.array(["3D", "2D", "3D", "0D", "3D"])
    cv = HoldOutGroups(["0D", "1D", "2D"])
    ((train, test),) = cv.split(np.zeros(5), groups=groups)
    assert (train.tolist(), test.tolist()) == ([0, 2, 4], [1, 3])
    y = np.array([1.0, 9.0, 2.0, 9.0, 3.0])
    scores = cross_validate(
        DummyRegressor(), np.zeros((5, 1)), y, groups=groups, cv=cv,
        scoring="neg_mean_absolute_error", error_score="raise",
    )  # fmt: skip
    assert scores["test_score"].tolist() == [-7.0]
    assert cv.get_n_splits() == 1
    assert repr(cv) == "HoldOutGroups(held_out=['0D', '1D', '2D'])"


def test_hold_out_groups__numbers__are_labels_too():
    ((train, test),) = HoldOutGroups([1]).split(None, groups=[0, 1, 2])
    assert (train.tolist(), test.tolist()) == ([0, 2], [1])
    for groups in (np.array([0, 1, -1], dtype=object), np.array(["a", 1, -1], object)):
        ((train, test),) = HoldOutGroups([1]).split(None, groups=groups)
        assert (train.tolist(), test.tolist()) == ([0, 2], [1])


def test_hold_out_groups__missing_label__promises_nothing_of_minus_one():
    with pytest.raises(InvalidValueError, match=r"Give every sample a label\.$"):
        list(HoldOutGroups(["a"]).split(None, groups=["a", "b", None]))


@pytest.mark.parametrize(
    ("held_out", "groups", "message"),
    [
        (["2D"], None, "needs groups"),
        ("2D", ["2D", "3D"], "must be a sequence of groups"),
        (["1D"], ["2D", "3D"], r"no sample to test on; .* \{'2D': 1, '3D': 1\}"),
        (["2D", "3D"], ["2D", "3D"], "no sample to train on"),
        (["2D"], ["2D", None], "index 1"),
    ],
)
def test_hold_out_groups__nothing_to_split__is_refused(held_out, groups, message):
    with pytest.raises((InvalidValueError, InvalidTypeError), match=message):
        list(HoldOutGroups(held_out).split(None, groups=groups))
