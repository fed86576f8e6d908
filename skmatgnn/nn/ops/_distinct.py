"""Numbers that occur more than once."""

from __future__ import annotations

from torch import Tensor

from skmatgnn.nn.ops._choice import block_kernels

__all__ = ["distinct_rows"]


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
