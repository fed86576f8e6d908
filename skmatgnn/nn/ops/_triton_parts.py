"""Pieces that the Triton kernels share.

Tiles are (edges, features), float32 in registers whatever the storage; columns beyond
the features are zero on loading and never stored.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = [
    "clear_padding",
    "load_sources",
    "load_tile",
    "norm_silu",
    "norm_silu_backward",
    "sigmoid",
]


@triton.jit
def load_tile(pointer, offsets, mask):
    """Read numbers of any format as float32, zero where masked."""
    return tl.load(pointer + offsets, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def load_sources(sender, row, inside, CONSECUTIVE: tl.constexpr):
    """Read the senders of rows of a segment, or only the first one."""
    if CONSECUTIVE:
        return tl.load(sender) + row
    return tl.load(sender + row, mask=inside, other=0)


@triton.jit
def sigmoid(x):
    """Logistic function in 5 instructions, where a division takes 12.

    The square of an inverse root is within 4 units in the last place.
    """
    root = tl.rsqrt(1.0 + tl.exp2(-1.4426950408889634 * x))
    return root * root


@triton.jit
def normalise(x, keep, eps, D: tl.constexpr):
    """Bring each row to mean zero and variance one."""
    mean = tl.sum(x, axis=1) / D
    centred = tl.where(keep, x - mean[:, None], 0.0)
    inverse_std = tl.rsqrt(tl.sum(centred * centred, axis=1) / D + eps)[:, None]
    return centred * inverse_std, inverse_std


@triton.jit
def norm_silu(x, keep, weight, bias, eps, D: tl.constexpr):
    """SiLU of the layer norm of each row."""
    y = normalise(x, keep, eps, D)[0] * weight + bias
    return y * sigmoid(y)


@triton.jit
def norm_silu_backward(x, grad, keep, weight, bias, eps, D: tl.constexpr):
    """Gradients of :func:`norm_silu` by x, and row by row by weight and bias."""
    hat, inverse_std = normalise(x, keep, eps, D)
    y = hat * weight + bias
    gate = sigmoid(y)
    by_bias = grad * gate * (1.0 + y * (1.0 - gate))
    by_hat = by_bias * weight
    mean = tl.sum(by_hat, axis=1)[:, None] / D
    slope = tl.sum(by_hat * hat, axis=1)[:, None] / D
    return (by_hat - mean - hat * slope) * inverse_std, by_bias * hat, by_bias


@triton.jit
def clear_padding(rows, n_used, n_rows, D: tl.constexpr, BLOCK_D: tl.constexpr):
    """Set to zero this program's share of the rows that belong to no segment.

    Memory that nobody writes may hold NaN, which a gradient of zero does not remove.
    """
    cols = tl.arange(0, BLOCK_D)
    zero = tl.zeros([BLOCK_D], dtype=tl.float32)
    for row in range(n_used + tl.program_id(0), n_rows, tl.num_programs(0)):
        tl.store(rows + row * D + cols, zero, mask=cols < D)
