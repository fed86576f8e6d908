"""Kernels of the mean over consecutive rows."""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import load_tile, segment_total

__all__ = ["mean_backward_kernel", "mean_kernel"]


@triton.jit
def mean_kernel(
    values, ptr, out, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr
):
    """Average the rows of a segment; zero if there are none."""
    segment = tl.program_id(0).to(tl.int64)  # so that no offset overflows
    cols = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)[None, :]
    begin, end = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    total = segment_total(values, begin, end, cols, D, BLOCK_D, BLOCK_E)
    mean = total / tl.maximum(end - begin, 1)
    tl.store(out + segment * D + cols, mean, mask=cols < D)


@triton.jit
def mean_backward_kernel(
    grad, ptr, ids, out, n_rows,
    D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr,
):  # fmt: skip
    """Share the gradient of each mean among its rows."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_E + tl.arange(0, BLOCK_E)[:, None]
    cols = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)[None, :]
    inside = row < n_rows
    mask = inside & (cols < D)
    segment = tl.load(ids + row, mask=inside, other=0).to(tl.int64)
    begin = tl.load(ptr + segment, mask=inside, other=0)
    count = tl.load(ptr + segment + 1, mask=inside, other=0) - begin
    shared = load_tile(grad, segment * D + cols, mask) / tl.maximum(count, 1)
    tl.store(out + row * D + cols, shared, mask=mask)
