"""Number formats of training and prediction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from skmatgnn.nets._memory import retained_memory
from skmatgnn.nets._shared_state import held_matmul_precision, limited_threads

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

    Notes
    -----
    Threads may compute side by side, and each gets what it would get alone. One that
    asks for ``"tf32"`` waits for those on the same kind of device that do not, and the
    other way round, as torch has one setting for all.
    """
    kind = torch.device(device).type
    # Without the cache of autocast, which would keep the weights of the first step for
    # all steps within, and which all threads have in common.
    autocast = torch.autocast(
        kind,
        dtype=torch.bfloat16,
        enabled=precision == "bfloat16",
        cache_enabled=False,
    )
    with (
        held_matmul_precision("high" if precision == "tf32" else "highest", kind),
        limited_threads(n_threads),
        retained_memory() if kind == "cpu" else nullcontext(),
        autocast,
    ):
        yield
