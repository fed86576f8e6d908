"""What a network reads from a batch of graphs."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from skmatgnn.nn.ops import Adjacency

__all__ = ["GraphInput", "bond_cosines"]


class GraphInput(Protocol):
    """Graphs of a batch, as :class:`skmatgnn.graphs.GraphBatch` holds them."""

    atomic_numbers: Tensor
    node_ptr: Tensor
    node_graph: Tensor
    edges: Adjacency
    displacement: Tensor
    triplets: Adjacency

    def __len__(self) -> int:
        """Count the graphs."""


def bond_cosines(displacement: Tensor, triplets: Adjacency) -> Tensor:
    """Cosine of the angle at the atom that two bonds share.

    Parameters
    ----------
    displacement : Tensor of shape (n_edges, 3)
        From each edge's receiving atom to its sender.
    triplets : Adjacency
        Pairs of edges ``k -> j`` (sender) and ``j -> i`` (receiver).

    Returns
    -------
    Tensor of shape (n_triplets,)
        Cosine of the angle k-j-i; 1 for an edge and its own reverse.
    """
    unit = displacement / displacement.norm(dim=1, keepdim=True)
    to_k = unit.index_select(0, triplets.sender)
    to_i = unit.index_select(0, triplets.receiver)
    return -(to_k * to_i).sum(dim=1).clamp(-1.0, 1.0)
