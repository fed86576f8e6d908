"""The part of the training data that early stopping looks at."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from skmatgnn.nets._dataset import DeviceDataset

__all__ = ["HoldOut"]


class HoldOut:
    """Set a random part aside, whole groups of it if there are groups.

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
        groups = dataset.groups
        n_units = len(dataset) if groups is None else len(np.unique(groups))
        if n_units < 2:
            return dataset, None
        size = min(max(1, round(self.fraction * n_units)), n_units - 1)
        splitter = ShuffleSplit if groups is None else GroupShuffleSplit
        split = splitter(1, test_size=size, random_state=self.random_state)
        train, valid = next(split.split(np.empty((len(dataset), 0)), groups=groups))
        return dataset.subset(train), dataset.subset(valid)
