"""Periodic neighbour search: k nearest with whole shells, or all within a radius.

The pairs come from pymatgen's compiled cell search; what is decided here is which
of them are edges. All structures of a chunk are decided in one vectorised pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.ragged import order_in_rows, row_pointers

__all__ = ["Bonds", "find_bonds"]

MIN_DISTANCE = 0.1  # Angstrom; closer atoms are a mistake in the structure
DISTANCE_EPS = 1e-8  # Angstrom; rounding at the edge of a plain radius
SEARCH_MARGIN = 1.25  # first radius over that of a uniform density
SEARCH_GROWTH = 1.5


@dataclass(frozen=True)
class Bonds:
    """Undirected bonds of a chunk of structures; each becomes two directed edges.

    Parameters
    ----------
    first, second : ndarray of shape (n_bonds,)
        Atoms, numbered through the chunk.
    vector : ndarray of shape (n_bonds, 3)
        From ``first`` to the image of ``second``, in Angstrom.
    length : ndarray of shape (n_bonds,)
        In Angstrom.
    """

    first: np.ndarray
    second: np.ndarray
    vector: np.ndarray
    length: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def take(self, mask: np.ndarray) -> Bonds:
        """Select bonds.

        Parameters
        ----------
        mask : ndarray of shape (n_bonds,), bool

        Returns
        -------
        Bonds
        """
        return Bonds(
            self.first[mask], self.second[mask], self.vector[mask], self.length[mask]
        )


def find_bonds(
    structures: StructureArray,
    *,
    cutoff: float,
    max_neighbors: int | None,
    shell_tolerance: float,
    first_index: int = 0,
) -> Bonds:
    """Find the bonds of all structures.

    With ``max_neighbors`` an atom is bonded to its ``max_neighbors`` nearest
    neighbours and to all others within ``shell_tolerance`` of the last of them, and
    a pair is bonded if it is so from either end. Without, all pairs within
    ``cutoff`` are bonded.

    Parameters
    ----------
    structures : StructureArray
    cutoff : float
        Radius in Angstrom.
    max_neighbors : int or None
    shell_tolerance : float
        In Angstrom.
    first_index : int, default=0
        Index of the first structure in the user's data, for the messages.

    Returns
    -------
    Bonds

    Raises
    ------
    InvalidValueError
        If two atoms of a structure coincide, naming its index.
    """
    if max_neighbors is None:
        radii = np.full(len(structures), cutoff)
        bonds, _ = _search(structures, np.arange(len(structures)), radii, first_index)
        return bonds
    return _nearest(structures, max_neighbors, shell_tolerance, first_index)


def _nearest(
    structures: StructureArray, k: int, tolerance: float, first_index: int
) -> Bonds:
    radii = _first_radii(structures, k)
    pending = np.arange(len(structures))
    found: list[Bonds] = []
    while len(pending):
        bonds, owner = _search(structures, pending, radii[pending], first_index)
        kth = _kth_distance(bonds, structures, k)
        needed = _max_per_structure(kth, structures, pending) + tolerance
        done = needed <= radii[pending]
        grown = radii[pending] * SEARCH_GROWTH
        # once all atoms have k neighbours, the radius that is needed is known
        radii[pending] = np.where(
            np.isfinite(needed), needed * (1 + 1e-9) + DISTANCE_EPS, grown
        )
        limit = np.maximum(kth[bonds.first], kth[bonds.second]) + tolerance
        finished = np.zeros(len(structures), dtype=bool)
        finished[pending[done]] = True
        found.append(bonds.take((bonds.length <= limit) & finished[owner]))
        pending = pending[~done]
    return Bonds(
        np.concatenate([b.first for b in found]),
        np.concatenate([b.second for b in found]),
        np.concatenate([b.vector for b in found]),
        np.concatenate([b.length for b in found]),
    )


def _first_radii(structures: StructureArray, k: int) -> np.ndarray:
    volume = np.abs(np.linalg.det(structures.lattices)) / structures.n_atoms
    return SEARCH_MARGIN * np.cbrt(3 * (k + 1) * volume / (4 * np.pi))


def _search(
    structures: StructureArray,
    indices: np.ndarray,
    radii: np.ndarray,
    first_index: int,
) -> tuple[Bonds, np.ndarray]:
    """All pairs within each structure's radius, once each, and who owns them."""
    from pymatgen.optimization.neighbors import (
        find_points_in_spheres,
    )

    cart = structures.cart_coords()
    pbc = structures.pbc.astype(np.int64)
    columns: list[tuple[np.ndarray, ...]] = []
    for index, radius in zip(indices.tolist(), radii.tolist(), strict=True):
        start, stop = structures.atom_ptr[index : index + 2].tolist()
        points = cart[start:stop]
        i, j, image, length = find_points_in_spheres(
            points,
            points,
            r=radius,
            pbc=pbc[index],
            lattice=structures.lattices[index],
            tol=DISTANCE_EPS,
        )
        columns.append((i + start, j + start, image, length, np.full(len(i), index)))
    first, second, image, length, owner = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    half = (first < second) | ((first == second) & _is_positive(image))
    first, second, image = first[half], second[half], image[half]
    length, owner = length[half], owner[half]
    _require_distance(length, owner, first, second, structures, first_index)
    shift = np.einsum("ni,nij->nj", image, structures.lattices[owner])
    return Bonds(first, second, cart[second] + shift - cart[first], length), owner


