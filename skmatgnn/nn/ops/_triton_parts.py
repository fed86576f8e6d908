"""Pieces that the Triton kernels share.

Tiles are (edges, features), float32 in registers whatever the storage; columns beyond
the features are zero on loading and never stored.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "clear_padding",
    "load_once",
    "load_raw",
    "load_tile",
    "norm_silu",
    "norm_silu_backward",
    "normalised_silu",
    "normalised_silu_backward",
    "row_moments",
    "segment_total",
    "sigmoid",
]


@triton.jit
def load_once(pointer, offsets, mask):
    """Read as `load_raw` does what is not read again soon, and need not be cached."""
    place = pointer + offsets
    return tl.load(place, mask=mask, other=0.0, eviction_policy="evict_first")


@triton.jit
def load_raw(pointer, offsets, mask):
    """Read numbers as they are stored, zero where masked."""
    return tl.load(pointer + offsets, mask=mask, other=0.0)


@triton.jit
def load_tile(pointer, offsets, mask):
    """Read numbers of any format as float32, zero where masked."""
    return tl.load(pointer + offsets, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def segment_total(
    rows,
    begin,
    end,
    cols,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Sum some columns of consecutive rows, BLOCK_E of these at a time."""
    total = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    for start in range(begin, end, BLOCK_E):
        row = start + tl.arange(0, BLOCK_E)[:, None]
        total += load_tile(rows, row * D + cols, (row < end) & (cols < D))
    return tl.sum(total, axis=0)[None, :]


@triton.jit
def sigmoid(x, FAST: tl.constexpr):
    """Logistic function; if it is to be fast, to 22 bits instead of 24.

    The reciprocal takes one instruction, a division 12. Where the function is small it
    loses no digits, as gates are divided by their sum.
    """
    if FAST:
        below = 1.0 + tl.exp2(-1.4426950408889634 * x)
        found = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [below], tl.float32, True, 1
        )
    else:
        found = tl.sigmoid(x)
    return found


@triton.jit
def _tanh(x):
    """Hyperbolic tangent to 11 bits, three more than bfloat16 has."""
    return tl.inline_asm_elementwise(
        "tanh.approx.f32 $0, $1;", "=f,f", [x], tl.float32, True, 1
    )


@triton.jit
def row_moments(x, keep, eps, D: tl.constexpr):
    """Mean of each row, and the inverse of its standard deviation."""
    mean = (tl.sum(x, axis=1) / D)[:, None]
    centred = tl.where(keep, x - mean, 0.0)
    return mean, tl.rsqrt(tl.sum(centred * centred, axis=1) / D + eps)[:, None]


@triton.jit
def norm_silu(x, keep, weight, bias, eps, D: tl.constexpr, FAST: tl.constexpr):
    """SiLU of the layer norm of each row."""
    mean, inverse_std = row_moments(x, keep, eps, D)
    return normalised_silu((x - mean) * inverse_std, weight, bias, FAST)


@triton.jit
def normalised_silu(hat, weight, bias, FAST: tl.constexpr):
    """SiLU of scaled and shifted rows."""
    y = hat * weight + bias
    if FAST:
        half = 0.5 * y
        found = half + half * _tanh(half)
    else:
        found = y * tl.sigmoid(y)
    return found


@triton.jit
def _silu_slope(y, FAST: tl.constexpr):
    """Differentiate the SiLU."""
    if FAST:
        half = 0.5 * y
        t = _tanh(half)
        found = 0.5 + 0.5 * (t + half * (1.0 - t * t))
    else:
        gate = tl.sigmoid(y)
        found = gate * (1.0 + y * (1.0 - gate))
    return found


@triton.jit
def norm_silu_backward(
    x, grad, keep, weight, bias, eps, D: tl.constexpr, FAST: tl.constexpr
):
    """Gradients of :func:`norm_silu` by x, and row by row by weight and bias."""
    mean, inverse_std = row_moments(x, keep, eps, D)
    hat = (x - mean) * inverse_std
    return normalised_silu_backward(hat, inverse_std, grad, weight, bias, D, FAST)


@triton.jit
def normalised_silu_backward(
    hat, inverse_std, grad, weight, bias, D: tl.constexpr, FAST: tl.constexpr
):
    """Gradients of :func:`norm_silu` where the normalised rows are known.

    Where columns are no features, the gradient is zero on entry and may be anything
    on return.
    """
    by_bias = grad * _silu_slope(hat * weight + bias, FAST)
    by_hat = by_bias * weight
    mean = tl.sum(by_hat, axis=1)[:, None] / D
    slope = tl.sum(by_hat * hat, axis=1)[:, None] / D
    # each a single instruction for an element
    around = hat * (slope * inverse_std) + mean * inverse_std
    return by_hat * inverse_std - around, by_bias * hat, by_bias


@triton.jit
def clear_padding(rows, n_used, n_rows, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Set to zero this program's share of the rows that belong to no segment.

    Memory that nobody writes may hold NaN, which a gradient of zero does not remove.
    """
    cols = tl.arange(0, BLOCK_D)
    zero = tl.zeros([BLOCK_D], dtype=tl.float32)
    for row in range(n_used + tl.program_id(0), n_rows, tl.num_programs(0)):
        tl.store(rows + row * D + cols, zero, mask=cols < D)
