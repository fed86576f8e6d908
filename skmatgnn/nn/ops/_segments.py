"""Gathers and segment sums: the door to plain torch and to DGL."""

from __future__ import annotations

from types import ModuleType

from torch import Tensor

from skmatgnn.nn.ops import reference
from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._choice import use_dgl, use_kernels

__all__ = ["gather_receivers", "gather_senders", "segment_mean", "segment_sum"]


def _backend() -> ModuleType:
    if use_dgl():
        from skmatgnn.nn.ops import _dgl_ops

        return _dgl_ops
    return reference


def segment_sum(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
    """Sum consecutive rows.

    Parameters
    ----------
    values : Tensor of shape (m, ...)
        Rows, sorted by segment.
    ptr : Tensor of shape (n + 1,)
        Segment ``s`` is ``values[ptr[s]:ptr[s + 1]]``; segments may be empty.
    ids : Tensor of shape (m,)
        Segment of each row (the same information, row by row).

    Returns
    -------
    Tensor of shape (n, ...)
        Zero where a segment is empty.
    """
    return _backend().segment_sum(values, ptr, ids)


def segment_mean(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
    """Average consecutive rows.

    Plain torch, or Triton kernels where :func:`~skmatgnn.nn.ops.kernels` says so.

    Parameters
    ----------
    values : Tensor of shape (m, d)
        Rows, sorted by segment.
    ptr, ids : Tensor
        As in :func:`segment_sum`.

    Returns
    -------
    Tensor of shape (n, d)
        Zero where a segment is empty.
    """
    if use_kernels(values, values.shape[1]):
        from skmatgnn.nn.ops.fused_mean import fused_segment_mean

        return fused_segment_mean(values, ptr, ids)
    return _backend().segment_mean(values, ptr, ids)


def gather_senders(x: Tensor, graph: Adjacency) -> Tensor:
    """Copy each sender's row to its edges.

    Parameters
    ----------
    x : Tensor of shape (n_nodes, d)
        One row a node.
    graph : Adjacency
        The edges.

    Returns
    -------
    Tensor of shape (n_edges, d)
    """
    return _backend().gather_senders(x, graph)


def gather_receivers(x: Tensor, graph: Adjacency) -> Tensor:
    """Copy each receiver's row to its edges.

    Parameters
    ----------
    x : Tensor of shape (n_nodes, d)
        One row a node.
    graph : Adjacency
        The edges.

    Returns
    -------
    Tensor of shape (n_edges, d)
    """
    return _backend().gather_receivers(x, graph)
