"""Launches of the kernels of the edge-gated convolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from skmatgnn.nn.ops._triton_probe import INTERPRETED

__all__ = [
    "Partial",
    "Plan",
    "Tile",
    "fast",
    "run_backward",
    "run_forward",
    "sum_of_programs",
]


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
    nodes : int
        How many senders a program takes at once, so many edges of each.
    warps_at_once : int
        Of all programs together, where they share the sums over all rows.
    stages : int
        How many turns are under way at once where there is a pipeline.
    options : tuple of (str, int)
        Further options of Triton, as ``("maxnreg", 128)``.
    """

    edges: int = 1
    per_warp: int = 256
    nodes: int = 1
    warps_at_once: int = 2112
    stages: int = 3
    options: tuple[tuple[str, int], ...] = ()


# constants, since sums depend on them in the last digits; benchmarks/kernels_gpu.py
# measures others
TILES = {
    "forward": Tile(),
    "node": Tile(),
    "sender": Tile(options=(("maxnreg", 128),)),
    "receiver": Tile(edges=4, per_warp=1024),
}
# of narrow rows, where a warp has several edges at once without a pipeline
NARROW_TILES = {"sender": replace(TILES["sender"], stages=1)}
# of wide rows and many senders, which need more of the cache: neighbours read the same
# rows. 12 warps, for which there is room, on each of 132 multiprocessors.
WIDE, MANY = 256, 16384
MANY_TILES = {
    "sender": Tile(nodes=4, warps_at_once=1584, options=(("maxnreg", 168),)),
}
MAX_EDGES, MAX_WARPS = 16, 8
SUM_ROWS, SUM_COLS, SUM_WARPS = 512, 16, 8  # of a tile of these sums


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
    tile = _tile("forward", dim, n)
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
                **_launch(tile, dim),
                STAGES=tile.stages,
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
) -> tuple[Tensor, Tensor, Partial]:
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
    partial : Partial
        For :func:`sum_of_programs`.
    """
    n, dim = grad_nodes.shape
    of_node, of_sender, of_receiver = (
        _tile(kernel, dim, n) for kernel in ("node", "sender", "receiver")
    )
    launch, rows = _launch(of_sender, dim), _launch(of_node, dim)
    partial = Partial(
        mapped,
        dim,
        _programs(of_node, n, rows["BLOCK_E"], rows["num_warps"]),
        _programs(of_sender, n, of_sender.nodes, launch["num_warps"]),
        norm=plan.norm,
        edge_norm=plan.norm and grad_edges is not None,
    )
    by_node, by_sender = partial.parts()
    grad_mapped, grad_both = _empty_edges(plan, mapped), torch.empty_like(both)
    ratio, inverse, moments, *affine = rest
    scaled, graph = torch.empty_like(ratio), plan.graph
    if n:
        with torch.cuda.device_of(mapped):
            node_kernel[(partial.n_first,)](
                both, *affine[:2], ratio, inverse, grad_nodes, grad_both, scaled,
                by_node, n, plan.eps, plan.node_eps, **rows, STAGES=of_node.stages,
                FAST=fast(both.dtype), NORM=plan.norm,
            )  # fmt: skip
            sender_kernel[(partial.n_second,)](
                mapped, both, graph.sender_ptr, graph.by_sender, graph.receiver,
                plan.index, *affine[2:], moments, ratio, scaled, grad_edges,
                grad_mapped, grad_both, by_sender, n, graph.n_edges, **launch,
                BLOCK_N=of_sender.nodes, STAGES=of_sender.stages,
                FAST=fast(both.dtype), NORM=plan.norm,
                EDGES=grad_edges is not None, MESSAGES=plan.edge_messages,
                INDEXED=plan.index is not None,
            )  # fmt: skip
            receiver_kernel[(n,)](
                graph.receiver_ptr, grad_mapped, grad_both, **_launch(of_receiver, dim)
            )
    return grad_mapped, grad_both, partial


class Partial:
    """What the programs of the node kernel, then of the sender kernel, summed.

    Parameters
    ----------
    like : Tensor
        On the device.
    dim : int
        Length of a row.
    n_first, n_second : int
        Programs of the two kernels.
    norm, edge_norm : bool
        Whether they have sums for the norms of nodes and of edges.
    """

    def __init__(
        self,
        like: Tensor,
        dim: int,
        n_first: int,
        n_second: int,
        *,
        norm: bool,
        edge_norm: bool,
    ) -> None:
        self.dim, self.n_first, self.n_second = dim, n_first, n_second
        self.norm, self.edge_norm = norm, edge_norm
        self.kinds = (4 if norm else 2, 3 if edge_norm else 1)
        n_rows = n_first * self.kinds[0] + n_second * self.kinds[1]
        self.rows = like.new_empty(n_rows, dim, dtype=torch.float32)

    def parts(self) -> tuple[Tensor, Tensor]:
        """Split the rows by kernel.

        Returns
        -------
        tuple of Tensor
        """
        n_first = self.n_first * self.kinds[0]
        return self.rows[:n_first], self.rows[n_first:]


def sum_of_programs(
    partial: Partial,
) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Add up what programs have summed.

    Parameters
    ----------
    partial : Partial

    Returns
    -------
    by_bias : tuple of 3 Tensor
        Gradients by the biases of the maps of senders, receivers and edges.
    by_affine : tuple of 4 Tensor or None
        Gradients by weights and biases of the norms of nodes and edges.
    """
    rows, dim, kinds = partial.rows, partial.dim, partial.kinds
    sums = rows.new_empty(9, dim) if len(rows) else rows.new_zeros(9, dim)
    if len(rows):
        with torch.cuda.device_of(rows):
            column_sum_kernel[(triton.cdiv(dim, SUM_COLS), sum(kinds))](
                rows,
                sums,
                partial.n_first,
                partial.n_second,
                dim,
                *kinds,
                SUM_ROWS,
                SUM_COLS,
                num_warps=SUM_WARPS,
                enable_fp_fusion=True,
            )
    by_bias = (sums[:2].view(-1), sums[2:4].view(-1), sums[4])
    if not partial.norm:
        return by_bias, (None, None, None, None)
    return by_bias, (
        sums[5], sums[6], *(sums[7:] if partial.edge_norm else (None, None))
    )  # fmt: skip


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
        False where kernels are interpreted, as that takes a GPU's instructions.
    """
    return dtype != torch.float32 and not INTERPRETED


def _tile(kernel: str, dim: int, n_nodes: int) -> Tile:
    tile = TILES[kernel]
    if dim < WIDE:
        return NARROW_TILES.get(kernel, tile)
    many = n_nodes >= MANY and dim < 2 * WIDE  # else too much shared memory
    return MANY_TILES.get(kernel, tile) if many else tile


def _launch(tile: Tile, dim: int) -> dict[str, int | bool]:
    block_d = max(16, triton.next_power_of_2(dim))
    edges = max(tile.edges, min(MAX_EDGES, tile.per_warp // block_d))
    edges = min(edges, max(1, tile.per_warp * MAX_WARPS // block_d))
    warps = min(MAX_WARPS, max(1, tile.nodes * edges * block_d // tile.per_warp))
    sizes = {"D": dim, "BLOCK_D": block_d, "BLOCK_E": edges, "num_warps": warps}
    # Triton's default of the latter differs by version
    return sizes | {"enable_fp_fusion": True} | dict(tile.options)


def _programs(tile: Tile, n: int, at_once: int, warps: int) -> int:
    """Count programs of so many warps, each of which takes an equal share of nodes."""
    if not n:
        return 0
    turns = triton.cdiv(n, at_once)
    most = max(1, tile.warps_at_once // warps)
    return triton.cdiv(turns, triton.cdiv(turns, most))
