"""Which edges are short enough for angles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from skmatgnn.utils.packed_file import release_pages
from skmatgnn.utils.ragged import row_pointers

__all__ = ["ROUNDING", "count_bonds"]

ATOMS_AT_ONCE = 2**15  # whose edges are in memory at once, of an array on disk
MARGIN = 1e-6  # relative; how much longer than the cutoff a bond may be by rounding
ROUNDING = 2.0**-22  # relative; two lengths of float32 vectors change places within it


def count_bonds(
    node_ptr: np.ndarray, edge_ptr: np.ndarray, displacement: np.ndarray, cutoff: float
) -> np.ndarray:
    """Count the edges into each atom that are no longer than a cutoff.

    Edges are in the order of their lengths but for rounding. Where the cutoff falls
    between lengths that are equal but for it, all of these count: else those that do
    would not be the first ones, nor have their opposites among them.

    Parameters
    ----------
    node_ptr : ndarray of shape (n + 1,)
    edge_ptr : ndarray of shape (n_atoms + 1,)
    displacement : ndarray of shape (n_edges, 3)
        Possibly on disk; in Angstrom.
    cutoff : float
        In Angstrom.

    Returns
    -------
    ndarray of shape (n_atoms,), int32
    """
    count = np.empty(len(edge_ptr) - 1, dtype=np.int32)
    longest = cutoff * (1 + MARGIN)
    for nodes in _blocks(node_ptr):
        ptr = edge_ptr[nodes[0] : nodes[-1] + 1]
        vector = displacement[ptr[0] : ptr[-1]].astype(np.float64)
        length = np.linalg.norm(vector, axis=1)
        short = length <= longest
        if np.count_nonzero(length <= _next(longest)) > np.count_nonzero(short):
            graphs = edge_ptr[nodes] - ptr[0]
            for start, stop in pairwise(graphs):
                of_graph = length[start:stop]
                short[start:stop] = of_graph <= _end_of_shell(of_graph, longest)
        total = row_pointers(short)
        count[nodes[0] : nodes[-1]] = np.diff(total[ptr - ptr[0]])
        release_pages(displacement)
    return count


def _blocks(node_ptr: np.ndarray) -> Iterator[np.ndarray]:
    """Cut the pointers of graphs into some for as many graphs as are read at once."""
    start, last = 0, len(node_ptr) - 1
    while start < last:
        full = node_ptr[start] + ATOMS_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(node_ptr, full, side="right")) - 1)
        yield node_ptr[start : stop + 1]
        start = stop


def _next(length: float) -> float:
    """Longest that may still be of the same shell; twice, to be on the safe side."""
    return length * (1 + 2 * ROUNDING)


def _end_of_shell(lengths: np.ndarray, longest: float) -> float:
    """Move a limit behind all lengths that follow it without a gap."""
    for length in np.sort(lengths[lengths > longest]).tolist():
        if length > _next(longest):
            break
        longest = length
    return longest
