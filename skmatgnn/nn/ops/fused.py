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

__all__ = ["fused_update", "run_forward", "run_receivers", "run_senders"]


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
    """Do what :func:`~skmatgnn.nn.ops.edge_gated_update` says, in fused kernels.

    The maps of a node are one product, and layer norms are part of the kernels; other
    norms read what the kernels write.

    Parameters
    ----------
    nodes, edges : Tensor
    graph : Adjacency
    sender_map, receiver_map, edge_map : torch.nn.Linear
    node_norm : torch.nn.Module
    edge_norm : torch.nn.Module or None
    eps : float
    edge_messages : bool

    Returns
    -------
    nodes, edges : Tensor
    """
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
    dtype = stored_dtype(nodes)
    both = (sender_map, receiver_map)
    stored = edges.to(dtype)
    inputs = (
        nodes,
        stored,
        torch.cat([part.weight for part in both]).to(dtype),
        torch.cat([part.bias for part in both]).to(dtype),
        edge_map.weight.to(dtype),
        edge_map.bias.to(dtype),
    )
    if inside:
        affine = [node_norm.weight, node_norm.bias]
        affine += [getattr(edge_norm, name, None) for name in ("weight", "bias")]
        new_nodes, new_edges = _EdgeGated.apply(plan, *inputs, *affine)
        return new_nodes, edges if edge_norm is None else new_edges
    update, logits = _EdgeGated.apply(plan, *inputs, *[None] * 4)
    new_nodes = nodes + F.silu(node_norm(update))
    if edge_norm is None:
        return new_nodes, edges
    return new_nodes, stored + F.silu(edge_norm(logits))


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


