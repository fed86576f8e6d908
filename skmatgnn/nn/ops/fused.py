"""The edge-gated convolution through Triton kernels, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._branches import branch
from skmatgnn.nn.ops._conv_parts import ConvParts
from skmatgnn.nn.ops._norm_silu import is_layer_norm, normalise
from skmatgnn.nn.ops._table import sorted_rows, sums_by_row
from skmatgnn.nn.ops._triton_launch import (
    Plan,
    run_backward,
    run_forward,
    sum_of_programs,
)

__all__ = ["fused_update", "outer_sum", "pack_maps", "stored_dtype"]

GIVEN_AWAY = "_skmatgnn_given_away"

# torch 2.8 and later can multiply bfloat16 to float32, and add to that
MIXED_PRODUCTS = "dtype" in torch.ops.aten.mm.overloads()
MIXED_SUMS = "dtype_out" in torch.ops.aten.addmm.overloads()


def fused_update(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    parts: ConvParts,
    *,
    packed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
    index: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Do what :func:`~skmatgnn.nn.ops.edge_gated_update` says, in fused kernels.

    The maps of a node are one product, and layer norms are part of the kernels; other
    norms read what the kernels write.

    Parameters
    ----------
    nodes, edges : Tensor
    graph : Adjacency
    parts : ConvParts
    packed : tuple of 4 Tensor, optional
        Of :func:`pack_maps`, if it was called for all convolutions of a network, in
        which gradients of their outputs may then be overwritten.
    index : Tensor of shape (n_edges,), optional
        Row of ``edges`` that each edge reads, where many are alike.

    Returns
    -------
    nodes, edges : Tensor
    """
    inside = parts.has_layer_norms()
    if index is not None and not inside and parts.update_edges:
        edges, index = _Rows.apply(edges, index), None
    node_norm, edge_norm = parts.norms
    plan = Plan(
        graph,
        parts.eps,
        norm=inside,
        update_edges=parts.update_edges,
        edge_messages=parts.edge_messages,
        save=torch.is_grad_enabled(),
        packed=packed,
        node_eps=node_norm.eps if is_layer_norm(node_norm) else 0.0,
        edge_eps=edge_norm.eps if is_layer_norm(edge_norm) else 0.0,
        index=index,
    )
    stored = edges.to(stored_dtype(nodes))
    maps = parts.maps
    inputs = (nodes, stored, *[m.weight for m in maps], *[m.bias for m in maps])
    if inside:
        affine: list[Any] = [node_norm.weight, node_norm.bias]
        affine += [getattr(edge_norm, name, None) for name in ("weight", "bias")]
        new_nodes, new_edges = _EdgeGated.apply(plan, *inputs, *affine)
        return new_nodes, new_edges if parts.update_edges else edges
    update, logits = _EdgeGated.apply(plan, *inputs, *[None] * 4)
    new_nodes = nodes + F.silu(normalise(node_norm, update, graph.n_real))
    if not parts.update_edges:
        return new_nodes, edges
    new_edges = F.silu(normalise(edge_norm, logits, graph.n_real_edges))
    return new_nodes, stored + new_edges


