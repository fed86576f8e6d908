"""Colours of the nodes and edges of a graph, refined by loops that Numba compiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["mix_rows", "refine"]

compiled = njit(nogil=True, error_model="numpy", cache=True)

FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
STEP = np.uint64(0x9E3779B97F4A7C15)
S30, S27, S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@compiled
def _scatter(x: Any) -> Any:
    """Step of SplitMix64, which gives no two numbers the same."""
    x = x + STEP
    x = (x ^ (x >> S30)) * FIRST
    x = (x ^ (x >> S27)) * SECOND
    return x ^ (x >> S31)


@compiled
def _mix(one: Any, other: Any) -> Any:
    return _scatter(_scatter(one) ^ other)


@compiled
def mix_rows(one: Any, other: Any, third: Any, out: Any) -> None:
    for r in range(len(out)):
        out[r] = _mix(_mix(one[r], other[r]), third[r])


@compiled
def refine(
    nodes: Any,
    edges: Any,
    cosines: Any,
    ptr: Any,
    sender: Any,
    triplet_ptr: Any,
    triplet_sender: Any,
) -> None:
    """Refine the colours of nodes and edges once, by those around them."""
    seen = np.empty_like(edges)
    for r in range(len(edges)):
        total = np.uint64(0)
        for t in range(triplet_ptr[r], triplet_ptr[r + 1]):
            total += _mix(cosines[t], edges[triplet_sender[t]])
        seen[r] = _mix(edges[r], total)
    before = nodes.copy()
    for v in range(len(nodes)):
        total = np.uint64(0)
        for r in range(ptr[v], ptr[v + 1]):
            total += _mix(seen[r], before[sender[r]])
        nodes[v] = _mix(before[v], total)
    for v in range(len(nodes)):
        for r in range(ptr[v], ptr[v + 1]):
            edges[r] = _mix(_mix(seen[r], nodes[sender[r]]), nodes[v])
