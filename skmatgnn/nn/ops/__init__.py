"""Segment operations: the one door between the networks and their kernels.

Every graph is an :class:`Adjacency`: edges sorted by receiving node, with the
inverse order for the sender side, so that forward and backward are gathers and
segment sums without atomics, and therefore deterministic on every device.
"""

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops.reference import (
    gather_receivers,
    gather_senders,
    segment_mean,
    segment_sum,
)

__all__ = [
    "Adjacency",
    "gather_receivers",
    "gather_senders",
    "segment_mean",
    "segment_sum",
]
