"""Crystal graphs: neighbour search, packed storage and batches."""

from skmatgnn.graphs._array import GraphArray, GraphSettings
from skmatgnn.graphs._batch import DeviceGraphs, GraphBatch
from skmatgnn.graphs._dgl import is_dgl_graph
from skmatgnn.graphs._streamed import StreamedGraphs, place_graphs, resident_budget
from skmatgnn.graphs._transformer import StructureToGraph, ensure_graphs
from skmatgnn.graphs._writer import GraphWriter

__all__ = [
    "DeviceGraphs",
    "GraphArray",
    "GraphBatch",
    "GraphSettings",
    "GraphWriter",
    "StreamedGraphs",
    "StructureToGraph",
    "ensure_graphs",
    "is_dgl_graph",
    "place_graphs",
    "resident_budget",
]
