"""Crystal graphs: neighbour search, packed storage and batches."""

from skmatgnn.graphs._array import GraphArray, GraphSettings
from skmatgnn.graphs._batch import DeviceGraphs, GraphBatch
from skmatgnn.graphs._transformer import StructureToGraph, ensure_graphs

__all__ = [
    "DeviceGraphs",
    "GraphArray",
    "GraphBatch",
    "GraphSettings",
    "StructureToGraph",
    "ensure_graphs",
]
