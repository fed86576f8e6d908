"""Which atoms are joined: k nearest with whole shells, or all within a radius.

All structures of a chunk are decided together, on any device. Lengths are computed
term by term in double precision, so that every device finds the same edges in the same
order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs._pairs import Atoms, Pairs, find_pairs, plane_rate
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.ragged import order_in_rows, ragged_indices

__all__ = ["Edges", "find_edges"]

MIN_DISTANCE = 0.1  # Angstrom; closer atoms are a mistake in the structure
DISTANCE_EPS = 1e-8  # Angstrom; rounding at the edge of a plain radius
SEARCH_MARGIN = 1.25  # first radius over that of a uniform density
SEARCH_GROWTH = 1.5
# Pairs and images that are listed at once; a GPU holds all in some 500 MB.
PAIRS_AT_ONCE = {"cpu": 2**19, "cuda": 2**22}
# Structures of which so many times more are listed than are within the radius, because
# they are large or their cells are skewed, are left to pymatgen's search. On a GPU it
# is quicker to list them, as long as they are no more than are listed at once.
WASTE = {"cpu": 4.0, "cuda": np.inf}


@dataclass(frozen=True)
class Edges:
    """Directed edges of a chunk of structures.

    They are sorted by receiver and then by length. Among equally long ones, an atom's
    own images come before other atoms, and bonds that it is the first atom of before
    the reverses of others.

    Parameters
    ----------
    receiver, sender : Tensor of shape (n_edges,)
        Atoms, numbered through the chunk.
    reverse : Tensor of shape (n_edges,)
        The opposite edge.
    vector : tuple of three Tensor of shape (n_edges,)
        From the receiver to the sender, in Angstrom.
    """

    receiver: Tensor
    sender: Tensor
    reverse: Tensor
    vector: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.receiver)


def find_edges(
    structures: StructureArray,
    *,
    cutoff: float,
    max_neighbors: int | None,
    shell_tolerance: float,
    first_index: int = 0,
    device: torch.device | str = "cpu",
) -> Edges:
    """Find the edges of all structures.

    With ``max_neighbors`` an atom is joined to its ``max_neighbors`` nearest
    neighbours and to all others within ``shell_tolerance`` of the last of them, and
    a pair is joined if it is so from either end. Without, all pairs within
    ``cutoff`` are joined.

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
    device : torch.device or str, default="cpu"
        Where to search.

    Returns
    -------
    Edges
        On the device.

    Raises
    ------
    InvalidValueError
        If two atoms of a structure coincide, naming its index.
    """
    device = torch.device(device)
    pending = np.arange(len(structures))
    rate = plane_rate(structures)
    if max_neighbors is None:
        radii = np.full(len(structures), cutoff + DISTANCE_EPS)
    else:
        radii = _first_radii(structures, max_neighbors)
    found: list[Edges] = []
    while len(pending):
        needed = np.zeros(len(pending))
        for piece, listed in _pieces(structures, rate, radii, pending, device):
            rows = pending[piece]
            part = _Part(structures, rows, first_index)
            pairs = part.pairs(radii[rows], rate[rows], listed, device)
            if max_neighbors is None:
                found.append(part.all_edges(pairs))
                continue
            edges, needed[piece] = part.nearest_edges(
                pairs, radii[rows], max_neighbors, shell_tolerance
            )
            found.append(edges)
        done = needed <= radii[pending]
        grown = radii[pending] * SEARCH_GROWTH
        # once all atoms have k neighbours, the radius that is needed is known
        radii[pending] = np.where(
            np.isfinite(needed), needed * (1 + 1e-9) + DISTANCE_EPS, grown
        )
        pending = pending[~done]
    return _join(found)


def _first_radii(structures: StructureArray, k: int) -> np.ndarray:
    volume = np.abs(np.linalg.det(structures.lattices)) / structures.n_atoms
    return SEARCH_MARGIN * np.cbrt(3 * (k + 1) * volume / (4 * np.pi))


def _pieces(
    structures: StructureArray,
    rate: np.ndarray,
    radii: np.ndarray,
    pending: np.ndarray,
    device: torch.device,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Split structures so that each piece lists a bounded number of pairs.

    Yields positions in ``pending``, and which of them are searched by listing.
    """
    n_atoms, radius = structures.n_atoms[pending].astype(float), radii[pending]
    boxes = np.prod(2 * rate[pending] * radius[:, None] + 1, axis=1)
    n_listed = 0.5 * n_atoms**2 * (1 + boxes)
    volume = np.abs(np.linalg.det(structures.lattices[pending]))
    n_found = n_atoms * (1 + n_atoms * 4 / 3 * np.pi * radius**3 / volume)
    listed = n_listed <= WASTE[device.type] * n_found
    listed &= n_listed <= PAIRS_AT_ONCE["cuda"]
    cost = np.where(listed, n_listed, n_found)
    bins = np.cumsum(cost) // PAIRS_AT_ONCE[device.type]
    everything = np.arange(len(pending))
    for piece in np.split(everything, np.flatnonzero(np.diff(bins)) + 1):
        yield piece, listed[piece]


