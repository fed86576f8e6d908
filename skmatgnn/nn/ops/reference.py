"""Segment operations in plain torch: what CPU uses and what kernels are tested with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from skmatgnn.nn.ops._adjacency import Adjacency

__all__ = ["gather_receivers", "gather_senders", "segment_mean", "segment_sum"]


def _sum_rows(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
    if values.is_cuda:  # index_add_ would use atomics there
        return torch.segment_reduce(values, "sum", offsets=ptr, axis=0, unsafe=True)
    shape = (len(ptr) - 1, *values.shape[1:])
    return values.new_zeros(shape).index_add_(0, ids, values)


class _SegmentSum(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        return _sum_rows(values.contiguous(), ptr, ids)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (ids,) = ctx.saved_tensors
        return grad.index_select(0, ids), None, None


class _Gather(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, index: Tensor, ptr: Tensor, order: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(index, ptr, order)
        return x.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        index, ptr, order = ctx.saved_tensors
        grad = grad.contiguous()
        if order is not None and grad.is_cuda:
            grad, index = grad.index_select(0, order), index.index_select(0, order)
        return _sum_rows(grad, ptr, index), None, None, None


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
    return _SegmentSum.apply(values, ptr, ids)


def segment_mean(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
    """Average consecutive rows.

    Parameters
    ----------
    values, ptr, ids : Tensor
        As in :func:`segment_sum`.

    Returns
    -------
    Tensor of shape (n, ...)
        Zero where a segment is empty.
    """
    counts = (ptr[1:] - ptr[:-1]).clamp(min=1).to(values.dtype)
    return segment_sum(values, ptr, ids) / counts.unsqueeze(-1)


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
    return _Gather.apply(x, graph.sender, graph.sender_ptr, graph.by_sender)


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
    return _Gather.apply(x, graph.receiver, graph.receiver_ptr, None)
