"""Losses that skip unknown targets and weigh samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "LOSSES_WITH_STD",
    "REGRESSION_LOSSES",
    "absolute_errors",
    "cross_entropy",
    "for_kinds",
    "l1_with_std",
    "masked_reduce",
    "robust_l1",
]

Elementwise = Callable[[Tensor, Tensor], Tensor]

REGRESSION_LOSSES: dict[str, Elementwise] = {
    "l1": lambda p, t: (p - t).abs(),
    "mse": lambda p, t: (p - t) ** 2,
    "huber": lambda p, t: F.huber_loss(p, t, reduction="none"),
}


def for_kinds(loss: Elementwise, is_class: Tensor) -> Elementwise:
    """Replace a loss by the binary cross entropy in the columns of classes.

    The two are of one size: where nothing is known, the cross entropy is ``log(2)``,
    and the absolute error of a standardised normal target 0.80.

    Parameters
    ----------
    loss : callable
        Maps predictions and targets to losses of the same shape.
    is_class : Tensor of shape (t,), bool
        Which columns are classes: predictions are logits there, and targets
        probabilities, mostly 0 or 1.

    Returns
    -------
    callable

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn.losses import REGRESSION_LOSSES, for_kinds
    >>> loss = for_kinds(REGRESSION_LOSSES["l1"], torch.tensor([False, True]))
    >>> loss(torch.zeros(1, 2), torch.tensor([[3.0, 1.0]]))
    tensor([[3.0000, 0.6931]])
    """

    def elementwise(prediction: Tensor, target: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(
            prediction, target, reduction="none"
        )
        return torch.where(is_class, entropy, loss(prediction, target))

    return elementwise


def masked_reduce(
    loss: Elementwise,
    prediction: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    target_weights: Tensor | None = None,
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
    target_weights : Tensor of shape (t,), optional
        The same of the columns.

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
    if target_weights is not None:
        values = values * target_weights.to(values.dtype)
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
    return masked_reduce(
        lambda p, t: _laplace((p - t).abs(), log_std), value, target, weight
    )


def l1_with_std(
    prediction: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Average the absolute error, and apart from it the likelihood of its size.

    ``|y - f| + 0.3 (sqrt(2) |y - f| exp(-s) + s)``, of which the second part has no
    gradient with respect to ``f``. In `robust_l1` targets that are met well, such as
    the many gaps of exactly zero of metals, outweigh all others.

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

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn.losses import l1_with_std
    >>> float(l1_with_std(torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0]])))
    0.0
    """
    value, log_std = prediction.chunk(2, dim=1)

    def elementwise(p: Tensor, t: Tensor) -> Tensor:
        error = (p - t).abs()
        return error + SHARE_OF_STD * _laplace(error.detach(), log_std)

    return masked_reduce(elementwise, value, target, weight)


def absolute_errors(
    prediction: Tensor, target: Tensor, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Add up the absolute errors of each target, whatever else was predicted.

    Parameters
    ----------
    prediction : Tensor of shape (n, t) or more columns
        Values of all targets, then anything, such as their log deviations.
    target : Tensor of shape (n, t)
        NaN where unknown.
    weight : Tensor of shape (n,), optional
        Sample weights, of mean one over the training data.

    Returns
    -------
    total : Tensor of shape (t,)
    known : Tensor of shape (t,)
        Number of values that were added.

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn.losses import absolute_errors
    >>> total, known = absolute_errors(torch.tensor([[3.0, 9.0]]), torch.ones(1, 1))
    >>> total.tolist(), known.tolist()
    ([2.0], [1])
    """
    known = torch.isfinite(target)
    value = prediction[:, : target.shape[1]].to(target.dtype)
    errors = (value - torch.where(known, target, value)).abs()
    if weight is not None:
        errors = errors * weight.unsqueeze(-1)
    return errors.sum(dim=0), known.sum(dim=0)


def _laplace(error: Tensor, log_std: Tensor) -> Tensor:
    return 2**0.5 * error * torch.exp(-log_std) + log_std


SHARE_OF_STD = 0.3

LOSSES_WITH_STD: dict[str, Callable[..., Tensor]] = {
    "robust_l1": robust_l1,
    "l1_with_std": l1_with_std,
}


def cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Average the cross entropy of class indices over the known ones.

    Parameters
    ----------
    logits : Tensor of shape (n, n_classes)
    target : Tensor of shape (n, 1)
        Class indices, as floats; NaN where unknown.
    weight : Tensor of shape (n,), optional
        Sample weights, of mean one over the training data.

    Returns
    -------
    Tensor of shape ()
        Zero if no class is known.
    """
    known = torch.isfinite(target[:, 0])
    index = torch.where(known, target[:, 0], 0).long()
    values = F.cross_entropy(logits, index, reduction="none")
    if weight is not None:
        values = values * weight
    return (values * known).sum() / known.sum().clamp(min=1)
