"""Structures packed into flat arrays."""

from __future__ import annotations

import copy
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import shuffle

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing import StructureArray
from skmatgnn.preprocessing._structures import BLOCK


@pytest.fixture
def structures(crystals, make):
    rng = np.random.default_rng(0)
    few = [*crystals.values(), *(make.random_crystal(rng) for _ in range(6))]
    few.append(make.random_crystal(rng, pbc=(False, True, False)))
    return few


@pytest.fixture
def packed(structures):
    return StructureArray.from_structures(structures)


def test_packing__every_structure__comes_back_exactly(structures, packed):
    assert len(packed) == packed.shape[0] == len(structures)
    assert packed.ndim == 1
    assert packed.n_atoms.tolist() == [len(s) for s in structures]
    for index, (one, two) in enumerate(zip(structures, packed, strict=True)):
        np.testing.assert_array_equal(one.lattice.matrix, two.lattice.matrix)
        np.testing.assert_array_equal(one.frac_coords, two.frac_coords)
        assert one.lattice.pbc == two.lattice.pbc
        assert one.species == two.species
        assert packed[index] == one


def test_packing__coordinates_outside_the_cell__are_kept(salt):
    moved = Structure(
        salt.lattice, salt.species, salt.frac_coords + np.array([3, -2, 0.5])
    )
    (back,) = StructureArray.from_structures([moved])
    np.testing.assert_array_equal(back.frac_coords, moved.frac_coords)


def test_packing__oxidation_states_and_properties__keep_the_element(salt):
    salt.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    salt.add_site_property("magmom", [1.0] * 8)
    (back,) = StructureArray.from_structures([salt])
    assert [s.symbol for s in back.species] == ["Na"] * 4 + ["Cl"] * 4


def test_packing__cart_coords__are_those_of_pymatgen(structures, packed):
    expected = np.concatenate([s.cart_coords for s in structures])
    np.testing.assert_allclose(packed.cart_coords(), expected, rtol=0, atol=1e-12)


def test_packing__packed_already__passes(packed):
    assert StructureArray.from_structures(packed) is packed


@pytest.mark.parametrize(
    "container",
    [
        tuple,
        lambda x: pd.Series(x, index=range(7, 7 + len(x)), dtype=object),
        lambda x: pd.DataFrame({"structure": x}),
        lambda x: np.fromiter(x, dtype=object, count=len(x)),
        lambda x: np.fromiter(x, dtype=object, count=len(x)).reshape(-1, 1),
    ],
)
def test_packing__any_container__same_content(structures, container):
    for some in (structures, structures[:1], structures[:1] * 3):
        packed = StructureArray.from_structures(container(some))
        assert list(packed) == some


def test_packing__ase_atoms__same_crystal(structures):
    atoms = [AseAtomsAdaptor.get_atoms(s, msonable=False) for s in structures]
    for one, two in zip(structures, StructureArray.from_structures(atoms), strict=True):
        np.testing.assert_allclose(one.lattice.matrix, two.lattice.matrix)
        np.testing.assert_allclose(one.frac_coords, two.frac_coords, atol=1e-12)
        assert one.lattice.pbc == two.lattice.pbc
        assert one.species == two.species


def test_packing__ase_and_pymatgen_mixed__work_together(salt):
    atoms = AseAtomsAdaptor.get_atoms(salt, msonable=False)
    packed = StructureArray.from_structures([salt, atoms])
    assert packed.n_atoms.tolist() == [8, 8]


@pytest.mark.parametrize(
    "key",
    [slice(3, 8), [5, 5, 0], np.array([-1, 2]), (np.array([4, 1]), Ellipsis), []],
)
def test_slice__any_index__selects(structures, packed, key):
    part = packed[key]
    rows = np.arange(len(structures))[key[0] if isinstance(key, tuple) else key]
    assert isinstance(part, StructureArray)
    assert list(part) == [structures[row] for row in np.atleast_1d(rows).astype(int)]


def test_slice__mask_and_integer__select(structures, packed):
    mask = np.array([len(s) > 4 for s in structures])
    assert list(packed[mask]) == [s for s in structures if len(s) > 4]
    assert packed[-2] == structures[-2]
    assert packed[np.int64(3)] == structures[3]
    with pytest.raises(IndexError, match="out of bounds"):
        packed[99]


def test_splitters__of_scikit_learn__slice_it(structures, packed):
    y = np.arange(len(structures))
    _, test, _, rows = train_test_split(packed, y, random_state=0)
    assert list(test) == [structures[row] for row in rows]
    mixed, order = shuffle(packed, y, random_state=1)
    assert list(mixed) == [structures[row] for row in order]
    assert sum(len(packed[test]) for _, test in KFold(3).split(packed)) == len(packed)


def test_pickle__thousand_structures__small_quick_and_equal(structures, packed):
    many = [copy.deepcopy(s) for s in structures * 30]
    array = packed[np.tile(np.arange(len(structures)), 30)]

    def cost(x):
        start = time.process_time()
        data = pickle.dumps(x)
        back = pickle.loads(data)
        return len(data), time.process_time() - start, back

    size, _, back = cost(array)
    size_list, seconds_list, _ = cost(many)
    seconds = min(cost(array)[1] for _ in range(3))
    assert size < 0.3 * size_list
    assert seconds < 0.1 * seconds_list
    assert list(back[:5]) == structures[:5]


def test_input__is_not_changed_and_not_shared(salt):
    before = salt.copy()
    packed = StructureArray.from_structures([salt])
    packed.frac_coords[:] = 0.123
    packed.lattices[:] = 1.0
    assert salt == before


