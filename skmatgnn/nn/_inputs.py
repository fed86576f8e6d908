"""What a network reads from a batch of graphs."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from skmatgnn.nn.ops import Adjacency

__all__ = ["GraphInput"]


class GraphInput(Protocol):
    """Graphs of a batch, as :class:`skmatgnn.graphs.GraphBatch` holds them."""

    atomic_numbers: Tensor
    node_ptr: Tensor
    node_graph: Tensor
    edges: Adjacency
    displacement: Tensor
    triplets: Adjacency

    def __len__(self) -> int:
        """Count the graphs."""
