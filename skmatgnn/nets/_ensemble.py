"""Losses of an ensemble whose members are trained side by side."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from skmatgnn.nets._dataset import Labels
from skmatgnn.nn.losses import REGRESSION_LOSSES, cross_entropy, masked_reduce

__all__ = [
    "EnsembleClassificationLoss",
    "EnsembleRegressionLoss",
    "bootstrap_weights",
]


def bootstrap_weights(
    n_samples: int,
    n_members: int,
    sample_weight: np.ndarray | None,
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Draw how often each member sees each sample.

    Parameters
    ----------
    n_samples, n_members : int
    sample_weight : ndarray of shape (n_samples,) or None
    random_state : numpy.random.RandomState

    Returns
    -------
    ndarray of shape (n_samples, 1 + n_members)
        The sample weight, and its product with each member's counts, which are
        those of ``n_samples`` draws with replacement.
    """
    share = np.full(n_samples, 1 / n_samples)
    counts = random_state.multinomial(n_samples, share, size=n_members).T
    weight = np.ones(n_samples) if sample_weight is None else sample_weight
    return weight[:, None] * np.column_stack([np.ones(n_samples), counts])


class _EnsembleLoss(nn.Module):
    skips_unknown = True

    def __init__(self, n_members: int = 1) -> None:
        super().__init__()
        self.n_members = n_members

    def _per_member(
        self, prediction: Tensor, labels: Labels
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Repeat each sample for each member, weighted as the member sees it."""
        members = prediction.unflatten(1, (self.n_members, -1)).flatten(0, 1)
        target = labels.target.repeat_interleave(self.n_members, dim=0)
        weight = labels.weight
        if weight is not None and weight.dim() == 2:
            weight = weight[:, 1:].flatten()
        elif weight is not None:
            weight = weight.repeat_interleave(self.n_members)
        return members, target, weight

    def _own_weight(self, labels: Labels) -> Tensor | None:
        """Weight of the samples, whatever the members' draws."""
        weight = labels.weight
        return weight[:, 0] if weight is not None and weight.dim() == 2 else weight


class EnsembleRegressionLoss(_EnsembleLoss):
    """Mean loss of the members in training, loss of their mean in evaluation.

    Parameters
    ----------
    loss : {"l1", "mse", "huber"}, default="l1"
    n_members : int, default=1
    """

    def __init__(self, loss: str = "l1", n_members: int = 1) -> None:
        super().__init__(n_members)
        self.loss = loss

    def forward(self, prediction: Tensor, labels: Labels) -> Tensor:
        """Average over known targets.

        Parameters
        ----------
        prediction : Tensor of shape (n, n_members * t)
        labels : Labels
            Its weight of shape (n,), or (n, 1 + n_members) as from
            `bootstrap_weights`.

        Returns
        -------
        Tensor of shape ()
        """
        loss = REGRESSION_LOSSES[self.loss]
        if self.training:
            return masked_reduce(loss, *self._per_member(prediction, labels))
        mean = prediction.unflatten(1, (self.n_members, -1)).mean(dim=1)
        return masked_reduce(loss, mean, labels.target, self._own_weight(labels))


class EnsembleClassificationLoss(_EnsembleLoss):
    """Cross entropy of the members in training, of their mean in evaluation.

    Parameters
    ----------
    n_members : int, default=1
    """

    def forward(self, prediction: Tensor, labels: Labels) -> Tensor:
        """Average over samples.

        Parameters
        ----------
        prediction : Tensor of shape (n, n_members * n_classes)
        labels : Labels
            Its weight of shape (n,), or (n, 1 + n_members) as from
            `bootstrap_weights`.

        Returns
        -------
        Tensor of shape ()
        """
        if self.training:
            return cross_entropy(*self._per_member(prediction, labels))
        members = prediction.unflatten(1, (self.n_members, -1))
        log_mean = torch.log_softmax(members, dim=2).logsumexp(dim=1)
        log_mean = log_mean - math.log(self.n_members)
        return cross_entropy(log_mean, labels.target, self._own_weight(labels))
