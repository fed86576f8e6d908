"""One pass over the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from skmatgnn.nets._replay import ReplayIterator
from skmatgnn.nets._step import tally

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import GraphIterator
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["run_batches"]


def run_batches(
    net: GraphNet,
    iterator: GraphIterator | ReplayIterator,
    training: bool,
    step_fn: Callable[..., dict[str, Any]],
    **fit_params: Any,
) -> Tensor:
    """Compute a step of each batch.

    Parameters
    ----------
    net : GraphNet
    iterator : GraphIterator or ReplayIterator
    training : bool
    step_fn : callable
        Of a batch.
    **fit_params : object
        For it.

    Returns
    -------
    Tensor of shape (n_batches, 2), float64
        What each step counts, as of :func:`~skmatgnn.nets._step.tally`.
    """
    counted: list[Tensor] = []  # of one step or, where they waited, of several
    batches: Iterable[Any]
    turn: AbstractContextManager[Any]
    if isinstance(iterator, ReplayIterator):
        batches, turn = iterator.batches(counted), iterator.turn()
    else:
        batches, turn = iterator, nullcontext()
    with turn:
        for batch in batches:
            net.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            if "tally" in step:
                counted.append(step.pop("tally"))
            elif step:
                counted.append(tally(step["loss"], batch[1]))
            net.notify("on_batch_end", batch=batch, training=training, **step)
        # of several processes one may have no sample of few to validate with
        none = torch.zeros(0, 2, dtype=torch.float64)
        return torch.cat([one.view(-1, 2) for one in counted]) if counted else none
