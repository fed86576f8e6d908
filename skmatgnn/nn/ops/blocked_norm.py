"""Linear map, layer norm and SiLU on the CPU, block by block, with their gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F

from skmatgnn.nn.ops._choice import block_kernels, has_half_products
from skmatgnn.nn.ops._products import products

__all__ = ["blocked_linear_norm_silu"]


def blocked_linear_norm_silu(x: Tensor, layer: nn.Linear, norm: nn.LayerNorm) -> Tensor:
    """Map rows, normalise them and apply the SiLU.

    Parameters
    ----------
    x : Tensor of shape (n, in_dim)
    layer : torch.nn.Linear
    norm : torch.nn.LayerNorm
        With weight and bias.

    Returns
    -------
    Tensor of shape (n, out_dim)
    """
    return _LinearNormSilu.apply(
        x,
        layer.weight,
        layer.bias,
        norm.weight,
        norm.bias,
        norm.eps,
        has_half_products(),
    )


class _LinearNormSilu(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        norm_weight: Tensor,
        norm_bias: Tensor,
        eps: float,
        half: bool,
    ) -> Tensor:
        x = x.contiguous()
        with torch.autocast("cpu", enabled=False):
            mapped = products(len(weight), half=half).linear(x, weight, bias)
            out = torch.empty_like(mapped) if any(ctx.needs_input_grad) else mapped
            block_kernels().norm_silu(mapped, norm_weight, norm_bias, eps, out)
        ctx.save_for_backward(x, weight, bias, norm_weight, norm_bias, mapped)
        ctx.eps, ctx.half = eps, half
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, weight, _, *affine, mapped = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():  # of gradients that are to have gradients
            return *_differentiable(ctx, grad), None, None
        kernels, by_mapped = block_kernels(), torch.empty_like(mapped)
        own = mapped.new_zeros(kernels.n_shares(), 2, mapped.shape[1])
        with torch.autocast("cpu", enabled=False):
            kernels.norm_silu_backward(
                grad.contiguous(), mapped, *affine, ctx.eps, own, by_mapped
            )
            maps = products(len(weight), half=ctx.half)
            return (
                maps.through([by_mapped], [weight], None) if needs[0] else None,
                maps.outer(by_mapped, x) if needs[1] else None,
                by_mapped.sum(dim=0) if needs[2] else None,
                *own.sum(dim=0),
                None,
                None,
            )


def _differentiable(ctx: Any, grad: Tensor) -> list[Tensor | None]:
    """Gradients in plain torch, which have gradients themselves."""
    *inputs, _ = ctx.saved_tensors
    x, weight, bias, norm_weight, norm_bias = inputs
    mapped = F.linear(x, weight, bias)
    normed = F.layer_norm(mapped, mapped.shape[1:], norm_weight, norm_bias, ctx.eps)
    output = F.silu(normed)
    wanted = [t for t in inputs if t is not None and t.requires_grad]
    found = iter(torch.autograd.grad(output, wanted, grad, create_graph=True))
    return [next(found) if t is not None and t.requires_grad else None for t in inputs]
