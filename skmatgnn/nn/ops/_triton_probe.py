"""The smallest kernel, which tells whether Triton works."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

__all__ = ["INTERPRETED", "probe"]


@triton.jit
def _increment(x, BLOCK: tl.constexpr):
    at = x + tl.arange(0, BLOCK)
    tl.store(at, tl.load(at) + 1.0)


INTERPRETED = not isinstance(_increment, triton.runtime.JITFunction)


def probe() -> None:
    """Compile and run a kernel on the current CUDA device.

    Raises
    ------
    RuntimeError
        If it runs but computes nonsense; whatever Triton raises otherwise.
    """
    x = torch.zeros(16, device="cuda")
    _increment[(1,)](x, BLOCK=16, enable_fp_fusion=True)
    if x.sum().item() != x.numel():
        raise RuntimeError("a compiled kernel gave a wrong sum")
