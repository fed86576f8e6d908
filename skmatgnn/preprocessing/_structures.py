"""Crystal structures, checked and packed into flat arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError, SkmatgnnError
from skmatgnn.utils.elements import N_ELEMENTS
from skmatgnn.utils.ragged import ensure_row_index, ragged_indices, row_pointers
from skmatgnn.utils.validation import describe, ensure_object_array, is_missing

if TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ["StructureArray"]

MIN_VOLUME_PER_ATOM = 1e-2  # Angstrom^3; an H atom in a metal takes about 2
SHOWN = 10  # indices in a message
BLOCK = 256  # structures that are unpacked at a time, so that caches hold them


@dataclass(frozen=True, eq=False, repr=False)
class StructureArray(Sequence):
    """Many structures in six flat arrays.

    It is a sequence of :class:`pymatgen.core.Structure`, is sliced by every
    scikit-learn splitter, and is sent to worker processes hundreds of times faster
    than a list of structures. Elements, lattice, fractional coordinates and periodic
    directions are kept exactly; oxidation states and site properties are not kept.

    Parameters
    ----------
    lattices : ndarray of shape (n, 3, 3)
        Lattice vectors as rows, in Angstrom.
    pbc : ndarray of shape (n, 3), bool
        Directions in which a structure repeats.
    atom_ptr : ndarray of shape (n + 1,)
        Atoms ``atom_ptr[s]:atom_ptr[s + 1]`` belong to structure ``s``.
    atomic_numbers : ndarray of shape (n_atoms,), uint8
    frac_coords : ndarray of shape (n_atoms, 3)

    See Also
    --------
    skmatgnn.graphs.GraphArray : The same for graphs.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.preprocessing import StructureArray
    >>> salt = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> packed = StructureArray.from_structures([salt, salt])
    >>> len(packed), packed[0] == salt
    (2, True)
    >>> packed[[True, False]]
    StructureArray of 1 structures, 2 atoms
    """

    lattices: np.ndarray
    pbc: np.ndarray
    atom_ptr: np.ndarray
    atomic_numbers: np.ndarray
    frac_coords: np.ndarray

    def __len__(self) -> int:
        return len(self.lattices)

    @property
    def shape(self) -> tuple[int]:
        """Number of structures, as NumPy spells it."""
        return (len(self),)

    @property
    def ndim(self) -> int:
        """Always one."""
        return 1

    @property
    def n_atoms(self) -> np.ndarray:
        """Atoms in each structure."""
        return np.diff(self.atom_ptr)

    def __sizeof__(self) -> int:
        # dask sends what is large once, and asks for the size by this
        sizes = (getattr(value, "nbytes", 0) for value in vars(self).values())
        return object.__sizeof__(self) + sum(sizes)

    def __repr__(self) -> str:
        return f"StructureArray of {len(self)} structures, {self.atom_ptr[-1]} atoms"

    def __getitem__(self, key: Any) -> Any:
        index = ensure_row_index(key, len(self))
        if isinstance(index, int):
            return self._structure(index)
        n_atoms = self.n_atoms[index]
        atoms = ragged_indices(self.atom_ptr[:-1][index], n_atoms)
        return StructureArray(
            self.lattices[index],
            self.pbc[index],
            row_pointers(n_atoms),
            self.atomic_numbers[atoms],
            self.frac_coords[atoms],
        )

    def __iter__(self) -> Iterator[Structure]:
        return (self._structure(index) for index in range(len(self)))

    def _structure(self, index: int) -> Structure:
        from pymatgen.core import Lattice, Structure

        atoms = slice(*self.atom_ptr[index : index + 2])
        lattice = Lattice(self.lattices[index], pbc=tuple(self.pbc[index].tolist()))
        return Structure(
            lattice, self.atomic_numbers[atoms].tolist(), self.frac_coords[atoms]
        )

    def cart_coords(self) -> np.ndarray:
        """Cartesian coordinates of all atoms.

        Returns
        -------
        ndarray of shape (n_atoms, 3)
            In Angstrom.
        """
        lattices = np.repeat(self.lattices, self.n_atoms, axis=0)
        return np.einsum("ni,nij->nj", self.frac_coords, lattices)

    @classmethod
    def from_structures(cls, X: Any, *, first_index: int = 0) -> StructureArray:
        """Check and pack structures.

        Parameters
        ----------
        X : sequence of pymatgen Structure or ase Atoms
            List, tuple, 1-D object array, Series, one-column frame or
            StructureArray. ``ase.Atoms`` are recognised by their methods.
        first_index : int, default=0
            Index of the first structure in the user's data, for the messages.

        Returns
        -------
        StructureArray

        Raises
        ------
        InvalidTypeError
            If X is a bare structure or no sequence, or an item is no structure.
        InvalidValueError
            If X is empty, or a structure is empty, disordered, has no volume, an
            unknown element or a coordinate that is not finite.
            Messages name the index of the first such structure and list the rest.
        """
        if isinstance(X, cls):
            if len(X) == 0:
                raise InvalidValueError("X is empty; at least one structure is needed.")
            return X
        items = ensure_object_array(X, what="structures", single=_single_types())
        try:
            parts = [
                _pack(items[start : start + BLOCK], first_index + start)
                for start in range(0, len(items), BLOCK)
            ]
        except SkmatgnnError as error:
            raise type(error)(f"{error}{_all_at_fault(items, first_index)}") from error
        lattices, pbc, n_atoms, numbers, coords = map(np.concatenate, zip(*parts))  # noqa: B905
        packed = cls(lattices, pbc, row_pointers(n_atoms), numbers, coords)
        _require_finite(packed, first_index)
        _require_volume(packed, first_index)
        return packed


def _single_types() -> tuple[type, ...]:
    from pymatgen.core.structure import SiteCollection

    return (SiteCollection, str, bytes, dict)


def _pack(items: np.ndarray, first_index: int) -> tuple[np.ndarray, ...]:
    """Lattices, periodic directions, numbers of atoms, elements and coordinates."""
    columns = _columns_of_ordered(items)
    if columns is None:
        parts = [_unpack(item, i) for i, item in enumerate(items, first_index)]
        lattices, pbc, numbers, coords = (list(column) for column in zip(*parts))  # noqa: B905
        n_atoms = [len(part) for part in numbers]
        columns = lattices, pbc, n_atoms, np.concatenate(numbers), coords
    lattices, pbc, n_atoms, numbers, coords = columns
    return (
        np.array(lattices, dtype=np.float64).reshape(-1, 3, 3),
        np.array(pbc, dtype=bool).reshape(-1, 3),
        np.array(n_atoms),
        np.asarray(numbers, dtype=np.uint8),
        np.concatenate(coords, dtype=np.float64).reshape(-1, 3),
    )


def _all_at_fault(items: np.ndarray, first_index: int) -> str:
    """Say which items cannot be unpacked, where it is more than one, but not all."""
    indices = []
    for index, item in enumerate(items, first_index):
        try:
            _unpack(item, index)
        except SkmatgnnError:
            indices.append(index)
    if not 1 < len(indices) < len(items):
        return ""
    shown = ", ".join(map(str, indices[:SHOWN]))
    return (
        f" In all, {len(indices)} of {len(items)} cannot be used: indices {shown}"
        f"{', ...' if len(indices) > SHOWN else '.'}"
    )


def _columns_of_ordered(items: np.ndarray) -> tuple[Any, ...] | None:
    """Read pymatgen's structures without Python code for each site.

    None if an item is anything else, or is at fault.
    """
    from pymatgen.core import Element, IStructure, Species

    if not all(isinstance(item, IStructure) for item in items):
        return None
    sites_of = [item.sites for item in items]
    n_atoms = [len(sites) for sites in sites_of]
    sites = list(chain.from_iterable(sites_of))
    species = list(map(attrgetter("species"), sites))
    if (
        0 in n_atoms
        or set(map(len, species)) != {1}
        or set(map(attrgetter("num_atoms"), species)) != {1}
    ):
        return None
    elements = list(map(next, map(iter, species)))
    if not {Element, Species}.issuperset(map(type, elements)):
        return None
    numbers = list(map(attrgetter("Z"), elements))
    if max(numbers) > N_ELEMENTS or min(numbers) < 1:
        return None
    lattices = [item.lattice for item in items]
    return (
        [lattice.matrix for lattice in lattices],
        [lattice.pbc for lattice in lattices],
        n_atoms,
        numbers,
        list(map(attrgetter("frac_coords"), sites)),
    )


def _unpack(item: Any, index: int) -> tuple[Any, Any, Any, Any]:
    if isinstance(item, type):
        _reject_type(item, index)
    if hasattr(item, "get_atomic_numbers"):
        return _unpack_atoms(item, index)
    # a PeriodicSite has a lattice too, but no sites
    if not (hasattr(item, "lattice") and hasattr(item, "sites")):
        _reject_type(item, index)
    if len(item) == 0:
        raise InvalidValueError(
            f"The structure at index {index} has no atoms. Remove it."
        )
    try:
        numbers = [_atomic_number(site.specie, index) for site in item]
    except AttributeError:  # which costs less than asking every site beforehand
        if item.is_ordered:
            raise
        raise InvalidValueError(
            f"The structure at index {index} ({item.composition.reduced_formula}) is "
            "disordered: a site holds several or partly occupied species. Order it "
            "first, with pymatgen's OrderDisorderedStructureTransformation, or keep "
            "only those with structure.is_ordered."
        ) from None
    lattice = item.lattice
    return lattice.matrix, lattice.pbc, np.array(numbers), item.frac_coords


def _unpack_atoms(atoms: Any, index: int) -> tuple[Any, Any, Any, Any]:
    numbers = np.asarray(atoms.get_atomic_numbers())
    if len(numbers) == 0:
        raise InvalidValueError(
            f"The structure at index {index} has no atoms. Remove it."
        )
    if numbers.min() < 1 or numbers.max() > N_ELEMENTS:
        bad = numbers[(numbers < 1) | (numbers > N_ELEMENTS)][0]
        raise InvalidValueError(
            f"The structure at index {index} has an unknown element, atomic number "
            f"{bad}; expected 1 to {N_ELEMENTS}. Replace or remove that atom."
        )
    cell = np.asarray(atoms.cell.array if hasattr(atoms.cell, "array") else atoms.cell)
    if not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < MIN_VOLUME_PER_ATOM:
        _reject_volume(index)
    coords = np.linalg.solve(cell.T, np.asarray(atoms.positions).T).T
    return cell, np.asarray(atoms.pbc), numbers, coords


def _reject_type(item: Any, index: int) -> None:
    hint = ""
    files = "read files with Structure.from_file or skmatgnn.datasets.read_structures."
    if isinstance(item, str):
        hint = (
            " For formulas use a composition model such as make_rf_magpie(); " + files
        )
    elif isinstance(item, PathLike):
        hint = f" R{files[1:]}"
    elif isinstance(item, dict):
        hint = " If pymatgen wrote it, use Structure.from_dict."
    elif is_missing(item):
        hint = " Drop the rows without a structure."
    elif hasattr(item, "sites"):
        hint = " A Molecule has no lattice: put it into a box with get_boxed_structure."
    elif hasattr(item, "edge_ptr") and not isinstance(item, type):
        hint = " Graphs are made already: give them to the model as they are."
    raise InvalidTypeError(
        "X must contain pymatgen Structure or ase Atoms objects; got "
        f"{describe(item)} at index {index}.{hint}"
    )


def _atomic_number(specie: Any, index: int) -> int:
    number = getattr(specie, "Z", None)
    if number is None or not 1 <= number <= N_ELEMENTS or _is_dummy(specie):
        raise InvalidValueError(
            f"The structure at index {index} has an unknown element, {specie}; "
            "expected one of the periodic table. Replace or remove that site."
        )
    return number


def _is_dummy(specie: Any) -> bool:
    return type(specie).__name__ == "DummySpecies"


def _require_finite(packed: StructureArray, first_index: int) -> None:
    atoms = ~np.isfinite(packed.frac_coords).all(axis=1)
    bad = ~np.isfinite(packed.lattices).all(axis=(1, 2))
    if atoms.any():
        owners = np.searchsorted(packed.atom_ptr, np.flatnonzero(atoms), side="right")
        bad[owners - 1] = True
    if bad.any():
        raise InvalidValueError(
            f"The structure at index {int(np.argmax(bad)) + first_index} has a "
            "coordinate or lattice vector that is not finite "
            f"({int(bad.sum())} structures in all). Correct or remove it."
        )


def _require_volume(packed: StructureArray, first_index: int) -> None:
    volume = np.abs(np.linalg.det(packed.lattices)) / packed.n_atoms
    if (volume < MIN_VOLUME_PER_ATOM).any():
        _reject_volume(int(np.argmax(volume < MIN_VOLUME_PER_ATOM)) + first_index)


def _reject_volume(index: int) -> None:
    raise InvalidValueError(
        f"The structure at index {index} has a cell of (almost) zero volume. Check its "
        "lattice vectors; give a molecule or a slab a box with vacuum, for example "
        "with ase's atoms.center(vacuum=10)."
    )
