"""Graphs as tensors: packed on a device once, batched there by index arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from skmatgnn.graphs._upload import upload
from skmatgnn.nn.ops import Adjacency, LineGraph
from skmatgnn.utils.capacity import Capacity
from skmatgnn.utils.ragged import row_pointers

if TYPE_CHECKING:
    from skmatgnn.graphs._array import GraphArray

__all__ = ["DeviceGraphs", "GraphBatch"]


@dataclass(frozen=True)
class GraphBatch:
    """Disjoint graphs, numbered through.

    Parameters
    ----------
    node_ptr : Tensor of shape (n_graphs + 1,)
    node_graph : Tensor of shape (n_atoms,)
        Graph of each atom.
    atomic_numbers : Tensor of shape (n_atoms,)
    edges : Adjacency
        Between atoms.
    displacement : Tensor of shape (n_edges, 3)
        From the receiving atom to the sender, in Angstrom.
    triplets : Adjacency
        Between edges: the line graph. Those longer than the three-body cutoff are
        nodes of it too, without neighbours.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.graphs import GraphBatch, StructureToGraph
    >>> salt = Structure(Lattice.cubic(4), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    >>> graphs = StructureToGraph(max_neighbors=8).fit_transform([salt, salt])
    >>> batch = GraphBatch.from_graphs(graphs)
    >>> len(batch), batch.edges.n_edges, batch.triplets.n_edges
    (2, 32, 256)
    """

    node_ptr: Tensor
    node_graph: Tensor
    atomic_numbers: Tensor
    edges: Adjacency
    displacement: Tensor
    triplets: Adjacency

    def __len__(self) -> int:
        return len(self.node_ptr) - 1

    def to(self, device: torch.device | str) -> GraphBatch:
        """Copy to a device.

        Parameters
        ----------
        device : torch.device or str

        Returns
        -------
        GraphBatch
        """
        return GraphBatch(*(getattr(self, f.name).to(device) for f in fields(self)))

    @classmethod
    def from_graphs(
        cls, graphs: GraphArray, device: torch.device | str = "cpu"
    ) -> GraphBatch:
        """Put all graphs into one batch.

        Parameters
        ----------
        graphs : GraphArray
        device : torch.device or str, default="cpu"

        Returns
        -------
        GraphBatch
        """
        return DeviceGraphs(graphs, device).take(np.arange(len(graphs)))

    def to_dgl(
        self, *, atom_features: str = "atomic_number", line_graph: bool = False
    ) -> Any:
        """Make one batched DGLGraph, with the fields that ALIGNN's have.

        Parameters
        ----------
        atom_features : {"atomic_number", "cgcnn"}, default="atomic_number"
            What is in ``ndata["atom_features"]``: atomic numbers, (n_atoms, 1), or
            CGCNN's 92 features.
        line_graph : bool, default=False
            Whether to make the line graph as well, with the cosines of the bond angles
            in ``edata["h"]`` and the bond vectors in ``ndata["r"]``. It has all angles:
            ``DGLGraph.line_graph`` leaves out that of 180 degrees between an atom, its
            periodic image, and the next one.

        Returns
        -------
        DGLGraph, or tuple of two DGLGraph
            With atomic numbers in ``ndata["Z"]`` and vectors from source to
            destination, in Angstrom, in ``edata["r"]``, on the device of the batch.

        Raises
        ------
        ImportError
            If DGL is not installed.
        """
        from skmatgnn.graphs._dgl import batch_to_dgl

        return batch_to_dgl(self, atom_features=atom_features, line_graph=line_graph)

    @classmethod
    def from_dgl(
        cls,
        graph: Any,
        device: torch.device | str = "cpu",
        *,
        three_body_cutoff: float | None = None,
    ) -> GraphBatch:
        """Read a batched DGLGraph, or several.

        Parameters
        ----------
        graph : DGLGraph, or sequence of DGLGraph
            With the fields that :meth:`GraphArray.from_dgl` reads.
        device : torch.device or str, default="cpu"
        three_body_cutoff : float or None, default=None
            Longest bond, in Angstrom, of which angles are taken; None for all.

        Returns
        -------
        GraphBatch

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If a graph lacks what is needed, with its index.
        """
        from skmatgnn.graphs._array import GraphArray

        packed = GraphArray.from_dgl(graph, three_body_cutoff=three_body_cutoff)
        return cls.from_graphs(packed, device)


class DeviceGraphs:
    """The arrays of a GraphArray on a device, from which batches are cut.

    Row lengths are kept on the host as well, so that the sizes of a batch are known
    there and no step waits for the device. The row behind the last is a graph without
    atoms, with which batches can be filled up.

    Parameters
    ----------
    graphs : GraphArray
    device : torch.device or str
    dtype : torch.dtype, optional
        Of the bond vectors; that of the graphs by default.
    """

    def __init__(
        self,
        graphs: GraphArray,
        device: torch.device | str,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.device = torch.device(device)
        first_edge = graphs.edge_ptr[graphs.node_ptr]
        counts = {
            "nodes": graphs.n_atoms,
            "edges": np.diff(first_edge),
            "triplets": _sum_rows(_triplets_by_sender(graphs), graphs.node_ptr),
        }
        self._n_graphs = len(graphs)
        self._counts = np.pad(np.stack([*counts.values()]), [(0, 0), (0, 1)])
        self._mean_counts = self._counts.sum(axis=1) / max(len(graphs), 1)
        self._node_start = self._tensor(graphs.node_ptr)
        self._edge_start = self._tensor(first_edge)
        self._lengths = {
            key: self._tensor(value)
            for key, value in zip(counts, self._counts, strict=True)
        }
        self._numbers = self._tensor(graphs.atomic_numbers)
        self._degree = self._tensor(np.diff(graphs.edge_ptr))
        self._bond_count = self._tensor(graphs.bond_count)
        self._sender = self._tensor(graphs.sender)
        self._reverse = self._tensor(graphs.reverse)
        self._displacement = self._tensor(graphs.displacement)
        if dtype is not None:
            self._displacement = self._displacement.to(dtype)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return upload(array, self.device)

    def __len__(self) -> int:
        return self._n_graphs

    def take(
        self, rows: np.ndarray, rows_on_device: Tensor | None = None
    ) -> GraphBatch:
        """Cut out a batch.

        Parameters
        ----------
        rows : ndarray of shape (n_graphs,), int64
            Which graphs, in this order.
        rows_on_device : Tensor, optional
            The same, if it is already there.

        Returns
        -------
        GraphBatch
        """
        if rows_on_device is None:
            rows_on_device = torch.from_numpy(rows).to(self.device)
        return self._assemble(rows_on_device, self._total(rows))

    def _total(self, rows: np.ndarray) -> dict[str, int]:
        counts = self._counts[:, rows].sum(axis=1).tolist()
        return dict(zip(self._lengths, counts, strict=True))

    def capacity(self, rows: np.ndarray) -> Capacity:
        """Choose the sizes to which a batch is padded, of which there are few.

        Parameters
        ----------
        rows : ndarray of shape (n_graphs,), int64

        Returns
        -------
        Capacity
        """
        usual = (self._mean_counts * len(rows)).tolist()
        return Capacity.fitting(
            len(rows), self._total(rows), dict(zip(self._lengths, usual, strict=True))
        )

    def take_padded(self, rows: Tensor, capacity: Capacity) -> GraphBatch:
        """Cut out a batch whose shapes do not depend on what is in it.

        Padding atoms belong to a graph of their own after the others and have no
        edges. Padding edges and triplets end nowhere: no segment contains them. Both
        adjacencies say how many of their nodes are real, for norms over a batch.
        Nothing waits for the host, so it can be captured in a CUDA graph.

        Parameters
        ----------
        rows : Tensor of shape (n_graphs,), int64
        capacity : Capacity
            As :meth:`capacity` gave it for these rows.

        Returns
        -------
        GraphBatch
            Of ``n_graphs + 1`` graphs.
        """
        return self._assemble(rows, capacity.sizes(), padded=True)

    def _assemble(
        self, rows: Tensor, total: dict[str, int], *, padded: bool = False
    ) -> GraphBatch:
        lengths = {key: value[rows] for key, value in self._lengths.items()}
        node_ptr = _pointers(lengths["nodes"])
        graph_edge_ptr = _pointers(lengths["edges"])
        node_graph = _expand(lengths["nodes"], total["nodes"], padded)
        edge_graph = _expand(lengths["edges"], total["edges"], padded)
        nodes = _ragged(self._node_start[rows], node_ptr, node_graph)
        stored = _ragged(self._edge_start[rows], graph_edge_ptr, edge_graph)
        if padded:
            nodes = _within(nodes, self._numbers)
            stored = _within(stored, self._sender)
        n_atoms = node_ptr[-1]
        numbers, degree = self._numbers[nodes].long(), self._degree[nodes].long()
        bond_count = self._bond_count[nodes].long()
        sender = self._sender[stored].long() + node_ptr[edge_graph]
        reverse = self._reverse[stored].long() + graph_edge_ptr[edge_graph]
        if padded:
            is_atom = torch.arange(len(nodes), device=rows.device) < n_atoms
            degree, bond_count = degree * is_atom, bond_count * is_atom
            node_graph = torch.where(is_atom, node_graph, len(rows))
            node_ptr = torch.cat([node_ptr, node_ptr.new_full((1,), len(nodes))])
            sender, reverse = _within(sender, nodes), _within(reverse, stored)
        edge_ptr = _pointers(degree)
        edges = Adjacency(
            receiver_ptr=edge_ptr,
            receiver=_expand(degree, total["edges"], padded),
            sender=sender,
            sender_ptr=edge_ptr,
            by_sender=reverse,
            n_real=n_atoms if padded else None,
        )
        return GraphBatch(
            node_ptr=node_ptr,
            node_graph=node_graph,
            atomic_numbers=numbers,
            edges=edges,
            displacement=self._displacement[stored],
            triplets=_line_graph(edges, bond_count, total["triplets"], padded),
        )


def _line_graph(
    edges: Adjacency, bond_count: Tensor, n_triplets: int, padded: bool
) -> LineGraph:
    """Pairs of bonds that share an atom; bonds are edges short enough for angles.

    Bonds are the first ``bond_count[v]`` edges into each atom ``v``. The bond
    ``j -> i`` receives from all bonds into ``j``; the bond ``k -> j`` sends to all
    bonds out of ``j``, which are the reverses of the bonds into ``j``.
    """
    start = edges.receiver_ptr[:-1]
    place = torch.arange(edges.n_edges, device=start.device) - start[edges.receiver]
    is_bond = place < bond_count[edges.receiver]

    receiver_ptr = _pointers(bond_count[edges.sender] * is_bond)
    receiver = _expand(receiver_ptr.diff(), n_triplets, padded)
    incoming = _ragged(start[edges.sender], receiver_ptr, receiver)

    sender_ptr = _pointers(bond_count[edges.receiver] * is_bond)
    source = _expand(sender_ptr.diff(), n_triplets, padded)
    sibling = _ragged(start[edges.receiver], sender_ptr, source)
    if padded:
        incoming, sibling = (_within(x, place) for x in (incoming, sibling))
    by_sender = receiver_ptr[edges.by_sender[sibling]] + place[source]
    if padded:
        by_sender = _within(by_sender, source)
    return LineGraph(
        receiver_ptr, receiver, incoming, sender_ptr, by_sender, edges.n_real_edges
    )


def _pointers(lengths: Tensor) -> Tensor:
    ptr = lengths.new_zeros(len(lengths) + 1, dtype=torch.int64)
    torch.cumsum(lengths, 0, out=ptr[1:])
    return ptr


def _expand(lengths: Tensor, total: int, padded: bool) -> Tensor:
    """Row of each item; what is left of a padded total falls to the last row."""
    rows = torch.arange(len(lengths), device=lengths.device)
    if padded:
        surplus = total - lengths.sum()
        lengths = torch.where(rows == len(rows) - 1, lengths + surplus, lengths)
    return torch.repeat_interleave(rows, lengths, output_size=total)


def _ragged(starts: Tensor, ptr: Tensor, row: Tensor) -> Tensor:
    """Concatenate ranges from ``starts`` on; ``row`` is the range of each item."""
    position = torch.arange(len(row), device=row.device)
    return position + (starts - ptr[:-1])[row]


def _within(index: Tensor, table: Tensor) -> Tensor:
    """Let the places of padding point to anything that exists."""
    return index.clamp(max=len(table) - 1)


def _sum_rows(values: np.ndarray, ptr: np.ndarray) -> np.ndarray:
    return np.diff(row_pointers(values)[ptr])


def _triplets_by_sender(graphs: GraphArray) -> np.ndarray:
    """Pairs of bonds that share each atom: as many come in as go out."""
    return graphs.bond_count.astype(np.int64) ** 2
