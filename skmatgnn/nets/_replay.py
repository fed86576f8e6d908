"""Training steps as CUDA graphs, so that the host's launches do not hold them up."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from skmatgnn.nets._captured import MOST_AHEAD, CapturedStep, padded_batch
from skmatgnn.nets._dataset import (
    Batch,
    DeviceDataset,
    GraphIterator,
    Labels,
    PackedDataset,
)
from skmatgnn.nets._turns import taking_turns
from skmatgnn.nn.layers import BatchNorm
from skmatgnn.utils.capacity import Capacity

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = [
    "ReplayIterator",
    "ReplayedBatch",
    "can_replay",
    "own_stream",
]

VARIABLE = "SKMATGNN_CUDA_GRAPHS"
MIN_STEPS = 30  # of a run; capturing costs as much as a few steps
MAX_GRAPHS = 16  # each keeps its outputs and gradients

_streams = threading.local()


def can_replay(net: GraphNet, n_steps: int) -> bool:
    """Whether the training steps of a net may be captured.

    Parameters
    ----------
    net : GraphNet
    n_steps : int
        Of the whole run.

    Returns
    -------
    bool
        False on the CPU, for short runs, for networks whose results depend on padding,
        for batch norms over several processes, where the environment variable
        ``SKMATGNN_CUDA_GRAPHS`` is 0, and where a callback wants to see batches before
        they are used.
    """
    accepts_padding = getattr(net.module_, "accepts_padding", None)
    return (
        torch.device(net.device).type == "cuda"
        and n_steps >= MIN_STEPS
        and os.environ.get(VARIABLE) != "0"
        and accepts_padding is not None
        and accepts_padding()
        and not any(_sees_batches(callback) for _, callback in net.callbacks_)
        and not any(_talks(module) for module in net.module_.modules())
    )


def _sees_batches(callback: Callback) -> bool:
    return type(callback).on_batch_begin is not Callback.on_batch_begin


def _phases_read(callback: Callback) -> tuple[str, ...]:
    """In which phases a callback looks at what a step computes."""
    if type(callback).on_batch_end is Callback.on_batch_end:
        return ()
    # all that is known of one of the user's
    return getattr(callback, "reads_outputs_of", ("training", "validation"))


def _talks(module: nn.Module) -> bool:
    """Whether a forward pass waits for other processes, which may not capture now."""
    return isinstance(module, BatchNorm) and module.all_sum is not None


def _stream_of_thread(device: torch.device) -> torch.cuda.Stream:
    kept: dict[Any, torch.cuda.Stream] = _streams.__dict__
    if device not in kept:
        kept[device] = torch.cuda.Stream(device)
    return kept[device]


@contextmanager
def own_stream(device: str) -> Iterator[None]:
    """Compute on the stream of this thread, beside those of other threads.

    A thread keeps its stream, as torch keeps memory for the matrix products of each.

    Parameters
    ----------
    device : str

    Yields
    ------
    None
    """
    if torch.device(device).type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        outer = torch.cuda.current_stream()
        stream = _stream_of_thread(outer.device)
        stream.wait_stream(outer)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            outer.wait_stream(stream)


class ReplayedBatch(NamedTuple):
    """A batch that its step itself will make.

    Parameters
    ----------
    inputs : object
    labels : Labels
        Those of this batch only once it was run.
    captured : CapturedStep
    rows : ndarray of shape (n_samples,), int64
    waits : bool
        Whether it may be run later, with others, as nobody looks at its outputs.
    """

    inputs: Any
    labels: Labels
    captured: CapturedStep
    rows: np.ndarray
    waits: bool

    def updates(self) -> bool:
        """Whether the captured step updates the weights, too.

        Returns
        -------
        bool
        """
        return self.captured.update is not None

    def run(self) -> dict[str, Tensor]:
        """Run the captured step, or note it.

        Returns
        -------
        dict of str to Tensor
            Nothing of a step that waits.
        """
        if self.waits:
            self.captured.wait(self.rows)
            return {}
        return self.captured.run(self.rows)


class ReplayIterator:
    """Batches of which each after the first of its capacity is a captured step.

    Parameters
    ----------
    net : GraphNet
    iterator : GraphIterator
    training : bool
        Whether steps compute gradients and update, or only evaluate.
    """

    def __init__(self, net: GraphNet, iterator: GraphIterator, training: bool) -> None:
        self.net = net
        self.iterator = iterator
        self.training = training
        self._steps: dict[Any, CapturedStep | None] = {}
        self._pool: Any = None
        self._frozen: list[str] = []
        self._failed = False
        read = {
            name for _, callback in net.callbacks_ for name in _phases_read(callback)
        }
        self._waits = ("training" if training else "validation") not in read
        # what is the user's may not know what to do without a target
        skips_unknown = getattr(net.criterion_, "skips_unknown", False)
        self._fills_up = skips_unknown and "training" not in read

    def __len__(self) -> int:
        return len(self.iterator)

    @property
    def dataset(self) -> DeviceDataset:
        """Of which the batches are.

        Returns
        -------
        DeviceDataset
        """
        return self.iterator.dataset

    @property
    def drawn(self) -> np.ndarray:
        """Rows of the last pass, in its order.

        Returns
        -------
        ndarray of shape (n,), int64
        """
        return self.iterator.drawn

    def turn(self) -> AbstractContextManager[Any]:
        """Take turns with other threads where only launches happen between steps.

        Returns
        -------
        context manager
            Without effect where a callback of the user's is called there.
        """
        return taking_turns(self.net.device) if self._waits else nullcontext()

    def batches(self, tallies: list[Tensor]) -> Iterator[Batch | ReplayedBatch]:
        """Go through the batches once.

        Parameters
        ----------
        tallies : list of Tensor
            Where steps that wait for others put what they count, of shape
            (n_steps, 2), before the next batch that does not wait comes.

        Yields
        ------
        tuple of inputs and Labels, or ReplayedBatch
        """
        packed = self.iterator.pack()
        if self.training and self._frozen != self.net.frozen_modules_:
            self._steps.clear()  # other gradients are needed now
            self._pool = None  # which ended with the last graph in it
            self._frozen = list(self.net.frozen_modules_)
        batches = list(self.iterator.rows())
        if self._fills_up:  # one size is captured in place of two
            largest = max(map(len, batches), default=0)
            batches = [packed.filled_up(rows, largest) for rows in batches]
        last: CapturedStep | None = None
        ahead = 1  # few at first, so that the device has something to do
        for rows in batches:
            capacity = packed.inputs.capacity(rows)
            captured = self._captured(packed, capacity)
            if last is not None and (captured is not last or last.n_waiting() == ahead):
                ahead = min(2 * ahead, MOST_AHEAD)
                _run_waiting(last, tallies)
            last = captured
            if captured is None:
                index = torch.from_numpy(rows).to(packed.device, non_blocking=True)
                yield padded_batch(packed, index, capacity)
            else:
                waits = self._waits and captured.may_wait()
                yield ReplayedBatch(*captured.batch, captured, rows, waits)
        _run_waiting(last, tallies)

    def _captured(
        self, packed: PackedDataset, capacity: Capacity
    ) -> CapturedStep | None:
        """Get the step of a capacity, once it was met before and so warmed up."""
        if capacity not in self._steps:
            self._steps[capacity] = None
        elif self._steps[capacity] is None and not self._failed:
            n_graphs = sum(step is not None for step in self._steps.values())
            if n_graphs < MAX_GRAPHS:
                self._steps[capacity] = self._capture(packed, capacity)
        return self._steps[capacity]

    def _capture(
        self, packed: PackedDataset, capacity: Capacity
    ) -> CapturedStep | None:
        if self.training:
            for parameter in self.net.module_.parameters():
                parameter.grad = None
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            return CapturedStep(
                self.net, packed, capacity, self._pool, training=self.training
            )
        except RuntimeError as error:
            self._failed = True
            warnings.warn(
                "Steps could not be captured in a CUDA graph, so training is "
                f"slower than it could be: {str(error).splitlines()[0]} Set "
                f"{VARIABLE}=0 to silence this.",
                RuntimeWarning,
                stacklevel=2,
            )
            return None


def _run_waiting(captured: CapturedStep | None, tallies: list[Tensor]) -> None:
    if captured is not None and captured.n_waiting():
        counted = captured.flush()
        if counted is not None:
            tallies.append(counted)
