"""Kernels of what networks read of bonds and angles."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["cosine_kernel", "gaussian_kernel"]


@triton.jit
def cosine_kernel(displacement, sender, receiver, out, n_angles, BLOCK: tl.constexpr):
    """Cosines between the two bonds of each angle, from the atom that they share."""
    angle = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = angle < n_angles
    to_k = tl.load(sender + angle, mask=inside, other=0)
    to_i = tl.load(receiver + angle, mask=inside, other=0)
    ax, ay, az = _unit(displacement, to_k, inside)
    bx, by, bz = _unit(displacement, to_i, inside)
    cosine = -(ax * bx + ay * by + az * bz)
    # what is no number stays none
    cosine = tl.where(cosine > 1.0, 1.0, tl.where(cosine < -1.0, -1.0, cosine))
    tl.store(out + angle, cosine, mask=inside)


@triton.jit
def _unit(displacement, edge, inside):
    at = displacement + 3 * edge.to(tl.int64)
    x = tl.load(at, mask=inside, other=1.0).to(tl.float32)
    y = tl.load(at + 1, mask=inside, other=1.0).to(tl.float32)
    z = tl.load(at + 2, mask=inside, other=1.0).to(tl.float32)
    length = tl.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


@triton.jit
def gaussian_kernel(
    x, centers, out, n_numbers, gamma, N_BASIS: tl.constexpr, BLOCK: tl.constexpr
):
    """Gaussians of each scalar around each centre."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n_numbers
    value = tl.load(x + at // N_BASIS, mask=inside, other=0.0).to(tl.float32)
    center = tl.load(centers + at % N_BASIS, mask=inside, other=0.0).to(tl.float32)
    away = value - center
    tl.store(out + at, tl.exp(-gamma * away * away), mask=inside)
