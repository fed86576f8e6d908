"""Graphs, targets and weights that stay on the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skmatgnn.graphs import DeviceGraphs, GraphArray, GraphBatch

__all__ = ["Batch", "GraphDataset", "GraphIterator", "Labels"]


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


Batch = tuple[GraphBatch, Labels]


class GraphDataset(Dataset):
    """Graphs with targets, of which subsets share one copy on the device.

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
        self.graphs = graphs
        self.target = target
        self.weight = weight
        self.groups = groups
        self.rows = np.arange(len(graphs))
        self._on_device: dict[tuple[str, torch.dtype], _Packed] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[GraphArray, np.ndarray | None]:
        row = int(self.rows[index])
        return self.graphs[row], None if self.target is None else self.target[row]

    def subset(self, rows: np.ndarray) -> GraphDataset:
        """Select rows without copying any data.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        GraphDataset
        """
        part = GraphDataset.__new__(GraphDataset)
        part.__dict__.update(self.__dict__)
        part.rows = self.rows[rows]
        return part

    def pack(self, device: torch.device | str, dtype: torch.dtype) -> _Packed:
        """Put everything on a device, once.

        Parameters
        ----------
        device : torch.device or str
        dtype : torch.dtype
            Of targets, weights and bond vectors.

        Returns
        -------
        object
            Whose ``take(rows)`` gives a batch.
        """
        key = (str(device), dtype)
        if key not in self._on_device:
            self._on_device[key] = _Packed(self, device, dtype)
        return self._on_device[key]


class _Packed:
    def __init__(
        self, dataset: GraphDataset, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        self.device, self.dtype = device, dtype
        self.graphs = DeviceGraphs(dataset.graphs, device, dtype=dtype)
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
        return self.graphs.take(rows, index), Labels(target, weight)


class GraphIterator:
    """Batches of a dataset; each pass shuffles anew.

    Batches differ in size by at most one, so that the last is never a rest of one or
    two graphs with noisy statistics.

    Parameters
    ----------
    dataset : GraphDataset
    batch_size : int
        Largest size of a batch.
    device : torch.device or str
    dtype : torch.dtype, default=torch.float32
    random_state : numpy.random.RandomState or None, default=None
        Shuffles; None keeps the order.
    """

    def __init__(
        self,
        dataset: GraphDataset,
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
        for part in np.array_split(rows, len(self)):
            yield packed.take(np.ascontiguousarray(part, dtype=np.int64))
