"""Crystal graph convolutional neural network.

Xie, Grossman, "Crystal Graph Convolutional Neural Networks for an Accurate and
Interpretable Prediction of Material Properties", Phys. Rev. Lett. 120, 145301 (2018).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn._blocks import Block
from skmatgnn.nn._inputs import GraphInput
from skmatgnn.nn.layers import (
    CrystalGraphConv,
    ElementEmbedding,
    GaussianBasis,
    last_map,
)
from skmatgnn.nn.ops import segment_mean, use_dgl

__all__ = ["CGCNN"]


class CGCNN(nn.Module):
    """CGCNN: gated convolutions on the crystal graph.

    Parameters
    ----------
    element_table : Tensor of shape (n_elements, d)
        Element features by atomic number.
    n_outputs : int, default=1
        Columns of the output.
    n_conv_layers : int, default=3
    node_dim : int, default=64
        Width of the atom features in the convolutions.
    hidden_dim : int, default=128
        Width after pooling.
    n_hidden_layers : int, default=1
        Layers of that width.
    edge_step : float, default=0.2
        Spacing, and width, of the Gaussians of the bond length, in Angstrom.
    cutoff : float, default=8.0
        Last centre of the radial basis, in Angstrom.
    norm : {"batch", "layer"}, default="batch"

    References
    ----------
    Xie, Grossman, Phys. Rev. Lett. 120, 145301 (2018).
    """

    def __init__(
        self,
        element_table: Tensor,
        *,
        n_outputs: int = 1,
        n_conv_layers: int = 3,
        node_dim: int = 64,
        hidden_dim: int = 128,
        n_hidden_layers: int = 1,
        edge_step: float = 0.2,
        cutoff: float = 8.0,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        n_radial = round(cutoff / edge_step) + 1
        self.elements = ElementEmbedding(element_table)
        self.atom_embedding = nn.Linear(element_table.shape[1], node_dim)
        self.edge_embedding = GaussianBasis(
            0.0, edge_step * (n_radial - 1), n_radial, edge_step**-2
        )
        self.conv_layers = nn.ModuleList(
            CrystalGraphConv(node_dim, n_radial, norm) for _ in range(n_conv_layers)
        )
        widths = [node_dim] + [hidden_dim] * n_hidden_layers
        self.hidden_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(widths[-1], n_outputs)

    def accepts_padding(self) -> bool:
        """Whether rows that no segment contains leave all others' results alone.

        Returns
        -------
        bool
        """
        return not use_dgl()

    def blocks(self) -> list[Block]:
        """Name the parts of the network, from the input to the head.

        Returns
        -------
        list of Block
        """
        found = [Block("atom_embedding", "embedding", 0)]
        for layers, role in (("conv_layers", "two_body"), ("hidden_layers", "readout")):
            for i in range(len(getattr(self, layers))):
                found.append(Block(f"{layers}.{i}", role, found[-1].depth + 1))
        return [*found, Block("head", "head", found[-1].depth + 1)]

    def embed(self, batch: GraphInput) -> Tensor:
        """Compute the pooled graph features that the head reads.

        Parameters
        ----------
        batch : GraphInput

        Returns
        -------
        Tensor of shape (n_graphs, hidden_dim)
        """
        atoms = self.atom_embedding(self.elements(batch.atomic_numbers))
        edges = self.edge_embedding(batch.displacement.norm(dim=1))
        for conv in self.conv_layers:
            atoms = conv(atoms, edges, batch.edges)
        pooled = F.softplus(segment_mean(atoms, batch.node_ptr, batch.node_graph))
        for layer in self.hidden_layers:
            pooled = F.softplus(layer(pooled))
        return pooled

    def forward(self, batch: GraphInput) -> Tensor:
        """Predict.

        Parameters
        ----------
        batch : GraphInput

        Returns
        -------
        Tensor of shape (n_graphs, n_outputs)
        """
        return last_map(self.head, self.embed(batch))