def _is_positive(image: np.ndarray) -> np.ndarray:
    """Whether the first non-zero component is positive: one of each image pair."""
    a, b, c = image[:, 0], image[:, 1], image[:, 2]
    return (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))


def _require_distance(
    length: np.ndarray,
    owner: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    structures: StructureArray,
    first_index: int,
) -> None:
    if len(length) == 0 or length.min() >= MIN_DISTANCE:
        return
    pair = int(np.argmin(length))
    index = int(owner[pair])
    start = structures.atom_ptr[index]
    sites = (int(first[pair] - start), int(second[pair] - start))
    if sites[0] == sites[1]:
        what = f"site {sites[0]} and its own periodic image"
        remedy = "Check the lattice vectors."
    else:
        what = f"sites {sites[0]} and {sites[1]}"
        remedy = "Remove one, for example with structure.merge_sites(mode='delete')."
    raise InvalidValueError(
        f"The structure at index {index + first_index} has overlapping atoms: {what} "
        f"are {length[pair]:.3g} Angstrom apart. {remedy}"
    )


def _kth_distance(bonds: Bonds, structures: StructureArray, k: int) -> np.ndarray:
    """Distance of each atom's k-th neighbour; inf where fewer were found.

    Atoms of a molecule without any periodic direction have at most all others.
    """
    n_atoms = structures.atom_ptr[-1]
    atom = np.concatenate([bonds.first, bonds.second])
    length = np.concatenate([bonds.length, bonds.length])
    order = order_in_rows(atom, length)
    ptr = row_pointers(np.bincount(atom, minlength=n_atoms))
    isolated = ~structures.pbc.any(axis=1)
    wanted = np.where(isolated, np.minimum(k, structures.n_atoms - 1), k)
    wanted = np.repeat(wanted, structures.n_atoms)
    enough = np.diff(ptr) >= wanted
    kth = np.full(n_atoms, np.inf)
    rows = np.flatnonzero(enough & (wanted > 0))
    kth[rows] = length[order[ptr[rows] + wanted[rows] - 1]]
    kth[wanted == 0] = 0.0
    return kth


def _max_per_structure(
    values: np.ndarray, structures: StructureArray, indices: np.ndarray
) -> np.ndarray:
    return np.maximum.reduceat(values, structures.atom_ptr[:-1])[indices]
