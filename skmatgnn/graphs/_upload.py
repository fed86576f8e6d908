"""Arrays to a device without a second copy of all in memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from skmatgnn.utils.packed_file import release_pages

__all__ = ["upload"]

PIECE_BYTES = 2**26


def upload(array: np.ndarray, device: torch.device | str) -> Tensor:
    """Copy an array, possibly memory-mapped or read-only, to a device.

    Parameters
    ----------
    array : ndarray
    device : torch.device or str

    Returns
    -------
    Tensor
        Of the array's shape and type; never its own memory.
    """
    # torch warns of the read-only arrays of a memory map or of a worker
    if array.nbytes <= PIECE_BYTES:
        return torch.from_numpy(np.array(array)).to(device)
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    whole = torch.empty(array.shape, dtype=dtype, device=device)
    n_rows = max(1, PIECE_BYTES * len(array) // array.nbytes)
    for start in range(0, len(array), n_rows):
        piece = np.array(array[start : start + n_rows])
        whole[start : start + n_rows] = torch.from_numpy(piece)
        release_pages(array)
    return whole
