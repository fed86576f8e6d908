"""Launches of the kernels of the edge-gated convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._triton_backward import (
    column_sum_kernel,
    node_kernel,
    receiver_kernel,
    sender_kernel,
)
from skmatgnn.nn.ops._triton_forward import forward_kernel

__all__ = ["Plan", "Tile", "fast", "run_backward", "run_forward"]


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


# constants, since sums depend on them in the last digits; benchmarks/kernels_gpu.py
# measures others
FEW_REGISTERS = (("maxnreg", 128),)
TILES = {
    "forward": Tile(),
    "node": Tile(edges=4),
    "sender": Tile(options=FEW_REGISTERS),
    "receiver": Tile(edges=4, per_warp=1024),
}
MAX_EDGES, MAX_WARPS = 16, 8
# of all programs together, where they share the sums over all rows
WARPS_AT_ONCE = 2112
SUM_ROWS, SUM_COLS = 128, 16  # of a tile of these sums


@dataclass(frozen=True)
class Plan:
    """What the kernels need beside tensors that have gradients.

    Parameters
    ----------
    graph : Adjacency
    eps : float
        Added to the sums of the gates.
    norm : bool
        Whether the norms are part of the kernels.
    update_edges, edge_messages : bool
    save : bool
        Whether a backward pass will come.
    packed : tuple of 4 Tensor, optional
        Weight and bias of the maps of nodes, then of edges.
    node_eps, edge_eps : float
        Of the norms.
    index : Tensor of shape (n_edges,), optional
        Row that each edge reads, where there is not one for each.
    """

    graph: Adjacency
    eps: float
    norm: bool
    update_edges: bool
    edge_messages: bool
    save: bool
    packed: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    node_eps: float = 0.0
    edge_eps: float = 0.0
    index: Tensor | None = None


def run_forward(
    plan: Plan,
    nodes: Tensor,
    edges: Tensor,
    mapped: Tensor,
    both: Tensor,
    affine: tuple[Tensor | None, ...],
) -> tuple[Tensor | None, ...]:
    """Update nodes and edges.

    Parameters
    ----------
    plan : Plan
    nodes : Tensor of shape (n_nodes, d)
    edges, mapped : Tensor of shape (n_edges, d), or (n_rows, d) with an index
    both : Tensor of shape (n_nodes, 4 d)
    affine : tuple of 4 Tensor or None
        Weight and bias of the norms of nodes and edges.

    Returns
    -------
    new_nodes : Tensor of shape (n_nodes, d)
    new_edges : Tensor of shape (n_edges, d) or None
    ratio, inverse : Tensor of shape (n_nodes, d) or None
    moments : Tensor of shape (n_edges, 2) or None
        What the backward pass needs.
    """
    graph, (n, dim) = plan.graph, nodes.shape
    new_nodes = torch.empty_like(nodes if plan.norm else nodes.to(mapped.dtype))
    new_edges = _empty_edges(plan, mapped) if plan.update_edges else None
    ratio, inverse = (both.new_empty(n, dim) if plan.save else None for _ in "ri")
    moments = None
    if plan.save and plan.norm and plan.update_edges:
        moments = both.new_empty(graph.n_edges, 2, dtype=torch.float32)
    if n:
        with torch.cuda.device_of(mapped):
            forward_kernel[(n,)](
                nodes,
                edges,
                mapped,
                both,
                graph.receiver_ptr,
                graph.sender,
                plan.index,
                *affine,
                new_nodes,
                new_edges,
                ratio,
                inverse,
                moments,
                graph.n_edges,
                plan.eps,
                plan.node_eps,
                plan.edge_eps,
                **_launch(dim, "forward"),
                FAST=fast(both.dtype),
                NORM=plan.norm,
                EDGES=plan.update_edges,
                MESSAGES=plan.edge_messages,
                CONSECUTIVE=graph.consecutive_senders,
                SAVE=plan.save,
                INDEXED=plan.index is not None,
            )
    return new_nodes, new_edges, ratio, inverse, moments


def run_backward(
    plan: Plan,
    mapped: Tensor,
    both: Tensor,
    rest: list[Any],
    grad_nodes: Tensor,
    grad_edges: Tensor | None,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Go back from new nodes and edges to what the maps gave.

    Parameters
    ----------
    plan : Plan
    mapped : Tensor of shape (n_edges, d), or (n_rows, d) with an index
    both : Tensor of shape (n_nodes, 4 d)
    rest : list of 7 Tensor or None
        Ratio, inverse and moments, then weights and biases of the norms.
    grad_nodes : Tensor of shape (n_nodes, d)
    grad_edges : Tensor of shape (n_edges, d) or None

    Returns
    -------
    grad_mapped : Tensor of shape (n_edges, d)
    grad_both : Tensor of shape (n_nodes, 4 d)
    by_bias : tuple of 3 Tensor
        Gradients by the biases of the maps of senders, receivers and edges.
    by_affine : tuple of 4 Tensor or None
        Gradients by weights and biases of the norms of nodes and edges.
    """
    n, dim = grad_nodes.shape
    with_norms = plan.norm and grad_edges is not None
    launch = _launch(dim, "sender")
    programs = _programs(n, launch["num_warps"])
    rows = _launch(dim, "node")
    node_programs = _programs(triton.cdiv(n, rows["BLOCK_E"]), rows["num_warps"])
    kinds = (4 if plan.norm else 2, 3 if with_norms else 1)
    partial = mapped.new_empty(
        (node_programs * kinds[0] + programs * kinds[1]) * dim, dtype=torch.float32
    )
    by_edge = partial[node_programs * kinds[0] * dim :]
    grad_mapped, grad_both = _empty_edges(plan, mapped), torch.empty_like(both)
    ratio, inverse, moments, *affine = rest
    scaled, graph = torch.empty_like(ratio), plan.graph
    sums = partial.new_zeros(9, dim) if not n else partial.new_empty(9, dim)
    if n:
        with torch.cuda.device_of(mapped):
            node_kernel[(node_programs,)](
                both, *affine[:2], ratio, inverse, grad_nodes, grad_both, scaled,
                partial, n, plan.eps, plan.node_eps, **rows,
                FAST=fast(both.dtype), NORM=plan.norm,
            )  # fmt: skip
            sender_kernel[(programs,)](
                mapped, both, graph.sender_ptr, graph.by_sender, graph.receiver,
                plan.index, *affine[2:], moments, ratio, scaled, grad_edges,
                grad_mapped, grad_both, by_edge, n, graph.n_edges, **launch,
                FAST=fast(both.dtype), NORM=plan.norm,
                EDGES=grad_edges is not None, MESSAGES=plan.edge_messages,
                INDEXED=plan.index is not None,
            )  # fmt: skip
            receiver_kernel[(n,)](
                graph.receiver_ptr, grad_mapped, grad_both, **_launch(dim, "receiver")
            )
            column_sum_kernel[(triton.cdiv(dim, SUM_COLS), sum(kinds))](
                partial,
                sums,
                node_programs,
                programs,
                dim,
                *kinds,
                SUM_ROWS,
                SUM_COLS,
                num_warps=4,
                enable_fp_fusion=True,
            )
    by_bias = (sums[:2].view(-1), sums[2:4].view(-1), sums[4])
    found = (None, None, None, None)
    if plan.norm:
        found = (sums[5], sums[6], *(sums[7:] if with_norms else (None, None)))
    return grad_mapped, grad_both, by_bias, found


