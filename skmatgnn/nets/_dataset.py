"""Inputs, targets and weights that stay on the training device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from skmatgnn.graphs import GraphArray, StreamedGraphs, place_graphs
from skmatgnn.nets._device_inputs import DeviceInputs, DeviceTable, DeviceTokens

__all__ = [
    "Batch",
    "DeviceDataset",
    "GraphDataset",
    "GraphIterator",
    "Labels",
    "PackedDataset",
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

    target: Tensor | Any  # None only where nothing is trained or scored
    weight: Tensor | None

    def n_known(self) -> Tensor:
        """Count the known targets, over which a loss is a mean.

        Returns
        -------
        Tensor of shape (), int64
        """
        return self.target.isfinite().sum()


Batch = tuple[Any, Labels]


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
        self.n_stored = n_samples
        self.rows = np.arange(n_samples)
        self.origin: np.ndarray | None = None
        self._on_device: dict[tuple[str, torch.dtype], PackedDataset] = {}

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

    def unpacked(self) -> Self:
        """Get the same dataset without what it has on devices.

        Returns
        -------
        DeviceDataset
        """
        whole = self.subset(np.arange(len(self)))
        whole._on_device = {}  # noqa: SLF001
        return whole

    def given_rows(self, rows: np.ndarray) -> np.ndarray:
        """Say where samples stood in what the user gave.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        ndarray of int
            Where samples were merged, the first of each; ``origin`` has them.
        """
        return rows if self.origin is None else self.origin[rows]

    def pack(self, device: torch.device | str, dtype: torch.dtype) -> PackedDataset:
        """Put everything on a device, once.

        Parameters
        ----------
        device : torch.device or str
        dtype : torch.dtype
            Of targets, weights and real inputs.

        Returns
        -------
        PackedDataset
        """
        key = (str(device), dtype)
        if key not in self._on_device:
            self._on_device[key] = PackedDataset(self, device, dtype)
        return self._on_device[key]

    def work(self) -> np.ndarray | None:
        """Say about how much there is to do for each stored sample.

        Returns
        -------
        ndarray of shape (n_stored,), or None
            In any unit; None where all are alike.
        """
        return None

    @abstractmethod
    def _sample(self, row: int) -> Any:
        """Input of one row, on the host."""

    @abstractmethod
    def _pack_inputs(
        self, device: torch.device | str, dtype: torch.dtype
    ) -> DeviceInputs:
        """Put the inputs on a device; batches are cut there."""


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

    def work(self) -> np.ndarray:
        """Count the edges of each graph.

        Returns
        -------
        ndarray of shape (n_stored,)
        """
        return np.diff(self.graphs.edge_ptr[self.graphs.node_ptr])

    def _sample(self, row: int) -> GraphArray:
        return self.graphs[row]

    def _pack_inputs(
        self, device: torch.device | str, dtype: torch.dtype
    ) -> DeviceInputs:
        inputs: Any = place_graphs(self.graphs, device, dtype=dtype)
        return inputs  # of which a stream is never padded


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

    def work(self) -> np.ndarray:
        """Count the tokens of each sample.

        Returns
        -------
        ndarray of shape (n_stored,)
        """
        return np.diff(self.row_ptr)

    def _sample(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = slice(self.row_ptr[row], self.row_ptr[row + 1])
        return self.atomic_numbers[tokens], self.fractions[tokens]

    def _pack_inputs(
        self, device: torch.device | str, dtype: torch.dtype
    ) -> DeviceInputs:
        return DeviceTokens(
            self.row_ptr, self.atomic_numbers, self.fractions, device, dtype
        )


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

    def _pack_inputs(
        self, device: torch.device | str, dtype: torch.dtype
    ) -> DeviceInputs:
        return DeviceTable(self.table, device, dtype)


class PackedDataset:
    """Samples on a device.

    Parameters
    ----------
    dataset : DeviceDataset
    device : torch.device or str
    dtype : torch.dtype
    """

    def __init__(
        self, dataset: DeviceDataset, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        self.device, self.dtype = device, dtype
        self.n_samples = dataset.n_stored
        self.inputs = dataset._pack_inputs(device, dtype)  # noqa: SLF001
        self.target = self._tensor(dataset.target, np.nan)
        self.weight = self._tensor(dataset.weight, 0.0)

    def _tensor(self, array: np.ndarray | None, filling: float) -> Tensor | None:
        if array is None:
            return None
        rows = torch.tensor(array, dtype=self.dtype, device=self.device)
        return torch.cat([rows, rows.new_full((1, *rows.shape[1:]), filling)])

    def filled_up(self, rows: np.ndarray, size: int) -> np.ndarray:
        """Fill up a batch with samples of which nothing is known.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64
        size : int
            At least ``n``.

        Returns
        -------
        ndarray of shape (size,), int64
        """
        missing = size - len(rows)
        return np.append(rows, [self.n_samples] * missing) if missing else rows

    def take(self, rows: np.ndarray) -> Batch:
        """Cut out a batch.

        Parameters
        ----------
        rows : ndarray of shape (n,), int64

        Returns
        -------
        inputs : object
        labels : Labels
        """
        index = torch.from_numpy(rows).to(self.device, non_blocking=True)
        return self.inputs.take(rows, index), self.labels(index)

    def labels(self, index: Tensor) -> Labels:
        """Look up targets and weights.

        Parameters
        ----------
        index : Tensor of shape (n,), int64

        Returns
        -------
        Labels
        """
        target = None if self.target is None else self.target[index]
        weight = None if self.weight is None else self.weight[index]
        return Labels(target, weight)

    def announce(self, batches: list[np.ndarray]) -> None:
        """Say which batches will be taken, so that they may be prepared.

        Parameters
        ----------
        batches : list of ndarray of int64
        """
        if isinstance(self.inputs, StreamedGraphs):
            self.inputs.announce(batches)


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

    def pack(self) -> PackedDataset:
        """Put the dataset on the device, once.

        Returns
        -------
        PackedDataset
        """
        return self.dataset.pack(self.device, self.dtype)

    def is_resident(self) -> bool:
        """Whether all inputs are on the device, and batches are cut out there.

        Returns
        -------
        bool
        """
        return not isinstance(self.pack().inputs, StreamedGraphs)

    def rows(self) -> Iterator[np.ndarray]:
        """Draw the rows of the batches of one pass.

        Yields
        ------
        ndarray of shape (n,), int64
        """
        rows = self.dataset.rows
        if self.random_state is not None:
            rows = self.random_state.permutation(rows)
        self.drawn = rows
        for part in np.array_split(rows, len(self)):
            yield np.ascontiguousarray(part, dtype=np.int64)

    def __iter__(self) -> Iterator[Batch]:
        packed = self.pack()
        batches = list(self.rows())
        packed.announce(batches)
        for rows in batches:
            yield packed.take(rows)
