"""What is done with one block of rows, compiled by Numba: a row is read once.

Threads share the segments of a block; each adds to gradients of its own, which are
summed at the end, so that the same number of threads gives the same result.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload
from torch import Tensor

from skmatgnn.nn.ops._block_state import BackwardState, ForwardState, Plan

__all__ = [
    "backward_block",
    "distinct",
    "forward_block",
    "n_shares",
    "norm_silu",
    "norm_silu_backward",
    "probe",
]

MIN_SHARE = 256  # rows for which a thread is worth starting

# sums may be vectorised, but what is not a number has to stay so
# Loops stay short: the compiler vectorises none that reads and writes so many arrays
# that more than eight pairs could overlap.
FAST = {"reassoc", "contract", "arcp", "nsz"}
compiled = njit(nogil=True, error_model="numpy", cache=True, fastmath=FAST)

MOST = np.float32(87.0)  # beyond, float32 overflows
LOG2_E = np.float32(1.4426950408889634)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
HALF, ONE, ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
# Cephes: exp(r) = 1 + r + r^2 P(r) for |r| <= ln(2) / 2
P0, P1, P2, P3, P4, P5 = (
    np.float32(p)
    for p in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
BIAS, SHIFT = np.int32(127), np.int32(23)  # of float32's exponent


@intrinsic
def _as_float(_: Any, __: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


def _sigmoid(x: float) -> float:
    raise NotImplementedError


@overload(_sigmoid, strict=False, jit_options={"fastmath": FAST})
def _sigmoid_for(x: Any) -> Callable[[float], float]:
    return _sigmoid_float if x == types.float32 else _sigmoid_double


def _sigmoid_double(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _sigmoid_float(x: float) -> float:
    # without branches and calls, so that it is vectorised
    minus = -x
    minus = min(minus, MOST)
    minus = max(minus, -MOST)
    scaled = minus * LOG2_E
    whole = np.int32(scaled + (HALF if scaled >= ZERO else -HALF))
    rest = minus - np.float32(whole) * LN2_HIGH
    rest = rest - np.float32(whole) * LN2_LOW
    p = ((((P0 * rest + P1) * rest + P2) * rest + P3) * rest + P4) * rest + P5
    p = p * rest * rest + rest + ONE
    return ONE / (ONE + p * _as_float((whole + BIAS) << SHIFT))


@compiled
def _moments(row: Any, eps: Any) -> Any:
    one = row.dtype.type(1)
    n = row.dtype.type(len(row))
    total = row.dtype.type(0)
    for k in range(len(row)):
        total += row[k]
    mean = total / n
    square = row.dtype.type(0)
    for k in range(len(row)):
        square += (row[k] - mean) * (row[k] - mean)
    return mean, one / math.sqrt(square / n + eps)


@compiled
def _norm_silu_row(
    row: Any, weight: Any, bias: Any, eps: Any, add: Any, out: Any
) -> None:
    mean, scale = _moments(row, eps)
    for k in range(len(row)):
        y = (row[k] - mean) * scale * weight[k] + bias[k]
        out[k] = add[k] + y * _sigmoid(y)


@compiled
def _norm_silu_row_backward(
    grad: Any, row: Any, weight: Any, bias: Any, eps: Any, own: Any, a: Any, out: Any
) -> None:
    """Write the gradient of a row to ``out``, with scratch ``a``."""
    one = row.dtype.type(1)
    n = row.dtype.type(len(row))
    mean, scale = _moments(row, eps)
    first = row.dtype.type(0)
    second = row.dtype.type(0)
    for k in range(len(row)):
        a[k] = (row[k] - mean) * scale
    for k in range(len(row)):
        y = a[k] * weight[k] + bias[k]
        gate = _sigmoid(y)
        by = grad[k] * gate * (one + y * (one - gate))
        out[k] = by
        first += by * weight[k]
        second += by * weight[k] * a[k]
    by_weight, by_bias = own[0], own[1]
    first /= n
    second /= n
    for k in range(len(row)):
        by_weight[k] += out[k] * a[k]
        by_bias[k] += out[k]
    for k in range(len(row)):
        out[k] = scale * (out[k] * weight[k] - first - a[k] * second)


@compiled
def _clear(row: Any) -> None:
    for k in range(len(row)):
        row[k] = 0


@compiled
def _copy(row: Any, to: Any) -> None:
    for k in range(len(row)):
        to[k] = row[k]


@compiled
def _add(row: Any, to: Any) -> None:
    for k in range(len(row)):
        to[k] += row[k]


@compiled
def _norm_silu(x: Any, weight: Any, bias: Any, eps: Any, out: Any) -> None:
    zero = np.zeros(x.shape[1], x.dtype)
    for r in range(len(x)):
        _norm_silu_row(x[r], weight, bias, eps, zero, out[r])


@compiled
def _norm_silu_backward(
    grad: Any, x: Any, weight: Any, bias: Any, eps: Any, own: Any, out: Any
) -> None:
    a = np.empty(x.shape[1], x.dtype)
    for r in range(len(x)):
        _norm_silu_row_backward(grad[r], x[r], weight, bias, eps, own, a, out[r])


@compiled
def _start(row: Any, own: Any, other: Any) -> None:
    for k in range(len(row)):
        row[k] += own[k] + other[k]


@compiled
def _start_from(mapped: Any, own: Any, other: Any, row: Any) -> None:
    for k in range(len(row)):
        row[k] = mapped[k] + own[k] + other[k]


@compiled
def _gate(row: Any, sent: Any, with_logits: Any, top: Any, bottom: Any) -> None:
    if with_logits:
        for k in range(len(row)):
            gate = _sigmoid(row[k])
            top[k] += gate * (sent[k] + row[k])
            bottom[k] += gate
    else:
        for k in range(len(row)):
            gate = _sigmoid(row[k])
            top[k] += gate * sent[k]
            bottom[k] += gate


@compiled
def _divide(top: Any, bottom: Any, eps: Any, update: Any) -> None:
    """Complete an update; numerator and denominator become ratio and inverse."""
    one = top.dtype.type(1)
    for k in range(len(top)):
        bottom[k] = one / (bottom[k] + eps)
    for k in range(len(top)):
        top[k] *= bottom[k]
        update[k] += top[k]


@compiled
def _gate_rows(
    first: Any,
    last: Any,
    base: Any,
    ptr: Any,
    sender: Any,
    index: Any,
    mapped: Any,
    logits: Any,
    gate_i: Any,
    gate_j: Any,
    message: Any,
    nodes: Any,
    edges: Any,
    affine: Any,
    eps: Any,
    flags: Any,
    ratio: Any,
    inverse: Any,
    update: Any,
    new_nodes: Any,
    new_edges: Any,
) -> None:
    indexed, with_logits, norm, update_edges = flags
    for v in range(first, last):
        top, bottom = ratio[v], inverse[v]
        _clear(top)
        _clear(bottom)
        for r in range(ptr[v], ptr[v + 1]):
            row, place = logits[r - base], r
            if indexed:
                place = index[r]
                _start_from(mapped[place], gate_i[v], gate_j[sender[r]], row)
            else:
                _start(row, gate_i[v], gate_j[sender[r]])
            _gate(row, message[sender[r]], with_logits, top, bottom)
            if norm and update_edges:
                _norm_silu_row(
                    row, affine[2], affine[3], eps[2], edges[place], new_edges[r]
                )
        _divide(top, bottom, eps[0], update[v])
        if norm:
            _norm_silu_row(
                update[v], affine[0], affine[1], eps[1], nodes[v], new_nodes[v]
            )


@compiled
def _gate_backward(
    row: Any,
    sent: Any,
    with_logits: Any,
    by_top: Any,
    by_bottom: Any,
    by_message: Any,
    by_row: Any,
) -> None:
    """Write the gradient by the message, and add that by the logits."""
    one = row.dtype.type(1)
    gate = by_message
    for k in range(len(row)):
        gate[k] = _sigmoid(row[k])
    if with_logits:
        for k in range(len(row)):
            by_gate = by_top[k] * (sent[k] + row[k]) + by_bottom[k]
            by_row[k] += (by_gate * (one - gate[k]) + by_top[k]) * gate[k]
    else:
        for k in range(len(row)):
            by_gate = by_top[k] * sent[k] + by_bottom[k]
            by_row[k] += by_gate * (one - gate[k]) * gate[k]
    for k in range(len(row)):
        by_message[k] *= by_top[k]


@compiled
def _divide_backward(
    by_update: Any, ratio: Any, inverse: Any, by_top: Any, by_bottom: Any
) -> None:
    for k in range(len(by_top)):
        by_top[k] = by_update[k] * inverse[k]
    for k in range(len(by_top)):
        by_bottom[k] = -by_top[k] * ratio[k]


@compiled
def _gate_rows_backward(
    first: Any,
    last: Any,
    base: Any,
    ptr: Any,
    sender: Any,
    index: Any,
    logits: Any,
    message: Any,
    ratio: Any,
    inverse: Any,
    by_update: Any,
    by_new_edges: Any,
    affine: Any,
    eps: Any,
    flags: Any,
    own: Any,
    by_gate_i: Any,
    by_gate_j: Any,
    by_message: Any,
    grad: Any,
    by_mapped: Any,
    by_residual: Any,
) -> None:
    indexed, with_logits, norm, update_edges = flags
    # not rows of one array, of which the compiler does not know that they are apart
    by_top = np.empty(logits.shape[1], logits.dtype)
    by_bottom = np.empty_like(by_top)
    a = np.empty_like(by_top)
    b = np.empty_like(by_top)
    for v in range(first, last):
        _clear(by_gate_i[v])
        _divide_backward(by_update[v], ratio[v], inverse[v], by_top, by_bottom)
        for r in range(ptr[v], ptr[v + 1]):
            row, j = logits[r], sender[r]
            if not update_edges:
                _clear(b)
            elif norm:
                _norm_silu_row_backward(
                    by_new_edges[r], row, affine[2], affine[3], eps[2], own, a, b
                )
            else:
                _copy(by_new_edges[r], b)
            _gate_backward(row, message[j], with_logits, by_top, by_bottom, a, b)
            if indexed:
                _add(b, by_mapped[index[r]])
                if norm and update_edges:
                    _add(by_new_edges[r], by_residual[index[r]])
            else:
                _copy(b, grad[r - base])
            _add(b, by_gate_i[v])
            _add(b, by_gate_j[j])
            _add(a, by_message[j])


@compiled
def _distinct(bits: Any, slots: Any, firsts: Any, inverse: Any) -> int:
    """Give equal numbers one number, in the order in which they come."""
    found = 0
    mask = np.uint32(len(slots) - 1)
    for i in range(len(bits)):
        mixed = np.uint32(bits[i]) * np.uint32(2654435769)
        place = np.uint32(mixed ^ (mixed >> np.uint32(15))) & mask
        while slots[place] >= 0 and bits[firsts[slots[place]]] != bits[i]:
            place = np.uint32(place + np.uint32(1)) & mask
        if slots[place] < 0:
            slots[place] = found
            firsts[found] = i
            found += 1
        inverse[i] = slots[place]
    return found


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
    bits = x.view(torch.int32 if x.dtype == torch.float32 else torch.int64).numpy()
    slots = np.full(1 << max(4, (2 * len(bits)).bit_length()), -1, dtype=np.int32)
    firsts, inverse = (
        np.empty_like(bits, np.int32),
        torch.empty(len(bits), dtype=torch.int64),
    )
    found = _distinct(bits, slots, firsts, inverse.numpy())
    return x[torch.from_numpy(firsts[:found]).long()], inverse


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
    x, weight, bias, out = (t.detach().numpy() for t in (x, weight, bias, out))
    eps = x.dtype.type(eps)
    _share(lambda _, rows: _norm_silu(x[rows], weight, bias, eps, out[rows]), len(x))


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
    grad, x, weight, bias, own, out = (
        t.detach().numpy() for t in (grad, x, weight, bias, own, out)
    )
    eps = x.dtype.type(eps)
    _share(
        lambda thread, rows: _norm_silu_backward(
            grad[rows], x[rows], weight, bias, eps, own[thread], out[rows]
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
    graph = _graph_arrays(plan)
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
            lambda _, own_nodes: _gate_rows(
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
    graph = _graph_arrays(plan)
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
    sums = (state.own, state.by_gate_j, state.by_message)
    sums += (state.by_mapped, state.by_residual)

    def run(nodes: slice, rows: slice) -> None:
        def work(thread: int, part: slice) -> None:
            own, by_gate_j, by_message, *by_index = _arrays(
                *(None if x is None else x[thread] for x in sums), like=state.logits
            )
            _gate_rows_backward(
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


def _graph_arrays(plan: Plan) -> list[np.ndarray]:
    graph = plan.graph
    index = graph.sender if plan.index is None else plan.index
    return [x.numpy() for x in (graph.receiver_ptr, graph.sender, index)]


def _settings(
    plan: Plan, affine: tuple[Tensor | None, ...], like: Tensor
) -> tuple[tuple[Any, ...], ...]:
    nothing = like.new_empty(0)
    arrays = tuple((nothing if x is None else x).detach().numpy() for x in affine)
    eps = tuple(arrays[0].dtype.type(x) for x in plan.eps)
    flags = (plan.index is not None, plan.edge_messages, plan.norm, plan.update_edges)
    return arrays, eps, flags


def _arrays(*tensors: Tensor | None, like: Tensor) -> list[np.ndarray]:
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