class _Part:
    """Some structures of a chunk."""

    def __init__(
        self, structures: StructureArray, rows: np.ndarray, first_index: int
    ) -> None:
        self.rows, self.first_index = rows, first_index
        self.whole = len(rows) == len(structures)
        self.structures = structures if self.whole else structures[rows]
        self.first_atom = structures.atom_ptr[rows]

    def pairs(
        self,
        radii: np.ndarray,
        rate: np.ndarray,
        listed: np.ndarray,
        device: torch.device,
    ) -> Pairs:
        self.atoms = Atoms.of(self.structures, listed, device)
        return find_pairs(self.structures, self.atoms, radii, rate, listed)

    def all_edges(self, pairs: Pairs) -> Edges:
        self._require_distance(pairs)
        order = _order(pairs.ends(), pairs.length.repeat(2))
        return self._numbered(_directed(pairs, order))

    def nearest_edges(
        self, pairs: Pairs, radii: np.ndarray, k: int, tolerance: float
    ) -> tuple[Edges, np.ndarray]:
        """Edges of the structures whose radius suffices, and the radii that do."""
        ends = pairs.ends()
        order = _order(ends, pairs.length.repeat(2))
        kth = self._kth_distance(pairs, ends, order, k)
        needed, shortest = self._needed_and_shortest(kth, pairs)
        if shortest < MIN_DISTANCE:
            self._require_distance(pairs)
        needed += tolerance
        reach = torch.maximum(
            kth.index_select(0, pairs.first), kth.index_select(0, pairs.second)
        )
        keep = pairs.length <= reach + tolerance
        if (needed > radii).any():
            done = torch.from_numpy(needed <= radii).to(keep.device)
            keep &= done[self.atoms.owner[pairs.first]]
        (chosen,) = torch.nonzero(keep.repeat(2).index_select(0, order), as_tuple=True)
        edges = _directed(pairs, order.index_select(0, chosen))
        return self._numbered(edges), needed

    def _needed_and_shortest(
        self, kth: Tensor, pairs: Pairs
    ) -> tuple[np.ndarray, float]:
        """Largest k-th distance of each structure, and the shortest of all pairs."""
        needed = kth.new_zeros(len(self.rows))
        needed.scatter_reduce_(0, self.atoms.owner, kth, "amax")
        shortest = kth.new_full((1,), np.inf)
        if len(pairs):
            shortest = pairs.length.min().reshape(1)
        # one transfer instead of two
        *needed_on_host, shortest_on_host = torch.cat([needed, shortest]).tolist()
        return np.array(needed_on_host), shortest_on_host

    def _kth_distance(
        self, pairs: Pairs, ends: Tensor, order: Tensor, k: int
    ) -> Tensor:
        """Distance of each atom's k-th neighbour; inf where fewer were found.

        Atoms of a molecule without any periodic direction have at most all others.
        """
        n_atoms = self.structures.n_atoms
        isolated = ~self.structures.pbc.any(axis=1)
        most = np.where(isolated, np.minimum(k, n_atoms - 1), k)
        wanted = torch.from_numpy(np.repeat(most, n_atoms)).to(ends.device)
        kth = torch.where(wanted == 0, 0.0, np.inf).to(pairs.length.dtype)
        if len(pairs) == 0:
            return kth
        degree = torch.bincount(ends, minlength=len(wanted))
        place = (degree.cumsum(0) - degree + wanted - 1).clamp(0, len(order) - 1)
        length = pairs.length[order[place] % len(pairs)]
        return torch.where((degree >= wanted) & (wanted > 0), length, kth)

    def _numbered(self, edges: Edges) -> Edges:
        """Let atoms be numbered through the chunk."""
        if self.whole:
            return edges
        numbers = ragged_indices(self.first_atom, self.structures.n_atoms)
        number = torch.from_numpy(numbers).to(edges.receiver.device)
        return Edges(
            number[edges.receiver], number[edges.sender], edges.reverse, edges.vector
        )

    def _require_distance(self, pairs: Pairs) -> None:
        (close,) = torch.nonzero(pairs.length < MIN_DISTANCE, as_tuple=True)
        if len(close) == 0:
            return
        first, second, length = (
            x[close].cpu().numpy() for x in (pairs.first, pairs.second, pairs.length)
        )
        owner = np.searchsorted(self.structures.atom_ptr, first, side="right") - 1
        pair = np.lexsort((length, owner))[0]
        start = self.structures.atom_ptr[owner[pair]]
        sites = (int(first[pair] - start), int(second[pair] - start))
        if sites[0] == sites[1]:
            what = f"site {sites[0]} and its own periodic image"
            remedy = "Check the lattice vectors."
        else:
            what = f"sites {sites[0]} and {sites[1]}"
            remedy = (
                "Remove one, for example with structure.merge_sites(mode='delete')."
            )
        index = int(self.rows[owner[pair]]) + self.first_index
        raise InvalidValueError(
            f"The structure at index {index} has overlapping atoms: {what} are "
            f"{length[pair]:.3g} Angstrom apart. {remedy}"
        )


