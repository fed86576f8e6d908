"""What an edge-gated convolution is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from skmatgnn.nn.ops._norm_silu import is_layer_norm

__all__ = ["ConvParts"]


class ConvParts(NamedTuple):
    """Maps, norms and settings of an edge-gated convolution.

    Parameters
    ----------
    sender_map : torch.nn.Linear
        :math:`A` and :math:`V`: gates and messages that the nodes send.
    receiver_map : torch.nn.Linear
        :math:`B` and :math:`U`: gates and updates of the nodes themselves.
    edge_map : torch.nn.Linear
        :math:`C`.
    node_norm : torch.nn.Module
    edge_norm : torch.nn.Module or None
        None where the edges stay as they are.
    eps : float
        Added to the sum of the gates.
    edge_messages : bool
        Whether the logits are added to the messages.
    """

    sender_map: nn.Linear
    receiver_map: nn.Linear
    edge_map: nn.Linear
    node_norm: Any  # nn.Module, of which mypy takes every attribute for a tensor
    edge_norm: Any
    eps: float
    edge_messages: bool

    @property
    def maps(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """Maps of senders, receivers and edges."""
        return self.sender_map, self.receiver_map, self.edge_map

    @property
    def norms(self) -> tuple[Any, Any]:
        """Norms of nodes and edges."""
        return self.node_norm, self.edge_norm

    @property
    def update_edges(self) -> bool:
        """Whether there are new edges."""
        return self.edge_norm is not None

    def has_layer_norms(self) -> bool:
        """Whether all norms are layer norms, which can be part of a kernel.

        Returns
        -------
        bool
        """
        return all(is_layer_norm(norm) for norm in self.norms if norm is not None)
