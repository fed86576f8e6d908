"""What the processes of one training do together: batches, gradients, losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from skmatgnn.nets._dataset import GraphIterator
from skmatgnn.nets._turns import to_host
from skmatgnn.nn._noise import NoiseSource
from skmatgnn.nn.layers import BatchNorm

if TYPE_CHECKING:
    from skmatgnn.nets._graph_net import GraphNet

__all__ = [
    "RankIterator",
    "Ranks",
    "is_first",
    "iterator_class",
    "over_ranks",
    "smallest_batch",
    "together",
]

SEED_STRIDE = 1_000_003
ALIGNED = 4  # numbers


class Ranks:
    """The processes that train one network, each on its part of every batch.

    Each process has the whole network and all data, and draws the same batches. What
    is computed is what one device would compute for the whole batch, but for the order
    of the sums.

    Parameters
    ----------
    rank : int
        Number of this process, from zero.
    n_ranks : int
        Number of processes.
    """

    def __init__(self, rank: int, n_ranks: int) -> None:
        self.rank = rank
        self.n_ranks = n_ranks
        self._flat: _FlatGradients | None = None

    def share(self, rows: np.ndarray, work: np.ndarray | None = None) -> np.ndarray:
        """Choose the rows of a batch that this process takes.

        Parameters
        ----------
        rows : ndarray of shape (n,)
        work : ndarray of shape (n,), optional
            About how much there is to do for each.

        Returns
        -------
        ndarray
            Shares differ in size by at most one, and little in work: the largest goes
            to the first process, the next to the second, and so on to and fro.
        """
        if work is None:
            return np.array_split(rows, self.n_ranks)[self.rank]
        turn, place = np.divmod(np.arange(len(rows)), self.n_ranks)
        taker = np.where(turn % 2, self.n_ranks - 1 - place, place)
        largest_first = np.argsort(-work, kind="stable")
        return rows[np.sort(largest_first[taker == self.rank])]

    def average(
        self, parameters: Iterator[nn.Parameter], step: dict[str, Any], known: Tensor
    ) -> dict[str, Any]:
        """Turn gradients of the processes' sums of losses into those of their mean.

        One reduction of one flat array, in which the number of known values travels
        along, so that nothing waits for the host.

        Parameters
        ----------
        parameters : iterator of Parameter
            Their gradients are those of the sum of losses of this process.
        step : dict
            ``loss`` is that sum.
        known : Tensor of shape ()
            How many known values it is the sum over.

        Returns
        -------
        dict
            The step, with the mean loss of this process.
        """
        trained = [p for p in parameters if p.grad is not None]
        if self._flat is None or not self._flat.is_of(trained):
            self._flat = _FlatGradients(trained)
        self._flat.average(known)
        return {**step, "loss": step["loss"].detach() / known.clamp(min=1)}

    def total(self, *values: Tensor | float) -> list[Any]:
        """Add up values of all processes.

        Parameters
        ----------
        *values : Tensor or float

        Returns
        -------
        list of ndarray or float
            In double precision, and equal in all processes to the last digit.
        """
        own = [_on_host(value) for value in values]
        parts: list[Any] = [None] * self.n_ranks
        dist.all_gather_object(parts, own)
        return [sum(column[1:], column[0]) for column in zip(*parts, strict=True)]

    @contextmanager
    def joined(self, net: GraphNet) -> Iterator[None]:
        """Train a network together within the context.

        Parameters
        ----------
        net : GraphNet

        Yields
        ------
        None
        """
        norms = [m for m in net.module_.modules() if isinstance(m, BatchNorm)]
        if self.rank:
            self._draw_other_noise(net)
        for norm in norms:
            norm.all_sum = _AllSum.apply
        try:
            yield
        finally:
            for norm in norms:
                norm.all_sum = None

    def _draw_other_noise(self, net: GraphNet) -> None:
        for module in net.module_.modules():
            if isinstance(module, NoiseSource):
                shift = self.rank * SEED_STRIDE + len(net.history)
                module.reseed((module.seed + shift) % 2**31)


class _FlatGradients:
    """Gradients side by side in one array, which stays where it is from step to step.

    Each begins at a multiple of 16 bytes. The last number is how many known values all
    are the sum over.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        sizes = [ALIGNED * -(-p.numel() // ALIGNED) for p in parameters]
        self.array = parameters[0].new_zeros(sum(sizes) + 1)
        pieces = self.array[:-1].detach().split(sizes)
        self.places = [
            piece[: p.numel()].view_as(p)
            for piece, p in zip(pieces, parameters, strict=True)
        ]

    def is_of(self, parameters: list[nn.Parameter]) -> bool:
        return len(parameters) == len(self.parameters) and all(
            a is b for a, b in zip(parameters, self.parameters, strict=True)
        )

    @torch.no_grad()
    def average(self, known: Tensor) -> None:
        """Add up those of all processes, over the number of known values of all."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_copy_(self.places, gradients)
        self.array[-1:].copy_(known.reshape(1))
        dist.all_reduce(self.array)
        self.array[:-1] /= self.array[-1].clamp(min=1)
        for parameter, place in zip(self.parameters, self.places, strict=True):
            parameter.grad = place


class RankIterator(GraphIterator):
    """The part of each batch that one process takes.

    Parameters
    ----------
    ranks : Ranks
    *args, **kwargs : object
        As of `GraphIterator`, of the whole batches.
    """

    def __init__(self, ranks: Ranks, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ranks = ranks
        self._work = self.dataset.work()

    def rows(self) -> Iterator[np.ndarray]:
        """Draw the rows of the batches of one pass.

        Yields
        ------
        ndarray of shape (n,), int64
            Never empty: there is no part of a batch with fewer samples than processes,
            which training has none of.
        """
        for rows in super().rows():
            work = None if self._work is None else self._work[rows]
            part = self.ranks.share(rows, work)
            if len(part):
                yield np.ascontiguousarray(part)


def smallest_batch(n_samples: int, batch_size: int) -> int:
    """Find the size of the smallest batch of `GraphIterator`.

    Parameters
    ----------
    n_samples, batch_size : int

    Returns
    -------
    int
    """
    return n_samples // -(-n_samples // batch_size)


def iterator_class(net: GraphNet) -> Callable[..., GraphIterator]:
    """Choose what makes the batches of a net.

    Parameters
    ----------
    net : GraphNet

    Returns
    -------
    callable
        With the arguments of `GraphIterator`.
    """
    return GraphIterator if net.ranks_ is None else partial(RankIterator, net.ranks_)


def is_first(net: GraphNet) -> bool:
    """Whether this process trains alone, or is the one that writes files.

    Parameters
    ----------
    net : GraphNet

    Returns
    -------
    bool
    """
    return net.ranks_ is None or net.ranks_.rank == 0


@contextmanager
def together(net: GraphNet) -> Iterator[None]:
    """Train with the other processes of a net, if there are any, and then alone.

    Parameters
    ----------
    net : GraphNet

    Yields
    ------
    None
    """
    if net.ranks_ is None:
        yield
        return
    try:
        with net.ranks_.joined(net):
            yield
    finally:
        net.ranks_ = None


def over_ranks(net: GraphNet, *values: Tensor | float) -> list[Any]:
    """Add up values of all processes that train a net together.

    Parameters
    ----------
    net : GraphNet
    *values : Tensor or float

    Returns
    -------
    list of ndarray or float
        The values themselves where there is one process.
    """
    if net.ranks_ is None:
        return [_on_host(value) for value in values]
    return net.ranks_.total(*values)


class _AllSum(torch.autograd.Function):
    """Sum over all processes, of values and of gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def _on_host(value: Tensor | float) -> Any:
    if isinstance(value, Tensor):
        return to_host(value.double())
    return value
