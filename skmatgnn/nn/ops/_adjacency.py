"""Edges between nodes, in the order that the segment operations need."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

__all__ = ["Adjacency", "LineGraph"]


@dataclass(frozen=True)
class Adjacency:
    """Directed edges among ``n`` nodes, grouped by receiver and, inversely, by sender.

    Parameters
    ----------
    receiver_ptr : Tensor of shape (n + 1,)
        Edges ``receiver_ptr[v]:receiver_ptr[v + 1]`` end in node ``v``.
    receiver : Tensor of shape (n_edges,)
        Node in which each edge ends; non-decreasing.
    sender : Tensor of shape (n_edges,)
        Node from which each edge starts.
    sender_ptr : Tensor of shape (n + 1,)
        Row pointers of ``by_sender``.
    by_sender : Tensor of shape (n_edges,)
        Edge numbers, grouped by the node from which they start.
    n_real : Tensor of shape (), optional
        How many nodes come before those that are padding; none are without it.
    copies : Tensor of shape (n_edges,), optional
        How many equal edges each stands for, which only blocks on the CPU and plain
        torch heed; one each without it.

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn.ops import Adjacency
    >>> pair = Adjacency.from_edges(torch.tensor([1, 0]), torch.tensor([0, 1]), 2)
    >>> pair.n_nodes, pair.n_edges
    (2, 2)
    """

    consecutive_senders: ClassVar[bool] = False

    receiver_ptr: Tensor
    receiver: Tensor
    sender: Tensor
    sender_ptr: Tensor
    by_sender: Tensor
    n_real: Tensor | None = None
    copies: Tensor | None = None

    @property
    def n_real_edges(self) -> Tensor | None:
        """Number of edges before those that are padding; None where there are none."""
        return None if self.n_real is None else self.receiver_ptr[-1]

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.receiver_ptr) - 1

    @property
    def n_edges(self) -> int:
        """Number of directed edges."""
        return len(self.receiver)

    def to(self, device: torch.device | str) -> Adjacency:
        """Copy to a device.

        Parameters
        ----------
        device : torch.device or str

        Returns
        -------
        Adjacency
        """
        found = (getattr(self, f.name) for f in fields(self))
        there: list[Any] = [None if x is None else x.to(device) for x in found]
        return type(self)(*there)

    def with_copies(self, copies: Tensor) -> Adjacency:
        """Let each edge stand for several that are equal.

        Parameters
        ----------
        copies : Tensor of shape (n_edges,)

        Returns
        -------
        Adjacency
        """
        return replace(self, copies=copies)

    @classmethod
    def from_edges(cls, sender: Tensor, receiver: Tensor, n_nodes: int) -> Adjacency:
        """Sort an arbitrary edge list.

        Parameters
        ----------
        sender, receiver : Tensor of shape (n_edges,)
            End points; ``receiver`` must be non-decreasing.
        n_nodes : int
            Number of nodes.

        Returns
        -------
        Adjacency
        """
        return cls(
            _row_pointers(receiver, n_nodes),
            receiver,
            sender,
            _row_pointers(sender, n_nodes),
            torch.argsort(sender, stable=True),
        )


class LineGraph(Adjacency):
    """Pairs of bonds, where the senders to one receiver are consecutive numbers.

    The bond ``j -> i`` receives from the first bonds into atom ``j``, which are stored
    side by side, so that a kernel reads one index for each receiver instead of one for
    each pair. Parameters are those of :class:`Adjacency`; that the senders are
    consecutive is not checked.
    """

    consecutive_senders: ClassVar[bool] = True


def _row_pointers(ids: Tensor, n_rows: int) -> Tensor:
    counts = torch.bincount(ids, minlength=n_rows)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
