"""Periodic neighbour search on tensors, for many structures at once, on any device.

Of each pair of atoms only the images are listed that a box around the search sphere
contains, about twice as many as the sphere does; one axis of the lattice after the
other. Sums are taken term by term, so that all devices round alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.ragged import order_of_integers

__all__ = ["Atoms", "Pairs", "find_pairs", "plane_rate"]

REACH_MARGIN = 1e-9  # what the search goes too far; lengths decide what is kept
NO_REACH = -1.0
MAX_KEY = 2.0**62


@dataclass(frozen=True)
class Atoms:
    """Structures on a device.

    Coordinates are three tensors, one for each axis, and the lattice three times
    three.

    Parameters
    ----------
    owner : Tensor of shape (n_atoms,)
        Structure of each atom.
    n_partners : Tensor of shape (n_atoms,)
        Later atoms of the same structure.
    total_partners : int
        Their sum.
    frac, cart : tuple of three Tensor of shape (n_atoms,)
    lattice : tuple of three tuples of three Tensor of shape (n_structures,)
        ``lattice[a][k]`` is component k of vector a.
    """

    owner: Tensor
    n_partners: Tensor
    total_partners: int
    frac: tuple[Tensor, ...]
    cart: tuple[Tensor, ...]
    lattice: tuple[tuple[Tensor, ...], ...]

    @classmethod
    def of(
        cls, structures: StructureArray, listed: np.ndarray, device: torch.device
    ) -> Atoms:
        """Copy structures to a device.

        Parameters
        ----------
        structures : StructureArray
        listed : ndarray of shape (n_structures,), bool
            Whose pairs :func:`find_pairs` is to list.
        device : torch.device

        Returns
        -------
        Atoms
        """
        owner = np.repeat(np.arange(len(structures)), structures.n_atoms)
        n_partners = structures.atom_ptr[1:][owner] - np.arange(1, len(owner) + 1)
        n_partners *= listed[owner]
        frac, cart = structures.frac_coords, structures.cart_coords()
        coordinates = _to(np.concatenate([frac.T, cart.T]), device)
        cells = _to(structures.lattices.reshape(-1, 9).T.copy(), device)
        owners, partners = _to(np.stack([owner, n_partners]), device)
        return cls(
            owners,
            partners,
            int(n_partners.sum()),
            tuple(coordinates[:3]),
            tuple(coordinates[3:]),
            tuple(tuple(cells[3 * a : 3 * a + 3]) for a in range(3)),
        )


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms or images, each once.

    Parameters
    ----------
    first, second : Tensor of shape (n_pairs,)
    vector : tuple of three Tensor of shape (n_pairs,)
        From ``first`` to the image of ``second``, in Angstrom.
    length : Tensor of shape (n_pairs,)
    """

    first: Tensor
    second: Tensor
    vector: tuple[Tensor, ...]
    length: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def take(self, mask: Tensor) -> Pairs:
        """Select pairs.

        Parameters
        ----------
        mask : Tensor of shape (n_pairs,), bool

        Returns
        -------
        Pairs
        """
        (kept,) = torch.nonzero(mask, as_tuple=True)
        return Pairs(
            _take(self.first, kept),
            _take(self.second, kept),
            tuple(_take(v, kept) for v in self.vector),
            _take(self.length, kept),
        )

    def ends(self) -> Tensor:
        """Both atoms of each pair: all first ones, then all second ones.

        Returns
        -------
        Tensor of shape (2 * n_pairs,)
        """
        return torch.cat([self.first, self.second])


def plane_rate(structures: StructureArray) -> np.ndarray:
    """Lattice planes per Angstrom along each axis; zero where nothing repeats.

    Parameters
    ----------
    structures : StructureArray

    Returns
    -------
    ndarray of shape (n_structures, 3)
    """
    inverse = np.linalg.inv(structures.lattices)
    return np.sqrt((inverse * inverse).sum(axis=1)) * structures.pbc