def _launch(dim: int, kernel: str) -> dict[str, int | bool]:
    tile, block_d = TILES[kernel], max(16, triton.next_power_of_2(dim))
    edges = max(tile.edges, min(MAX_EDGES, tile.per_warp // block_d))
    edges = min(edges, max(1, tile.per_warp * MAX_WARPS // block_d))
    warps = min(MAX_WARPS, max(1, edges * block_d // tile.per_warp))
    sizes = {"D": dim, "BLOCK_D": block_d, "BLOCK_E": edges, "num_warps": warps}
    # Triton's default of the latter differs by version
    return sizes | {"enable_fp_fusion": True} | dict(tile.options)


class _EdgeGated(Function):
    """New nodes and edges; without layer norm, what the norms are to read.

    ``both`` is four rows a node: the gate and the message that it sends, its own gate
    and its own update.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: _Plan,
        nodes: Tensor,
        edges: Tensor,
        node_weight: Tensor,
        node_bias: Tensor,
        edge_weight: Tensor,
        edge_bias: Tensor,
        *affine: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        nodes, edges = nodes.contiguous(), edges.contiguous()
        stored = nodes.to(edges.dtype)
        both = F.linear(stored, node_weight, node_bias)
        mapped = F.linear(edges, edge_weight, edge_bias)
        outputs = run_forward(plan, nodes, edges, mapped, both, affine)
        new_nodes, new_edges, ratio, inverse = outputs
        ctx.plan, ctx.node_dtype = plan, nodes.dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            stored,
            edges,
            node_weight,
            edge_weight,
            mapped,
            both,
            ratio,
            inverse,
            *affine,
        )
        return new_nodes, new_edges

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_nodes: Tensor | None, grad_edges: Tensor | None) -> Any:
        stored, edges, node_weight, edge_weight, mapped, both, *rest = ctx.saved_tensors
        plan, needs = ctx.plan, ctx.needs_input_grad
        grad_edges = None if grad_edges is None else grad_edges.contiguous()
        if grad_nodes is None:
            grad_nodes = torch.zeros_like(stored, dtype=ctx.node_dtype)
        grad_nodes = grad_nodes.contiguous()
        grad_mapped, grad_both, scaled, grad_affine = run_receivers(
            plan, mapped, both, rest, grad_nodes, grad_edges
        )
        run_senders(plan.graph, mapped, both, grad_mapped, scaled, grad_both)
        by_bias = _column_sum(grad_both) if needs[4] or needs[6] else None
        residual = grad_nodes if plan.norm else None
        dim = edges.shape[1]
        return (
            None,
            _through(grad_both, node_weight, residual) if needs[1] else None,
            _through(grad_mapped, edge_weight, grad_edges if plan.norm else None)
            if needs[2]
            else None,
            grad_both.T @ stored if needs[3] else None,
            by_bias if needs[4] else None,
            grad_mapped.T @ edges if needs[5] else None,
            # every edge adds its gradient to its receiver's gate: a shorter sum
            by_bias[2 * dim : 3 * dim] if needs[6] else None,
            *grad_affine,
        )


def run_forward(
    plan: _Plan,
    nodes: Tensor,
    edges: Tensor,
    mapped: Tensor,
    both: Tensor,
    affine: tuple[Tensor | None, ...],
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Update nodes and edges.

    Parameters
    ----------
    plan : _Plan
    nodes : Tensor of shape (n_nodes, d)
    edges, mapped : Tensor of shape (n_edges, d)
    both : Tensor of shape (n_nodes, 4 d)
    affine : tuple of 4 Tensor or None
        Weight and bias of the norms of nodes and edges.

    Returns
    -------
    new_nodes : Tensor of shape (n_nodes, d)
    new_edges : Tensor of shape (n_edges, d) or None
    ratio, inverse : Tensor of shape (n_nodes, d) or None
        What the backward pass needs.
    """
    graph, (n, dim) = plan.graph, nodes.shape
    new_nodes = torch.empty_like(nodes if plan.norm else nodes.to(mapped.dtype))
    new_edges = torch.empty_like(mapped) if plan.update_edges else None
    ratio, inverse = (both.new_empty(n, dim) if plan.save else None for _ in "ri")
    if n:
        with torch.cuda.device_of(mapped):
            forward_kernel[(n,)](
                nodes,
                edges,
                mapped,
                both,
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


def run_receivers(
    plan: _Plan,
    mapped: Tensor,
    both: Tensor,
    rest: list[Tensor | None],
    grad_nodes: Tensor,
    grad_edges: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor | None, ...]]:
    """Go back from nodes and edges to logits and the receivers' rows.

    Parameters
    ----------
    plan : _Plan
    mapped : Tensor of shape (n_edges, d)
    both : Tensor of shape (n_nodes, 4 d)
    rest : list of 6 Tensor or None
        Ratio, inverse, and weights and biases of the norms.
    grad_nodes : Tensor of shape (n_nodes, d)
    grad_edges : Tensor of shape (n_edges, d) or None

    Returns
    -------
    grad_mapped : Tensor of shape (n_edges, d)
    grad_both : Tensor of shape (n_nodes, 4 d)
        Only its second half is written.
    scaled : Tensor of shape (n_nodes, d)
    grad_affine : tuple of 4 Tensor or None
    """
    graph, (n, dim) = plan.graph, grad_nodes.shape
    ratio, inverse, *affine = rest
    grad_mapped, grad_both = torch.empty_like(mapped), torch.empty_like(both)
    scaled = torch.empty_like(ratio)
    programs = min(n, MAX_PROGRAMS)
    partial = mapped.new_empty(programs, 4, dim, dtype=torch.float32)
    if n:
        with torch.cuda.device_of(mapped):
            receiver_kernel[(programs,)](
                mapped,
                both,
                graph.receiver_ptr,
                graph.sender,
                *affine,
                ratio,
                inverse,
                grad_nodes,
                grad_edges,
                grad_mapped,
                grad_both,
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
        return grad_mapped, grad_both, scaled, (None,) * 4
    sums = partial.sum(dim=0).unbind()
    by_affine = (None if a is None else s for a, s in zip(affine, sums, strict=True))
    return grad_mapped, grad_both, scaled, tuple(by_affine)


def run_senders(
    graph: Adjacency,
    mapped: Tensor,
    both: Tensor,
    grad_mapped: Tensor,
    scaled: Tensor,
    grad_both: Tensor,
) -> None:
    """Write the gradients by the senders' rows: the first half of ``grad_both``.

    Parameters
    ----------
    graph : Adjacency
    mapped, grad_mapped : Tensor of shape (n_edges, d)
    both, grad_both : Tensor of shape (n_nodes, 4 d)
    scaled : Tensor of shape (n_nodes, d)
    """
    if not len(both):
        return
    with torch.cuda.device_of(mapped):
        sender_kernel[(len(both),)](
            mapped,
            both,
            graph.sender_ptr,
            graph.by_sender,
            graph.receiver,
            grad_mapped,
            scaled,
            grad_both,
            **_launch(mapped.shape[1], "sender"),
        )


def _through(grad: Tensor, weight: Tensor, residual: Tensor | None) -> Tensor:
    """Gradient by the input of a linear map, with what came around it."""
    if residual is None:
        return grad @ weight
    if residual.dtype != grad.dtype:
        return residual + grad @ weight
    return torch.addmm(residual, grad, weight)


def _column_sum(x: Tensor) -> Tensor:
    return x.sum(dim=0, dtype=torch.float32).to(x.dtype)
