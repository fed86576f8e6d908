"""The SiLU of a norm of a map: the door and the reference."""

from __future__ import annotations

from typing import TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn.ops._choice import use_blocks, use_kernels

__all__ = ["is_layer_norm", "linear_norm_silu", "normalise"]


def normalise(norm: nn.Module, x: Tensor, n_real: Tensor | None) -> Tensor:
    """Apply a norm to rows of which the last may be padding.

    Parameters
    ----------
    norm : torch.nn.Module
        A layer norm, or what takes ``n_real`` as its second argument.
    x : Tensor of shape (n, d)
    n_real : Tensor of shape () or None
        How many rows come before those that are padding; None if none are.

    Returns
    -------
    Tensor of shape (n, d)
    """
    if n_real is None or isinstance(norm, nn.LayerNorm):
        return norm(x)
    return norm(x, n_real)


def linear_norm_silu(
    x: Tensor,
    layer: nn.Linear,
    norm: nn.Module,
    n_real: Tensor | None = None,
    *,
    full_precision: bool = False,
) -> Tensor:
    """Map rows, normalise them and apply the SiLU.

    Plain torch, or for a layer norm a fused Triton kernel or blocks of rows where
    :func:`~skmatgnn.nn.ops.kernels` says so.

    Parameters
    ----------
    x : Tensor of shape (n, in_dim)
    layer : torch.nn.Linear
        With a bias.
    norm : torch.nn.Module
    n_real : Tensor of shape (), optional
        How many rows come before those that are padding; none are without it.
    full_precision : bool, default=False
        Whether the kernel returns float32 whatever the format of its rows, as autocast
        does in plain torch, instead of that format.

    Returns
    -------
    Tensor of shape (n, out_dim)
    """
    if is_layer_norm(norm) and use_kernels(x, layer.out_features):
        from skmatgnn.nn.ops.fused_norm import fused_linear_norm_silu

        return fused_linear_norm_silu(x, layer, norm, full_precision=full_precision)
    if is_layer_norm(norm) and len(x) and use_blocks(x):
        from skmatgnn.nn.ops.blocked_norm import blocked_linear_norm_silu

        return blocked_linear_norm_silu(x, layer, norm)
    return F.silu(normalise(norm, layer(x), n_real))


def is_layer_norm(norm: nn.Module | None) -> TypeGuard[nn.LayerNorm]:
    """Whether a module is a layer norm with weight and bias.

    Parameters
    ----------
    norm : torch.nn.Module or None

    Returns
    -------
    bool
    """
    return isinstance(norm, nn.LayerNorm) and norm.weight is not None is not norm.bias
