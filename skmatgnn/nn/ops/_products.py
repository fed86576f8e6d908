"""Products of many rows with a small matrix, by blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from skmatgnn.nn.ops._block_state import block_rows

__all__ = ["linear", "outer_products", "through"]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Map rows, as torch.nn.functional.linear does.

    Parameters
    ----------
    x : Tensor of shape (n, in_dim)
    weight : Tensor of shape (out_dim, in_dim)
    bias : Tensor of shape (out_dim,) or None

    Returns
    -------
    Tensor of shape (n, out_dim)
    """
    out, transposed = x.new_empty(len(x), len(weight)), weight.t()
    for rows in _blocks(x, out):
        if bias is None:
            torch.mm(x[rows], transposed, out=out[rows])
        else:
            torch.addmm(bias, x[rows], transposed, out=out[rows])
    return out


def through(
    grads: list[Tensor], weights: list[Tensor], residual: Tensor | None
) -> Tensor:
    """Sum the gradients of rows that were mapped, and what came around the maps.

    Parameters
    ----------
    grads : list of Tensor of shape (n, out_dim)
        At least one.
    weights : list of Tensor of shape (out_dim, in_dim)
    residual : Tensor of shape (n, in_dim) or None

    Returns
    -------
    Tensor of shape (n, in_dim)
    """
    out = grads[0].new_empty(len(grads[0]), weights[0].shape[1])
    for rows in _blocks(grads[0], out):
        block = out[rows]
        for i, (grad, weight) in enumerate(zip(grads, weights, strict=True)):
            if i:
                block.addmm_(grad[rows], weight)
            elif residual is None:
                torch.mm(grad[rows], weight, out=block)
            else:
                torch.addmm(residual[rows], grad[rows], weight, out=block)
    return out


def outer_products(left: Tensor, right: Tensor) -> Tensor:
    """Sum outer products of rows, for the gradient of a map.

    Parameters
    ----------
    left : Tensor of shape (n, a)
    right : Tensor of shape (n, b)

    Returns
    -------
    Tensor of shape (a, b)
    """
    total = left.new_zeros(left.shape[1], right.shape[1])
    for rows in _blocks(left, right):
        total.addmm_(left[rows].t(), right[rows])
    return total


def _blocks(*arrays: Tensor) -> Iterator[slice]:
    step = block_rows(max(x.shape[1] for x in arrays))
    for start in range(0, len(arrays[0]), step):
        yield slice(start, start + step)
