"""Loops over rows, compiled by Numba: a row is read once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

__all__ = [
    "find_distinct",
    "gate_rows",
    "gate_rows_backward",
    "norm_silu_backward_rows",
    "norm_silu_rows",
]

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
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


def _sigmoid(x: float) -> float:
    raise NotImplementedError


@overload(_sigmoid, strict=False, jit_options={"fastmath": FAST})
def _sigmoid_for(x: Any) -> Callable[[float], float]:
    return _sigmoid_float if x == types.float32 else _sigmoid_double


def _sigmoid_double(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _sigmoid_float(x: Any) -> Any:
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
def norm_silu_rows(x: Any, weight: Any, bias: Any, eps: Any, out: Any) -> None:
    zero = np.zeros(x.shape[1], x.dtype)
    for r in range(len(x)):
        _norm_silu_row(x[r], weight, bias, eps, zero, out[r])


@compiled
def norm_silu_backward_rows(
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
def _gate_copies(
    row: Any, sent: Any, with_logits: Any, copies: Any, top: Any, bottom: Any
) -> None:
    if with_logits:
        for k in range(len(row)):
            gate = copies * _sigmoid(row[k])
            top[k] += gate * (sent[k] + row[k])
            bottom[k] += gate
    else:
        for k in range(len(row)):
            gate = copies * _sigmoid(row[k])
            top[k] += gate * sent[k]
            bottom[k] += gate


@compiled
def _scale(factor: Any, row: Any, out: Any) -> None:
    for k in range(len(row)):
        out[k] = factor * row[k]


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
def gate_rows(
    first: Any,
    last: Any,
    base: Any,
    ptr: Any,
    sender: Any,
    index: Any,
    copies: Any,
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
            if len(copies):
                sent = message[sender[r]]
                _gate_copies(row, sent, with_logits, copies[r], top, bottom)
            else:
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
def gate_rows_backward(
    first: Any,
    last: Any,
    base: Any,
    ptr: Any,
    sender: Any,
    index: Any,
    copies: Any,
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
    all_top = np.empty_like(by_top)
    all_bottom = np.empty_like(by_top)
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
            if len(copies):
                _scale(copies[r], by_top, all_top)
                _scale(copies[r], by_bottom, all_bottom)
                _gate_backward(row, message[j], with_logits, all_top, all_bottom, a, b)
            else:
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
def find_distinct(bits: Any, slots: Any, firsts: Any, inverse: Any) -> int:
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
