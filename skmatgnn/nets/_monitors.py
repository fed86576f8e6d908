"""What early stopping watches where the validation loss will not do."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from skorch.callbacks import Callback
from torch import Tensor

from skmatgnn.nets._ranks import over_ranks
from skmatgnn.nn.losses import absolute_errors

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import Labels
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["ErrorMonitor", "PropertyMonitor"]


class _Monitor(Callback):
    """Add up a loss of each target over the validation batches of an epoch.

    Nothing is done without validation data.
    """

    reads_outputs_of: ClassVar[tuple[str, ...]] = ("validation",)

    @abstractmethod
    def _sums(
        self, net: GraphNet, prediction: Tensor, labels: Labels
    ) -> tuple[Tensor, Tensor]:
        """Losses of each target, and the number of values that they are the sum of."""

    @abstractmethod
    def _record(self, net: GraphNet, total: np.ndarray, known: np.ndarray) -> None:
        """Write the losses of an epoch into the history."""

    def on_epoch_begin(self, net: GraphNet, **_: Any) -> None:
        """Forget the last epoch.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        self.total_: Tensor | Any = 0.0
        self.known_: Tensor | Any = 0.0

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
        y_pred : Tensor of shape (n, n_outputs)
        **_ : object
        """
        if not training:
            total, known = self._sums(net, y_pred, batch[1])
            self.total_, self.known_ = self.total_ + total, self.known_ + known

    def on_epoch_end(self, net: GraphNet, **_: Any) -> None:
        """Record what was added up, unless no value was known.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        if "valid_loss" not in net.history[-1]:
            return
        total, known = over_ranks(net, self.total_, self.known_)
        if np.any(known):
            self._record(net, total, known)

    def on_train_end(self, net: GraphNet, **_: Any) -> None:
        """Drop the sums, which a pickled net need not carry.

        Parameters
        ----------
        net : GraphNet
        **_ : object
        """
        self.total_ = self.known_ = 0.0


class PropertyMonitor(_Monitor):
    """Watch the mean of the properties' validation losses.

    Each property counts the same, however many of its values are known: the mean over
    all values would follow the largest property alone. A criterion that has no losses
    of each is watched itself.
    """

    def _sums(
        self, net: GraphNet, prediction: Tensor, labels: Labels
    ) -> tuple[Tensor, Tensor]:
        if not hasattr(net.criterion_, "sums"):  # one of the user's
            nothing = prediction.new_zeros(1)
            return nothing, nothing
        return net.criterion_.sums(prediction, labels)

    def _record(self, net: GraphNet, total: np.ndarray, known: np.ndarray) -> None:
        losses = np.where(known > 0, total / np.maximum(known, 1), np.nan)
        net.history.record("valid_losses", losses.tolist())
        net.history.record("monitored_loss", float(losses[known > 0].mean()))


class ErrorMonitor(_Monitor):
    """Watch the mean absolute validation error where the loss is a likelihood.

    The likelihood of new samples is soon at its best, when the predicted spread begins
    to shrink to the errors on the training samples, while the values still improve.
    """

    def _sums(
        self, net: GraphNet, prediction: Tensor, labels: Labels
    ) -> tuple[Tensor, Tensor]:
        del net
        return absolute_errors(prediction, labels.target, labels.weight)

    def _record(self, net: GraphNet, total: np.ndarray, known: np.ndarray) -> None:
        error = float(total.sum() / known.sum())
        net.history.record("valid_mae", error)
        net.history.record("monitored_loss", error)
