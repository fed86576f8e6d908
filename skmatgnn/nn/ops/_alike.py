"""Atoms, bonds and angles that a network cannot tell apart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._choice import block_kernels

__all__ = ["Merged", "merge_alike"]

MAX_SHARE = 0.8  # of the edges; with more left there is little to gain


class Merged(NamedTuple):
    """A graph and its line graph with one row for all that are alike.

    Parameters
    ----------
    first_nodes : Tensor of shape (m_nodes,)
        The first of the nodes that each row stands for.
    node_copies : Tensor of shape (m_nodes,)
        How many those are.
    first_edges : Tensor of shape (m_edges,)
    first_triplets : Tensor of shape (m_triplets,)
    edges, triplets : Adjacency
        With the number of edges into one node that each stands for.
    """

    first_nodes: Tensor
    node_copies: Tensor
    first_edges: Tensor
    first_triplets: Tensor
    edges: Adjacency
    triplets: Adjacency


def merge_alike(
    kinds: Tensor,
    lengths: Tensor,
    cosines: Tensor,
    edges: Adjacency,
    triplets: Adjacency,
) -> Merged | None:
    """Merge nodes, edges and triplets that have the same features in every layer.

    Symmetry makes many: those to which the refinement of colours gives one colour. Two
    nodes have the same colour if they are of one kind and edges of the same colours end
    in them, equally many of each; and so have two edges, of equal length, by their
    nodes and triplets.

    Parameters
    ----------
    kinds : Tensor of shape (n_nodes,)
        Whole numbers; those of different kinds are not alike.
    lengths : Tensor of shape (n_edges,)
    cosines : Tensor of shape (n_triplets,)
    edges : Adjacency
    triplets : Adjacency
        Among the edges.

    Returns
    -------
    Merged or None
        None where there is little to merge, or without Numba.

    Notes
    -----
    Numbers are equal if they are to the last bit. Colours are hashes of 64 bits, of
    which a million have two that are equal by chance once in 37 million batches.
    """
    colour = getattr(block_kernels(), "colour", None)
    if colour is None or not len(cosines) or edges.n_real is not None:
        return None
    found = colour(
        kinds,
        lengths.detach().contiguous(),
        cosines.detach().contiguous(),
        (edges.receiver_ptr, edges.sender),
        (triplets.receiver_ptr, triplets.sender),
    )
    (first_nodes, of_nodes), (first_edges, of_edges), of_triplets = found
    if len(first_edges) > MAX_SHARE * edges.n_edges:
        return None
    every = torch.arange(triplets.n_edges)
    kept = _marked(first_edges, edges.n_edges)[triplets.receiver]
    first_triplets, copies = _first(every[kept], of_triplets[kept])
    in_kept_nodes = _marked(first_nodes, edges.n_nodes)[edges.receiver]
    edge_copies = torch.bincount(of_edges[in_kept_nodes], minlength=len(first_edges))
    return Merged(
        first_nodes,
        torch.bincount(of_nodes, minlength=len(first_nodes)),
        first_edges,
        first_triplets,
        _adjacency(edges, first_edges, of_nodes, len(first_nodes), edge_copies),
        _adjacency(triplets, first_triplets, of_edges, len(first_edges), copies),
    )


def _first(rows: Tensor, colours: Tensor) -> tuple[Tensor, Tensor]:
    """Find the first row of each colour, and how many there are."""
    first, which = block_kernels().first_of_each(colours)
    return rows[first], torch.bincount(which, minlength=len(first))


def _marked(rows: Tensor, n: int) -> Tensor:
    marks = torch.zeros(n, dtype=torch.bool)
    marks[rows] = True
    return marks


def _adjacency(
    graph: Adjacency, kept: Tensor, of_nodes: Tensor, n_nodes: int, copies: Tensor
) -> Adjacency:
    sender, receiver = of_nodes[graph.sender[kept]], of_nodes[graph.receiver[kept]]
    merged = Adjacency.from_edges(sender, receiver, n_nodes)
    return merged.with_copies(copies)
