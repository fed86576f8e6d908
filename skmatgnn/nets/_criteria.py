"""Losses as skorch criteria."""

from __future__ import annotations

from torch import Tensor, nn

from skmatgnn.nets._dataset import Labels
from skmatgnn.nn.losses import (
    LOSSES_WITH_STD,
    REGRESSION_LOSSES,
    cross_entropy,
    masked_reduce,
)

__all__ = ["ClassificationLoss", "RegressionLoss"]


class RegressionLoss(nn.Module):
    """Masked, weighted regression loss.

    Parameters
    ----------
    loss : {"l1", "mse", "huber", "robust_l1", "l1_with_std"}, default="l1"
    """

    def __init__(self, loss: str = "l1") -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: Tensor, labels: Labels) -> Tensor:
        """Average over known targets.

        Parameters
        ----------
        prediction : Tensor of shape (n, t)
            Of shape (n, 2 * t) for the last two losses.
        labels : Labels

        Returns
        -------
        Tensor of shape ()
        """
        if self.loss in LOSSES_WITH_STD:
            loss = LOSSES_WITH_STD[self.loss]
            return loss(prediction, labels.target, labels.weight)
        return masked_reduce(
            REGRESSION_LOSSES[self.loss], prediction, labels.target, labels.weight
        )


class ClassificationLoss(nn.Module):
    """Weighted cross entropy."""

    def forward(self, prediction: Tensor, labels: Labels) -> Tensor:
        """Average over samples.

        Parameters
        ----------
        prediction : Tensor of shape (n, n_classes)
        labels : Labels

        Returns
        -------
        Tensor of shape ()
        """
        return cross_entropy(prediction, labels.target, labels.weight)
