"""The edge-gated convolution through Triton kernels, with its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._norm_silu import is_layer_norm
from skmatgnn.nn.ops._triton_backward import receiver_kernel, sender_kernel
from skmatgnn.nn.ops._triton_forward import forward_kernel

__all__ = ["fused_update"]


@dataclass(frozen=True)
class Tile:
    """How much of its rows a program holds at once.

    Parameters
    ----------
    edges : int
        At the least, unless the rows are very long; few, so that a short segment
        wastes little.
    per_warp : int
        Numbers that a warp holds; 256 let each thread read 16 bytes of bfloat16.
    options : tuple of (str, int)
        Further options of Triton, as ``("num_stages", 2)``.
    """

    edges: int = 1
    per_warp: int = 256
    options: tuple[tuple[str, int], ...] = ()


# constants, since sums depend on them in the last digits; measured on an H100 by
# benchmarks/kernels_gpu.py
TILES = {
    "forward": Tile(),
    "receiver": Tile(options=(("maxnreg", 128),)),
    "sender": Tile(),
}
MAX_EDGES, MAX_WARPS = 16, 8
# that share the sums over all rows for the gradients of the norms
MAX_PROGRAMS = 2112


@dataclass(frozen=True)
class _Plan:
    """What the kernels need beside tensors that have gradients."""

    graph: Adjacency
    eps: float
    norm: bool
    update_edges: bool
    edge_messages: bool
    save: bool
    node_eps: float = 0.0
    edge_eps: float = 0.0


def fused_update(
    nodes: Tensor,
    edges: Tensor,
    senders: Tensor,
    receivers: Tensor,
    graph: Adjacency,
    *,
    edge_map: nn.Linear,
    node_norm: nn.Module,
    edge_norm: nn.Module | None,
    eps: float,
    edge_messages: bool,
) -> tuple[Tensor, Tensor]:
    """Do what :func:`~skmatgnn.nn.ops.edge_gated_update` says, in fused kernels.

    Layer norms are part of the kernels; other norms read what the kernels write.

    Parameters
    ----------
    nodes, edges, senders, receivers : Tensor
    graph : Adjacency
    edge_map : torch.nn.Linear
    node_norm : torch.nn.Module
    edge_norm : torch.nn.Module or None
    eps : float
    edge_messages : bool

    Returns
    -------
    nodes, edges : Tensor
    """
    stored = edges.to(senders.dtype)
    inside = is_layer_norm(node_norm) and (
        edge_norm is None or is_layer_norm(edge_norm)
    )
    plan = _Plan(
        graph,
        eps,
        norm=inside,
        update_edges=edge_norm is not None,
        edge_messages=edge_messages,
        save=torch.is_grad_enabled(),
        node_eps=node_norm.eps if inside else 0.0,
        edge_eps=edge_norm.eps if inside and edge_norm is not None else 0.0,
    )
    shared = (
        stored,
        senders,
        receivers,
        edge_map.weight.to(senders.dtype),
        None if edge_map.bias is None else edge_map.bias.to(senders.dtype),
    )
    if inside:
        affine = [node_norm.weight, node_norm.bias]
        affine += [getattr(edge_norm, name, None) for name in ("weight", "bias")]
        new_nodes, new_edges = _EdgeGated.apply(plan, nodes, *shared, *affine)
        return new_nodes, edges if edge_norm is None else new_edges
    update, logits = _EdgeGated.apply(plan, None, *shared, *[None] * 4)
    new_nodes = nodes + F.silu(node_norm(update))
    if edge_norm is None:
        return new_nodes, edges
    return new_nodes, stored + F.silu(edge_norm(logits))


def _launch(dim: int, kernel: str) -> dict[str, int | bool]:
    tile, block_d = TILES[kernel], max(16, triton.next_power_of_2(dim))
    edges = max(tile.edges, min(MAX_EDGES, tile.per_warp // block_d))
    edges = min(edges, max(1, tile.per_warp * MAX_WARPS // block_d))
    warps = min(MAX_WARPS, max(1, edges * block_d // tile.per_warp))
    sizes = {"D": dim, "BLOCK_D": block_d, "BLOCK_E": edges, "num_warps": warps}
    # Triton's default of the latter differs by version
    return sizes | {"enable_fp_fusion": True} | dict(tile.options)


class _EdgeGated(Function):
    """New nodes and edges; without layer norm, what the norms are to read."""

    @staticmethod
    def forward(
        ctx: Any,
        plan: _Plan,
        nodes: Tensor | None,
        edges: Tensor,
        senders: Tensor,
        receivers: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        *affine: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        edges, senders = edges.contiguous(), senders.contiguous()
        receivers = receivers.contiguous()
        nodes = None if nodes is None else nodes.contiguous()
        mapped = F.linear(edges, weight, bias)
        outputs = _run_forward(plan, nodes, edges, mapped, senders, receivers, affine)
        new_nodes, new_edges, ratio, inverse = outputs
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            edges, mapped, senders, receivers, weight, ratio, inverse, *affine
        )
        return new_nodes, new_edges

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nodes: Tensor | None, grad_edges: Tensor | None) -> Any:
        edges, mapped, senders, receivers, weight, *rest = ctx.saved_tensors
        plan, needs = ctx.plan, ctx.needs_input_grad
        grad_edges = None if grad_edges is None else grad_edges.contiguous()
        if grad_nodes is None:
            grad_nodes = torch.zeros_like(receivers[:, : edges.shape[1]])
        grad_nodes = grad_nodes.contiguous()
        grad_mapped, grad_receivers, scaled, grad_affine = _run_receivers(
            plan, mapped, senders, receivers, rest, grad_nodes, grad_edges
        )
        grad_senders = None
        if needs[3]:
            grad_senders = _run_senders(
                plan.graph, mapped, senders, receivers, grad_mapped, scaled
            )
        return (
            None,
            grad_nodes if plan.norm else None,
            _edge_gradient(plan, grad_mapped, weight, grad_edges) if needs[2] else None,
            grad_senders,
            grad_receivers if needs[4] else None,
            grad_mapped.T @ edges if needs[5] else None,
            # every edge adds its gradient to its receiver's: a shorter sum
            _column_sum(grad_receivers[:, : edges.shape[1]]) if needs[6] else None,
            *grad_affine,
        )


def _run_forward(
    plan: _Plan,
    nodes: Tensor | None,
    edges: Tensor,
    mapped: Tensor,
    senders: Tensor,
    receivers: Tensor,
    affine: tuple[Tensor | None, ...],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    graph, (n, dim) = plan.graph, (len(receivers), edges.shape[1])
    new_nodes = (mapped if nodes is None else nodes).new_empty(n, dim)
    new_edges = torch.empty_like(mapped) if plan.update_edges else None
    ratio, inverse = (senders.new_empty(n, dim) if plan.save else None for _ in "ri")
    if n:
        with torch.cuda.device_of(mapped):
            forward_kernel[(n,)](
                nodes,
                edges,
                mapped,
                senders,
                receivers,
                graph.receiver_ptr,
                graph.sender,
                *affine,
                new_nodes,
                new_edges,
                ratio,
                inverse,
                graph.n_edges,
                plan.eps,
                plan.node_eps,
                plan.edge_eps,
                **_launch(dim, "forward"),
                NORM=plan.norm,
                EDGES=plan.update_edges,
                MESSAGES=plan.edge_messages,
                CONSECUTIVE=graph.consecutive_senders,
                SAVE=plan.save,
            )
    return new_nodes, new_edges, ratio, inverse


def _run_receivers(
    plan: _Plan,
    mapped: Tensor,
    senders: Tensor,
    receivers: Tensor,
    rest: list[Tensor | None],
    grad_nodes: Tensor,
    grad_edges: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor | None, ...]]:
    graph, (n, dim) = plan.graph, (len(receivers), mapped.shape[1])
    ratio, inverse, *affine = rest
    grad_mapped, grad_receivers = torch.empty_like(mapped), torch.empty_like(receivers)
    scaled = torch.empty_like(ratio)
    programs = min(n, MAX_PROGRAMS)
    partial = mapped.new_empty(programs, 4, dim, dtype=torch.float32)
    if n:
        with torch.cuda.device_of(mapped):
            receiver_kernel[(programs,)](
                mapped,
                senders,
                receivers,
                graph.receiver_ptr,
                graph.sender,
                *affine,
                ratio,
                inverse,
                grad_nodes,
                grad_edges,
                grad_mapped,
                grad_receivers,
                scaled,
                partial,
                n,
                graph.n_edges,
                plan.node_eps,
                plan.edge_eps,
                **_launch(dim, "receiver"),
                NORM=plan.norm,
                EDGES=grad_edges is not None,
                MESSAGES=plan.edge_messages,
                CONSECUTIVE=graph.consecutive_senders,
            )
    if not plan.norm:
        return grad_mapped, grad_receivers, scaled, (None,) * 4
    sums = partial.sum(dim=0).unbind()
    by_affine = (None if a is None else s for a, s in zip(affine, sums, strict=True))
    return grad_mapped, grad_receivers, scaled, tuple(by_affine)


def _run_senders(
    graph: Adjacency,
    mapped: Tensor,
    senders: Tensor,
    receivers: Tensor,
    grad_mapped: Tensor,
    scaled: Tensor,
) -> Tensor:
    grad_senders = torch.empty_like(senders)
    if len(senders):
        with torch.cuda.device_of(mapped):
            sender_kernel[(len(senders),)](
                mapped,
                senders,
                receivers,
                graph.sender_ptr,
                graph.by_sender,
                graph.receiver,
                grad_mapped,
                scaled,
                grad_senders,
                **_launch(mapped.shape[1], "sender"),
            )
    return grad_senders


def _edge_gradient(
    plan: _Plan, grad_mapped: Tensor, weight: Tensor, grad_edges: Tensor | None
) -> Tensor:
    if plan.norm and grad_edges is not None:  # the residual
        return torch.addmm(grad_edges, grad_mapped, weight)
    return grad_mapped @ weight


def _column_sum(x: Tensor) -> Tensor:
    return x.sum(dim=0, dtype=torch.float32).to(x.dtype)
