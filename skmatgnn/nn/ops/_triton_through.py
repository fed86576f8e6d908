"""The kernel of a gradient through a linear map, added to what came around it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from skmatgnn.nn.ops._triton_probe import INTERPRETED

__all__ = ["ProductTile", "add_product"]


@dataclass(frozen=True)
class ProductTile:
    """Shape of a program's tile.

    Parameters
    ----------
    rows, cols, depth : int
    warps, stages : int
    """

    rows: int
    cols: int
    depth: int
    warps: int
    stages: int


# benchmarks/kernels_gpu.py measures others
TILE = ProductTile(128, 128, 64, 8, 3)
TILE_OF_FEW = ProductTile(64, 64, 64, 4, 4)
FEW = 4096  # rows, whose large tiles would leave most of the device idle


def add_product(residual: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
    """Add a product in one kernel, which reads and writes each row once.

    Parameters
    ----------
    residual : Tensor of shape (n, d)
        Float32 or bfloat16.
    grad : Tensor of shape (n, k), bfloat16
    weight : Tensor of shape (k, d), bfloat16

    Returns
    -------
    Tensor of shape (n, d)
        In the format of ``residual``, rounded once.
    """
    residual, grad, weight = (x.contiguous() for x in (residual, grad, weight))
    out, (n, dim), depth = torch.empty_like(residual), residual.shape, grad.shape[1]
    tile = TILE if n > FEW else TILE_OF_FEW
    cols = min(tile.cols, max(16, triton.next_power_of_2(dim)))
    grid = (triton.cdiv(dim, cols), triton.cdiv(n, tile.rows))
    if n:
        with torch.cuda.device_of(grad):
            add_product_kernel[grid](
                residual,
                grad,
                weight,
                out,
                n,
                dim,
                depth,
                tile.rows,
                cols,
                tile.depth,
                INTERPRETED,
                num_warps=tile.warps,
                num_stages=tile.stages,
                enable_fp_fusion=True,
            )
    return out


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