def find_pairs(
    structures: StructureArray,
    atoms: Atoms,
    radii: np.ndarray,
    rate: np.ndarray,
    listed: np.ndarray,
) -> Pairs:
    """Find all pairs within each structure's radius.

    For any one atom, its own images come before other atoms, and either are in the
    order of first atom, second atom and image.

    Parameters
    ----------
    structures : StructureArray
    atoms : Atoms
        The same, on a device.
    radii : ndarray of shape (n_structures,)
        In Angstrom.
    rate : ndarray of shape (n_structures, 3)
        From :func:`plane_rate`.
    listed : ndarray of shape (n_structures,), bool
        Which are searched by listing all pairs of atoms; the others by pymatgen,
        in linear time on the CPU.

    Returns
    -------
    Pairs
        On the device of the atoms.
    """
    parts = []
    if listed.any():
        reach = radii[:, None] * rate * (1 + REACH_MARGIN) + REACH_MARGIN
        reach = np.where((rate > 0) & listed[:, None], reach, NO_REACH)
        *reach, radius = _to(np.concatenate([reach.T, radii[None]]), atoms.owner.device)
        parts += [
            _own_images(atoms, reach, radius),
            _pairs_of_atoms(atoms, reach, radius),
        ]
    if not listed.all():
        parts.append(_compiled_pairs(structures, atoms, radii, ~listed))
    return _concatenate(parts)


def _compiled_pairs(
    structures: StructureArray, atoms: Atoms, radii: np.ndarray, chosen: np.ndarray
) -> Pairs:
    from pymatgen.optimization.neighbors import (
        find_points_in_spheres,
    )

    cart = structures.cart_coords()
    pbc = structures.pbc.astype(np.int64)
    columns: list[tuple[np.ndarray, ...]] = []
    for index in np.flatnonzero(chosen).tolist():
        start, stop = structures.atom_ptr[index : index + 2].tolist()
        points = cart[start:stop]
        i, j, image, _ = find_points_in_spheres(
            points,
            points,
            r=float(radii[index]) * (1 + REACH_MARGIN) + REACH_MARGIN,
            pbc=pbc[index],
            lattice=structures.lattices[index],
            tol=1e-8,
        )
        columns.append((i + start, j + start, image))
    first, second, image = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    half = (first < second) | ((first == second) & _is_positive(*image.T))
    first, second, image = first[half], second[half], image[half].astype(np.int64)
    order = _canonical_order(first, second, image)
    device = atoms.owner.device
    firsts, seconds = (_to(x[order], device) for x in (first, second))
    images = _to(image[order].T.astype(np.float64), device)
    owner = _take(atoms.owner, firsts)
    vector: tuple[Tensor, ...] = tuple(
        _take(x, seconds) - _take(x, firsts) for x in atoms.cart
    )
    for steps, n in zip(atoms.lattice, images, strict=True):
        vector = tuple(
            v + n * _take(step, owner) for v, step in zip(vector, steps, strict=True)
        )
    pairs = Pairs(firsts, seconds, vector, _norm(vector))
    return pairs.take(pairs.length <= _take(_to(radii, device), owner))


def _canonical_order(
    first: np.ndarray, second: np.ndarray, image: np.ndarray
) -> np.ndarray:
    """Sort as listed pairs are: own images first, by atoms and image."""
    low = image.min(axis=0, initial=0)
    size = image.max(axis=0, initial=0) - low + 1
    a, b, c = (image - low).T
    n = int(second.max(initial=0)) + 1
    row = np.where(first == second, first, first + n)
    if 2.0 * n * n * np.prod(size.astype(float)) > MAX_KEY:
        return np.lexsort((c, b, a, second, row))
    return order_of_integers(
        (((row * n + second) * size[0] + a) * size[1] + b) * size[2] + c
    )


def _concatenate(parts: list[Pairs]) -> Pairs:
    if len(parts) == 1:
        return parts[0]
    return Pairs(
        torch.cat([part.first for part in parts]),
        torch.cat([part.second for part in parts]),
        tuple(
            torch.cat(axis)
            for axis in zip(*(part.vector for part in parts), strict=True)
        ),
        torch.cat([part.length for part in parts]),
    )