def _order(rows: Tensor, values: Tensor) -> Tensor:
    """Sort by row and, within it, by value; equal ones keep their order."""
    if rows.device.type == "cpu":
        return torch.from_numpy(order_in_rows(rows.numpy(), values.numpy()))
    order = values.argsort(stable=True)
    return order[rows[order].int().argsort(stable=True)]


def _directed(pairs: Pairs, order: Tensor) -> Edges:
    """Make edges of pairs; from ``len(pairs)`` on, ``order`` means their reverses."""
    n_pairs = len(pairs)
    is_reverse = order >= n_pairs
    opposite = torch.where(is_reverse, order - n_pairs, order + n_pairs)
    pair = torch.minimum(order, opposite)
    first, second = (x.index_select(0, pair) for x in (pairs.first, pairs.second))
    sign = 1.0 - 2.0 * is_reverse
    place = torch.empty(2 * n_pairs, dtype=torch.int64, device=order.device)
    place[order] = torch.arange(len(order), device=order.device)
    return Edges(
        torch.where(is_reverse, second, first),
        torch.where(is_reverse, first, second),
        place.index_select(0, opposite),
        tuple(v.index_select(0, pair) * sign for v in pairs.vector),
    )


def _join(parts: list[Edges]) -> Edges:
    """Sort the edges of several parts by receiver."""
    if len(parts) == 1:
        return parts[0]
    first = np.cumsum([0, *map(len, parts[:-1])])
    receiver = torch.cat([part.receiver for part in parts])
    reverse = torch.cat([p.reverse + int(f) for p, f in zip(parts, first, strict=True)])
    order = receiver.argsort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    return Edges(
        receiver[order],
        torch.cat([part.sender for part in parts])[order],
        place[reverse[order]],
        tuple(
            torch.cat(axis)[order]
            for axis in zip(*(part.vector for part in parts), strict=True)
        ),
    )
