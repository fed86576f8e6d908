"""The kernel of a gradient through a linear map, added to what came around it."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["add_product_kernel"]


@triton.jit
def add_product_kernel(
    residual,
    grad,
    weight,
    out,
    n_rows,
    N: tl.constexpr,
    K: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    DEPTH: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Write a tile of ``residual + grad @ weight``."""
    first = tl.program_id(1).to(tl.int64) * ROWS  # so that no offset overflows
    row = tl.arange(0, ROWS)[:, None]
    col = tl.program_id(0) * COLS + tl.arange(0, COLS)[None, :]
    inside = first + row < n_rows
    mask = inside & (col < N)
    across, down = tl.arange(0, DEPTH)[None, :], tl.arange(0, DEPTH)[:, None]
    total = tl.zeros([ROWS, COLS], dtype=tl.float32)
    grad += first * K
    for k in range(0, K, DEPTH):
        left = tl.load(
            grad + row * K + k + across, mask=inside & (k + across < K), other=0.0
        )
        right = tl.load(
            weight + (k + down) * N + col,
            mask=(k + down < K) & (col < N),
            other=0.0,
        )
        if WIDEN:  # the interpreter multiplies the bits of bfloat16 as integers
            left, right = left.to(tl.float32), right.to(tl.float32)
        total = tl.dot(left, right, total)
    at = first * N + row * N + col
    total += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, total, mask=mask)
