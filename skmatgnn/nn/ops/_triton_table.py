"""The kernels of sums over the edges that read the same row of a table."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["join_kernel", "share_kernel"]


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
    """Sum the parts of a row of which several programs summed edges, or none."""
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
