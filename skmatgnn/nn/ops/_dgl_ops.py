"""Segment operations and the edge-gated convolution through DGL's kernels.

Slower than plain torch here; they let results be compared with networks that were
written for DGL, message by message.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._conv_parts import ConvParts
from skmatgnn.utils._dgl import import_dgl

__all__ = [
    "edge_gated_update",
    "gather_receivers",
    "gather_senders",
    "segment_mean",
    "segment_sum",
]

_graphs: WeakKeyDictionary[Adjacency, Any] = WeakKeyDictionary()


def _dgl() -> Any:
    return import_dgl(purpose="The choice of kernels 'dgl'")


def _graph(adjacency: Adjacency) -> Any:
    """Make a DGLGraph, once for all layers that see the same edges."""
    found = _graphs.get(adjacency)
    if found is None:
        ends = (adjacency.sender, adjacency.receiver)
        found = _dgl().graph(ends, num_nodes=adjacency.n_nodes)
        _graphs[adjacency] = found
    return found


def _reduce(values: Tensor, ptr: Tensor, reducer: str) -> Tensor:
    if len(values) == 0:
        return values.new_zeros(len(ptr) - 1, *values.shape[1:]) + 0 * values.sum()
    return _dgl().ops.segment_reduce(ptr.diff(), values, reducer=reducer)


def segment_sum(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:  # noqa: ARG001
    """Sum consecutive rows.

    Parameters
    ----------
    values, ptr, ids : Tensor
        As for the reference; ``ids`` is not read.

    Returns
    -------
    Tensor of shape (n, ...)
    """
    return _reduce(values, ptr, "sum")


def segment_mean(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:  # noqa: ARG001
    """Average consecutive rows.

    Parameters
    ----------
    values, ptr, ids : Tensor
        As for the reference; ``ids`` is not read.

    Returns
    -------
    Tensor of shape (n, ...)
    """
    return _reduce(values, ptr, "mean")


def gather_senders(x: Tensor, graph: Adjacency) -> Tensor:
    """Copy each sender's row to its edges.

    Parameters
    ----------
    x : Tensor of shape (n_nodes, d)
    graph : Adjacency

    Returns
    -------
    Tensor of shape (n_edges, d)
    """
    return _dgl().ops.copy_u(_graph(graph), x)


def gather_receivers(x: Tensor, graph: Adjacency) -> Tensor:
    """Copy each receiver's row to its edges.

    Parameters
    ----------
    x : Tensor of shape (n_nodes, d)
    graph : Adjacency

    Returns
    -------
    Tensor of shape (n_edges, d)
    """
    return _dgl().ops.copy_v(_graph(graph), x)


def edge_gated_update(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    parts: ConvParts,
) -> tuple[Tensor, Tensor]:
    """Do what :func:`~skmatgnn.nn.ops.edge_gated_update` says, in DGL's kernels.

    Parameters
    ----------
    nodes, edges : Tensor
    graph : Adjacency
    parts : ConvParts

    Returns
    -------
    nodes, edges : Tensor
    """
    ops, within, dim = _dgl().ops, _graph(graph), nodes.shape[1]
    gate_i, update = parts.receiver_map(nodes).split(dim, dim=1)
    gate_j, message = parts.sender_map(nodes).split(dim, dim=1)
    logits = parts.edge_map(edges) + ops.u_add_v(within, gate_j, gate_i)
    gate = logits.sigmoid()
    if parts.edge_messages:
        carried = gate * (ops.copy_u(within, message) + logits)
        numerator = ops.copy_e_sum(within, carried)
    else:
        numerator = ops.u_mul_e_sum(within, message, gate)
    denominator = ops.copy_e_sum(within, gate)
    update = update + numerator / (denominator + parts.eps)
    new_nodes = nodes + F.silu(parts.node_norm(update))
    if not parts.update_edges:
        return new_nodes, edges
    return new_nodes, edges + F.silu(parts.edge_norm(logits))
