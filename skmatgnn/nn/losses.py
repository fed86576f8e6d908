"""Losses that skip unknown targets and weigh samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["REGRESSION_LOSSES", "cross_entropy", "masked_reduce", "robust_l1"]

Elementwise = Callable[[Tensor, Tensor], Tensor]

REGRESSION_LOSSES: dict[str, Elementwise] = {
    "l1": lambda p, t: (p - t).abs(),
    "mse": lambda p, t: (p - t) ** 2,
    "huber": lambda p, t: F.huber_loss(p, t, reduction="none"),
}


def masked_reduce(
    loss: Elementwise, prediction: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Average an elementwise loss over the known targets.

    Unknown targets are replaced before the arithmetic: multiplying by a mask, or
    masking the loss only, gives NaN gradients.

    Parameters
    ----------
    loss : callable
        Maps predictions and targets to losses of the same shape.
    prediction : Tensor of shape (n, t)
    target : Tensor of shape (n, t)
        NaN where unknown.
    weight : Tensor of shape (n,), optional
        Sample weights, of mean one over the training data: they scale a sample's
        loss and not the number of samples that a batch is divided by, so that a
        sample counts the same in every batch.

    Returns
    -------
    Tensor of shape ()
        Zero, with zero gradient, if no target is known.

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn.losses import REGRESSION_LOSSES, masked_reduce
    >>> target = torch.tensor([[1.0, float("nan")]])
    >>> float(masked_reduce(REGRESSION_LOSSES["l1"], torch.zeros(1, 2), target))
    1.0
    """
    known = torch.isfinite(target)
    values = loss(prediction, torch.where(known, target, prediction.detach()))
    if weight is not None:
        values = values * weight.unsqueeze(-1)
    return (values * known).sum() / known.sum().clamp(min=1)


def robust_l1(
    prediction: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Average ``sqrt(2) |y - f| exp(-s) + s``, with a predicted log deviation ``s``.

    This is, up to a constant, the negative log likelihood of a Laplace distribution
    around ``f`` of standard deviation ``exp(s)``.

    Parameters
    ----------
    prediction : Tensor of shape (n, 2 * t)
        ``f`` of all targets, then ``s`` of all.
    target : Tensor of shape (n, t)
        NaN where unknown.
    weight : Tensor of shape (n,), optional
        Sample weights, of mean one over the training data.

    Returns
    -------
    Tensor of shape ()

    References
    ----------
    Kendall, Gal, "What Uncertainties Do We Need in Bayesian Deep Learning for Computer
    Vision?", arXiv:1703.04977, section 3.

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn.losses import robust_l1
    >>> float(robust_l1(torch.tensor([[1.0, 0.5]]), torch.tensor([[1.0]])))
    0.5
    """
    value, log_std = prediction.chunk(2, dim=1)

    def elementwise(p: Tensor, t: Tensor) -> Tensor:
        return 2**0.5 * (p - t).abs() * torch.exp(-log_std) + log_std

    return masked_reduce(elementwise, value, target, weight)


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Average the cross entropy of class indices.

    Parameters
    ----------
    logits : Tensor of shape (n, n_classes)
    target : Tensor of shape (n, 1)
        Class indices, as floats.
    weight : Tensor of shape (n,), optional
        Sample weights, of mean one over the training data.

    Returns
    -------
    Tensor of shape ()
    """
    values = F.cross_entropy(logits, target[:, 0].long(), reduction="none")
    return values.mean() if weight is None else (values * weight).mean()
