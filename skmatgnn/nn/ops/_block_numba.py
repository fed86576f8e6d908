"""What is done with one block of rows, by loops that Numba compiles.

Threads share the segments of a block; each adds to gradients of its own, which are
summed at the end, so that the same number of threads gives the same result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skmatgnn.nn.ops._block_state import BackwardState, ForwardState, Plan
from skmatgnn.nn.ops._numba_colours import mix_rows, refine
from skmatgnn.nn.ops._numba_rows import (
    find_distinct,
    gate_rows,
    gate_rows_backward,
    norm_silu_backward_rows,
    norm_silu_rows,
)

__all__ = [
    "backward_block",
    "colour",
    "distinct",
    "first_of_each",
    "forward_block",
    "n_shares",
    "norm_silu",
    "norm_silu_backward",
    "probe",
]

MIN_SHARE = 256  # rows for which a thread is worth starting


def distinct(x: Tensor) -> tuple[Tensor, Tensor]:
    """Find the distinct numbers, in the order in which they come first.

    Parameters
    ----------
    x : Tensor of shape (n,)

    Returns
    -------
    values : Tensor of shape (m,)
    inverse : Tensor of shape (n,)
        ``x`` is ``values[inverse]``.
    """
    first, inverse = first_of_each(x)
    return x[first], inverse


def first_of_each(x: Tensor) -> tuple[Tensor, Tensor]:
    """Find where each distinct number comes first.

    Parameters
    ----------
    x : Tensor of shape (n,)
        Of four or eight bytes each.

    Returns
    -------
    first : Tensor of shape (m,)
        Increasing.
    inverse : Tensor of shape (n,)
        ``x`` is ``x[first][inverse]``.
    """
    bits = x.view(torch.int32 if x.element_size() == 4 else torch.int64).numpy()
    slots = np.full(1 << max(4, (2 * len(bits)).bit_length()), -1, dtype=np.int32)
    firsts, inverse = (
        np.empty_like(bits, np.int32),
        torch.empty(len(bits), dtype=torch.int64),
    )
    found = find_distinct(bits, slots, firsts, inverse.numpy())
    return torch.from_numpy(firsts[:found]).long(), inverse


def colour(
    kinds: Tensor,
    lengths: Tensor,
    cosines: Tensor,
    edges: tuple[Tensor, Tensor],
    triplets: tuple[Tensor, Tensor],
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]:
    """Colour nodes, edges and triplets; what is alike has the same colour.

    Parameters
    ----------
    kinds : Tensor of shape (n_nodes,)
    lengths : Tensor of shape (n_edges,)
    cosines : Tensor of shape (n_triplets,)
    edges, triplets : tuple of Tensor
        Row pointers of the receivers, and senders.

    Returns
    -------
    nodes, edges : tuple of Tensor
        First of each colour, and colour of each, numbered as they come.
    triplets : Tensor of shape (n_triplets,)
        Any number for each colour.
    """
    ptr, sender = (x.numpy() for x in edges)
    triplet_ptr, triplet_sender = (x.numpy() for x in triplets)
    of_nodes, own, angle = (_words(x) for x in (kinds, lengths, cosines))
    receiver = np.repeat(np.arange(len(of_nodes)), np.diff(ptr))
    of_edges = np.empty_like(own)
    mix_rows(own, of_nodes[sender], of_nodes[receiver], of_edges)
    number = 0
    while True:
        refine(of_nodes, of_edges, angle, ptr, sender, triplet_ptr, triplet_sender)
        nodes, bonds = (first_of_each(_tensor(x)) for x in (of_nodes, of_edges))
        if number == len(nodes[0]) + len(bonds[0]):
            break
        number = len(nodes[0]) + len(bonds[0])
    of_triplets = np.empty_like(angle)
    into = np.repeat(of_edges, np.diff(triplet_ptr))
    mix_rows(angle, of_edges[triplet_sender], into, of_triplets)
    return nodes, bonds, _tensor(of_triplets)


def _words(x: Tensor) -> np.ndarray:
    """Numbers as words of 64 bits."""
    if x.dtype == torch.float32:
        x = x.view(torch.int32)
    elif x.dtype == torch.float64:
        x = x.view(torch.int64)
    return x.numpy().astype(np.int64).view(np.uint64)


def _tensor(words: np.ndarray) -> Tensor:
    return torch.from_numpy(words.view(np.int64))


def norm_silu(x: Tensor, weight: Tensor, bias: Tensor, eps: float, out: Tensor) -> None:
    """Normalise rows and apply the SiLU.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    weight, bias : Tensor of shape (d,)
    eps : float
    out : Tensor of shape (n, d)
        Written.
    """
    read, *affine, written = (t.detach().numpy() for t in (x, weight, bias, out))
    small = read.dtype.type(eps)
    _share(
        lambda _, rows: norm_silu_rows(read[rows], *affine, small, written[rows]),
        len(x),
    )


def norm_silu_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    own: Tensor,
    out: Tensor,
) -> None:
    """Go back through :func:`norm_silu`.

    Parameters
    ----------
    grad, x : Tensor of shape (n, d)
    weight, bias : Tensor of shape (d,)
    eps : float
    own : Tensor of shape (n_threads, 2, d)
        To which the gradients of weight and bias are added.
    out : Tensor of shape (n, d)
        Written: the gradient of ``x``.
    """
    by, read, *affine, sums, written = (
        t.detach().numpy() for t in (grad, x, weight, bias, own, out)
    )
    small = read.dtype.type(eps)
    _share(
        lambda thread, rows: norm_silu_backward_rows(
            by[rows], read[rows], *affine, small, sums[thread], written[rows]
        ),
        len(x),
    )


def probe() -> None:
    """Compile and run one kernel, so that a broken installation is found out."""
    row = torch.zeros(1, 2)
    norm_silu(row, row[0], row[0], 1.0, row.clone())


def n_shares() -> int:
    """Count the threads, each of which needs sums of its own.

    Returns
    -------
    int
    """
    return torch.get_num_threads()


def forward_block(
    plan: Plan, state: ForwardState
) -> Callable[[slice, slice, int], None]:
    """Prepare the way there.

    Parameters
    ----------
    plan : Plan
    state : ForwardState

    Returns
    -------
    callable
        Takes the nodes and edges of a block and the edge that row 0 of the logits is
        of.
    """
    graph = _graph_arrays(plan, state.logits.detach().numpy().dtype)
    own = _arrays(
        state.mapped,
        state.logits,
        state.gate_i,
        state.gate_j,
        state.message,
        state.nodes,
        state.edges,
        like=state.logits,
    )
    settings = _settings(plan, state.affine, state.logits)
    out = _arrays(
        state.ratio,
        state.inverse,
        state.update,
        state.new_nodes,
        state.new_edges,
        like=state.logits,
    )

    def run(nodes: slice, _: slice, base: int) -> None:
        _run(
            lambda _, own_nodes: gate_rows(
                own_nodes.start, own_nodes.stop, base, *graph, *own, *settings, *out
            ),
            _shares(graph[0], nodes),
        )

    return run


def backward_block(plan: Plan, state: BackwardState) -> Callable[[slice, slice], None]:
    """Prepare the way back.

    Parameters
    ----------
    plan : Plan
    state : BackwardState

    Returns
    -------
    callable
        Takes the nodes and edges of a block.
    """
    graph = _graph_arrays(plan, state.logits.detach().numpy().dtype)
    given = _arrays(
        state.logits,
        state.message,
        state.ratio,
        state.inverse,
        state.by_update,
        state.by_new_edges,
        like=state.logits,
    )
    settings = _settings(plan, state.affine, state.logits)
    (by_gate_i, grad) = _arrays(state.by_gate_i, state.grad, like=state.logits)
    sums = [state.own, state.by_gate_j, state.by_message]
    sums += [state.by_mapped, state.by_residual]

    def run(nodes: slice, rows: slice) -> None:
        def work(thread: int, part: slice) -> None:
            own, by_gate_j, by_message, *by_index = _arrays(
                *(None if x is None else x[thread] for x in sums), like=state.logits
            )
            gate_rows_backward(
                part.start,
                part.stop,
                rows.start,
                *graph,
                *given,
                *settings,
                own,
                by_gate_i,
                by_gate_j,
                by_message,
                grad,
                *by_index,
            )

        _run(work, _shares(graph[0], nodes))

    return run


def _graph_arrays(plan: Plan, dtype: Any) -> list[Any]:
    graph = plan.graph
    index = graph.sender if plan.index is None else plan.index
    arrays = [x.numpy() for x in (graph.receiver_ptr, graph.sender, index)]
    copies = np.empty(0) if graph.copies is None else graph.copies.numpy()
    return [*arrays, copies.astype(dtype)]


def _settings(
    plan: Plan, affine: tuple[Tensor | None, ...], like: Tensor
) -> tuple[tuple[Any, ...], ...]:
    nothing = like.new_empty(0)
    arrays = tuple((nothing if x is None else x).detach().numpy() for x in affine)
    eps = tuple(arrays[0].dtype.type(x) for x in plan.eps)
    flags = (plan.index is not None, plan.edge_messages, plan.norm, plan.update_edges)
    return arrays, eps, flags


def _arrays(*tensors: Tensor | None, like: Tensor) -> list[Any]:
    """As Numba reads them, always with the same kinds of arguments."""
    nothing = like.new_empty(0, like.shape[1])
    return [(nothing if x is None else x).detach().numpy() for x in tensors]


def _shares(ptr: np.ndarray, nodes: slice) -> list[slice]:
    """Cut a block among threads, by its rows."""
    n_threads = torch.get_num_threads()
    begin, end = ptr[nodes.start], ptr[nodes.stop]
    targets = [begin + (end - begin) * i // n_threads for i in range(1, n_threads)]
    cuts = [nodes.start, *(ptr.searchsorted(t) for t in targets), nodes.stop]
    cuts = [min(max(int(cut), nodes.start), nodes.stop) for cut in cuts]
    return [slice(a, b) for a, b in pairwise(cuts)]


def _share(work: Callable[[int, slice], None], n: int) -> None:
    n_threads = min(torch.get_num_threads(), max(1, n // MIN_SHARE))
    cuts = [n * i // n_threads for i in range(n_threads + 1)]
    _run(work, [slice(a, b) for a, b in pairwise(cuts)])


def _run(work: Callable[[int, slice], None], shares: list[slice]) -> None:
    if len(shares) == 1:
        work(0, shares[0])
        return
    pool = _pool(os.getpid(), len(shares) - 1)
    waiting = [pool.submit(work, i, part) for i, part in enumerate(shares) if i]
    work(0, shares[0])
    for one in waiting:
        one.result()


@cache
def _pool(_: int, n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)
