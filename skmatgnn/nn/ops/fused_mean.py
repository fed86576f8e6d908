"""The mean over consecutive rows through Triton kernels, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skmatgnn.nn.ops._triton_mean import mean_backward_kernel, mean_kernel

__all__ = ["fused_segment_mean"]

ROWS, COLUMNS = 16, 64  # of a program's tile


def fused_segment_mean(values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
    """Do what :func:`~skmatgnn.nn.ops.segment_mean` says.

    Parameters
    ----------
    values : Tensor of shape (m, d)
    ptr : Tensor of shape (n + 1,)
    ids : Tensor of shape (m,)

    Returns
    -------
    Tensor of shape (n, d)
    """
    return _SegmentMean.apply(values, ptr, ids)


def _launch(dim: int) -> dict[str, int | bool]:
    sizes = {"D": dim, "BLOCK_D": COLUMNS, "BLOCK_E": ROWS}
    # Triton's default of the latter differs by version
    return sizes | {"num_warps": 4, "enable_fp_fusion": True}


class _SegmentMean(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, ptr: Tensor, ids: Tensor) -> Tensor:
        values = values.contiguous()
        ctx.save_for_backward(ptr, ids)
        n, dim = len(ptr) - 1, values.shape[1]
        out = values.new_empty(n, dim)
        if out.numel():
            with torch.cuda.device_of(out):
                mean_kernel[(n, triton.cdiv(dim, COLUMNS))](
                    values, ptr, out, **_launch(dim)
                )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        ptr, ids = ctx.saved_tensors
        grad = grad.contiguous()
        n, dim = len(ids), grad.shape[1]
        out = grad.new_empty(n, dim)
        if out.numel():
            with torch.cuda.device_of(out):
                mean_backward_kernel[(triton.cdiv(n, ROWS), triton.cdiv(dim, COLUMNS))](
                    grad, ptr, ids, out, n, **_launch(dim)
                )
        return out, None, None
