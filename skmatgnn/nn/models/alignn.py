"""Atomistic line graph neural network.

Choudhary, DeCost, "Atomistic Line Graph Neural Network for improved materials
property predictions", npj Comput. Mater. 7, 185 (2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from skmatgnn.nn._blocks import Block
from skmatgnn.nn._inputs import GraphInput
from skmatgnn.nn._rows import Rows, graph_rows
from skmatgnn.nn.layers import (
    EdgeGatedConv,
    ElementEmbedding,
    GaussianBasis,
    NormedLinear,
    last_map,
)
from skmatgnn.nn.ops import (
    PackedMaps,
    branch,
    distinct_rows,
    is_layer_norm,
    nearest_rows,
    pack_maps,
    use_blocks,
    use_dgl,
)

__all__ = ["ALIGNN", "ALIGNNLayer"]


class ALIGNNLayer(nn.Module):
    """One update of atoms and bonds on the crystal graph, then of bonds and angles.

    Parameters
    ----------
    dim : int
        Width of atom, bond and angle features.
    norm : {"layer", "batch"}
    update_angles : bool, default=True
        False in the last such layer, whose angle features nobody reads.
    edge_messages : bool, default=False
        As in EdgeGatedConv.
    """

    def __init__(
        self,
        dim: int,
        norm: str,
        *,
        update_angles: bool = True,
        edge_messages: bool = False,
    ) -> None:
        super().__init__()
        self.node_update = EdgeGatedConv(dim, norm, edge_messages=edge_messages)
        self.edge_update = EdgeGatedConv(
            dim, norm, update_edges=update_angles, edge_messages=edge_messages
        )

    def forward(
        self,
        atoms: Tensor,
        edges: Tensor,
        angles: Tensor,
        batch: GraphInput | Rows,
        packed: Sequence[PackedMaps | None] = (None, None),
        indices: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update.

        Parameters
        ----------
        atoms : Tensor of shape (n_atoms, dim)
        edges : Tensor of shape (n_edges, dim)
        angles : Tensor of shape (n_triplets, dim)
        batch : GraphInput or Rows
        packed : sequence of 2
            Of :func:`skmatgnn.nn.ops.pack_maps` for both updates.
        indices : tuple of 2 Tensor or None, default=(None, None)
            Row of ``edges`` that each edge reads, and of ``angles`` each triplet, where
            many are alike.

        Returns
        -------
        atoms, edges, angles : Tensor
            Of one row an atom, an edge and a triplet.
        """
        atoms, edges = self.node_update(
            atoms, edges, batch.edges, packed[0], indices[0]
        )
        edges, angles = self.edge_update(
            edges, angles, batch.triplets, packed[1], indices[1]
        )
        return atoms, edges, angles


