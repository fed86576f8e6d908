"""The forward kernel of the edge-gated convolution: one program a receiving node."""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import (
    clear_padding,
    load_sources,
    load_tile,
    norm_silu,
    sigmoid,
)

__all__ = ["forward_kernel"]


@triton.jit
def forward_kernel(
    nodes,
    edges,
    mapped,
    both,
    ptr,
    sender,
    node_weight,
    node_bias,
    edge_weight,
    edge_bias,
    new_nodes,
    new_edges,
    ratio,
    inverse,
    n_edges,
    eps,
    node_eps,
    edge_eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    NORM: tl.constexpr,
    EDGES: tl.constexpr,
    MESSAGES: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
    SAVE: tl.constexpr,
):
    """Update a node and the edges into it.

    ``both`` holds four rows a node: the gate and the message that it sends, its own
    gate and its own update.

    Without NORM, what is written is the input of the norms: update and logits.
    """
    node = tl.program_id(0).to(tl.int64)
    receiver = both + node * 4 * D + 2 * D
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    gate_i = load_tile(receiver, cols, keep)
    begin = tl.load(ptr + node)
    degree = (tl.load(ptr + node + 1) - begin).to(tl.int32)
    if EDGES and NORM:
        weight = load_tile(edge_weight, cols, keep)
        bias = load_tile(edge_bias, cols, keep)
    numerator = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    denominator = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    for start in range(0, degree, BLOCK_E):
        row = start + tl.arange(0, BLOCK_E)
        inside = row < degree
        mask = inside[:, None] & keep
        source = load_sources(sender + begin, row, inside, CONSECUTIVE)
        own = row[:, None] * D + cols
        gathered = source[:, None] * (4 * D) + cols
        logits = load_tile(mapped + begin * D, own, mask)
        logits += load_tile(both, gathered, mask) + gate_i
        message = load_tile(both + D, gathered, mask)
        if MESSAGES:
            message += logits
        gate = tl.where(inside[:, None], sigmoid(logits), 0.0)
        numerator += gate * message
        denominator += gate
        if EDGES:
            if NORM:
                logits = norm_silu(logits, keep, weight, bias, edge_eps, D)
                logits += load_tile(edges + begin * D, own, mask)
            tl.store(new_edges + begin * D + own, logits, mask=mask)
    scale = 1.0 / (tl.sum(denominator, axis=0)[None, :] + eps)
    mean = tl.sum(numerator, axis=0)[None, :] * scale
    if SAVE:
        tl.store(ratio + node * D + cols, mean, mask=keep)
        tl.store(inverse + node * D + cols, scale, mask=keep)
    update = load_tile(receiver + D, cols, keep) + mean
    if NORM:
        update = _update_node(
            update, node_weight, node_bias, nodes + node * D, node_eps, D, BLOCK_D
        )
    tl.store(new_nodes + node * D + cols, update, mask=keep)
    if EDGES:
        n_used = tl.load(ptr + tl.num_programs(0))
        clear_padding(new_edges, n_used, n_edges, D, BLOCK_D)


@triton.jit
def _update_node(
    update, weight, bias, node, eps, D: tl.constexpr, BLOCK_D: tl.constexpr
):
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    scale, shift = load_tile(weight, cols, keep), load_tile(bias, cols, keep)
    update = norm_silu(update, keep, scale, shift, eps, D)
    return update + load_tile(node, cols, keep)
