"""Segment operations: the one door between the networks and their kernels.

Every graph is an :class:`Adjacency`: edges sorted by receiving node, with the
inverse order for the sender side, so that forward and backward are gathers and
segment sums without atomics, and therefore deterministic on every device. The
edge-gated convolution, the SiLU of the layer norm of a map, cosines, Gaussians and
means have fused Triton kernels, used where :func:`kernels` says; on the CPU the first
two work through blocks of rows that stay in the cache. Convolutions and sums can go
through DGL's kernels instead.
"""

from skmatgnn.nn.ops._adjacency import Adjacency, LineGraph
from skmatgnn.nn.ops._alike import merge_alike
from skmatgnn.nn.ops._branches import branch, branching
from skmatgnn.nn.ops._choice import (
    half_products_pay,
    kernels,
    use_blocks,
    use_dgl,
    use_kernels,
    way_of_computing,
)
from skmatgnn.nn.ops._conv_parts import ConvParts
from skmatgnn.nn.ops._distinct import distinct_rows, nearest_rows
from skmatgnn.nn.ops._edge_gated import PackedMaps, edge_gated_update, pack_maps
from skmatgnn.nn.ops._geometry import bond_cosines, gaussians
from skmatgnn.nn.ops._norm_silu import is_layer_norm, linear_norm_silu, normalise
from skmatgnn.nn.ops._segments import (
    gather_receivers,
    gather_senders,
    segment_mean,
    segment_sum,
)

__all__ = [
    "Adjacency",
    "ConvParts",
    "LineGraph",
    "PackedMaps",
    "bond_cosines",
    "branch",
    "branching",
    "distinct_rows",
    "edge_gated_update",
    "gather_receivers",
    "gather_senders",
    "gaussians",
    "half_products_pay",
    "is_layer_norm",
    "kernels",
    "linear_norm_silu",
    "merge_alike",
    "nearest_rows",
    "normalise",
    "pack_maps",
    "segment_mean",
    "segment_sum",
    "use_blocks",
    "use_dgl",
    "use_kernels",
    "way_of_computing",
]
