"""Numbers that occur more than once."""

from __future__ import annotations

import torch
from torch import Tensor

from skmatgnn.nn.ops._choice import angle_steps, block_kernels, use_kernels

__all__ = ["distinct_rows", "nearest_rows"]

MIN_ROWS = 2  # that share a value of the grid on average, or it is not worth it


def distinct_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Find the distinct numbers on the CPU, in the order in which they come first.

    Bonds have the length of their reverse, angles come twice, and symmetry makes many
    more of both the same to the last bit; what follows from the number alone need be
    computed only once.

    Parameters
    ----------
    x : Tensor of shape (n,)

    Returns
    -------
    values : Tensor of shape (m,)
    index : Tensor of shape (n,)
        ``x`` is ``values[index]``.
    """
    return block_kernels().distinct(x.detach().contiguous())


def nearest_rows(x: Tensor, start: float, stop: float) -> tuple[Tensor, Tensor | None]:
    """Round numbers to a fine grid, where many are on each value of it.

    What follows from the number alone is then computed once for each value of the grid.
    Only where autocast rounds what follows to bfloat16 anyway, to fewer digits.

    Parameters
    ----------
    x : Tensor of shape (n,)
        From start to stop.
    start, stop : float

    Returns
    -------
    values : Tensor of shape (m,)
        ``x`` itself where they are not rounded.
    index : Tensor of shape (n,) or None
        ``x`` is about ``values[index]``; None where they are not rounded.
    """
    n, kind = angle_steps(), x.device.type
    if not n or len(x) < MIN_ROWS * n or not torch.is_autocast_enabled(kind):
        return x, None
    if torch.get_autocast_dtype(kind) != torch.bfloat16 or not use_kernels(x, 1):
        return x, None
    from skmatgnn.nn.ops._table import nearest

    return nearest(x, start, stop, n)
