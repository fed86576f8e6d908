"""The edge-gated convolution through Triton kernels, with its gradient."""

from __future__ import annotations

from collections.abc import Sequence
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
# torch 2.8 and later can multiply bfloat16 to float32
MIXED_PRODUCTS = "dtype" in torch.ops.aten.mm.overloads()


@dataclass(frozen=True)
class _Plan:
    """What the kernels need beside tensors that have gradients."""

    graph: Adjacency
    eps: float
    norm: bool
    update_edges: bool
    edge_messages: bool
    save: bool
    packed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
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
    packed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None,
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
    packed : tuple of 4 Tensor, optional
        Of :func:`pack_maps`, if it was called for all convolutions of a network.

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
        packed=packed,
        node_eps=node_norm.eps if inside else 0.0,
        edge_eps=edge_norm.eps if inside and edge_norm is not None else 0.0,
    )
    stored = edges.to(stored_dtype(nodes))
    maps = (sender_map, receiver_map, edge_map)
    inputs = (nodes, stored, *[m.weight for m in maps], *[m.bias for m in maps])
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
        *parameters: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        nodes, edges = nodes.contiguous(), edges.contiguous()
        maps, affine = parameters[:6], parameters[6:]
        stored = nodes.to(edges.dtype)
        packed = plan.packed or pack_maps([maps], edges.dtype)[0]
        node_weight, node_bias, edge_weight, edge_bias = packed
        both = F.linear(stored, node_weight, node_bias)
        mapped = F.linear(edges, edge_weight, edge_bias)
        outputs = run_forward(plan, nodes, edges, mapped, both, affine)
        new_nodes, new_edges, ratio, inverse = outputs
        ctx.plan, ctx.node_dtype, ctx.weight_dtype = plan, nodes.dtype, maps[0].dtype
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
        plan, (_, by_nodes, by_edges, *needs) = ctx.plan, ctx.needs_input_grad
        grad_edges = None if grad_edges is None else grad_edges.contiguous()
        if grad_nodes is None:
            grad_nodes = torch.zeros_like(stored, dtype=ctx.node_dtype)
        grad_nodes = grad_nodes.contiguous()
        grad_mapped, grad_both, scaled, grad_affine = run_receivers(
            plan, mapped, both, rest, grad_nodes, grad_edges
        )
        run_senders(plan.graph, mapped, both, grad_mapped, scaled, grad_both)
        residual = grad_nodes if plan.norm else None
        return (
            None,
            _through(grad_both, node_weight, residual) if by_nodes else None,
            _through(grad_mapped, edge_weight, grad_edges if plan.norm else None)
            if by_edges
            else None,
            *_by_maps(needs, grad_both, stored, grad_mapped, edges, ctx.weight_dtype),
            *grad_affine,
        )


def _by_maps(
    needs: list[bool],
    grad_both: Tensor,
    nodes: Tensor,
    grad_mapped: Tensor,
    edges: Tensor,
    dtype: torch.dtype,
) -> list[Tensor | None]:
    """Gradients by weights and biases of the maps of senders, receivers and edges."""
    by_node, by_edge = [None, None], None
    by_bias: list[Tensor | None] = [None, None, None]
    if needs[0] or needs[1]:
        by_node = outer_sum(grad_both, nodes, dtype).chunk(2)
    if needs[2]:
        by_edge = outer_sum(grad_mapped, edges, dtype)
    if any(needs[3:6]):
        sums = grad_both.sum(dim=0, dtype=torch.float32).to(dtype)
        dim = edges.shape[1]
        # every edge adds its gradient to its receiver's gate: a shorter sum
        by_bias = [*sums.chunk(2), sums[2 * dim : 3 * dim].clone()]
    found = [*by_node, by_edge, *by_bias]
    return [x if needed else None for x, needed in zip(found, needs, strict=False)]


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
