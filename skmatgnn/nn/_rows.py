"""The rows that a network with bond angles computes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skmatgnn.nn._inputs import GraphInput
from skmatgnn.nn.ops import (
    Adjacency,
    bond_cosines,
    merge_alike,
    segment_mean,
    segment_sum,
    use_blocks,
)

__all__ = ["Rows", "graph_rows"]


class Rows(NamedTuple):
    """Atoms, bonds and angles, where blocks compute one for all that are alike.

    Parameters
    ----------
    atomic_numbers : Tensor of shape (n_atoms,)
    node_ptr : Tensor of shape (n_graphs + 1,)
    node_graph : Tensor of shape (n_atoms,)
    share : Tensor of shape (n_atoms, 1) or None
        Weight of each atom in the mean over its graph; None if they are equal.
    lengths : Tensor of shape (n_edges,)
    cosines : Tensor of shape (n_triplets,) or None
    edges, triplets : Adjacency
    """

    atomic_numbers: Tensor
    node_ptr: Tensor
    node_graph: Tensor
    share: Tensor | None
    lengths: Tensor
    cosines: Tensor | None
    edges: Adjacency
    triplets: Adjacency

    def pool(self, atoms: Tensor) -> Tensor:
        """Average over the atoms of each graph.

        Parameters
        ----------
        atoms : Tensor of shape (n_atoms, d)

        Returns
        -------
        Tensor of shape (n_graphs, d)
        """
        if self.share is None:
            return segment_mean(atoms, self.node_ptr, self.node_graph)
        return segment_sum(atoms * self.share, self.node_ptr, self.node_graph)


def graph_rows(batch: GraphInput, *, angles: bool, merge: bool) -> Rows:
    """Make the rows of a batch.

    Parameters
    ----------
    batch : GraphInput
    angles : bool
        Whether the network reads them.
    merge : bool
        Whether rows may stand for many, as they do not where they are normalised by
        what is in all others.

    Returns
    -------
    Rows
    """
    lengths = batch.displacement.norm(dim=1)
    cosines = bond_cosines(batch.displacement, batch.triplets) if angles else None
    # one row of many has no gradient by the positions of the others
    if merge and not lengths.requires_grad and use_blocks(lengths):
        merged = _merged_rows(batch, lengths, cosines)
        if merged is not None:
            return merged
    return Rows(
        batch.atomic_numbers,
        batch.node_ptr,
        batch.node_graph,
        None,
        lengths,
        cosines,
        batch.edges,
        batch.triplets,
    )


def _merged_rows(
    batch: GraphInput, lengths: Tensor, cosines: Tensor | None
) -> Rows | None:
    if cosines is None:
        return None
    # nothing is alike in different graphs, so that each keeps atoms of its own
    kinds = batch.node_graph * (1 << 32) + batch.atomic_numbers
    found = merge_alike(kinds, lengths, cosines, batch.edges, batch.triplets)
    if found is None:
        return None
    graph = batch.node_graph[found.first_nodes]
    n_atoms = batch.node_ptr.diff()
    share = found.node_copies.to(lengths.dtype) / n_atoms[graph]
    ptr = torch.searchsorted(graph, torch.arange(len(n_atoms) + 1))
    return Rows(
        batch.atomic_numbers[found.first_nodes],
        ptr,
        graph,
        share.unsqueeze(1),
        lengths[found.first_edges],
        cosines[found.first_triplets],
        found.edges,
        found.triplets,
    )
