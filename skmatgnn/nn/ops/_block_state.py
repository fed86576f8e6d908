"""What the blocks of an edge-gated convolution read and write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skmatgnn.nn.ops._adjacency import Adjacency

__all__ = ["BackwardState", "ForwardState", "Plan", "segment_blocks"]

IfPlanned = Any  # a tensor where the plan asks for it, or else None

BLOCK_NUMBERS = 1 << 18  # a megabyte of float32 for each thread
MIN_ROWS = 64


def block_rows(dim: int) -> int:
    """Rows of a block.

    Parameters
    ----------
    dim : int
        Width of a row.

    Returns
    -------
    int
    """
    return max(MIN_ROWS, BLOCK_NUMBERS * torch.get_num_threads() // max(1, dim))


def segment_blocks(ptr: Tensor, dim: int) -> list[tuple[slice, slice]]:
    """Cut segments of rows into blocks of whole segments.

    Parameters
    ----------
    ptr : Tensor of shape (n_segments + 1,)
        Row pointers.
    dim : int
        Width of a row.

    Returns
    -------
    list of (slice, slice)
        Of segments, and of their rows. A segment larger than a block is a block.
    """
    starts, step = ptr.numpy(), block_rows(dim)
    n, first, blocks = len(starts) - 1, 0, []
    while first < n:
        begin = int(starts[first])
        stop = int(starts.searchsorted(begin + step, side="right")) - 1
        stop = max(stop, first + 1)
        blocks.append((slice(first, stop), slice(begin, int(starts[stop]))))
        first = stop
    return blocks


@dataclass(frozen=True)
class Plan:
    """What the blocks need beside tensors that have gradients.

    Parameters
    ----------
    graph : Adjacency
    index : Tensor of shape (n_edges,) or None
        Row of the edge features that each edge reads; None where each has its own.
    eps : tuple of 3 float
        Of the sum of gates, the norm of nodes and the norm of edges.
    norm : bool
        Whether layer norms are part of the blocks.
    update_edges, edge_messages : bool
    half : bool
        Whether the factors of products are rounded to bfloat16.
    save : bool
        Whether there will be a backward pass.
    """

    graph: Adjacency
    index: Tensor | None
    eps: tuple[float, float, float]
    norm: bool
    update_edges: bool
    edge_messages: bool
    half: bool
    save: bool


@dataclass
class ForwardState:
    """Rows of the way there: of nodes, and of edges.

    Parameters
    ----------
    affine : tuple of 4 Tensor or None
        Weight and bias of the norms of nodes and edges.
    nodes, edges : Tensor
        Inputs.
    gate_i, gate_j, message, update : Tensor of shape (n_nodes, d)
        Maps of the nodes; the update is completed.
    mapped : Tensor or None
        The map of ``edges``, where the plan has an index.
    logits : Tensor
        Of all edges, or of one block. Without an index, the map of the edges comes in.
    ratio, inverse : Tensor of shape (n_nodes, d)
        Written: the weighted mean of the messages, and one over the sum of the gates.
    new_nodes, new_edges : Tensor or None
        Written where norms are part of the blocks.
    """

    affine: tuple[IfPlanned, IfPlanned, IfPlanned, IfPlanned]
    nodes: Tensor
    edges: Tensor
    gate_i: Tensor
    gate_j: Tensor
    message: Tensor
    update: Tensor
    mapped: IfPlanned
    logits: Tensor
    ratio: Tensor
    inverse: Tensor
    new_nodes: IfPlanned
    new_edges: IfPlanned


@dataclass
class BackwardState:
    """Rows of the way back: of nodes, and of edges.

    Parameters
    ----------
    affine : tuple of 4 Tensor or None
    logits, message, ratio, inverse : Tensor
        Of the way there.
    by_update : Tensor of shape (n_nodes, d)
    by_new_edges : Tensor of shape (n_edges, d) or None
        By the new edges, or by the logits where norms are not part of the blocks.
    by_gate_i : Tensor of shape (n_nodes, d)
        Written.
    by_gate_j, by_message : Tensor of shape (n_threads, n_nodes, d)
        Added to, as are all that have a row of their own for each thread.
    grad : Tensor
        Written: the gradient by the map of the edges of one block.
    by_mapped, by_residual : Tensor of shape (n_threads, n_rows, d) or None
        In its place where the plan has an index.
    own : Tensor of shape (n_threads, 2, d)
        Gradients of weight and bias of the norm of the edges.
    """

    affine: tuple[IfPlanned, IfPlanned, IfPlanned, IfPlanned]
    logits: Tensor
    message: Tensor
    ratio: Tensor
    inverse: Tensor
    by_update: Tensor
    by_new_edges: IfPlanned
    by_gate_i: Tensor
    by_gate_j: Tensor
    by_message: Tensor
    grad: Tensor
    by_mapped: IfPlanned
    by_residual: IfPlanned
    own: Tensor
