"""The launch of a gradient through a linear map, added to what came around it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from skmatgnn.nn.ops._triton_probe import INTERPRETED
from skmatgnn.nn.ops._triton_through import add_product_kernel

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