def stored_dtype(x: Tensor) -> torch.dtype:
    """Format in which kernels keep rows of features: that of autocast, if it is on.

    Parameters
    ----------
    x : Tensor
        Gives the format otherwise.

    Returns
    -------
    torch.dtype
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        return torch.get_autocast_dtype(kind)
    return x.dtype


class _Rows(Function):
    """Rows of a table, whose gradient is the same in every run."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.index, ctx.n_rows = index, len(table)
        return table.index_select(0, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        rows = sorted_rows(ctx.index, ctx.n_rows)
        return sums_by_row(rows, (grad, None))[0], None


class _EdgeGated(Function):
    """New nodes and edges; without layer norm, what the norms are to read.

    ``both`` is four rows a node: the gate and the message that it sends, its own gate
    and its own update.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        nodes: Tensor,
        edges: Tensor,
        *parameters: Any,
    ) -> tuple[Tensor | None, Tensor | None]:
        nodes, edges = nodes.contiguous(), edges.contiguous()
        maps, affine = parameters[:6], parameters[6:]
        ctx.branch = branch("parameters")
        if plan.index is not None and plan.save:
            with ctx.branch.beside(plan.index):
                ctx.order = sorted_rows(plan.index, len(edges))
        stored = nodes.to(edges.dtype)
        packed = plan.packed or pack_maps([maps], edges.dtype)[0]
        node_weight, node_bias, edge_weight, edge_bias = packed
        both = F.linear(stored, node_weight, node_bias)
        mapped = F.linear(edges, edge_weight, edge_bias)
        outputs = run_forward(plan, nodes, edges, mapped, both, affine)
        new_nodes, new_edges, *saved = outputs
        ctx.plan, ctx.node_dtype, ctx.weight_dtype = plan, nodes.dtype, maps[0].dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            stored,
            edges,
            node_weight,
            edge_weight,
            mapped,
            both,
            *saved,
            *affine,
        )
        return new_nodes, new_edges

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nodes: Tensor | None, grad_edges: Tensor | None) -> Any:
        stored, edges, node_weight, edge_weight, mapped, both, *rest = ctx.saved_tensors
        plan, (_, by_nodes, by_edges, *needs) = ctx.plan, ctx.needs_input_grad
        grad_edges = None if grad_edges is None else grad_edges.contiguous()
        if grad_nodes is None:
            grad_nodes = torch.zeros_like(stored, dtype=ctx.node_dtype)
        grad_nodes = grad_nodes.contiguous()
        grad_mapped, grad_both, partial = run_backward(
            plan, mapped, both, rest, grad_nodes, grad_edges
        )
        residual, around = (grad_nodes, grad_edges) if plan.norm else (None, None)
        if plan.index is not None and (needs[2] or by_edges):
            ctx.branch.wait()  # for the order
            grad_mapped, around = sums_by_row(ctx.order, (grad_mapped, around))
            _give_away(around)
        private = plan.packed is not None
        by_node: tuple[Tensor | None, ...] = (None, None)
        by_edge, dtype = None, ctx.weight_dtype
        read = (grad_both, stored, grad_mapped, edges, partial.rows)
        with ctx.branch.beside(*read):
            by_bias, grad_affine = sum_of_programs(partial)
            by_bias = tuple(x.to(dtype) for x in by_bias)
            if needs[0] or needs[1]:
                by_node = outer_sum(grad_both, stored, dtype).chunk(2)
            if needs[2]:
                by_edge = outer_sum(grad_mapped, edges, dtype)
        by_maps = (*by_node, by_edge, *by_bias, *grad_affine)
        return (
            None,
            _through(grad_both, node_weight, residual, private) if by_nodes else None,
            _through(grad_mapped, edge_weight, around, private) if by_edges else None,
            *(x if needed else None for x, needed in zip(by_maps, needs, strict=True)),
        )


def outer_sum(grad: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Gradient by the weight of a linear map, not rounded to the format of the rows.

    Parameters
    ----------
    grad : Tensor of shape (n, out)
    x : Tensor of shape (n, in)
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    Tensor of shape (out, in)
    """
    if grad.is_cuda and grad.dtype != dtype == torch.float32 and MIXED_PRODUCTS:
        return torch.mm(grad.T, x, out_dtype=dtype)
    return (grad.T @ x).to(dtype)


def pack_maps(
    maps: Sequence[Sequence[Tensor]], dtype: torch.dtype
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Copy the weights of convolutions to the format of the rows, all in one go.

    Parameters
    ----------
    maps : sequence of sequences of 6 Tensor
        For each convolution weights, then biases, of the maps of senders, receivers
        and edges.
    dtype : torch.dtype

    Returns
    -------
    list of tuple of 4 Tensor
        For each convolution weight and bias of the maps of nodes, senders above
        receivers, then of edges. They have no gradient.
    """
    found, views, sources = [], [], []
    for parts in maps:
        dim = parts[2].shape[1]
        total = sum(part.numel() for part in parts)
        packed = parts[0].new_empty(total, dtype=dtype)
        pieces = packed.split([part.numel() for part in parts])
        views += [v.view(part.shape) for v, part in zip(pieces, parts, strict=True)]
        sources += [part.detach() for part in parts]
        node, edge, node_bias, edge_bias = packed.split(
            [4 * dim * dim, dim * dim, 4 * dim, dim]
        )
        found.append((node.view(-1, dim), node_bias, edge.view(-1, dim), edge_bias))
    if views:
        torch._foreach_copy_(views, sources)
    return found


def _through(
    grad: Tensor, weight: Tensor, residual: Tensor | None, private: bool
) -> Tensor:
    """Gradient by the input of a linear map, with what came around it.

    In a network that keeps outputs of convolutions to itself, the sum takes the place
    of what came around, if that is of another convolution and so read by no one else.
    """
    overwrite = private and getattr(residual, GIVEN_AWAY, False)
    if residual is None:
        found = grad @ weight
    elif residual.dtype != grad.dtype:
        found = _add_to_wider(residual, grad, weight, overwrite=overwrite)
    elif overwrite:
        found = residual.addmm_(grad, weight)
    else:
        found = torch.addmm(residual, grad, weight)
    _give_away(found)
    return found


def _add_to_wider(
    residual: Tensor, grad: Tensor, weight: Tensor, *, overwrite: bool
) -> Tensor:
    """Add a product to what has more digits than its factors."""
    if grad.is_cuda and residual.dtype == torch.float32 and MIXED_SUMS:
        out = residual if overwrite else torch.empty_like(residual)
        add = torch.ops.aten.addmm.dtype_out
        return add(residual, grad, weight, torch.float32, out=out)
    product = grad @ weight
    return residual.add_(product) if overwrite else residual + product


def _give_away(grad: Tensor | None) -> None:
    """Mark a gradient that is not read again here; it is passed on with its mark."""
    if grad is not None:
        setattr(grad, GIVEN_AWAY, True)
