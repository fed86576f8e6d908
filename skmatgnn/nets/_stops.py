"""Why training ended before its last epoch, and where."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from skmatgnn.utils.interrupts import count_interrupt

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset, GraphIterator
    from skmatgnn.nets._graph_net import GraphNet
    from skmatgnn.nets._replay import ReplayIterator

__all__ = [
    "TrainingInterruptedWarning",
    "has_diverged",
    "locate",
    "raised_by_skorch",
    "report_interrupt",
]

MOST_SHOWN = 8
FAR = 4.0  # standard deviations, from which a target is an outlier


class TrainingInterruptedWarning(UserWarning):
    """Training ended before its last epoch and kept the best model so far."""


def locate(losses: Tensor, iterator: GraphIterator | ReplayIterator) -> str:
    """Say in which step of an epoch the loss was not finite for the first time.

    Parameters
    ----------
    losses : Tensor of shape (n_batches,)
    iterator : GraphIterator or ReplayIterator
        That gave the batches.

    Returns
    -------
    str
        A sentence, or nothing where all losses were finite.
    """
    bad = np.flatnonzero(~losses.isfinite().cpu().numpy())
    if not len(bad):
        return ""
    step = int(bad[0])
    drawn = np.array_split(iterator.drawn, len(losses))[step]
    rows = iterator.dataset.given_rows(np.sort(drawn))
    shown = ", ".join(str(row) for row in rows[:MOST_SHOWN].tolist())
    more = ", ..." if len(rows) > MOST_SHOWN else ""
    return (
        f"It happened in step {step + 1} of {len(losses)}, with the samples at index "
        f"{shown}{more}. "
    )


def has_diverged(net: GraphNet, dataset: DeviceDataset) -> bool:
    """Warn if the training loss of the last epoch is not finite.

    Parameters
    ----------
    net : GraphNet
    dataset : DeviceDataset
        That it is trained on.

    Returns
    -------
    bool
    """
    loss = net.history[-1, "train_loss"]
    if np.isfinite(loss):
        return False
    kept = getattr(net, "best_epoch_", None)
    state = f"the model of epoch {kept} is kept" if kept else "no model is kept"
    warnings.warn(
        f"The training loss became {loss} in epoch {len(net.history)}; training stops "
        f"and {state}. {net.bad_step_}Lower lr, or look for outliers in y"
        f"{_farthest_target(dataset)}.",
        TrainingInterruptedWarning,
        stacklevel=3,
    )
    return True


def _farthest_target(dataset: DeviceDataset) -> str:
    target = np.asarray(dataset.target)[dataset.rows]
    distance = np.abs(np.nan_to_num(target))
    row, column = np.unravel_index(distance.argmax(), distance.shape)
    if distance[row, column] < FAR:
        return ""
    index = int(dataset.given_rows(dataset.rows[[row]])[0])
    return (
        f": that at index {index} is {distance[row, column]:.3g} standard deviations "
        "from the mean"
    )


def report_interrupt(net: GraphNet, n_done: int) -> None:
    """Say what is kept of a training that Ctrl-C ended, and count it.

    Parameters
    ----------
    net : GraphNet
    n_done : int
        Epochs that were finished.
    """
    count_interrupt()
    again = "" if net.record is None else " The same fit again goes on with it."
    warnings.warn(
        f"Training was interrupted after {n_done} of {net.planned_epochs_} epochs; the "
        f"best model so far, of epoch {net.best_epoch_} with a loss of "
        f"{net.best_loss_:.4g}, is kept.{again}",
        TrainingInterruptedWarning,
        stacklevel=3,
    )


def raised_by_skorch(error: BaseException) -> bool:
    """Tell skorch's EarlyStopping, which raises KeyboardInterrupt, from Ctrl-C.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    bool
    """
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    name = "" if frame is None else frame.tb_frame.f_globals.get("__name__", "")
    return name.startswith("skorch.callbacks")
