"""Batches of graphs that do not fit on the device, or not into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs._array import GraphArray
from skmatgnn.graphs._batch import DeviceGraphs, GraphBatch
from skmatgnn.utils.packed_file import release_pages

__all__ = ["StreamedGraphs", "place_graphs", "resident_budget"]

VARIABLE = "SKMATGNN_RESIDENT_MB"
HOST_BUDGET = 2**30
ROWS_AT_ONCE = 16  # around each of which the system maps up to 6 MB of the file
CUDA_SHARE = 4  # a quarter of the device's memory; the rest is for the network


def resident_budget(device: torch.device | str) -> int:
    """Bytes of graphs that are kept on a device as a whole.

    Larger ones stay where they are, in a file or in memory, and each batch is cut out
    there. Batches, and on the CPU every digit of what is learnt, are the same.

    Parameters
    ----------
    device : torch.device or str

    Returns
    -------
    int
        The environment variable ``SKMATGNN_RESIDENT_MB``, in MiB, if it is set; else
        1 GiB, or a quarter of the memory of a CUDA device.

    Raises
    ------
    InvalidValueError
        If the variable holds no number.

    Examples
    --------
    >>> from skmatgnn.graphs import resident_budget
    >>> resident_budget("cpu")
    1073741824
    """
    text = os.environ.get(VARIABLE)
    if text:
        try:
            return int(float(text) * 2**20)
        except (ValueError, OverflowError) as error:
            raise InvalidValueError(
                f"{VARIABLE} must be a number of MiB, such as 512; got {text!r}."
            ) from error
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // CUDA_SHARE
    return HOST_BUDGET


def place_graphs(
    graphs: GraphArray,
    device: torch.device | str,
    *,
    dtype: torch.dtype | None = None,
) -> DeviceGraphs | StreamedGraphs:
    """Put graphs on a device as a whole if they are within `resident_budget`.

    Parameters
    ----------
    graphs : GraphArray
    device : torch.device or str
    dtype : torch.dtype, optional
        Of the bond vectors; that of the graphs by default.

    Returns
    -------
    DeviceGraphs or StreamedGraphs
        Both cut batches with ``take(rows)``.

    Examples
    --------
    >>> from skmatgnn.datasets import make_crystals
    >>> from skmatgnn.graphs import StructureToGraph, place_graphs
    >>> graphs = StructureToGraph().transform(make_crystals(20, random_state=0).data)
    >>> type(place_graphs(graphs, "cpu")).__name__
    'DeviceGraphs'
    """
    fits = graphs.nbytes <= resident_budget(device)
    return (DeviceGraphs if fits else StreamedGraphs)(graphs, device, dtype=dtype)


class StreamedGraphs:
    """Batches that are cut out on the host, one ahead of the device.

    Only the rows of a batch are read, in a thread that reads the next batch while the
    present one is computed. Of a memory-mapped file at most a hundred megabytes are in
    the memory of the process at a time, and none stays there.

    Parameters
    ----------
    graphs : GraphArray
        In memory or memory-mapped.
    device : torch.device or str
    dtype : torch.dtype, optional
        Of the bond vectors; that of the graphs by default.
    """

    def __init__(
        self,
        graphs: GraphArray,
        device: torch.device | str,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.graphs = graphs
        self.device = torch.device(device)
        self.dtype = dtype
        self._coming: Iterator[np.ndarray] = iter(())
        self._ahead: tuple[np.ndarray, Future[GraphArray]] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="skmatgnn-graphs")

    def __len__(self) -> int:
        return len(self.graphs)

    def announce(self, batches: Sequence[np.ndarray]) -> None:
        """Name the batches that will be taken, so that they can be cut in advance.

        Parameters
        ----------
        batches : sequence of ndarray of int64
            The very arrays that `take` will get. What else is asked for in between is
            cut at once.
        """
        self._coming = iter(batches)
        self._cut_ahead()

    def take(
        self, rows: np.ndarray, rows_on_device: Tensor | None = None
    ) -> GraphBatch:
        """Cut out a batch and put it on the device.

        Parameters
        ----------
        rows : ndarray of shape (n_graphs,), int64
            Which graphs, in this order.
        rows_on_device : Tensor, optional
            Not needed; here because ``DeviceGraphs.take`` has it.

        Returns
        -------
        GraphBatch
        """
        del rows_on_device
        if self._ahead is not None and self._ahead[0] is rows:
            part = self._ahead[1].result()
            self._cut_ahead()
        else:
            part = self._cut(rows)
        whole = np.arange(len(part))
        return DeviceGraphs(part, self.device, dtype=self.dtype).take(whole)

    def _cut_ahead(self) -> None:
        rows = next(self._coming, None)
        self._ahead = (
            None if rows is None else (rows, self._thread.submit(self._cut, rows))
        )

    def _cut(self, rows: np.ndarray) -> GraphArray:
        parts = []
        for start in range(0, max(len(rows), 1), ROWS_AT_ONCE):
            parts.append(self.graphs[rows[start : start + ROWS_AT_ONCE]])
            release_pages(self.graphs.displacement)
        return parts[0] if len(parts) == 1 else GraphArray.concatenate(parts)
