"""Kernels of the mean over consecutive rows."""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import load_tile

__all__ = ["mean_backward_kernel", "mean_kernel"]


@triton.jit
def mean_kernel(
    values, ptr, out, D: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr
):
    """Average the rows of a segment; zero if there are none."""
    segment = tl.program_id(0).to(tl.int64)  # so that no offset overflows
    cols = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    begin, end = tl.load(ptr + segment), tl.load(ptr + segment + 1)
    total = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    for start in range(begin, end, BLOCK_E):
        row = start + tl.arange(0, BLOCK_E)[:, None]
        total += load_tile(values, row * D + cols, (row < end) & keep)
    mean = tl.sum(total, axis=0)[None, :] / tl.maximum(end - begin, 1)
    tl.store(out + segment * D + cols, mean, mask=keep)


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
