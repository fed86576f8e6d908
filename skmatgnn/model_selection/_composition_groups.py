"""Groups of samples that share a formula, elements, a working ion or a prototype."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.utils.elements import ELEMENT_SYMBOLS
from skmatgnn.utils.validation import (
    describe,
    ensure_object_array,
    require_consistent_length,
)
from skmatgnn.utils.warning_filters import without_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKING_IONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Zn", "Al", "Y")

_FRACTION_DIGITS = 6  # atomic fractions that agree to this are one composition
_LARGEST_FACTOR = 100


def formula_groups(X: Any) -> np.ndarray:
    """Group samples by composition, whatever the formula's size or order.

    Polymorphs and duplicates of one compound then stay together under
    ``GroupKFold`` and ``LeaveOneGroupOut``; in random folds they leak: in the 2019
    battery explorer 35 % of rows share their formula with another.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The samples.

    Returns
    -------
    ndarray of shape (n_samples,), dtype str
        Reduced formula. Compositions whose atomic fractions agree to 1e-6 have the
        same one: "Li0.5CoO2", "LiCo2O4" and "Li2Co4O8".

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a sample has no usable composition, with the indices.

    Examples
    --------
    >>> from skmatgnn.model_selection import formula_groups
    >>> formula_groups(["Fe2O3", "Fe4O6", "O3Fe2", "LiFePO4"]).tolist()
    ['Fe2O3', 'Fe2O3', 'Fe2O3', 'LiFePO4']
    """
    packed = parse_compositions(X)
    fractions = np.round(packed.fractions, _FRACTION_DIGITS).tolist()
    numbers, starts = packed.atomic_numbers.tolist(), packed.row_ptr.tolist()
    names: dict[tuple, str] = {}
    labels = []
    for index, (start, stop) in enumerate(pairwise(starts)):
        key = (*numbers[start:stop], *fractions[start:stop])
        if key not in names:
            names[key] = _reduced_formula(packed.as_dict(index))
        labels.append(names[key])
    return np.array(labels)


def chemical_system_groups(X: Any) -> np.ndarray:
    """Group samples by the set of their elements.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The samples.

    Returns
    -------
    ndarray of shape (n_samples,), dtype str
        Symbols in alphabetical order, such as "Fe-Li-O-P".

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a sample has no usable composition, with the indices.

    Examples
    --------
    >>> from skmatgnn.model_selection import chemical_system_groups
    >>> chemical_system_groups(["FeO", "Fe2O3", "LiFePO4"]).tolist()
    ['Fe-O', 'Fe-O', 'Fe-Li-O-P']
    """
    packed = parse_compositions(X)
    symbols = [ELEMENT_SYMBOLS[z] for z in packed.atomic_numbers.tolist()]
    starts = packed.row_ptr.tolist()
    return np.array(
        ["-".join(sorted(symbols[start:stop])) for start, stop in pairwise(starts)]
    )


def working_ion_groups(
    X: Any,
    charged: Any = None,
    *,
    column: str = "working_ion",
    ions: Sequence[str] = WORKING_IONS,
) -> np.ndarray:
    """Group electrode materials by the ion that moves.

    Parameters
    ----------
    X : frame, or sequence of str, Composition, Structure, ase.Atoms or dict
        A frame with the column ``column``, which is then taken as it is, or the
        materials in the discharged (ion-rich) state.
    charged : sequence, default=None
        The same materials in the charged state. With both states the ion is the
        element of ``ions`` by which they differ.
    column : str, default="working_ion"
        Column to look for if ``X`` is a frame.
    ions : sequence of str, default=WORKING_IONS
        Elements that may be the working ion. Without ``charged`` the first of them
        that a formula contains is taken.

    Returns
    -------
    ndarray of shape (n_samples,), dtype str
        Symbol of the ion, or "none".

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a sample has no usable composition or an ion in the column is missing.

    Notes
    -----
    On the 5,133 pairs of the 2019 Materials Project battery explorer both formulas
    together give the recorded ion in all cases; the discharged formula alone does in
    99.2 %, since 4 % of the hosts contain a second element of the list.

    Examples
    --------
    >>> from skmatgnn.model_selection import working_ion_groups
    >>> working_ion_groups(["LiFePO4", "MgMn2O4", "FeO"]).tolist()
    ['Li', 'Mg', 'none']
    >>> working_ion_groups(["Li2CaMn3O8"], charged=["Li2Mn3O8"]).tolist()
    ['Ca']
    """
    if hasattr(X, "columns") and column in X.columns:
        return _ions_of_column(X[column], column)
    discharged = _amounts(X)
    if charged is None:
        return np.array(
            [next((ion for ion in ions if ion in d), "none") for d in discharged]
        )
    empty = _amounts(charged)
    require_consistent_length(X=discharged, charged=empty)
    return np.array(
        [_moving_ion(d, c, ions) for d, c in zip(discharged, empty, strict=True)]
    )


def prototype_groups(X: Any, *, symprec: float = 0.01) -> np.ndarray:
    """Group structures by structure type.

    Parameters
    ----------
    X : sequence of Structure or ase.Atoms
        The structures.
    symprec : float, default=0.01
        Tolerance of the symmetry search, in Angstrom.

    Returns
    -------
    ndarray of shape (n_samples,), dtype str
        Anonymous formula, space group number and number of atoms in the primitive
        cell: "AB-225-2" is rock salt. Types that differ in Wyckoff positions only
        are not told apart.

    Raises
    ------
    InvalidTypeError
        If a sample is no structure, with the index.
    InvalidValueError
        If no symmetry is found, with the index.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.model_selection import prototype_groups
    >>> cscl = Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    >>> prototype_groups([cscl, cscl * (2, 1, 1)]).tolist()
    ['AB-221-2', 'AB-221-2']
    """
    from pymatgen.core import Structure

    items = ensure_object_array(X, what="structures", single=(Structure, str))
    return np.array([_prototype(item, i, symprec) for i, item in enumerate(items)])


def _reduced_formula(amounts: dict[str, float]) -> str:
    from pymatgen.core import Composition

    values = np.array(list(amounts.values()))
    for factor in range(1, _LARGEST_FACTOR + 1):
        scaled = factor * values / values.min()
        if np.abs(scaled - scaled.round()).max() < 10.0**-_FRACTION_DIGITS:
            values = scaled.round()
            break
    else:  # so that it does not depend on the size in which it was written
        values = np.round(values / values.sum(), _FRACTION_DIGITS)
    whole = Composition(dict(zip(amounts, values.tolist(), strict=True)))
    return whole.reduced_formula


def _amounts(X: Any) -> list[dict[str, float]]:
    packed = parse_compositions(X)
    return [packed.as_dict(index) for index in range(len(packed))]


def _moving_ion(
    discharged: dict[str, float], charged: dict[str, float], ions: Sequence[str]
) -> str:
    """Return the element that leaves a host otherwise unchanged."""
    for ion in ions:
        host = discharged.keys() - {ion}
        if ion not in discharged or not host or host != charged.keys() - {ion}:
            continue
        scale = np.array([discharged[e] / charged[e] for e in host])
        if np.ptp(scale) < 1e-6 * scale.max() and not np.isclose(
            discharged[ion], charged.get(ion, 0.0) * scale[0]
        ):
            return ion
    return "none"


def _ions_of_column(values: Any, column: str) -> np.ndarray:
    items = list(values)
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise InvalidTypeError(
                f"Column {column!r} must hold element symbols; got {describe(item)} "
                f"at index {index}. Fill in or drop that row."
            )
    return np.array(items)


def _prototype(item: Any, index: int, symprec: float) -> str:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    structure = as_structure(item, index)
    try:
        # spglib announces changes of its own error handling at every call.
        with without_warnings(DeprecationWarning):
            analyzer = SpacegroupAnalyzer(structure, symprec=symprec)
            number = analyzer.get_space_group_number()
            n_primitive = len(analyzer.find_primitive())
    except Exception as error:
        raise InvalidValueError(
            f"No symmetry could be found for the structure at index {index} "
            f"({error}). Check it for overlapping atoms, or change symprec={symprec}."
        ) from error
    return f"{structure.composition.anonymized_formula}-{number}-{n_primitive}"


def as_structure(item: Any, index: int) -> Any:
    """Convert a structure of pymatgen or ase.

    Parameters
    ----------
    item : Structure or ase.Atoms
    index : int
        For the message.

    Returns
    -------
    Structure

    Raises
    ------
    InvalidTypeError
        If it is neither.
    """
    if hasattr(item, "get_atomic_numbers"):
        from pymatgen.io.ase import AseAtomsAdaptor

        return AseAtomsAdaptor.get_structure(item)
    if hasattr(item, "composition") and hasattr(item, "lattice"):
        return item
    raise InvalidTypeError(
        "X must contain pymatgen Structure or ase.Atoms objects; got "
        f"{describe(item)} at index {index}. For formulas use formula_groups."
    )
