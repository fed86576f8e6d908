"""Segment operations in plain torch: what CPU uses and what kernels are tested with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency

__all__ = [
    "gated_sums",
    "gather_receivers",
    "gather_senders",
    "segment_mean",
    "segment_sum",
]


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


def gated_sums(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    sender_weight: Tensor,
    sender_bias: Tensor,
    receiver_weight: Tensor,
    receiver_bias: Tensor,
    edge_weight: Tensor,
    edge_bias: Tensor,
    *,
    eps: float,
    edge_messages: bool,
) -> tuple[Tensor, Tensor]:
    """Compute what the norms of an edge-gated convolution read.

    Parameters
    ----------
    nodes : Tensor of shape (n_nodes, d)
    edges : Tensor of shape (n_edges, d)
    graph : Adjacency
    sender_weight, receiver_weight : Tensor of shape (2 d, d)
        Of gates and messages, and of gates and updates.
    sender_bias, receiver_bias : Tensor of shape (2 d,)
    edge_weight : Tensor of shape (d, d)
    edge_bias : Tensor of shape (d,)
    eps : float
        Added to the sum of the gates.
    edge_messages : bool
        Whether the logits are added to the messages.

    Returns
    -------
    update : Tensor of shape (n_nodes, d)
    logits : Tensor of shape (n_edges, d)
    """
    dim = nodes.shape[1]
    gate_i, update = F.linear(nodes, receiver_weight, receiver_bias).split(dim, dim=1)
    gate_j, message = F.linear(nodes, sender_weight, sender_bias).split(dim, dim=1)
    logits = F.linear(edges, edge_weight, edge_bias)
    logits += gather_senders(gate_j, graph)  # in place: one large array fewer
    logits += gather_receivers(gate_i, graph)
    gate = torch.sigmoid(logits)
    messages = gather_senders(message, graph)
    if edge_messages:
        messages = messages + logits
    if graph.copies is not None:
        gate = gate * graph.copies.to(gate.dtype).unsqueeze(1)
    messages = gate * messages
    numerator = segment_sum(messages, graph.receiver_ptr, graph.receiver)
    denominator = segment_sum(gate, graph.receiver_ptr, graph.receiver)
    return update + numerator / (denominator + eps), logits
