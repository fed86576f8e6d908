"""The backward kernels of the edge-gated convolution, both without atomics.

Logits and gates are computed again from what the forward pass read. Edges are summed
by receiver, then, with the gradients of the logits that this wrote, by sender.
"""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import (
    clear_padding,
    load_sources,
    load_tile,
    norm_silu_backward,
    sigmoid,
)

__all__ = ["receiver_kernel", "sender_kernel"]


@triton.jit
def receiver_kernel(
    mapped,
    both,
    ptr,
    sender,
    node_weight,
    node_bias,
    edge_weight,
    edge_bias,
    ratio,
    inverse,
    grad_nodes,
    grad_edges,
    grad_mapped,
    grad_both,
    scaled,
    partial,
    n_nodes,
    n_edges,
    node_eps,
    edge_eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    NORM: tl.constexpr,
    EDGES: tl.constexpr,
    MESSAGES: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
):
    """Gradients by logits and by the two rows of each receiver.

    ``scaled`` is the gradient of each node's numerator, which the sender kernel
    reads. A program takes every so many-th node and writes one row of ``partial``:
    its share of the gradients of the node norm's weight and bias and the edge norm's.
    """
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    by_weight = tl.zeros([1, BLOCK_D], dtype=tl.float32)
    by_bias = tl.zeros([1, BLOCK_D], dtype=tl.float32)
    by_edge_weight = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_edge_bias = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    first = tl.program_id(0).to(tl.int64)  # so that no offset overflows
    for node in range(first, n_nodes, tl.num_programs(0)):
        mean = load_tile(ratio + node * D, cols, keep)
        grad = load_tile(grad_nodes + node * D, cols, keep)
        if NORM:
            update = load_tile(both + node * 4 * D + 3 * D, cols, keep) + mean
            weight = load_tile(node_weight, cols, keep)
            bias = load_tile(node_bias, cols, keep)
            grad, of_weight, of_bias = norm_silu_backward(
                update, grad, keep, weight, bias, node_eps, D
            )
            by_weight += of_weight
            by_bias += of_bias
        rows = grad_both + node * 4 * D + 2 * D + cols
        tl.store(rows + D, grad, mask=keep)
        grad *= load_tile(inverse + node * D, cols, keep)
        tl.store(scaled + node * D + cols, grad, mask=keep)
        begin = tl.load(ptr + node)
        degree = (tl.load(ptr + node + 1) - begin).to(tl.int32)
        by_gate, by_edge_weight, by_edge_bias = _segment(
            mapped + begin * D,
            both,
            sender + begin,
            grad_edges + begin * D if EDGES else None,
            grad_mapped + begin * D,
            load_tile(both + node * 4 * D + 2 * D, cols, keep),
            edge_weight,
            edge_bias,
            mean,
            grad,
            by_edge_weight,
            by_edge_bias,
            degree,
            edge_eps,
            D,
            BLOCK_D,
            BLOCK_E,
            NORM,
            EDGES,
            MESSAGES,
            CONSECUTIVE,
        )
        tl.store(rows, by_gate, mask=keep)
    clear_padding(grad_mapped, tl.load(ptr + n_nodes), n_edges, D, BLOCK_D)
    if NORM:
        out = partial + tl.program_id(0) * 4 * D + cols
        tl.store(out, by_weight, mask=keep)
        tl.store(out + D, by_bias, mask=keep)
        tl.store(out + 2 * D, tl.sum(by_edge_weight, axis=0)[None, :], mask=keep)
        tl.store(out + 3 * D, tl.sum(by_edge_bias, axis=0)[None, :], mask=keep)


@triton.jit
def _segment(
    mapped,
    both,
    sender,
    grad_edges,
    grad_mapped,
    gate_i,
    edge_weight,
    edge_bias,
    mean,
    scaled,
    by_edge_weight,
    by_edge_bias,
    degree,
    edge_eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    NORM: tl.constexpr,
    EDGES: tl.constexpr,
    MESSAGES: tl.constexpr,
    CONSECUTIVE: tl.constexpr,
):
    """Gradients by the logits of the edges into one node, and their sum."""
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    if EDGES and NORM:
        weight = load_tile(edge_weight, cols, keep)
        bias = load_tile(edge_bias, cols, keep)
    total = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    for start in range(0, degree, BLOCK_E):
        row = start + tl.arange(0, BLOCK_E)
        inside = row < degree
        mask = inside[:, None] & keep
        source = load_sources(sender, row, inside, CONSECUTIVE)
        own = row[:, None] * D + cols
        gathered = source[:, None] * (4 * D) + cols
        logits = load_tile(mapped, own, mask) + gate_i
        logits += load_tile(both, gathered, mask)
        message = load_tile(both + D, gathered, mask)
        if MESSAGES:
            message += logits
        gate = sigmoid(logits)
        grad = scaled * gate * (1.0 - gate) * (message - mean)
        if MESSAGES:
            grad += scaled * gate
        if EDGES:
            outer = load_tile(grad_edges, own, mask)
            if NORM:
                outer, of_weight, of_bias = norm_silu_backward(
                    logits, outer, keep, weight, bias, edge_eps, D
                )
                by_edge_weight += of_weight
                by_edge_bias += of_bias
            grad += outer
        tl.store(grad_mapped + own, grad, mask=mask)
        total += tl.where(mask, grad, 0.0)
    return tl.sum(total, axis=0)[None, :], by_edge_weight, by_edge_bias


@triton.jit
def sender_kernel(
    mapped,
    both,
    ptr,
    by_sender,
    receiver,
    grad_mapped,
    scaled,
    grad_both,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Gradients by the rows of one sender: of its gate and of its message."""
    node = tl.program_id(0).to(tl.int64)
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    gate_j = load_tile(both + node * 4 * D, cols, keep)
    begin = tl.load(ptr + node)
    degree = (tl.load(ptr + node + 1) - begin).to(tl.int32)
    by_gate = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_message = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    for start in range(0, degree, BLOCK_E):
        row = start + tl.arange(0, BLOCK_E)
        inside = row < degree
        mask = inside[:, None] & keep
        edge = tl.load(by_sender + begin + row, mask=inside, other=0)
        target = tl.load(receiver + edge, mask=inside, other=0)
        own = edge[:, None] * D + cols
        logits = load_tile(mapped, own, mask) + gate_j
        logits += load_tile(both + 2 * D, target[:, None] * (4 * D) + cols, mask)
        grad = load_tile(scaled, target[:, None] * D + cols, mask)
        by_message += sigmoid(logits) * grad
        by_gate += load_tile(grad_mapped, own, mask)
    out = grad_both + node * 4 * D + cols
    tl.store(out, tl.sum(by_gate, axis=0)[None, :], mask=keep)
    tl.store(out + D, tl.sum(by_message, axis=0)[None, :], mask=keep)
