"""The part of the training data that early stopping looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from torch.utils.data import Subset

from skmatgnn.nets._dataset import DeviceDataset

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["HoldOut", "split_datasets"]


def split_datasets(
    net: GraphNet, dataset: DeviceDataset
) -> tuple[DeviceDataset, DeviceDataset | None]:
    """Split a dataset as a net does, of which skorch's splits make subsets of torch's.

    Parameters
    ----------
    net : GraphNet
    dataset : DeviceDataset

    Returns
    -------
    train, valid : DeviceDataset
        ``valid`` is None where nothing is held out.
    """
    train, valid = net.get_split_datasets(dataset, None)
    return _as_ours(train), _as_ours(valid)


def _as_ours(part: Any) -> Any:
    if isinstance(part, Subset):
        return _as_ours(part.dataset).subset(np.asarray(part.indices))
    return part


class HoldOut:
    """Set a random part aside, whole groups of it if there are groups.

    Samples without a known target, or of weight zero, are not drawn: a loss over them
    alone would be zero in every epoch.

    Parameters
    ----------
    fraction : float
        Share of the samples, or of the groups.
    random_state : int
        Seed.
    """

    def __init__(self, fraction: float, random_state: int) -> None:
        self.fraction = fraction
        self.random_state = random_state

    def __call__(
        self, dataset: DeviceDataset, y: Any = None, **_: Any
    ) -> tuple[DeviceDataset, DeviceDataset | None]:
        """Split.

        Parameters
        ----------
        dataset : DeviceDataset
        y : object
            Ignored.
        **_ : object
            Ignored fit parameters.

        Returns
        -------
        train, valid : DeviceDataset
            ``valid`` is None where there is nothing to spare: a single sample or
            group.
        """
        usable = np.flatnonzero(_has_loss(dataset))
        groups = None if dataset.groups is None else dataset.groups[usable]
        n_units = len(usable) if groups is None else len(np.unique(groups))
        if n_units < 2:
            return dataset, None
        size = min(max(1, round(self.fraction * n_units)), n_units - 1)
        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=size, random_state=self.random_state)
        train, valid = next(split.split(np.empty((len(usable), 0)), groups=groups))
        others = np.setdiff1d(np.arange(len(dataset)), usable)
        if dataset.groups is not None and groups is not None:
            others = others[~np.isin(dataset.groups[others], groups[valid])]
        train = np.concatenate([usable[train], others])
        return dataset.subset(train), dataset.subset(usable[valid])


def _has_loss(dataset: DeviceDataset) -> np.ndarray:
    found = np.ones(len(dataset), dtype=bool)
    if dataset.target is not None:
        target = dataset.target[dataset.rows].reshape(len(dataset), -1)
        found &= ~np.isnan(target).all(axis=1)
    if dataset.weight is not None:
        weight = dataset.weight[dataset.rows].reshape(len(dataset), -1)
        found &= (weight != 0).any(axis=1)  # of any member, where each has its own
    return found
