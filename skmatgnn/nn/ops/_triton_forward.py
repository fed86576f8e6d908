"""The forward kernel of the edge-gated convolution: one program a receiving node."""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import (
    clear_padding,
    load_raw,
    load_tile,
    norm_silu,
    normalised_silu,
    row_moments,
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
    index,
    node_weight,
    node_bias,
    edge_weight,
    edge_bias,
    new_nodes,
    new_edges,
    ratio,
    inverse,
    moments,
    n_edges,
    eps,
    node_eps,
    edge_eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    FAST: tl.constexpr,
    NORM: tl.constexpr,
    EDGES: tl.constexpr,
    MESSAGES: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
    SAVE: tl.constexpr,
    INDEXED: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Update a node and the edges into it.

    ``both`` holds four rows a node: the gate and the message that it sends, its own
    gate and its own update. If INDEXED, ``edges`` and ``mapped`` are rows of which
    ``index`` says which each edge reads.

    Without NORM, what is written is the input of the norms: update and logits. The
    backward pass reads the ratio of each node's sums, the inverse of the lower one,
    and mean and inverse standard deviation of each edge's logits.
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
    lane = tl.arange(0, BLOCK_E)[:, None]
    first = tl.load(sender + begin, mask=degree > 0, other=0)
    # rows of the next edges are copied to shared memory while these are computed
    for start in tl.range(0, degree, BLOCK_E, num_stages=STAGES):
        row = start + lane
        inside = row < degree
        mask = inside & keep
        own = row * D + cols
        source = _sources(sender + begin, first, row, inside, CONSECUTIVE)
        gathered = source * (4 * D) + cols
        place = _places(index, begin, row, degree, INDEXED)
        logits = _edge_rows(mapped, begin, own, place * D + cols, mask, D, INDEXED)
        sent = load_raw(both, gathered, mask)
        message = load_raw(both + D, gathered, mask)
        if EDGES and NORM:
            residual = _edge_rows(edges, begin, own, place * D + cols, mask, D, INDEXED)

        logits = logits.to(tl.float32) + sent.to(tl.float32) + gate_i
        message = message.to(tl.float32)
        if MESSAGES:
            message += logits
        gate = _gates(logits, inside, BLOCK_E, FAST)
        numerator += gate * message
        denominator += gate
        if EDGES:
            if NORM:
                logits = _update_edges(
                    logits, residual, moments, begin + row, inside, keep,
                    weight, bias, edge_eps, D, FAST, SAVE,
                )  # fmt: skip
            tl.store(new_edges + begin * D + own, logits, mask=mask)
    scale = 1.0 / (tl.sum(denominator, axis=0)[None, :] + eps)
    mean = tl.sum(numerator, axis=0)[None, :] * scale
    if SAVE:
        tl.store(ratio + node * D + cols, mean, mask=keep)
        tl.store(inverse + node * D + cols, scale, mask=keep)
    _update_node(
        load_tile(receiver + D, cols, keep) + mean, node_weight, node_bias,
        nodes + node * D, new_nodes + node * D, node_eps, D, BLOCK_D, FAST, NORM,
    )  # fmt: skip
    if EDGES:
        n_used = tl.load(ptr + tl.num_programs(0))
        clear_padding(new_edges, n_used, n_edges, D, BLOCK_D)


@triton.jit
def _sources(sender, first, row, inside, CONSECUTIVE: tl.constexpr):
    """Senders of the edges into a node."""
    if CONSECUTIVE:  # noqa: SIM108 - decided at compile time
        found = first + row
    else:
        found = tl.load(sender + row, mask=inside, other=0)
    return found


@triton.jit
def _gates(logits, inside, BLOCK_E: tl.constexpr, FAST: tl.constexpr):
    gate = sigmoid(logits, FAST)
    if BLOCK_E > 1:  # else there is an edge in every turn
        gate = tl.where(inside, gate, 0.0)
    return gate


@triton.jit
def _places(index, begin, row, degree, INDEXED: tl.constexpr):
    """Rows that edges read."""
    if INDEXED:  # noqa: SIM108 - decided at compile time
        found = tl.load(index + begin + row, mask=row < degree, other=0)
    else:
        found = row  # not used
    return found


@triton.jit
def _edge_rows(array, begin, own, there, mask, D: tl.constexpr, INDEXED: tl.constexpr):
    if INDEXED:
        found = load_raw(array, there, mask)
    else:
        found = load_raw(array + begin * D, own, mask)
    return found


@triton.jit
def _update_edges(
    logits,
    residual,
    moments,
    edge,
    inside,
    keep,
    weight,
    bias,
    eps,
    D: tl.constexpr,
    FAST: tl.constexpr,
    SAVE: tl.constexpr,
):
    mean, inverse_std = row_moments(logits, keep, eps, D)
    if SAVE:
        tl.store(moments + 2 * edge, mean, mask=inside)
        tl.store(moments + 2 * edge + 1, inverse_std, mask=inside)
    hat = (logits - mean) * inverse_std
    return normalised_silu(hat, weight, bias, FAST) + residual.to(tl.float32)


@triton.jit
def _update_node(
    update,
    weight,
    bias,
    node,
    new_node,
    eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    FAST: tl.constexpr,
    NORM: tl.constexpr,
):
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    if NORM:
        scale, shift = load_tile(weight, cols, keep), load_tile(bias, cols, keep)
        update = norm_silu(update, keep, scale, shift, eps, D, FAST)
        update += load_tile(node, cols, keep)
    tl.store(new_node + cols, update, mask=keep)
