"""Whose turn it is, of threads that use one GPU."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["taking_turns", "to_host"]

_turn = threading.RLock()


def taking_turns(device: torch.device | str) -> AbstractContextManager[Any]:
    """Launch work on a GPU while no other thread does.

    Threads that take turns need not hand the interpreter to each other around each of
    hundreds of operations, which took most of the time of ten of them. What waits for
    the device belongs outside.

    Parameters
    ----------
    device : torch.device or str

    Returns
    -------
    context manager
        Without effect on the CPU, where operations are work and not launches.
    """
    return _turn if torch.device(device).type == "cuda" else nullcontext()


def to_host(x: Tensor) -> np.ndarray:
    """Copy to the host what the device has still to compute.

    A copy that waits for the device holds up what other threads launch there until it
    is done, and takes a core to wait; so it is begun when nothing is to wait for.

    Parameters
    ----------
    x : Tensor
        Made on the current stream of its device.

    Returns
    -------
    ndarray
    """
    if x.is_cuda:
        done = torch.cuda.Event(blocking=True)
        done.record(torch.cuda.current_stream(x.device))
        done.synchronize()
    return x.detach().cpu().numpy()
