"""Number formats of training and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from skmatgnn.nets._memory import retained_memory

__all__ = ["module_dtype", "numerics"]


def module_dtype(precision: str) -> torch.dtype:
    """Format of parameters and data.

    Parameters
    ----------
    precision : {"float64", "float32", "tf32", "bfloat16"}

    Returns
    -------
    torch.dtype
    """
    return torch.float64 if precision == "float64" else torch.float32


@contextmanager
def numerics(precision: str, device: str, n_threads: int | None = 1) -> Iterator[None]:
    """Compute in a format, and leave torch's global settings as they were.

    Parameters
    ----------
    precision : {"float64", "float32", "tf32", "bfloat16"}
        ``"tf32"`` rounds the inputs of float32 matrix products on CUDA;
        ``"bfloat16"`` is torch's autocast, with float32 parameters.
    device : str
    n_threads : int or None, default=1
        Threads of an operation on the CPU; None leaves torch's number. Sums are split
        among threads, so results depend on it in the last digits.
    """
    before = torch.get_float32_matmul_precision()
    threads = torch.get_num_threads()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    kind = torch.device(device).type
    memory = retained_memory() if kind == "cpu" else nullcontext()
    # a cache would keep the rounded weights of the first step until the end
    autocast = torch.autocast(
        kind,
        dtype=torch.bfloat16,
        enabled=precision == "bfloat16",
        cache_enabled=False,
    )
    try:
        with memory, autocast:
            yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_num_threads(threads)
