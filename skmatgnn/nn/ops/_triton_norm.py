"""Kernels of the SiLU of a layer norm: tiles of rows, forward and backward."""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import load_tile, norm_silu, norm_silu_backward

__all__ = ["norm_silu_backward_kernel", "norm_silu_kernel"]


@triton.jit
def norm_silu_kernel(
    x,
    weight,
    bias,
    out,
    n_rows,
    eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    FAST: tl.constexpr,
):
    """Normalise and activate a tile of rows."""
    start = tl.program_id(0).to(tl.int64) * BLOCK_E
    row = tl.arange(0, BLOCK_E)[:, None]
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    mask = (start + row < n_rows) & keep
    at = row * D + cols
    y = norm_silu(
        load_tile(x + start * D, at, mask),
        keep,
        load_tile(weight, cols, keep),
        load_tile(bias, cols, keep),
        eps,
        D,
        FAST,
    )
    tl.store(out + start * D + at, y, mask=mask)


@triton.jit
def norm_silu_backward_kernel(
    x,
    weight,
    bias,
    grad,
    grad_x,
    partial,
    n_rows,
    eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    FAST: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Gradients by rows; a program's share of those by weight and bias, and of these.

    The sum of the gradients by rows is that by the bias of the map that made them.
    """
    row = tl.arange(0, BLOCK_E)[:, None]
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    by_weight = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_bias = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_rows = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    first = tl.program_id(0).to(tl.int64) * BLOCK_E  # so that no offset overflows
    scale, shift = load_tile(weight, cols, keep), load_tile(bias, cols, keep)
    step = tl.num_programs(0) * BLOCK_E
    for start in tl.range(first, n_rows, step, num_stages=STAGES):
        mask = (start + row < n_rows) & keep
        at = row * D + cols
        by_x, of_weight, of_bias = norm_silu_backward(
            load_tile(x + start * D, at, mask),
            load_tile(grad + start * D, at, mask),
            keep,
            scale,
            shift,
            eps,
            D,
            FAST,
        )
        tl.store(grad_x + start * D + at, by_x, mask=mask)
        by_weight += of_weight
        by_bias += of_bias
        by_rows += by_x
    out = partial + tl.program_id(0) * 3 * D + cols
    tl.store(out, tl.sum(by_weight, axis=0)[None, :], mask=keep)
    tl.store(out + D, tl.sum(by_bias, axis=0)[None, :], mask=keep)
    tl.store(out + 2 * D, tl.sum(by_rows, axis=0)[None, :], mask=keep)
