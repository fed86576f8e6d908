"""What to do when a batch does not fit into the memory of the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from skmatgnn.errors import TooLargeError

__all__ = ["BatchHalvedWarning", "smaller_batch", "unless_out_of_memory"]

CPU_ALLOCATOR = "can't allocate memory"


class BatchHalvedWarning(UserWarning):
    """A batch did not fit into memory, so that smaller ones are used."""


def unless_out_of_memory(function: Callable[[], Any]) -> tuple[Any, str]:
    """Call a function and tell if it ran out of the device's memory.

    Nothing that it held is left then, as its error is dropped here.

    Parameters
    ----------
    function : callable

    Returns
    -------
    result : object
        None if memory ran out.
    trouble : str
        First line of the error; nothing if all went well.
    """
    try:
        return function(), ""
    except (torch.cuda.OutOfMemoryError, RuntimeError) as error:
        of_gpu = isinstance(error, torch.cuda.OutOfMemoryError)
        if not of_gpu and CPU_ALLOCATOR not in str(error):
            raise
        trouble = (str(error).splitlines() or ["out of memory"])[0]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None, trouble


def smaller_batch(
    size: int, trouble: str, *, doing: str, also: str = "", may_halve: bool = True
) -> int:
    """Halve a batch with a warning, or say that it cannot be.

    Parameters
    ----------
    size : int
        Samples in the batch that did not fit.
    trouble : str
        What torch says of it.
    doing : str
        What happens next with the smaller batch.
    also : str, default=""
        What else the warning should say.
    may_halve : bool, default=True

    Returns
    -------
    int
        The half.

    Raises
    ------
    TooLargeError
        If the batch is one sample, or may not be halved.
    """
    if size <= 1 or not may_halve:
        raise TooLargeError(
            f"The device ran out of memory with batch_size={size} ({trouble}). Lower "
            "batch_size where it is above 1, take a smaller network or "
            "precision='bfloat16', leave the graphs on the host by the environment "
            "variable SKMATGNN_RESIDENT_MB=0, end other programs on the device, or "
            "set device='cpu'."
        )
    half = size // 2
    warnings.warn(
        f"The device ran out of memory with batch_size={size} ({trouble}), so {doing} "
        f"batch_size={half}.{also}",
        BatchHalvedWarning,
        stacklevel=3,
    )
    return half
