"""Crystal graphs as DGL graphs, in the field's spelling, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.graphs._dgl_fields import Sample, pack_samples, read_sample
from skmatgnn.utils._dgl import import_dgl
from skmatgnn.utils.elements import cgcnn_element_features
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from skmatgnn.graphs._array import GraphArray, GraphSettings
    from skmatgnn.graphs._batch import GraphBatch

__all__ = ["batch_to_dgl", "graphs_from_dgl", "graphs_to_dgl", "is_dgl_graph"]

CHUNK = 512  # graphs that are packed or made at once
FEATURES = ("atomic_number", "cgcnn")


def is_dgl_graph(value: Any) -> bool:
    """Tell a DGLGraph by what it has, without importing DGL.

    Parameters
    ----------
    value : object

    Returns
    -------
    bool

    Examples
    --------
    >>> from skmatgnn.graphs import is_dgl_graph
    >>> is_dgl_graph("NaCl")
    False
    """
    needed = ("ndata", "edata", "edges", "num_nodes", "batch_size")
    return not isinstance(value, type) and all(hasattr(value, n) for n in needed)


def batch_to_dgl(batch: GraphBatch, *, atom_features: str, line_graph: bool) -> Any:
    """Make one batched DGLGraph, and its line graph.

    Parameters
    ----------
    batch : GraphBatch
    atom_features : {"atomic_number", "cgcnn"}
    line_graph : bool

    Returns
    -------
    DGLGraph, or tuple of two DGLGraph
    """
    if atom_features not in FEATURES:
        raise InvalidValueError(
            f"atom_features must be one of {FEATURES}; got {describe(atom_features)}."
        )
    dgl = import_dgl(purpose="A DGLGraph")
    edges, numbers = batch.edges, batch.atomic_numbers
    graph = dgl.graph((edges.sender, edges.receiver), num_nodes=len(numbers))
    vector = -batch.displacement
    graph.ndata["Z"] = numbers.long()
    graph.ndata["atom_features"] = _features(numbers, atom_features, vector.dtype)
    graph.edata["r"] = vector
    edge_ptr = edges.receiver_ptr[batch.node_ptr]
    graph.set_batch_num_nodes(batch.node_ptr.diff())
    graph.set_batch_num_edges(edge_ptr.diff())
    if not line_graph:
        return graph
    pairs = batch.triplets
    lines = dgl.graph((pairs.sender, pairs.receiver), num_nodes=edges.n_edges)
    lines.ndata["r"] = vector
    lines.edata["h"] = _cosines(vector, pairs.sender, pairs.receiver)
    lines.set_batch_num_nodes(edge_ptr.diff())
    lines.set_batch_num_edges(pairs.receiver_ptr[edge_ptr].diff())
    return graph, lines


def _features(numbers: Tensor, kind: str, dtype: torch.dtype) -> Tensor:
    if kind == "atomic_number":
        return numbers.to(dtype).unsqueeze(1)
    table = torch.tensor(cgcnn_element_features(), dtype=dtype, device=numbers.device)
    rows = table[numbers.long()]
    unknown = rows.isnan().any(dim=1)
    if unknown.any():
        raise InvalidValueError(
            f"CGCNN has no features of the element {int(numbers[unknown][0])}; take "
            "atom_features='atomic_number'."
        )
    return rows


def _cosines(vector: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Cosine at j of the bonds k -> j and j -> i, as ALIGNN has it."""
    unit = vector / vector.norm(dim=1, keepdim=True)
    return -(unit[first] * unit[second]).sum(dim=1).clamp(-1.0, 1.0)


def graphs_to_dgl(graphs: GraphArray, *, atom_features: str) -> list[Any]:
    """Make one DGLGraph of each graph.

    Parameters
    ----------
    graphs : GraphArray
    atom_features : {"atomic_number", "cgcnn"}

    Returns
    -------
    list of DGLGraph
    """
    from skmatgnn.graphs._batch import GraphBatch

    dgl = import_dgl(purpose="A DGLGraph")
    made: list[Any] = []
    for start in range(0, len(graphs), CHUNK):
        part = graphs[start : start + CHUNK].without_angles()
        batch = GraphBatch.from_graphs(part)
        whole = batch_to_dgl(batch, atom_features=atom_features, line_graph=False)
        made.extend(dgl.unbatch(whole))
    return made


def graphs_from_dgl(
    graphs: Any, settings: GraphSettings, *, angles: bool
) -> GraphArray:
    """Pack DGL graphs.

    Parameters
    ----------
    graphs : DGLGraph or sequence of DGLGraph
        A bare one may be batched.
    settings : GraphSettings
        How the graphs are said to be made.
    angles : bool
        Whether bond vectors are needed, of which angles can be taken; without, bond
        lengths will do, and the line graph is empty.

    Returns
    -------
    GraphArray

    Raises
    ------
    InvalidTypeError
        If a graph is none of DGL's, with its index.
    InvalidValueError
        If a graph lacks what is needed, with its index.
    """
    from skmatgnn.graphs._array import GraphArray

    parts, chunk, start = [], [], 0
    for sample in _samples(graphs, angles):
        chunk.append(sample)
        if len(chunk) == CHUNK:
            parts.append(pack_samples(chunk, settings, start))
            start, chunk = start + len(chunk), []
    if chunk:
        parts.append(pack_samples(chunk, settings, start))
    if not parts:
        raise InvalidValueError("There are no graphs; at least one is needed.")
    packed = GraphArray.concatenate(parts)
    if not angles:
        return packed.without_angles()
    return packed.with_three_body_cutoff(settings.three_body_cutoff)


def _samples(graphs: Any, angles: bool) -> Iterator[Sample]:
    if is_dgl_graph(graphs):
        yield from read_sample(graphs, 0, angles=angles)
        return
    if not isinstance(graphs, Sequence) and not hasattr(graphs, "__array__"):
        raise InvalidTypeError(
            f"Expected a DGLGraph or a list of them; got {describe(graphs)}."
        )
    for index, graph in enumerate(graphs):
        if not is_dgl_graph(graph):
            raise InvalidTypeError(
                f"Expected a DGLGraph at index {index}; got {describe(graph)}. Do not "
                "mix DGL graphs with structures or other graphs."
            )
        if int(graph.batch_size) != 1:
            raise InvalidValueError(
                f"The DGLGraph at index {index} is a batch of {graph.batch_size}; one "
                "graph for each sample is needed. Take it apart with dgl.unbatch."
            )
        yield from read_sample(graph, index, angles=angles)
