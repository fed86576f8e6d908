"""Sums over the edges that read the same row of a table, without atomics.

Edges are sorted by their row, and shared out evenly: a row that many read is summed by
several programs, of which each writes its part.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["nearest", "sums_by_row"]

# constants, since sums depend on them in the last digits
SHARE = 64  # edges a program
TILE = 1024  # numbers that a warp holds of them at once
JOINED = 16  # parts that are joined at once
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
    place = torch.nan_to_num((x - start) * (n / (stop - start))).round()
    return values, place.clamp(0, n).to(torch.int32)


def sums_by_row(
    index: Tensor, n_rows: int, arrays: tuple[Tensor, Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    """Sum edges by the row that they read.

    Parameters
    ----------
    index : Tensor of shape (n_edges,)
    n_rows : int
    arrays : tuple of Tensor of shape (n_edges, d), and another or None

    Returns
    -------
    tuple of Tensor of shape (n_rows, d), and another or None
        In the formats of the arrays.
    """
    first, second = (None if x is None else x.contiguous() for x in arrays)
    n, dim = arrays[0].shape
    sums = arrays[0].new_zeros if not n else arrays[0].new_empty
    out = sums(n_rows, dim)
    other = None if second is None else sums(n_rows, dim, dtype=second.dtype)
    if not n:
        return out, other
    keys = index.to(torch.int16) if n_rows <= MAX_SHORT else index
    keys, order = torch.sort(keys, stable=True)
    every = torch.arange(n_rows + 1, device=keys.device, dtype=keys.dtype)
    ptr = torch.searchsorted(keys, every)
    programs = triton.cdiv(n, SHARE)
    # for each program of the row in which its edges begin, and of that in which they end
    partial = out.new_empty(programs, 2, 2, dim, dtype=torch.float32)
    block_d = max(16, triton.next_power_of_2(dim))
    launch = {"D": dim, "BLOCK_D": block_d, "SHARE": SHARE, "TWO": second is not None}
    launch |= {"enable_fp_fusion": True}
    with torch.cuda.device_of(out):
        share_kernel[(programs,)](
            first, second, keys, order, ptr, out, other, partial, n, **launch,
            BLOCK_E=max(1, min(16, TILE // block_d)), num_warps=1,
        )  # fmt: skip
        join_kernel[(n_rows,)](
            ptr, out, other, partial, **launch, BLOCK_E=JOINED, num_warps=4
        )
    return out, other


@triton.jit
def share_kernel(
    first,
    second,
    keys,
    order,
    ptr,
    out,
    other,
    partial,
    n,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    SHARE: tl.constexpr,
    TWO: tl.constexpr,
):
    """Sum a share of the sorted edges, row by row."""
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    start = tl.program_id(0).to(tl.int64) * SHARE  # so that no offset overflows
    stop = tl.minimum(start + SHARE, n)
    at = start
    while at < stop:
        key = tl.load(keys + at).to(tl.int64)
        begin, end = tl.load(ptr + key), tl.load(ptr + key + 1)
        last = tl.minimum(end, stop)
        total = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        if TWO:
            total_2 = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        for place in range(at, last, BLOCK_E):
            row = place + tl.arange(0, BLOCK_E)[:, None]
            edge = tl.load(order + row, mask=row < last, other=0)
            mask = (row < last) & keep
            total += tl.load(first + edge * D + cols, mask=mask, other=0.0).to(
                tl.float32
            )
            if TWO:
                total_2 += tl.load(second + edge * D + cols, mask=mask, other=0.0).to(
                    tl.float32
                )
        if (begin >= start) & (end <= stop):
            at_row = key * D + cols
            tl.store(out + at_row, tl.sum(total, axis=0)[None, :], mask=keep)
            if TWO:
                tl.store(other + at_row, tl.sum(total_2, axis=0)[None, :], mask=keep)
        else:
            part = partial + (tl.program_id(0) * 2 + (at != start).to(tl.int64)) * 2 * D
            tl.store(part + cols, tl.sum(total, axis=0)[None, :], mask=keep)
            if TWO:
                part += D
                tl.store(part + cols, tl.sum(total_2, axis=0)[None, :], mask=keep)
        at = last


@triton.jit
def join_kernel(
    ptr,
    out,
    other,
    partial,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    SHARE: tl.constexpr,
    TWO: tl.constexpr,
):
    """Sum the parts of a row of which several programs summed edges; zero if none did."""
    key = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    begin, end = tl.load(ptr + key), tl.load(ptr + key + 1)
    head, tail = begin // SHARE, (end - 1) // SHARE
    if end == begin:
        zero = tl.zeros([1, BLOCK_D], dtype=tl.float32)
        tl.store(out + key * D + cols, zero, mask=keep)
        if TWO:
            tl.store(other + key * D + cols, zero, mask=keep)
    elif head != tail:
        total = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        if TWO:
            total_2 = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        for place in range(head, tail + 1, BLOCK_E):
            row = place + tl.arange(0, BLOCK_E)[:, None]
            mask = (row <= tail) & keep
            inner = (row == head) & (begin % SHARE != 0)
            part = (row * 2 + inner.to(tl.int64)) * 2 * D + cols
            total += tl.load(partial + part, mask=mask, other=0.0).to(tl.float32)
            if TWO:
                total_2 += tl.load(partial + D + part, mask=mask, other=0.0).to(
                    tl.float32
                )
        tl.store(out + key * D + cols, tl.sum(total, axis=0)[None, :], mask=keep)
        if TWO:
            found = tl.sum(total_2, axis=0)[None, :]
            tl.store(other + key * D + cols, found, mask=keep)
