"""The SiLU of the layer norm of a linear map, in Triton kernels, with its gradient."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skmatgnn.nn.ops._branches import branch
from skmatgnn.nn.ops._triton_launch import fast
from skmatgnn.nn.ops._triton_norm import norm_silu_backward_kernel, norm_silu_kernel
from skmatgnn.nn.ops.fused import outer_sum, stored_dtype

__all__ = ["fused_linear_norm_silu"]

# constants, since sums depend on them in the last digits
TILE = 1024  # numbers in a program's tile
MAX_PROGRAMS = 1056  # that share the sums over all rows
STAGES = 3  # tiles of which are under way at once


def fused_linear_norm_silu(
    x: Tensor, layer: nn.Linear, norm: nn.LayerNorm, *, full_precision: bool
) -> Tensor:
    """Do what :func:`~skmatgnn.nn.ops.linear_norm_silu` says.

    Rows are multiplied and kept in the format of autocast, if it is on. The gradients
    of all biases come out of the kernel that goes back through the norm.

    Parameters
    ----------
    x : Tensor of shape (n, in_dim)
    layer : torch.nn.Linear
    norm : torch.nn.LayerNorm
    full_precision : bool

    Returns
    -------
    Tensor of shape (n, out_dim)
    """
    stored = stored_dtype(x)
    dtype = torch.float32 if full_precision else stored
    parameters = (layer.weight, layer.bias, norm.weight, norm.bias)
    return _LinearNormSilu.apply(x, *parameters, norm.eps, stored, dtype)


class _LinearNormSilu(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        stored: torch.dtype,
        dtype: torch.dtype,
    ) -> Tensor:
        rows, matrix = x.to(stored), weight.to(stored)
        mapped = F.linear(rows, matrix, bias.to(stored))
        ctx.eps, ctx.dtypes = eps, (x.dtype, weight.dtype)
        ctx.branch = branch("parameters")
        ctx.save_for_backward(rows, matrix, mapped, norm_weight, norm_bias)
        return _run_forward(mapped, norm_weight, norm_bias, eps, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, matrix, mapped, *affine = ctx.saved_tensors
        (of_x, dtype), needs = ctx.dtypes, ctx.needs_input_grad
        grad_mapped, partial = _run_backward(mapped, affine, grad, ctx.eps)
        by_weight: Tensor | None = None
        with ctx.branch.beside(partial, grad_mapped, rows):
            by_norm_weight, by_norm_bias, by_bias = partial.sum(dim=0).unbind()
            by_bias = by_bias.to(dtype)
            if needs[1]:
                by_weight = outer_sum(grad_mapped, rows, dtype)
        found = (by_weight, by_bias, by_norm_weight, by_norm_bias)
        by_x = (grad_mapped @ matrix).to(of_x) if needs[0] else None
        parameters = (
            x if needed else None for x, needed in zip(found, needs[1:5], strict=True)
        )
        return by_x, *parameters, None, None, None


def _launch(dim: int, dtype: torch.dtype) -> dict[str, int | bool]:
    block_d = max(16, triton.next_power_of_2(dim))
    rows = max(1, TILE // block_d)
    sizes = {"D": dim, "BLOCK_D": block_d, "BLOCK_E": rows, "FAST": fast(dtype)}
    # Triton's default of the latter differs by version
    return sizes | {"num_warps": 4, "enable_fp_fusion": True}


def _run_forward(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype
) -> Tensor:
    out, (n, dim) = torch.empty_like(x, dtype=dtype), x.shape
    launch = _launch(dim, x.dtype)
    if n:
        grid = (triton.cdiv(n, launch["BLOCK_E"]),)
        with torch.cuda.device_of(x):
            norm_silu_kernel[grid](x, weight, bias, out, n, eps, **launch)
    return out


def _run_backward(
    x: Tensor, affine: list[Tensor], grad: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Gradient by rows; what programs summed of those by the norm and of these."""
    grad, (n, dim) = grad.contiguous(), x.shape
    launch, grad_x = _launch(dim, x.dtype), torch.empty_like(x)
    programs = min(triton.cdiv(n, launch["BLOCK_E"]), MAX_PROGRAMS)
    partial = x.new_empty(programs, 3, dim, dtype=torch.float32)
    if n:
        with torch.cuda.device_of(x):
            norm_silu_backward_kernel[(programs,)](
                x, *affine, grad, grad_x, partial, n, eps, **launch, STAGES=STAGES
            )
    return grad_x, partial
