"""The SiLU of a layer norm through Triton kernels, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from skmatgnn.nn.ops._triton_launch import fast
from skmatgnn.nn.ops._triton_norm import norm_silu_backward_kernel, norm_silu_kernel

__all__ = ["fused_norm_silu"]

# constants, since sums depend on them in the last digits
TILE = 1024  # numbers in a program's tile
MAX_PROGRAMS = 1056  # that share the sums over all rows


def fused_norm_silu(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype
) -> Tensor:
    """Normalise rows and apply the SiLU.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    weight, bias : Tensor of shape (d,)
    eps : float
    dtype : torch.dtype
        Of the result.

    Returns
    -------
    Tensor of shape (n, d)
    """
    return _NormSilu.apply(x, weight, bias, eps, dtype)


def _launch(dim: int, dtype: torch.dtype) -> dict[str, int | bool]:
    block_d = max(16, triton.next_power_of_2(dim))
    rows = max(1, TILE // block_d)
    sizes = {"D": dim, "BLOCK_D": block_d, "BLOCK_E": rows, "FAST": fast(dtype)}
    return sizes | {
        "num_warps": 4,
        "enable_fp_fusion": True,
    }  # Triton's default differs by version


class _NormSilu(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        dtype: torch.dtype,
    ) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, weight, bias)
        ctx.eps = eps
        out, (n, dim) = torch.empty_like(x, dtype=dtype), x.shape
        launch = _launch(dim, x.dtype)
        if n:
            grid = (triton.cdiv(n, launch["BLOCK_E"]),)
            with torch.cuda.device_of(x):
                norm_silu_kernel[grid](x, weight, bias, out, n, eps, **launch)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        grad, (n, dim) = grad.contiguous(), x.shape
        launch, grad_x = _launch(dim, x.dtype), torch.empty_like(x)
        programs = min(triton.cdiv(n, launch["BLOCK_E"]), MAX_PROGRAMS)
        partial = x.new_empty(programs, 2, dim, dtype=torch.float32)
        if n:
            with torch.cuda.device_of(x):
                norm_silu_backward_kernel[(programs,)](
                    x, weight, bias, grad, grad_x, partial, n, ctx.eps, **launch
                )
        return grad_x, *partial.sum(dim=0).unbind(), None, None
