"""One step of a training, or of the validation between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import Labels

__all__ = ["compute_step", "evaluate_step", "tally"]


def compute_step(net: Any, batch: Any, **fit_params: Any) -> dict[str, Any]:
    """Compute loss and gradients of a batch, as skorch does.

    But for autocast, which on the CPU would round gradients of products that it had
    nothing to do with.

    Parameters
    ----------
    net : GraphNet
    batch : tuple
        Inputs and Labels.
    **fit_params : object
        For ``net.infer``.

    Returns
    -------
    dict of str to Tensor
        ``loss`` and ``y_pred``.
    """
    net._set_training(True)  # noqa: SLF001 - as skorch does within
    inputs, labels = batch
    y_pred = net.infer(inputs, **fit_params)
    loss = net.get_loss(y_pred, labels, X=inputs, training=True)
    with torch.autocast("cpu", enabled=False):
        loss.backward()
    return {"loss": loss, "y_pred": y_pred}


def evaluate_step(net: Any, batch: Any, **fit_params: Any) -> dict[str, Any]:
    """Compute outputs and loss of a batch, which may be padded.

    Parameters
    ----------
    net : GraphNet
    batch : tuple
        Inputs and Labels.
    **fit_params : object
        For ``net.infer``.

    Returns
    -------
    dict of str to Tensor
        ``loss`` and ``y_pred``, without outputs of padding.
    """
    net._set_training(False)  # noqa: SLF001 - as skorch does within
    inputs, labels = batch
    with torch.no_grad():
        y_pred = net.infer(inputs, **fit_params)[: len(labels.target)]
        loss = net.get_loss(y_pred, labels, X=inputs, training=False)
    return {"loss": loss, "y_pred": y_pred}


def tally(loss: Tensor, labels: Labels) -> Tensor:
    """Count the known targets of a batch, and sum what each adds to the loss.

    Parameters
    ----------
    loss : Tensor of shape ()
        Their mean.
    labels : Labels

    Returns
    -------
    Tensor of shape (2,), float64
        Sum, and number.
    """
    known = labels.n_known().double()
    return torch.stack([loss.detach().double() * known, known])
