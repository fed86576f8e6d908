"""A step of training or validation as a CUDA graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from skmatgnn.nets._adamw import N_RATES, OneLaunchAdamW, Update
from skmatgnn.nets._dataset import Labels, PackedDataset
from skmatgnn.nets._step import compute_step, evaluate_step, tally
from skmatgnn.nn._noise import NoiseSource
from skmatgnn.nn.ops import branching
from skmatgnn.utils.capacity import Capacity

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["MOST_AHEAD", "CapturedStep", "padded_batch"]

MOST_AHEAD = 16  # steps that are sent at once

_capturing = threading.Lock()


class CapturedStep:
    """The step of a batch of one capacity, as a CUDA graph.

    It makes the batch and computes its loss and, in training, the gradients, and then
    updates the parameters, where the optimizer can be captured and nothing wants to see
    the gradients before. What differs from step to step, rows and rates, is sent for
    several steps at once; each takes the next.

    Parameters
    ----------
    net : GraphNet
    packed : PackedDataset
    capacity : Capacity
    pool : object
        Memory that the graphs of a run share.
    training : bool, default=True
        Whether to compute gradients and update, or only to evaluate.

    Raises
    ------
    RuntimeError
        If the step contains what cannot be captured.
    """

    def __init__(
        self,
        net: GraphNet,
        packed: PackedDataset,
        capacity: Capacity,
        pool: Any,
        *,
        training: bool = True,
    ) -> None:
        optimizer = _capturable_optimizer(net) if training else None
        n_rates = 0 if optimizer is None else N_RATES * len(optimizer.param_groups)
        self._n_rates, self._n_numbers = n_rates, n_rates + capacity.n_samples
        self._training = training
        # which step is next, and the numbers of all
        self._sent = torch.zeros(
            1 + MOST_AHEAD * self._n_numbers, dtype=torch.int64, device=packed.device
        )
        self._tallies: Tensor | None = None
        if net.ranks_ is None or not training:  # else the loss is not final
            self._tallies = self._sent.new_zeros(MOST_AHEAD, 2, dtype=torch.float64)
        self._waiting: list[np.ndarray] = []
        room = [] if optimizer is None else optimizer.room()
        self.update: Update | None = None

        def compute() -> None:
            numbers = self._next_numbers()
            with branching(packed.device):
                self._compute(net, padded_batch(packed, numbers[n_rates:], capacity))
            if optimizer is not None:
                self.update = optimizer.prepare(room)
            if self.update is not None:
                n_used = N_RATES * len(self.update.groups)
                self.update.launch(numbers[:n_used].view(torch.float64))
            self._sent[:1].add_(1)

        generators = [
            module.generator(self._sent.device)
            for module in net.module_.modules()
            if isinstance(module, NoiseSource) and training
        ]
        self._graph = _record(compute, pool, generators)
        parameters = list(net.module_.parameters()) if training else []
        self._gradients = [(p, p.grad) for p in parameters if p.grad is not None]
        if self.update is not None:
            self.update.write()
            for parameter in parameters:
                parameter.grad = None

    def _next_numbers(self) -> Tensor:
        table = self._sent[1:].view(MOST_AHEAD, self._n_numbers)
        return table.index_select(0, self._sent[:1]).view(-1)

    def _compute(self, net: GraphNet, batch: tuple[Any, Labels]) -> None:
        self.batch = batch
        step = (compute_step if self._training else evaluate_step)(net, batch)
        self.step = {name: value.detach() for name, value in step.items()}
        if self._tallies is not None:
            counted = tally(step["loss"], batch[1]).unsqueeze(0)
            self._tallies.index_copy_(0, self._sent[:1], counted)

    def may_wait(self) -> bool:
        """Whether all that a step leaves behind is what it counts.

        Returns
        -------
        bool
            False where the update of the weights is computed outside.
        """
        updated = self.update is not None or not self._training
        return updated and self._tallies is not None

    def n_waiting(self) -> int:
        """Count the steps that wait.

        Returns
        -------
        int
        """
        return len(self._waiting)

    def wait(self, rows: np.ndarray) -> None:
        """Note the step of a batch, at the present rates, to be run with others.

        Parameters
        ----------
        rows : ndarray of shape (n_samples,), int64
            For at most ``MOST_AHEAD`` batches at once.
        """
        numbers = np.empty(self._n_numbers, dtype=np.int64)
        numbers[self._n_rates :] = rows
        if self.update is not None:
            rates = self.update.rates()
            numbers.view(np.float64)[: len(rates)] = rates
        self._waiting.append(numbers)

    def flush(self) -> Tensor | None:
        """Run the steps that wait.

        Returns
        -------
        Tensor of shape (n_steps, 2), float64, or None
            What each counts, as of :func:`~skmatgnn.nets._step.tally`; None where
            losses are not final.
        """
        n_steps = len(self._waiting)
        # pinned, so that nobody waits; torch keeps it until it was read
        numbers = torch.empty(
            1 + n_steps * self._n_numbers,
            dtype=torch.int64,
            pin_memory=self._sent.is_cuda,
        )
        there = numbers.numpy()
        there[0] = 0
        np.concatenate(self._waiting, out=there[1:])
        self._waiting.clear()
        self._sent[: len(numbers)].copy_(numbers, non_blocking=True)
        for _ in range(n_steps):
            self._graph.replay()
        return None if self._tallies is None else self._tallies[:n_steps].clone()

    def run(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Compute the step of a batch.

        Parameters
        ----------
        rows : ndarray of shape (n_samples,), int64

        Returns
        -------
        dict of str to Tensor
            ``loss``, ``y_pred`` and, where all is known, ``tally``; the first two of
            training are valid until the next run.
        """
        self.wait(rows)
        tallies = self.flush()
        step = self.step
        if not self._training:
            step = {name: value.clone() for name, value in step.items()}
        elif self.update is None:
            for parameter, gradient in self._gradients:
                parameter.grad = gradient
        return dict(step) if tallies is None else {**step, "tally": tallies[0]}


def _record(
    compute: Callable[[], None], pool: Any, generators: list[torch.Generator]
) -> torch.cuda.CUDAGraph:
    """Capture a computation that draws from some generators."""
    graph = torch.cuda.CUDAGraph()
    for generator in generators:
        graph.register_generator_state(generator)
    with _capture(graph, pool):
        compute()
    return graph


@contextmanager
def _capture(graph: torch.cuda.CUDAGraph, pool: Any) -> Iterator[None]:
    """Capture what is computed within the context."""
    with _capturing:
        # other threads may go on using the device
        graph.capture_begin(pool, capture_error_mode="thread_local")
        try:
            yield
        except BaseException:
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()


def _capturable_optimizer(net: GraphNet) -> OneLaunchAdamW | None:
    """Get the optimizer if nothing comes between the gradients and its update."""
    optimizer = net.optimizer_
    if type(optimizer) is not OneLaunchAdamW or net.ranks_ is not None:
        return None
    if any(_sees_gradients(callback) for _, callback in net.callbacks_):
        return None
    return optimizer


def _sees_gradients(callback: Callback) -> bool:
    return type(callback).on_grad_computed is not Callback.on_grad_computed


def padded_batch(
    packed: PackedDataset, rows: Tensor, capacity: Capacity
) -> tuple[Any, Labels]:
    """Cut out a padded batch.

    Parameters
    ----------
    packed : PackedDataset
    rows : Tensor of shape (n_samples,), int64
    capacity : Capacity

    Returns
    -------
    inputs : object
    labels : Labels
        Not padded.
    """
    return packed.inputs.take_padded(rows, capacity), packed.labels(rows)
