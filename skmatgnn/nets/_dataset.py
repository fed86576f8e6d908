"""Inputs, targets and weights that stay on the training device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skmatgnn.graphs import GraphArray, StreamedGraphs, place_graphs
from skmatgnn.nn import TokenBatch

__all__ = [
    "Batch",
    "DeviceDataset",
    "GraphDataset",
    "GraphIterator",
    "Labels",
    "TableDataset",
    "TokenDataset",
]


@dataclass(frozen=True)
class Labels:
    """Targets and weights of a batch.

    Parameters
    ----------
    target : Tensor of shape (n, t) or None
        NaN where unknown; class indices for a classifier.
    weight : Tensor of shape (n,) or None
    """

    target: Tensor | None
    weight: Tensor | None


Batch = tuple[Any, Labels]
TakeRows = Callable[[np.ndarray, Tensor], Any]


class DeviceDataset(Dataset, ABC):
    """Samples with targets, of which subsets share one copy on the device.

    Subclasses hold the inputs and say, in ``_pack_inputs``, how they get onto a device
    and how a batch is cut from them there.

    Parameters
    ----------
    n_samples : int
    target : ndarray of shape (n, t), optional
        Scaled targets, NaN where unknown.
    weight : ndarray of shape (n,), optional
        Sample weights.
    groups : ndarray of shape (n,), optional
        For splits that keep groups together.
    """

    def __init__(
        self,
        n_samples: int,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        self.target = target
        self.weight = weight
        self.groups = groups
        self.rows = np.arange(n_samples)
        self._on_device: dict[tuple[str, torch.dtype], _Packed] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray | None]:
        row = int(self.rows[index])
        return self._sample(row), None if self.target is None else self.target[row]

    def subset(self, rows: np.ndarray) -> Self:
        """Select rows without copying any data.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        DeviceDataset
        """
        part = type(self).__new__(type(self))
        part.__dict__.update(self.__dict__)
        part.rows = self.rows[rows]
        return part

    def pack(self, device: torch.device | str, dtype: torch.dtype) -> _Packed:
        """Put everything on a device, once.

        Parameters
        ----------
        device : torch.device or str
        dtype : torch.dtype
            Of targets, weights and real inputs.

        Returns
        -------
        object
            Whose ``take(rows)`` gives a batch.
        """
        key = (str(device), dtype)
        if key not in self._on_device:
            self._on_device[key] = _Packed(self, device, dtype)
        return self._on_device[key]

    @abstractmethod
    def _sample(self, row: int) -> Any:
        """Input of one row, on the host."""

    @abstractmethod
    def _pack_inputs(self, device: torch.device | str, dtype: torch.dtype) -> TakeRows:
        """Put the inputs on a device; the result cuts batches there.

        It is called with the rows of a batch twice: on the host, where sizes can be
        looked up without waiting for the device, and on the device.
        """


class GraphDataset(DeviceDataset):
    """Graphs with targets, of which subsets share one copy on the device.

    Graphs larger than ``skmatgnn.graphs.resident_budget`` stay where they are, and
    only the batches go to the device.

    Parameters
    ----------
    graphs : GraphArray
    target : ndarray of shape (n, t), optional
        Scaled targets, NaN where unknown.
    weight : ndarray of shape (n,), optional
        Sample weights.
    groups : ndarray of shape (n,), optional
        For splits that keep groups together.
    """

    def __init__(
        self,
        graphs: GraphArray,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        super().__init__(len(graphs), target, weight, groups)
        self.graphs = graphs

    def _sample(self, row: int) -> GraphArray:
        return self.graphs[row]

    def _pack_inputs(self, device: torch.device | str, dtype: torch.dtype) -> TakeRows:
        placed = place_graphs(self.graphs, device, dtype=dtype)
        return placed if isinstance(placed, StreamedGraphs) else placed.take


class TokenDataset(DeviceDataset):
    """Compositions as element tokens, with targets.

    Parameters
    ----------
    row_ptr : ndarray of shape (n + 1,), int64
        Tokens ``row_ptr[i]:row_ptr[i + 1]`` belong to sample ``i``; at least one each.
    atomic_numbers : ndarray of shape (n_tokens,)
    fractions : ndarray of shape (n_tokens,)
        Of each element; they sum to one in each sample.
    target : ndarray of shape (n, t), optional
        Scaled targets, NaN where unknown.
    weight : ndarray of shape (n,), optional
        Sample weights.
    groups : ndarray of shape (n,), optional
        For splits that keep groups together.
    """

    def __init__(
        self,
        row_ptr: np.ndarray,
        atomic_numbers: np.ndarray,
        fractions: np.ndarray,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        super().__init__(len(row_ptr) - 1, target, weight, groups)
        self.row_ptr = row_ptr
        self.atomic_numbers = atomic_numbers
        self.fractions = fractions

    def _sample(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = slice(self.row_ptr[row], self.row_ptr[row + 1])
        return self.atomic_numbers[tokens], self.fractions[tokens]

    def _pack_inputs(self, device: torch.device | str, dtype: torch.dtype) -> TakeRows:
        numbers = torch.tensor(self.atomic_numbers, dtype=torch.int64, device=device)
        fractions = torch.tensor(self.fractions, dtype=dtype, device=device)
        starts, counts = self.row_ptr[:-1], np.diff(self.row_ptr)

        def take(rows: np.ndarray, index: Tensor) -> TokenBatch:
            del index  # the little arithmetic on a batch's sizes is done on the host
            count = counts[rows]
            width = int(count.max())
            column = np.arange(width)
            place = np.flatnonzero(column < count[:, None])
            token = (starts[rows][:, None] + column).ravel()[place]
            token, place = (
                torch.from_numpy(array).to(device, non_blocking=True)
                for array in (token, place)
            )
            return TokenBatch(numbers[token], fractions[token], place, len(rows), width)

        return take


class TableDataset(DeviceDataset):
    """Rows of numbers with targets; a batch is a tensor of shape (n, d).

    Parameters
    ----------
    table : ndarray of shape (n, d)
    target : ndarray of shape (n, t), optional
        Scaled targets, NaN where unknown.
    weight : ndarray of shape (n,), optional
        Sample weights.
    groups : ndarray of shape (n,), optional
        For splits that keep groups together.
    """

    def __init__(
        self,
        table: np.ndarray,
        target: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        super().__init__(len(table), target, weight, groups)
        self.table = table

    def _sample(self, row: int) -> np.ndarray:
        return self.table[row]

    def _pack_inputs(self, device: torch.device | str, dtype: torch.dtype) -> TakeRows:
        table = torch.tensor(self.table, dtype=dtype, device=device)

        def take(rows: np.ndarray, index: Tensor) -> Tensor:
            del rows
            return table[index]

        return take


class _Packed:
    def __init__(
        self, dataset: DeviceDataset, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        self.device, self.dtype = device, dtype
        self.take_inputs = dataset._pack_inputs(device, dtype)  # noqa: SLF001
        self.target = self._tensor(dataset.target)
        self.weight = self._tensor(dataset.weight)

    def _tensor(self, array: np.ndarray | None) -> Tensor | None:
        if array is None:
            return None
        return torch.tensor(array, dtype=self.dtype, device=self.device)

    def take(self, rows: np.ndarray) -> Batch:
        index = torch.from_numpy(rows).to(self.device, non_blocking=True)
        target = None if self.target is None else self.target[index]
        weight = None if self.weight is None else self.weight[index]
        return self.take_inputs(rows, index), Labels(target, weight)

    def announce(self, batches: list[np.ndarray]) -> None:
        if isinstance(self.take_inputs, StreamedGraphs):
            self.take_inputs.announce(batches)


class GraphIterator:
    """Batches of a dataset; each pass shuffles anew.

    Batches differ in size by at most one, so that the last is never a rest of one or
    two samples with noisy statistics.

    Parameters
    ----------
    dataset : DeviceDataset
    batch_size : int
        Largest size of a batch.
    device : torch.device or str
    dtype : torch.dtype, default=torch.float32
    random_state : numpy.random.RandomState or None, default=None
        Shuffles; None keeps the order.
    """

    def __init__(
        self,
        dataset: DeviceDataset,
        batch_size: int,
        device: torch.device | str,
        *,
        dtype: torch.dtype = torch.float32,
        random_state: np.random.RandomState | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.random_state = random_state

    def __len__(self) -> int:
        return ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        packed = self.dataset.pack(self.device, self.dtype)
        rows = self.dataset.rows
        if self.random_state is not None:
            rows = self.random_state.permutation(rows)
        parts = np.array_split(rows.astype(np.int64), len(self))
        packed.announce(parts)
        for part in parts:
            yield packed.take(part)
