"""Inputs of all samples on a device, from which batches are cut."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skmatgnn.nn import TokenBatch
from skmatgnn.utils.capacity import Capacity

__all__ = ["DeviceInputs", "DeviceTable", "DeviceTokens"]

DEVIATIONS = 3.0  # of a random batch's tokens, for which there is room


class DeviceInputs(Protocol):
    """What a batch is cut from; :class:`~skmatgnn.graphs.DeviceGraphs` is one.

    The row behind the last is a sample without a label, with which batches can be
    filled up.
    """

    def take(self, rows: np.ndarray, rows_on_device: Tensor) -> Any:
        """Cut out a batch.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64
            On the host, where sizes can be looked up without waiting for the device.
        rows_on_device : Tensor of shape (n,), int64
            The same.

        Returns
        -------
        object
        """

    def capacity(self, rows: np.ndarray) -> Capacity:
        """Choose the sizes to which a batch is padded.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64

        Returns
        -------
        Capacity
        """

    def take_padded(self, rows: Tensor, capacity: Capacity) -> Any:
        """Cut out a batch of given sizes, without waiting for the host.

        Parameters
        ----------
        rows : Tensor of shape (n,), int64
        capacity : Capacity

        Returns
        -------
        object
            Outputs behind the first ``n`` belong to no sample.
        """


class DeviceTable:
    """Rows of numbers; a batch is a tensor of shape (n, d).

    Parameters
    ----------
    table : ndarray of shape (n, d)
    device : torch.device or str
    dtype : torch.dtype
    """

    def __init__(
        self, table: np.ndarray, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        rows = torch.tensor(table, dtype=dtype, device=device)
        self._table = F.pad(rows, (0, 0, 0, 1))

    def take(self, rows: np.ndarray, rows_on_device: Tensor) -> Tensor:
        """Cut out a batch.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64
            Not needed.
        rows_on_device : Tensor of shape (n,), int64

        Returns
        -------
        Tensor of shape (n, d)
        """
        del rows
        return self._table[rows_on_device]

    def capacity(self, rows: np.ndarray) -> Capacity:
        """Say that nothing has to be padded.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64

        Returns
        -------
        Capacity
        """
        return Capacity(len(rows), ())

    def take_padded(self, rows: Tensor, capacity: Capacity) -> Tensor:
        """Cut out a batch.

        Parameters
        ----------
        rows : Tensor of shape (n,), int64
        capacity : Capacity

        Returns
        -------
        Tensor of shape (n, d)
        """
        del capacity
        return self._table[rows]


class DeviceTokens:
    """Compositions as element tokens; a batch is a TokenBatch.

    Parameters
    ----------
    row_ptr : ndarray of shape (n + 1,), int64
    atomic_numbers, fractions : ndarray of shape (n_tokens,)
    device : torch.device or str
    dtype : torch.dtype
        Of the fractions.
    """

    def __init__(
        self,
        row_ptr: np.ndarray,
        atomic_numbers: np.ndarray,
        fractions: np.ndarray,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> None:
        counts = np.diff(row_ptr)
        self._widest = int(counts.max(initial=1))
        self._mean_count = float(counts.mean()) if len(counts) else 0.0
        self._spread = float(counts.std()) if len(counts) else 0.0
        # one token for the sample that fills up, as the mean over none is no number
        self._start = np.append(row_ptr[:-1], 0)
        self._count = np.append(counts, 1)
        self._start_there = torch.tensor(self._start, device=device)
        self._count_there = torch.tensor(self._count, device=device)
        self._numbers = torch.tensor(atomic_numbers, dtype=torch.int64, device=device)
        self._fractions = torch.tensor(fractions, dtype=dtype, device=device)

    def take(self, rows: np.ndarray, rows_on_device: Tensor) -> TokenBatch:
        """Cut out a batch.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64
        rows_on_device : Tensor of shape (n,), int64
            Not needed: the little arithmetic on sizes is done on the host.

        Returns
        -------
        TokenBatch
        """
        device = rows_on_device.device
        count = self._count[rows]
        width = int(count.max())
        column = np.arange(width)
        place = np.flatnonzero(column < count[:, None])
        token = (self._start[rows][:, None] + column).ravel()[place]
        tokens, places = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (token, place)
        )
        numbers, fractions = self._numbers[tokens], self._fractions[tokens]
        return TokenBatch(numbers, fractions, places, len(rows), width)

    def capacity(self, rows: np.ndarray) -> Capacity:
        """Choose the number of tokens to which a batch is padded.

        Nearly all batches have the same: tokens are few, so that padding costs less
        than to capture a step of another size.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64

        Returns
        -------
        Capacity
        """
        n = len(rows)
        roomy = self._mean_count * n + DEVIATIONS * self._spread * n**0.5
        needed = max(int(self._count[rows].sum()), int(roomy))
        return Capacity.fitting(n, {"tokens": needed}, {"tokens": roomy})

    def take_padded(self, rows: Tensor, capacity: Capacity) -> TokenBatch:
        """Cut out a batch of given sizes, as wide as the widest sample of all.

        Parameters
        ----------
        rows : Tensor of shape (n,), int64
        capacity : Capacity

        Returns
        -------
        TokenBatch
        """
        n, width = capacity.n_samples, self._widest
        end = self._count_there[rows].cumsum(0)
        position = torch.arange(capacity.sizes()["tokens"], device=rows.device)
        row = torch.searchsorted(end, position, right=True)
        is_token = row < n
        row = row.clamp(max=n - 1)
        column = position - (end - self._count_there[rows])[row]
        token = torch.where(is_token, self._start_there[rows][row] + column, 0)
        place = torch.where(is_token, row * width + column, n * width)
        numbers, fractions = self._numbers[token], self._fractions[token]
        return TokenBatch(numbers, fractions, place, n, width)
