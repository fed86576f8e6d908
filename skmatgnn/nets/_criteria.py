"""Losses as skorch criteria."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skmatgnn.nets._dataset import Labels
from skmatgnn.nn.losses import (
    LOSSES_WITH_STD,
    REGRESSION_LOSSES,
    Elementwise,
    cross_entropy,
    for_kinds,
    masked_reduce,
)

__all__ = ["ClassificationLoss", "RegressionLoss"]


class RegressionLoss(nn.Module):
    """Masked, weighted regression loss.

    Parameters
    ----------
    loss : {"l1", "mse", "huber", "robust_l1", "l1_with_std"}, default="l1"
    target_weights : sequence of float, optional
        How much a known value of each target counts; only for the first three losses.
    classes : sequence of bool, optional
        Which targets are classes, 0 or 1, that are predicted by logits and have the
        binary cross entropy; only for the first three losses.
    """

    skips_unknown = True
    target_weights: Tensor | None
    classes: Tensor | None

    def __init__(
        self,
        loss: str = "l1",
        target_weights: Sequence[float] | None = None,
        classes: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        weights = None if target_weights is None else torch.tensor(target_weights)
        self.register_buffer("target_weights", weights)
        self.register_buffer(
            "classes", None if classes is None else torch.tensor(classes)
        )

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
            self._elementwise(),
            prediction,
            labels.target,
            labels.weight,
            self.target_weights,
        )

    def _elementwise(self) -> Elementwise:
        loss = REGRESSION_LOSSES[self.loss]
        return loss if self.classes is None else for_kinds(loss, self.classes)

    def sums(self, prediction: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """Add up the losses of each target, whatever its weight.

        Parameters
        ----------
        prediction : Tensor of shape (n, t)
        labels : Labels

        Returns
        -------
        total : Tensor of shape (t,)
        known : Tensor of shape (t,)
            Number of values that were added.
        """
        target = labels.target
        known = torch.isfinite(target)
        loss = self._elementwise()
        values = loss(prediction, torch.where(known, target, prediction))
        if labels.weight is not None:
            values = values * labels.weight.unsqueeze(-1)
        return (values * known).sum(dim=0), known.sum(dim=0)


class ClassificationLoss(nn.Module):
    """Weighted cross entropy."""

    skips_unknown = True

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