def test_repr__any__tells_the_sizes(packed):
    assert repr(packed[:2]) == "StructureArray of 2 structures, 13 atoms"


def disordered(salt):
    return Structure(salt.lattice, [{"Fe": 0.5, "Ni": 0.5}], [[0] * 3])


def collapsed(salt):
    return Structure(Lattice.from_parameters(3, 3, 1e-4, 90, 90, 90), ["H"], [[0] * 3])


BAD = [
    (disordered, InvalidValueError, r"index 3 \(.*\) is disordered.*Order it first"),
    (lambda s: Structure(s.lattice, [], []), InvalidValueError, "index 3 has no atoms"),
    (
        lambda s: Structure(s.lattice, ["X0+"], [[0] * 3]),
        InvalidValueError,
        "index 3 has an unknown element, X0.*Replace or remove",
    ),
    (
        lambda s: Structure(s.lattice, ["Na"], [[0, np.inf, 0]]),
        InvalidValueError,
        "index 3 has a coordinate or lattice vector that is not finite.*1 structures",
    ),
    (
        lambda s: Structure([[np.nan, 0, 0], [0, 3, 0], [0, 0, 3]], ["Na"], [[0] * 3]),
        InvalidValueError,
        "index 3 has a coordinate or lattice vector that is not finite",
    ),
    (collapsed, InvalidValueError, "index 3 has a cell of .* zero volume.*vacuum"),
    (lambda s: None, InvalidTypeError, "got None at index 3. Drop the rows without"),
    (lambda s: np.nan, InvalidTypeError, "at index 3. Drop the rows without"),
    (lambda s: s.as_dict(), InvalidTypeError, "dict at index 3.*Structure.from_dict"),
    (lambda s: Path("a.cif"), InvalidTypeError, "index 3. Read files.*read_structures"),
    (lambda s: "NaCl", InvalidTypeError, "'NaCl'.* at index 3.*Structure.from_file"),
    (lambda s: 3.5, InvalidTypeError, r"got float \(3.5\) at index 3"),
    (lambda s: s.composition, InvalidTypeError, "got Composition at index 3"),
    (lambda s: s.lattice, InvalidTypeError, "got Lattice at index 3"),
    (lambda s: s[0], InvalidTypeError, "got PeriodicSite at index 3"),
    (
        lambda s: Molecule(["H"], [[0] * 3]),
        InvalidTypeError,
        "got Molecule at index 3.*get_boxed_structure",
    ),
    (lambda s: Atoms(), InvalidValueError, "index 3 has no atoms"),
    (lambda s: Atoms("H"), InvalidValueError, "index 3 has a cell of .* zero volume"),
    (
        lambda s: Atoms("X", cell=[4, 4, 4], pbc=True),
        InvalidValueError,
        "index 3 has an unknown element, atomic number 0; expected 1 to 118",
    ),
    (
        lambda s: Atoms("H", positions=[[np.nan] * 3], cell=[4, 4, 4], pbc=True),
        InvalidValueError,
        "index 3 has a coordinate .* not finite",
    ),
]


@pytest.mark.parametrize(("build", "error", "message"), BAD)
def test_bad_structure__at_some_index__error_says_which_and_what_to_do(
    salt, build, error, message
):
    with pytest.raises(error, match=message):
        StructureArray.from_structures([salt, salt, salt, build(salt), salt])


def test_bad_structures__several__first_index_and_their_number(salt):
    bad = Structure(salt.lattice, ["Na"], [[0, np.nan, 0]])
    with pytest.raises(InvalidValueError, match=r"index 1 has .* \(3 structures"):
        StructureArray.from_structures([salt, bad, bad, salt, bad])


def test_bad_structures__several_in_several_blocks__all_are_listed(salt):
    items = [salt] * (BLOCK + 5)
    for index in (1, BLOCK + 3):
        items[index] = disordered(salt)
    items[4] = None
    message = (
        rf"index 1 .*In all, 3 of {BLOCK + 5} cannot .*: indices 1, 4, {BLOCK + 3}\."
    )
    with pytest.raises(InvalidValueError, match=message):
        StructureArray.from_structures(items)


def test_bad_structures__all__are_not_listed(salt):
    with pytest.raises(
        InvalidTypeError, match=r"index 0\. For formulas .*read_struct"
    ) as e:
        StructureArray.from_structures(["NaCl", "KCl"])
    assert "In all" not in str(e.value)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], InvalidValueError, "X is empty"),
        (pd.Series(dtype=object), InvalidValueError, "X is empty"),
        (None, InvalidTypeError, "got a bare None.*Put a single sample into a list"),
        ("NaCl", InvalidTypeError, "got a bare str"),
        (7, InvalidTypeError, "must be a sequence of structures; got int"),
        ({"a": 1}, InvalidTypeError, "got a bare dict"),
        ({1, 2}, InvalidTypeError, "must be a sequence of structures; got set"),
        (np.zeros((3, 2)), InvalidValueError, r"array of shape \(3, 2\)"),
        (np.zeros(3), InvalidTypeError, "got float64 .* at index 0"),
    ],
)
def test_bad_container__any__is_described(X, error, message):
    with pytest.raises(error, match=message):
        StructureArray.from_structures(X)


def test_bare_structure__of_either_kind__is_rejected(salt):
    with pytest.raises(InvalidTypeError, match=r"bare Structure.*into a list"):
        StructureArray.from_structures(salt)
    with pytest.raises(InvalidTypeError, match="got Atom at index 0"):
        StructureArray.from_structures(AseAtomsAdaptor.get_atoms(salt, msonable=False))


def test_empty_packed__is_rejected(packed):
    with pytest.raises(InvalidValueError, match="X is empty"):
        StructureArray.from_structures(packed[:0])
