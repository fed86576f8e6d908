"""The edge-gated convolution: the door and the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._choice import use_blocks, use_dgl, use_kernels
from skmatgnn.nn.ops._conv_parts import ConvParts
from skmatgnn.nn.ops._norm_silu import normalise
from skmatgnn.nn.ops.reference import gated_sums

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
    parts: ConvParts,
    *,
    packed: PackedMaps | None = None,
    index: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Map, gate, sum over neighbours, normalise, activate, add to nodes and edges.

    Plain torch, fused Triton kernels, or on the CPU blocks of rows that stay in the
    cache, where :func:`~skmatgnn.nn.ops.kernels` says so. The Triton kernels store rows
    of features in the format of autocast, if it is on, or else in that of ``nodes``,
    and add in float32; they read and write each array once and are deterministic, as
    are the blocks for a given number of threads.

    Parameters
    ----------
    nodes : Tensor of shape (n_nodes, d)
        :math:`h`.
    edges : Tensor of shape (n_edges, d)
        :math:`e`.
    graph : Adjacency
    parts : ConvParts
        Maps, norms and settings.
    packed : tuple of 4 Tensor, optional
        The maps' weights as :func:`pack_maps` copied them just before. Only where what
        comes out goes to other convolutions or is read once: gradients that these gave
        are overwritten.
    index : Tensor of shape (n_edges,) or None, default=None
        Row of ``edges`` that each edge reads, where many are alike. Edge features that
        are not updated are returned as they came.

    Returns
    -------
    nodes : Tensor of shape (n_nodes, d)
    edges : Tensor of shape (n_edges, d)

    See Also
    --------
    skmatgnn.nn.layers.EdgeGatedConv : The equations.
    """
    if use_kernels(parts.edge_map.weight, nodes.shape[1]):
        from skmatgnn.nn.ops.fused import fused_update

        return fused_update(nodes, edges, graph, parts, packed=packed, index=index)
    compute: Any = _reference_update
    if use_dgl():
        from skmatgnn.nn.ops._dgl_ops import edge_gated_update as compute
    elif _fits_blocks(graph) and use_blocks(nodes):
        from skmatgnn.nn.ops.blocked import blocked_update

        return blocked_update(nodes, edges, graph, parts, index=index)
    if index is None:
        return compute(nodes, edges, graph, parts)
    every = edges.index_select(0, index)
    new_nodes, new_edges = compute(nodes, every, graph, parts)
    return new_nodes, new_edges if parts.update_edges else edges


def _fits_blocks(graph: Adjacency) -> bool:
    """Whether there are edges, and none is padding, which blocks do not reach."""
    return graph.n_edges > 0 and graph.n_real is None


def _reference_update(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    parts: ConvParts,
) -> tuple[Tensor, Tensor]:
    update, logits = gated_sums(
        nodes,
        edges,
        graph,
        *(x for linear in parts.maps for x in (linear.weight, linear.bias)),
        eps=parts.eps,
        edge_messages=parts.edge_messages,
    )
    new_nodes = nodes + F.silu(normalise(parts.node_norm, update, graph.n_real))
    if not parts.update_edges:
        return new_nodes, edges
    new_edges = F.silu(normalise(parts.edge_norm, logits, graph.n_real_edges))
    return new_nodes, edges + new_edges