def _empty_edges(plan: Plan, mapped: Tensor) -> Tensor:
    if plan.index is None:
        return torch.empty_like(mapped)
    return mapped.new_empty(plan.graph.n_edges, mapped.shape[1])


def fast(dtype: torch.dtype) -> bool:
    """Whether kernels may approximate beyond the digits of what they store.

    Parameters
    ----------
    dtype : torch.dtype

    Returns
    -------
    bool
    """
    return dtype != torch.float32


def _launch(dim: int, kernel: str) -> dict[str, int | bool]:
    tile = TILES[kernel]
    block_d = max(16, triton.next_power_of_2(dim))
    edges = max(tile.edges, min(MAX_EDGES, tile.per_warp // block_d))
    edges = min(edges, max(1, tile.per_warp * MAX_WARPS // block_d))
    warps = min(MAX_WARPS, max(1, edges * block_d // tile.per_warp))
    sizes = {"D": dim, "BLOCK_D": block_d, "BLOCK_E": edges, "num_warps": warps}
    # Triton's default of the latter differs by version
    return sizes | {"enable_fp_fusion": True} | dict(tile.options)


def _programs(n: int, warps: int) -> int:
    """Count programs of so many warps, each of which takes an equal share."""
    if not n:
        return 0
    return triton.cdiv(n, triton.cdiv(n, max(1, WARPS_AT_ONCE // warps)))