def _own_images(atoms: Atoms, reach: list[Tensor], radius: Tensor) -> Pairs:
    """Images of an atom: one of each pair of translations, the same for all atoms."""
    zero = torch.zeros_like(radius)
    low, count = _boxes(reach, [zero] * 3)
    # the other half is opposite
    count[0] = count[0] + low[0]
    low[0] = zero
    structure = torch.arange(len(radius), device=radius.device)
    row, vector, image = _translate(atoms, structure, (zero,) * 3, low, count)
    length = _norm(vector)
    kept = (length <= _take(radius, row)) & _is_positive(*image)
    (kept,) = torch.nonzero(kept, as_tuple=True)
    row = _take(row, kept)
    n_images = torch.bincount(row, minlength=len(radius))
    start = n_images.cumsum(0) - n_images
    repeats = n_images.index_select(0, atoms.owner)
    atom, place = _expand(repeats, int(repeats.sum()))
    kept = _take(kept, place + _take(_take(start, atoms.owner), atom))
    return Pairs(atom, atom, tuple(_take(v, kept) for v in vector), _take(length, kept))


def _pairs_of_atoms(atoms: Atoms, reach: list[Tensor], radius: Tensor) -> Pairs:
    first, place = _expand(atoms.n_partners, atoms.total_partners)
    second = first + place + 1
    owner = _take(atoms.owner, first)
    delta = [_take(f, second) - _take(f, first) for f in atoms.frac]
    low, count = _boxes([_take(r, owner) for r in reach], delta)
    start = tuple(_take(x, second) - _take(x, first) for x in atoms.cart)
    row, vector, _ = _translate(atoms, owner, start, low, count)
    length = _norm(vector)
    (kept,) = torch.nonzero(length <= _take(radius, _take(owner, row)), as_tuple=True)
    row = _take(row, kept)
    return Pairs(
        _take(first, row),
        _take(second, row),
        tuple(_take(v, kept) for v in vector),
        _take(length, kept),
    )


def _boxes(
    reach: list[Tensor], delta: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """First image along each axis, and how many, that may be within reach."""
    lows, counts = [], []
    for r, d in zip(reach, delta, strict=True):
        low = torch.ceil(-r - d)
        count = torch.floor(r - d) - low + 1
        repeats = r >= 0  # else NO_REACH
        lows.append(low * repeats)
        counts.append(torch.where(repeats, count.clamp(min=0), 1.0))
    return lows, counts


def _is_positive(a: Any, b: Any, c: Any) -> Any:
    """Whether the first non-zero component is positive: one of each image pair."""
    return (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))


def _translate(
    atoms: Atoms,
    owner: Tensor,
    vector: tuple[Tensor, ...],
    low: list[Tensor],
    count: list[Tensor],
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Add all translations of a box to each vector, axis by axis."""
    partial = [count[0], count[0] * count[1], count[0] * count[1] * count[2]]
    totals = torch.stack([p.sum() for p in partial]).long().tolist()
    row = torch.arange(len(owner), device=owner.device)
    images: tuple[Tensor, ...] = ()
    for axis, total in enumerate(totals):
        per_row = count[axis] if axis == 0 else _take(count[axis], row)
        parent, place = _expand(per_row.long(), total)
        row = parent if axis == 0 else _take(row, parent)
        image = _take(low[axis], row) + place
        images = (*(_take(i, parent) for i in images), image)
        structure = _take(owner, row)
        vector = tuple(
            _take(v, parent) + image * _take(step, structure)
            for v, step in zip(vector, atoms.lattice[axis], strict=True)
        )
    return row, vector, images


def _expand(lengths: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Row of each item of ragged rows, and its place within the row."""
    row = torch.repeat_interleave(
        torch.arange(len(lengths), device=lengths.device), lengths, output_size=total
    )
    start = lengths.cumsum(0) - lengths
    return row, torch.arange(total, device=lengths.device) - _take(start, row)


def _norm(vector: tuple[Tensor, ...]) -> Tensor:
    x, y, z = vector
    return (x * x + y * y + z * z).sqrt()


def _to(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device, non_blocking=True)


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.index_select(0, index)  # a fifth of the time of values[index]
