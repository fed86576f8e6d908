"""The edge-gated convolution on the CPU, block by block, with its gradient.

A row of features comes from memory once on the way there and once on the way back:
blocks of whole segments are mapped, gated, summed, normalised and activated while they
are in the cache, and only the logits are kept for the gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._block_state import (
    BackwardState,
    ForwardState,
    Plan,
    segment_blocks,
)
from skmatgnn.nn.ops._choice import block_kernels, has_half_products
from skmatgnn.nn.ops._conv_parts import ConvParts
from skmatgnn.nn.ops._norm_silu import is_layer_norm
from skmatgnn.nn.ops._products import Products, products
from skmatgnn.nn.ops.reference import gated_sums

__all__ = ["blocked_update"]

AFFINE = ("weight", "bias")
N_INPUTS = 12


def blocked_update(
    nodes: Tensor,
    edges: Tensor,
    graph: Adjacency,
    parts: ConvParts,
    *,
    index: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Do what :func:`~skmatgnn.nn.ops.edge_gated_update` says, block by block.

    Layer norms are part of the blocks; other norms read what the blocks write.

    Parameters
    ----------
    nodes, edges : Tensor
    graph : Adjacency
    parts : ConvParts
    index : Tensor of shape (n_edges,) or None, default=None

    Returns
    -------
    nodes, edges : Tensor
    """
    inside, norms = parts.has_layer_norms(), parts.norms
    tensors: list[Tensor | None] = [nodes, edges]
    for linear in parts.maps:
        tensors += [linear.weight, linear.bias]
    for norm in norms:
        tensors += [getattr(norm, n, None) if inside else None for n in AFFINE]
    plan = Plan(
        graph,
        index,
        (parts.eps, _eps_of(parts.node_norm), _eps_of(parts.edge_norm)),
        norm=inside,
        update_edges=parts.update_edges,
        edge_messages=parts.edge_messages,
        half=has_half_products(),
        save=torch.is_grad_enabled()
        and any(t is not None and t.requires_grad for t in tensors),
    )
    first, second = _EdgeGated.apply(plan, *tensors)
    if inside:
        return first, second if parts.update_edges else edges
    new_nodes = nodes + F.silu(parts.node_norm(first))
    if not parts.update_edges:
        return new_nodes, edges
    residual = edges if index is None else edges.index_select(0, index)
    return new_nodes, residual + F.silu(parts.edge_norm(second))


def _eps_of(norm: nn.Module | None) -> float:
    return norm.eps if is_layer_norm(norm) else 0.0


