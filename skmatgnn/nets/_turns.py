"""Whose turn it is, of threads that use one GPU."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

__all__ = ["taking_turns"]

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