class ALIGNN(nn.Module):
    """ALIGNN: convolutions on the crystal graph and on its line graph.

    Parameters
    ----------
    element_table : Tensor of shape (n_elements, d)
        Element features by atomic number.
    n_outputs : int, default=1
        Columns of the output.
    n_alignn_layers : int, default=4
        Layers that update atoms, bonds and angles.
    n_gcn_layers : int, default=4
        Layers after them that update atoms and bonds only.
    hidden_dim : int, default=256
        Width of atom, bond and angle features.
    embedding_dim : int, default=64
        Width between the radial or angular basis and ``hidden_dim``.
    n_radial : int, default=80
        Gaussians of the bond length, from 0 to ``cutoff``.
    n_angular : int, default=40
        Gaussians of the bond-angle cosine.
    cutoff : float, default=8.0
        Last centre of the radial basis, in Angstrom.
    norm : {"layer", "batch"}, default="layer"
        ``"batch"`` is the published model; ``"layer"`` does not depend on what else
        is in the batch.
    edge_messages : bool, default=False
        Whether messages carry bond and angle features themselves; False is the
        published model, which cannot tell the structures of a pure element apart.

    Notes
    -----
    The mean over atoms makes the output that of an intensive property.

    References
    ----------
    Choudhary, DeCost, npj Comput. Mater. 7, 185 (2021).
    """

    def __init__(
        self,
        element_table: Tensor,
        *,
        n_outputs: int = 1,
        n_alignn_layers: int = 4,
        n_gcn_layers: int = 4,
        hidden_dim: int = 256,
        embedding_dim: int = 64,
        n_radial: int = 80,
        n_angular: int = 40,
        cutoff: float = 8.0,
        norm: str = "layer",
        edge_messages: bool = False,
    ) -> None:
        super().__init__()
        self.elements = ElementEmbedding(element_table)
        self.atom_embedding = NormedLinear(
            element_table.shape[1], hidden_dim, norm, full_precision=True
        )
        self.edge_embedding = nn.Sequential(
            GaussianBasis.alignn(0.0, cutoff, n_radial),
            NormedLinear(n_radial, embedding_dim, norm),
            NormedLinear(embedding_dim, hidden_dim, norm),
        )
        self.angle_embedding = nn.Sequential(
            GaussianBasis.alignn(-1.0, 1.0, n_angular),
            NormedLinear(n_angular, embedding_dim, norm),
            NormedLinear(embedding_dim, hidden_dim, norm),
        )
        last = n_alignn_layers - 1
        self.alignn_layers = nn.ModuleList(
            ALIGNNLayer(
                hidden_dim, norm, update_angles=i < last, edge_messages=edge_messages
            )
            for i in range(n_alignn_layers)
        )
        last = n_gcn_layers - 1
        self.gcn_layers = nn.ModuleList(
            EdgeGatedConv(
                hidden_dim, norm, update_edges=i < last, edge_messages=edge_messages
            )
            for i in range(n_gcn_layers)
        )
        self.head = nn.Linear(hidden_dim, n_outputs)

    @staticmethod
    def half_width(*, hidden_dim: int = 256, norm: str = "layer", **_: object) -> int:
        """Tell how wide the rows are that blocks on the CPU may multiply in bfloat16.

        Parameters
        ----------
        hidden_dim : int, default=256
        norm : {"layer", "batch"}, default="layer"
        **_ : object
            Other parameters of the network.

        Returns
        -------
        int
            0 with batch norm, with which the error was not measured.
        """
        return hidden_dim if norm == "layer" else 0

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
        embeddings = ("atom_embedding", "edge_embedding", "angle_embedding")
        found = [Block(name, "embedding", 0) for name in embeddings]
        depth = 1
        for i in range(len(self.alignn_layers)):
            layer = f"alignn_layers.{i}"
            found.append(Block(f"{layer}.node_update", "two_body", depth))
            found.append(Block(f"{layer}.edge_update", "three_body", depth))
            depth += 1
        for i in range(len(self.gcn_layers)):
            found.append(Block(f"gcn_layers.{i}", "two_body", depth))
            depth += 1
        return [*found, Block("head", "head", depth)]

    def _convs(self) -> Iterator[EdgeGatedConv]:
        layers: Any = self.alignn_layers, self.gcn_layers
        for layer in layers[0]:
            yield layer.node_update
            yield layer.edge_update
        yield from layers[1]

    def embed(self, batch: GraphInput) -> Tensor:
        """Compute the pooled graph features that the head reads.

        Parameters
        ----------
        batch : GraphInput

        Returns
        -------
        Tensor of shape (n_graphs, hidden_dim)
        """
        rows = graph_rows(
            batch,
            angles=len(self.alignn_layers) > 0,
            merge=is_layer_norm(self.atom_embedding[1]),
        )
        of_maps = branch("maps")
        with of_maps.beside():  # the embeddings, which do not read them
            packed = pack_maps([conv.maps for conv in self._convs()])
        atoms = self.elements(rows.atomic_numbers)
        atoms = self.atom_embedding(atoms, rows.edges.n_real)
        n_real = rows.edges.n_real_edges
        edges, index = _embed(self.edge_embedding, rows.lengths, n_real)
        angles: Any = None
        of_angles: Tensor | None = None
        if rows.cosines is not None:
            n_real = rows.triplets.n_real_edges
            bounds = (-1.0, 1.0)
            angles, of_angles = _embed(
                self.angle_embedding, rows.cosines, n_real, bounds
            )
        of_maps.wait(*(maps[0] for maps in packed if maps is not None))
        indices, maps_of = (index, of_angles), iter(packed)
        for layer in self.alignn_layers:
            pair = (next(maps_of), next(maps_of))
            atoms, edges, angles = layer(atoms, edges, angles, rows, pair, indices)
            index, indices = None, (None, None)
        for conv in self.gcn_layers:
            atoms, edges = conv(atoms, edges, rows.edges, next(maps_of), index)
            index = None
        return rows.pool(atoms)

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


def _embed(
    blocks: nn.Sequential,
    x: Tensor,
    n_real: Tensor | None,
    bounds: tuple[float, float] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Embed numbers; where blocks compute, each of equal ones only once.

    Numbers between bounds may be rounded to a grid on the GPU.
    """
    basis, *maps = blocks
    last: Any = maps[-1]
    index = None
    # distinct numbers have no gradient, which positions may ask for
    alone = is_layer_norm(last[1]) and not x.requires_grad
    if alone and n_real is None and use_blocks(x):
        x, index = distinct_rows(x)
    elif alone and bounds is not None:
        x, index = nearest_rows(x, *bounds)
    rows = basis(x)
    for block in maps:
        rows = block(rows, n_real)
    return rows, index
