"""The kernel of AdamW: one launch for all parameters, wherever they lie."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["adamw_kernel"]


@triton.jit
def adamw_kernel(
    table,
    chunks,
    rates,
    CHUNK: tl.constexpr,
    ALIGNED: tl.constexpr,
):
    """Update a chunk of a parameter.

    ``table`` has a row a parameter: the addresses of the parameter, its gradient, the
    means of that and of its square, and the number of steps, then the length.
    ``chunks`` has a row a program: the parameter and the first element. ``rates`` are
    those of :meth:`skmatgnn.nets._adamw.Update.rates`.
    """
    lr = tl.load(rates).to(tl.float32)
    decay = tl.load(rates + 1).to(tl.float32)
    share = tl.load(rates + 2).to(tl.float32)
    square_share = tl.load(rates + 3).to(tl.float32)
    log2_beta, log2_square_beta = tl.load(rates + 4), tl.load(rates + 5)
    eps = tl.load(rates + 6).to(tl.float32)
    chunk = chunks + 2 * tl.program_id(0)
    row = table + 6 * tl.load(chunk)
    start = tl.multiple_of(tl.load(chunk + 1), CHUNK)
    weight = _array(row, ALIGNED) + start
    grad = _array(row + 1, ALIGNED) + start
    mean = _array(row + 2, ALIGNED) + start
    square = _array(row + 3, ALIGNED) + start
    left = tl.load(row + 5) - start
    # in float64, as one minus a power close to one cancels
    step = tl.load(_array(row + 4, False)).to(tl.float64)
    scale = (1.0 / (1.0 - tl.exp2(step * log2_beta))).to(tl.float32) * lr
    root = (1.0 / tl.sqrt(1.0 - tl.exp2(step * log2_square_beta))).to(tl.float32)
    if left >= CHUNK:  # without a mask four numbers are read at once
        _update(
            weight, grad, mean, square, CHUNK, scale, root,
            decay, share, square_share, eps, CHUNK, False,
        )  # fmt: skip
    else:
        _update(
            weight, grad, mean, square, left, scale, root,
            decay, share, square_share, eps, CHUNK, True,
        )  # fmt: skip


@triton.jit
def _update(
    weight,
    grad,
    mean,
    square,
    n,
    scale,
    root,
    decay,
    share,
    square_share,
    eps,
    CHUNK: tl.constexpr,
    MASKED: tl.constexpr,
):
    at = tl.arange(0, CHUNK)
    mask = at < n if MASKED else None
    g = tl.load(grad + at, mask=mask)
    m = tl.load(mean + at, mask=mask)
    v = tl.load(square + at, mask=mask)
    m += share * (g - m)
    v += square_share * (g * g - v)
    new = tl.load(weight + at, mask=mask) * decay
    new -= scale * m / (tl.sqrt(v) * root + eps)
    tl.store(weight + at, new, mask=mask)
    tl.store(mean + at, m, mask=mask)
    tl.store(square + at, v, mask=mask)


@triton.jit
def _array(entry, ALIGNED: tl.constexpr):
    found = tl.load(entry).to(tl.pointer_type(tl.float32))
    if ALIGNED:
        found = tl.multiple_of(found, 16)
    return found
