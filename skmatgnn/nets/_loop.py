"""The epochs of a training."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from skmatgnn.nets._ranks import is_first
from skmatgnn.nets._replay import ReplayIterator, can_replay
from skmatgnn.nets._stops import has_diverged, raised_by_skorch

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset, GraphIterator
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["run_epochs"]


def run_epochs(
    net: GraphNet, train: DeviceDataset, valid: DeviceDataset | None
) -> bool:
    """Train until all epochs are done, a callback stops, or the loss diverges.

    Parameters
    ----------
    net : GraphNet
    train : DeviceDataset
    valid : DeviceDataset or None

    Returns
    -------
    bool
        False if the loss was not finite.

    Raises
    ------
    KeyboardInterrupt
        If the user stops it.
    """
    datasets = {"dataset_train": train, "dataset_valid": valid}
    leads = is_first(net)
    iterator_train = _replayed(net, net.get_iterator(train, training=True), True)
    iterator_valid = None
    if valid is not None:
        iterator_valid = _replayed(net, net.get_iterator(valid), False)
    for epoch in range(net.n_recalled_ + 1, net.planned_epochs_ + 1):
        start = perf_counter()
        net.notify("on_epoch_begin", **datasets)
        net.run_single_epoch(iterator_train, True, "train", net.train_step)
        net.run_single_epoch(iterator_valid, False, "valid", net.validation_step)
        net.history.record("dur", perf_counter() - start)
        try:
            net.notify("on_epoch_end", **datasets)
        except KeyboardInterrupt as stop:
            if not raised_by_skorch(stop):
                raise
            break
        if has_diverged(net, train):
            return False
        if net.stop_training_:
            break
        if net.record is not None and leads and epoch < net.planned_epochs_:
            net.record.after_epoch(net)
    return True


def _replayed(
    net: GraphNet, iterator: GraphIterator, training: bool
) -> GraphIterator | ReplayIterator:
    """Let steps be replayed where they can be."""
    n_steps = len(iterator) * net.planned_epochs_
    if can_replay(net, n_steps) and iterator.is_resident():
        return ReplayIterator(net, iterator, training)
    return iterator
