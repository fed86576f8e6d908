"""The validation loss of each of many properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from skorch.callbacks import Callback
from torch import Tensor

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["PropertyMonitor"]


class PropertyMonitor(Callback):
    """Watch the mean of the properties' validation losses.

    Each property counts the same, however many of its values are known: the mean over
    all values would follow the largest property alone. Nothing is done without
    validation data.
    """

    def on_epoch_begin(self, net: GraphNet, **_: Any) -> None:
        """Forget the last epoch.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        self.total_: Tensor | float = 0.0
        self.known_: Tensor | float = 0.0

    def on_batch_end(
        self,
        net: GraphNet,
        batch: Any = None,
        training: bool = False,
        y_pred: Any = None,
        **_: Any,
    ) -> None:
        """Add a validation batch.

        Parameters
        ----------
        net : GraphNet
        batch : tuple
            Inputs and Labels.
        training : bool
        y_pred : Tensor of shape (n, n_properties)
        **_ : object
        """
        if not training:
            total, known = net.criterion_.sums(y_pred, batch[1])
            self.total_, self.known_ = self.total_ + total, self.known_ + known

    def on_epoch_end(self, net: GraphNet, **_: Any) -> None:
        """Record the losses, NaN where no value is known, and their mean.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if "valid_loss" not in net.history[-1] or not self.known_.any():
            return
        total = self.total_.double().cpu().numpy()
        known = self.known_.double().cpu().numpy()
        losses = np.where(known > 0, total / np.maximum(known, 1), np.nan)
        net.history.record("valid_losses", losses.tolist())
        net.history.record("monitored_loss", float(losses[known > 0].mean()))

    def on_train_end(self, net: GraphNet, **_: Any) -> None:
        """Drop the sums, which a pickled net need not carry.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        self.total_ = self.known_ = 0.0
