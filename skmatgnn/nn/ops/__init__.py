"""Segment operations: the one door between the networks and their kernels.

Every graph is an :class:`Adjacency`: edges sorted by receiving node, with the
inverse order for the sender side, so that forward and backward are gathers and
segment sums without atomics, and therefore deterministic on every device. The
edge-gated convolution and the SiLU of a layer norm have fused Triton kernels, used
where :func:`kernels` says; on the CPU they work through blocks of rows that stay in the
cache.
"""

from skmatgnn.nn.ops._adjacency import Adjacency, LineGraph
from skmatgnn.nn.ops._choice import kernels, use_blocks, use_kernels
from skmatgnn.nn.ops._distinct import distinct_rows
from skmatgnn.nn.ops._edge_gated import edge_gated_update
from skmatgnn.nn.ops._norm_silu import is_layer_norm, linear_norm_silu, norm_silu
from skmatgnn.nn.ops.reference import (
    gather_receivers,
    gather_senders,
    segment_mean,
    segment_sum,
)

__all__ = [
    "Adjacency",
    "LineGraph",
    "distinct_rows",
    "edge_gated_update",
    "gather_receivers",
    "gather_senders",
    "is_layer_norm",
    "kernels",
    "linear_norm_silu",
    "norm_silu",
    "segment_mean",
    "segment_sum",
    "use_blocks",
    "use_kernels",
]
