"""The edge-gated convolution: the door and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._choice import use_dgl, use_kernels
from skmatgnn.nn.ops._norm_silu import normalise
from skmatgnn.nn.ops.reference import gather_receivers, gather_senders, segment_sum

__all__ = ["PackedMaps", "edge_gated_update", "pack_maps"]

PackedMaps = tuple[Tensor, Tensor, Tensor, Tensor]


def pack_maps(
    maps: Sequence[tuple[nn.Linear, nn.Linear, nn.Linear]],
) -> Sequence[PackedMaps | None]:
    """Copy the weights of convolutions for the fused kernels, in one go.

    Parameters
    ----------
    maps : sequence of tuples of 3 torch.nn.Linear
        Of senders, receivers and edges, for each convolution.

    Returns
    -------
    sequence of tuple or None
        What :func:`edge_gated_update` takes as ``packed``, in the format of autocast,
        if it is on; None where plain torch computes.
    """
    edge_maps = [parts[-1] for parts in maps]
    if not edge_maps or not all(
        use_kernels(m.weight, m.in_features) for m in edge_maps
    ):
        return [None] * len(maps)
    from skmatgnn.nn.ops import fused

    return fused.pack_maps(
        [[*(m.weight for m in parts), *(m.bias for m in parts)] for parts in maps],
        fused.stored_dtype(edge_maps[0].weight),
    )


def edge_gated_update(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    *,
    sender_map: nn.Linear,
    receiver_map: nn.Linear,
    edge_map: nn.Linear,
    node_norm: nn.Module,
    edge_norm: nn.Module | None,
    eps: float,
    edge_messages: bool,
    packed: PackedMaps | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Map, gate, sum over neighbours, normalise, activate, add to nodes and edges.

    Plain torch, or fused Triton kernels where :func:`~skmatgnn.nn.ops.kernels` says
    so. The kernels store rows of features in the format of autocast, if it is on, or
    else in that of ``nodes``, and add in float32; they read and write each array once
    and are deterministic.

    Parameters
    ----------
    nodes : Tensor of shape (n_nodes, d)
        :math:`h`.
    edges : Tensor of shape (n_edges, d)
        :math:`e`.
    graph : Adjacency
    sender_map : torch.nn.Linear
        :math:`A` and :math:`V`: gates and messages that the nodes send.
    receiver_map : torch.nn.Linear
        :math:`B` and :math:`U`: gates and updates of the nodes themselves.
    edge_map : torch.nn.Linear
        :math:`C`.
    node_norm : torch.nn.Module
    edge_norm : torch.nn.Module or None
        None where the edges stay as they are.
    eps : float
        Added to the sum of the gates.
    edge_messages : bool
        Whether the logits are added to the messages.
    packed : tuple of 4 Tensor, optional
        The maps' weights as :func:`pack_maps` copied them just before.

    Returns
    -------
    nodes : Tensor of shape (n_nodes, d)
    edges : Tensor of shape (n_edges, d)

    See Also
    --------
    skmatgnn.nn.layers.EdgeGatedConv : The equations.
    """
    options: dict[str, Any] = {
        "sender_map": sender_map,
        "receiver_map": receiver_map,
        "edge_map": edge_map,
        "node_norm": node_norm,
        "edge_norm": edge_norm,
        "eps": eps,
        "edge_messages": edge_messages,
    }
    if use_kernels(edge_map.weight, nodes.shape[1]):
        from skmatgnn.nn.ops.fused import fused_update

        return fused_update(nodes, edges, graph, **options, packed=packed)
    if use_dgl():
        from skmatgnn.nn.ops import _dgl_ops

        return _dgl_ops.edge_gated_update(nodes, edges, graph, **options)
    return _reference_update(nodes, edges, graph, **options)


def _reference_update(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    *,
    sender_map: nn.Linear,
    receiver_map: nn.Linear,
    edge_map: nn.Linear,
    node_norm: nn.Module,
    edge_norm: nn.Module | None,
    eps: float,
    edge_messages: bool,
) -> tuple[Tensor, Tensor]:
    dim = nodes.shape[1]
    gate_i, update = receiver_map(nodes).split(dim, dim=1)
    gate_j, message = sender_map(nodes).split(dim, dim=1)
    logits = edge_map(edges)
    logits += gather_senders(gate_j, graph)  # in place: one large array fewer
    logits += gather_receivers(gate_i, graph)
    gate = torch.sigmoid(logits)
    messages = gather_senders(message, graph)
    if edge_messages:
        messages = messages + logits
    messages = gate * messages
    numerator = segment_sum(messages, graph.receiver_ptr, graph.receiver)
    denominator = segment_sum(gate, graph.receiver_ptr, graph.receiver)
    update = update + numerator / (denominator + eps)
    new_nodes = nodes + F.silu(normalise(node_norm, update, graph.n_real))
    if edge_norm is None:
        return new_nodes, edges
    new_edges = F.silu(normalise(edge_norm, logits, graph.n_real_edges))
    return new_nodes, edges + new_edges
