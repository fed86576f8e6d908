"""Sums over the edges that read the same row of a table, without atomics.

Edges are sorted by their row, and shared out evenly: a row that many read is summed by
several programs, of which each writes its part.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from skmatgnn.nn.ops._triton_table import join_kernel, share_kernel

__all__ = ["SortedRows", "nearest", "sorted_rows", "sums_by_row"]

# constants, since sums depend on them in the last digits
SHARE = 128  # edges a program
TILE = 512  # numbers that a warp holds of them at once
JOINED = 32  # parts that are joined at once
MAX_SHORT = torch.iinfo(torch.int16).max


def nearest(x: Tensor, start: float, stop: float, n: int) -> tuple[Tensor, Tensor]:
    """Find the nearest of equally spaced values.

    Parameters
    ----------
    x : Tensor of shape (m,)
        From start to stop.
    start, stop : float
    n : int
        Number of steps between them.

    Returns
    -------
    values : Tensor of shape (n + 1,)
    index : Tensor of shape (m,), int32
    """
    values = torch.linspace(start, stop, n + 1, device=x.device, dtype=x.dtype)
    steps = n / (stop - start)
    # what is no number becomes some row, as nothing may be read beside the table
    place = x.mul(steps).add_(0.5 - start * steps).to(torch.int32)
    return values, place.clamp_(0, n)


class SortedRows(NamedTuple):
    """Edges in the order of the rows that they read.

    Parameters
    ----------
    keys : Tensor of shape (n_edges,)
        Rows, ascending.
    order : Tensor of shape (n_edges,)
        Edges.
    ptr : Tensor of shape (n_rows + 1,)
        Where each row begins in them.
    """

    keys: Tensor
    order: Tensor
    ptr: Tensor


def sorted_rows(index: Tensor, n_rows: int) -> SortedRows:
    """Sort edges by the row that they read, and those of one row as they come.

    Parameters
    ----------
    index : Tensor of shape (n_edges,)
    n_rows : int

    Returns
    -------
    SortedRows
    """
    keys = index.to(torch.int16) if n_rows <= MAX_SHORT else index
    keys, order = torch.sort(keys, stable=True)
    every = torch.arange(n_rows + 1, device=keys.device, dtype=keys.dtype)
    return SortedRows(keys, order, torch.searchsorted(keys, every))


def sums_by_row(
    rows: SortedRows, arrays: tuple[Tensor, Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    """Sum edges by the row that they read.

    Parameters
    ----------
    rows : SortedRows
    arrays : tuple of Tensor of shape (n_edges, d), and another or None

    Returns
    -------
    tuple of Tensor of shape (n_rows, d), and another or None
        In the formats of the arrays.
    """
    first, second = (None if x is None else x.contiguous() for x in arrays)
    (n, dim), n_rows = arrays[0].shape, len(rows.ptr) - 1
    sums = arrays[0].new_zeros if not n else arrays[0].new_empty
    out = sums(n_rows, dim)
    other = None if second is None else sums(n_rows, dim, dtype=second.dtype)
    if not n:
        return out, other
    programs = triton.cdiv(n, SHARE)
    # a program's parts of the row of its first edge, and of that of its last
    partial = out.new_empty(programs, 2, 2, dim, dtype=torch.float32)
    block_d = max(16, triton.next_power_of_2(dim))
    launch = {"D": dim, "BLOCK_D": block_d, "SHARE": SHARE, "TWO": second is not None}
    launch |= {"enable_fp_fusion": True}
    with torch.cuda.device_of(out):
        share_kernel[(programs,)](
            first, second, *rows, out, other, partial, n, **launch,
            BLOCK_E=max(1, min(16, TILE // block_d)), num_warps=1,
        )  # fmt: skip
        join_kernel[(n_rows,)](
            rows.ptr, out, other, partial, **launch, BLOCK_E=JOINED, num_warps=4
        )
    return out, other