class _EdgeGated(Function):
    """New nodes and edges; without layer norm, what the norms are to read."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, *tensors: Any
    ) -> tuple[Tensor | None, Tensor | None]:
        with torch.autocast("cpu", enabled=False):
            state = _run_forward(plan, *tensors)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        if plan.save:
            update = state.update if plan.norm else None
            saved = (state.logits, state.message, state.ratio, state.inverse, update)
            ctx.save_for_backward(*tensors, *saved)
        if plan.norm:
            return state.new_nodes, state.new_edges
        return state.update, state.logits if plan.update_edges else None

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        plan, tensors = ctx.plan, ctx.saved_tensors
        inputs, saved = tensors[:N_INPUTS], tensors[N_INPUTS:]
        if torch.is_grad_enabled():  # of gradients that are to have gradients
            return None, *_differentiable(plan, inputs, gradients)
        needs = ctx.needs_input_grad[1:]
        with torch.autocast("cpu", enabled=False):
            return None, *_run_backward(plan, inputs, saved, gradients, needs)


def _largest(blocks: list[tuple[slice, slice]]) -> int:
    return max(rows.stop - rows.start for _, rows in blocks)


def _run_forward(
    plan: Plan,
    nodes: Tensor,
    edges: Tensor,
    sender_weight: Tensor,
    sender_bias: Tensor,
    receiver_weight: Tensor,
    receiver_bias: Tensor,
    edge_weight: Tensor,
    edge_bias: Tensor,
    *affine: Any,
) -> ForwardState:
    nodes, edges = nodes.contiguous(), edges.contiguous()
    dim, blocks = (
        nodes.shape[1],
        segment_blocks(plan.graph.receiver_ptr, nodes.shape[1]),
    )
    maps = products(dim, half=plan.half)
    a, v = sender_weight.split(dim)
    b, u = receiver_weight.split(dim)
    whole = plan.save or (plan.update_edges and not plan.norm)
    n_logits = plan.graph.n_edges if whole else _largest(blocks)
    new_edges = plan.norm and plan.update_edges
    state = ForwardState(
        (affine[0], affine[1], affine[2], affine[3]),
        nodes,
        edges,
        gate_i=maps.linear(nodes, b, receiver_bias[:dim] + edge_bias),
        gate_j=maps.linear(nodes, a, sender_bias[:dim]),
        message=maps.linear(nodes, v, sender_bias[dim:]),
        update=maps.linear(nodes, u, receiver_bias[dim:]),
        mapped=None if plan.index is None else maps.linear(edges, edge_weight, None),
        logits=nodes.new_empty(n_logits, dim),
        ratio=torch.empty_like(nodes),
        inverse=torch.empty_like(nodes),
        new_nodes=torch.empty_like(nodes) if plan.norm else None,
        new_edges=nodes.new_empty(plan.graph.n_edges, dim) if new_edges else None,
    )
    run, factor = (
        block_kernels().forward_block(plan, state),
        maps.factor(edge_weight.t()),
    )
    for of_nodes, rows in blocks:
        base = 0 if whole else rows.start
        if plan.index is None:
            out = state.logits[rows.start - base : rows.stop - base]
            maps.multiply(edges[rows], factor, None, out)
        run(of_nodes, rows, base)
    return state


def _run_backward(
    plan: Plan,
    inputs: tuple[Any, ...],
    saved: tuple[Any, ...],
    gradients: tuple[Tensor | None, ...],
    needs: tuple[bool, ...],
) -> list[Tensor | None]:
    nodes, edges = inputs[0].contiguous(), inputs[1].contiguous()
    by_nodes, by_edges = (g if g is None else g.contiguous() for g in gradients)
    if by_edges is None:
        plan = replace(plan, update_edges=False)
    kernels = block_kernels()
    own = nodes.new_zeros(2, kernels.n_shares(), 2, nodes.shape[1])
    *of_state, update = saved
    if by_nodes is None:
        by_update = torch.zeros_like(nodes)
    elif plan.norm:
        by_update = torch.empty_like(nodes)
        kernels.norm_silu_backward(
            by_nodes, update, *inputs[8:10], plan.eps[1], own[0], by_update
        )
    else:
        by_update = by_nodes
    state = _backward_state(plan, inputs, of_state, by_update, by_edges, own[1])
    found = _run_blocks(plan, state, edges, inputs[6], needs)
    residual = by_nodes if plan.norm else None
    maps = products(nodes.shape[1], half=plan.half)
    of_maps = _through_maps(maps, state, nodes, inputs, residual, needs)
    by_affine = own.sum(dim=1)
    # every edge adds its gradient to its receiver's gate: a shorter sum
    of_edge_map = [found[1], state.by_gate_i.sum(dim=0)]
    affine = [
        None if x is None else by
        for x, by in zip(inputs[8:], by_affine.flatten(0, 1), strict=True)
    ]
    return [of_maps[0], found[0], *of_maps[1:], *of_edge_map, *affine]


def _backward_state(
    plan: Plan,
    inputs: tuple[Any, ...],
    saved: list[Tensor],
    by_update: Tensor,
    by_new_edges: Tensor | None,
    own: Tensor,
) -> BackwardState:
    edges, shares = inputs[1], len(own)
    blocks = segment_blocks(plan.graph.receiver_ptr, edges.shape[1])
    indexed = plan.index is not None
    by_rows = [edges.new_zeros(shares, *edges.shape) if indexed else None for _ in "mr"]
    by_senders = [by_update.new_zeros(shares, *by_update.shape) for _ in "gm"]
    logits, message, ratio, inverse = saved
    return BackwardState(
        (inputs[8], inputs[9], inputs[10], inputs[11]),
        logits,
        message,
        ratio,
        inverse,
        by_update=by_update,
        by_new_edges=by_new_edges,
        by_gate_i=torch.empty_like(by_update),
        by_gate_j=by_senders[0],
        by_message=by_senders[1],
        grad=edges.new_empty(_largest(blocks), edges.shape[1]),
        by_mapped=by_rows[0],
        by_residual=by_rows[1],
        own=own,
    )


def _run_blocks(
    plan: Plan,
    state: BackwardState,
    edges: Tensor,
    weight: Tensor,
    needs: tuple[bool, ...],
) -> tuple[Tensor | None, Tensor | None]:
    """Go through all blocks; return gradients by the edges and the weight."""
    run = block_kernels().backward_block(plan, state)
    maps = products(len(weight), half=plan.half)
    blocks = segment_blocks(plan.graph.receiver_ptr, edges.shape[1])
    outer = state.by_new_edges if plan.norm else None
    if plan.index is not None:
        for of_nodes, rows in blocks:
            run(of_nodes, rows)
        grad, residual = _total(state.by_mapped), _total(state.by_residual)
        by_edges = maps.through([grad], [weight], residual) if needs[1] else None
        return by_edges, maps.outer(grad, edges) if needs[6] else None
    by_edges = torch.empty_like(edges) if needs[1] else None
    by_weight = torch.zeros_like(weight) if needs[6] else None
    factor = maps.factor(weight)
    for of_nodes, rows in blocks:
        run(of_nodes, rows)
        grad = state.grad[: rows.stop - rows.start]
        if by_weight is not None:
            maps.add_outer(grad, edges[rows], by_weight)
        if by_edges is not None:
            added = None if outer is None else outer[rows]
            maps.multiply(grad, factor, added, by_edges[rows])
    return by_edges, by_weight


def _through_maps(
    maps: Products,
    state: BackwardState,
    nodes: Tensor,
    inputs: tuple[Any, ...],
    residual: Tensor | None,
    needs: tuple[bool, ...],
) -> list[Tensor | None]:
    """Gradients by nodes, and by weights and biases of the maps of nodes."""
    grads = [_total(state.by_gate_j), _total(state.by_message)]
    grads += [state.by_gate_i, state.by_update]
    dim = nodes.shape[1]
    weights = [*inputs[2].split(dim), *inputs[4].split(dim)]
    result = [maps.through(grads, weights, residual) if needs[0] else None]
    for i, pair in ((2, grads[:2]), (4, grads[2:])):
        weight = bias = None
        if needs[i]:
            weight = torch.cat([maps.outer(grad, nodes) for grad in pair])
        if needs[i + 1]:
            bias = torch.cat([grad.sum(dim=0) for grad in pair])
        result += [weight, bias]
    return result


def _total(shares: Tensor) -> Tensor:
    return shares[0] if len(shares) == 1 else shares.sum(dim=0)


def _differentiable(
    plan: Plan,
    inputs: tuple[Any, ...],
    gradients: tuple[Tensor | None, ...],
) -> list[Tensor | None]:
    """Gradients in plain torch, which have gradients themselves."""
    nodes, edges, *maps = inputs[:8]
    if plan.index is not None:
        edges = edges.index_select(0, plan.index)
    outputs = list(
        gated_sums(
            nodes,
            edges,
            plan.graph,
            *maps,
            eps=plan.eps[0],
            edge_messages=plan.edge_messages,
        )
    )
    for i, x in enumerate((nodes, edges)):
        weight, bias = inputs[8 + 2 * i : 10 + 2 * i]
        if weight is not None:
            eps = plan.eps[1 + i]
            normed = F.layer_norm(outputs[i], x.shape[1:], weight, bias, eps)
            outputs[i] = x + F.silu(normed)
    given = [
        pair for pair in zip(outputs, gradients, strict=True) if pair[1] is not None
    ]
    wanted = [x for x in inputs if x is not None and x.requires_grad]
    found = iter(
        torch.autograd.grad(
            [output for output, _ in given],
            wanted,
            [gradient for _, gradient in given],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if x is not None and x.requires_grad else None for x in inputs]
