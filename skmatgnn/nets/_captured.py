"""A step of training or validation as a CUDA graph."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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
from skmatgnn.utils.capacity import Capacity

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["CapturedStep", "padded_batch"]

_capturing = threading.Lock()


class CapturedStep:
    """The step of a batch of one capacity, as a CUDA graph.

    It makes the batch and computes its loss and, in training, the gradients, and then
    updates the parameters, where the optimizer can be captured and nothing wants to see
    the gradients before.

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
        n_numbers = n_rates + capacity.n_samples
        # rates and rows are sent in one copy
        self._numbers = torch.zeros(n_numbers, dtype=torch.int64, device=packed.device)
        self._n_rates = n_rates
        self._training = training
        self.graph = torch.cuda.CUDAGraph()
        for module in net.module_.modules():
            if isinstance(module, NoiseSource) and training:
                generator = module.generator(self._numbers.device)
                self.graph.register_generator_state(generator)
        room = [] if optimizer is None else optimizer.room()
        self.update: Update | None = None
        with _capture(self.graph, pool):
            rows = self._numbers[n_rates:]
            inputs, labels = padded_batch(packed, rows, capacity)
            self.batch = inputs, labels
            step = (compute_step if training else evaluate_step)(net, self.batch)
            self.step = {name: value.detach() for name, value in step.items()}
            if net.ranks_ is None or not training:  # else the loss is not final
                self.step["tally"] = tally(step["loss"], labels)
            if optimizer is not None:
                self.update = optimizer.prepare(room)
            if self.update is not None:
                n_used = N_RATES * len(self.update.groups)
                self.update.launch(self._numbers[:n_used].view(torch.float64))
        parameters = list(net.module_.parameters()) if training else []
        self._gradients = [(p, p.grad) for p in parameters if p.grad is not None]
        if self.update is not None:
            self.update.write()
            for parameter in parameters:
                parameter.grad = None

    def run(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Compute the step of a batch.

        Parameters
        ----------
        rows : ndarray of shape (n_samples,), int64

        Returns
        -------
        dict of str to Tensor
            ``loss``, ``y_pred`` and, where all is known, ``tally``; those of training
            are valid until the next run.
        """
        self._send(rows)
        self.graph.replay()
        if not self._training:
            return {name: value.clone() for name, value in self.step.items()}
        if self.update is None:
            for parameter, gradient in self._gradients:
                parameter.grad = gradient
        return dict(self.step)

    def _send(self, rows: np.ndarray) -> None:
        # pinned, so that nobody waits; torch keeps it until it was read
        numbers = torch.empty(len(self._numbers), dtype=torch.int64, pin_memory=True)
        there = numbers.numpy()
        there[self._n_rates :] = rows
        if self.update is not None:
            rates = self.update.rates()
            there.view(np.float64)[: len(rates)] = rates
        self._numbers.copy_(numbers, non_blocking=True)


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
