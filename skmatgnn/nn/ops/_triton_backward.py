"""The backward kernels of the edge-gated convolution, all without atomics.

First nodes, row by row; then edges in the order of their senders, whose sums stay in
registers; then the gradients of the logits, which that wrote, are summed by receiver.
Logits and gates are computed again from what the forward pass read.
"""

from __future__ import annotations

import triton
import triton.language as tl

from skmatgnn.nn.ops._triton_parts import (
    clear_padding,
    load_once,
    load_raw,
    load_tile,
    norm_silu_backward,
    normalised_silu_backward,
    segment_total,
    sigmoid,
)

__all__ = ["column_sum_kernel", "node_kernel", "receiver_kernel", "sender_kernel"]


@triton.jit
def node_kernel(
    both,
    node_weight,
    node_bias,
    ratio,
    inverse,
    grad_nodes,
    grad_both,
    scaled,
    partial,
    n_nodes,
    eps,
    node_eps,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    FAST: tl.constexpr,
    NORM: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Gradients by each node's update, and by its numerator, which is ``scaled``.

    A program takes every so many-th tile of nodes and writes one row of ``partial``:
    its share of the sums of the gradients of the messages' bias, the updates' bias,
    and the norm's weight and bias.
    """
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    by_message = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_update = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
    if NORM:
        by_weight = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        by_bias = tl.zeros([BLOCK_E, BLOCK_D], dtype=tl.float32)
        weight = load_tile(node_weight, cols, keep)
        bias = load_tile(node_bias, cols, keep)
    first = tl.program_id(0).to(tl.int64) * BLOCK_E  # so that no offset overflows
    step = tl.num_programs(0) * BLOCK_E
    for start in tl.range(first, n_nodes, step, num_stages=STAGES):
        node = start + tl.arange(0, BLOCK_E)[:, None]
        mask = (node < n_nodes) & keep
        own, wide = node * D + cols, node * (4 * D) + 3 * D + cols
        grad = load_tile(grad_nodes, own, mask)
        if NORM:
            update = load_tile(both, wide, mask) + load_tile(ratio, own, mask)
            grad, of_weight, of_bias = norm_silu_backward(
                update, grad, keep, weight, bias, node_eps, D, FAST
            )
            by_weight += of_weight
            by_bias += of_bias
        by_update += grad
        tl.store(grad_both + wide, grad, mask=mask)
        share = grad * load_tile(inverse, own, mask)
        tl.store(scaled + own, share, mask=mask)
        # of its edges: the gates' sum, which is 1 / inverse - eps, times that
        by_message += grad - eps * share
    out = partial + tl.program_id(0) * (4 if NORM else 2) * D + cols
    tl.store(out, tl.sum(by_message, axis=0)[None, :], mask=keep)
    tl.store(out + D, tl.sum(by_update, axis=0)[None, :], mask=keep)
    if NORM:
        tl.store(out + 2 * D, tl.sum(by_weight, axis=0)[None, :], mask=keep)
        tl.store(out + 3 * D, tl.sum(by_bias, axis=0)[None, :], mask=keep)


@triton.jit
def sender_kernel(
    mapped,
    both,
    ptr,
    by_sender,
    receiver,
    index,
    edge_weight,
    edge_bias,
    moments,
    ratio,
    scaled,
    grad_edges,
    grad_mapped,
    grad_both,
    partial,
    n_nodes,
    n_edges,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_N: tl.constexpr,
    FAST: tl.constexpr,
    NORM: tl.constexpr,
    EDGES: tl.constexpr,
    MESSAGES: tl.constexpr,
    INDEXED: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Gradients by logits, and by the gate and the message that each sender sends.

    A program takes a range of senders, BLOCK_N at a time and BLOCK_E edges of each:
    neighbours send to the same receivers, whose rows are then in the cache. It writes
    one row of ``partial``: its share of the sums of the gradients of the gates' bias,
    and the edge norm's weight and bias.
    """
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    rows = tl.arange(0, BLOCK_N * BLOCK_E)[:, None]
    of_all = tl.zeros([BLOCK_N * BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_weight = tl.zeros([BLOCK_N * BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_bias = tl.zeros([BLOCK_N * BLOCK_E, BLOCK_D], dtype=tl.float32)
    weight = load_tile(edge_weight, cols, keep) if EDGES and NORM else 0.0
    bias = load_tile(edge_bias, cols, keep) if EDGES and NORM else 0.0
    share = tl.cdiv(tl.cdiv(n_nodes, BLOCK_N), tl.num_programs(0)) * BLOCK_N
    first = tl.program_id(0).to(tl.int64) * share  # so that no offset overflows
    last = tl.minimum(first + share, n_nodes)
    for start in range(first, last, BLOCK_N):
        node = start + rows // BLOCK_E
        inside = node < last
        sent = node * (4 * D) + cols
        begin = tl.load(ptr + node, mask=inside, other=0).to(tl.int32)
        end = tl.load(ptr + node + 1, mask=inside, other=0).to(tl.int32)
        by_gate, by_message, by_weight, by_bias = _sent(
            mapped,
            both,
            by_sender,
            receiver,
            index,
            moments,
            ratio,
            scaled,
            grad_edges,
            grad_mapped,
            begin + rows % BLOCK_E,
            end,
            tl.cdiv(tl.max(tl.max(end - begin, axis=1), axis=0), BLOCK_E),
            load_tile(both, sent, inside & keep),
            load_tile(both + D, sent, inside & keep),
            weight,
            bias,
            by_weight,
            by_bias,
            D,
            BLOCK_D,
            BLOCK_E,
            BLOCK_N,
            FAST,
            NORM,
            EDGES,
            MESSAGES,
            INDEXED,
            STAGES,
        )
        of_all += by_gate
        node = start + tl.arange(0, BLOCK_N)[:, None]
        out, mask = grad_both + node * (4 * D) + cols, (node < last) & keep
        _store_each(out, by_gate, mask, BLOCK_N, BLOCK_E, BLOCK_D)
        _store_each(out + D, by_message, mask, BLOCK_N, BLOCK_E, BLOCK_D)
    clear_padding(grad_mapped, tl.load(ptr + n_nodes), n_edges, D, BLOCK_D)
    out = partial + tl.program_id(0) * (3 if EDGES and NORM else 1) * D + cols
    tl.store(out, tl.sum(of_all, axis=0)[None, :], mask=keep)
    if EDGES and NORM:
        tl.store(out + D, tl.sum(by_weight, axis=0)[None, :], mask=keep)
        tl.store(out + 2 * D, tl.sum(by_bias, axis=0)[None, :], mask=keep)


@triton.jit
def _store_each(
    out, x, mask, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_D: tl.constexpr
):
    """Store the sum over the edges of each node."""
    if BLOCK_E > 1:
        x = tl.sum(tl.reshape(x, [BLOCK_N, BLOCK_E, BLOCK_D]), axis=1)
    tl.store(out, x, mask=mask)


@triton.jit
def _sent(
    mapped,
    both,
    by_sender,
    receiver,
    index,
    moments,
    ratio,
    scaled,
    grad_edges,
    grad_mapped,
    begin,
    end,
    n_turns,
    gate_j,
    message_j,
    weight,
    bias,
    by_weight,
    by_bias,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_N: tl.constexpr,
    FAST: tl.constexpr,
    NORM: tl.constexpr,
    EDGES: tl.constexpr,
    MESSAGES: tl.constexpr,
    INDEXED: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Gradients by the logits of the edges from some nodes, and sums over them."""
    cols = tl.arange(0, BLOCK_D)[None, :]
    keep = cols < D
    by_gate = tl.zeros([BLOCK_N * BLOCK_E, BLOCK_D], dtype=tl.float32)
    by_message = tl.zeros([BLOCK_N * BLOCK_E, BLOCK_D], dtype=tl.float32)
    # rows of the next edges are copied to shared memory while these are computed
    for turn in tl.range(0, n_turns, num_stages=STAGES):
        row = begin + turn * BLOCK_E
        inside = row < end
        mask = inside & keep
        edge = tl.load(by_sender + row, mask=inside, other=0)
        target = tl.load(receiver + edge, mask=inside, other=0)
        own = edge * D + cols
        if INDEXED:
            place = tl.load(index + edge, mask=inside, other=0)
            logits = load_raw(mapped, place * D + cols, mask)
        else:
            logits = load_once(mapped, own, mask)
        if EDGES:
            outer = load_once(grad_edges, own, mask)
        gate_i = load_raw(both + 2 * D, target * (4 * D) + cols, mask)
        mean = load_raw(ratio, target * D + cols, mask)
        share = load_raw(scaled, target * D + cols, mask)
        if EDGES and NORM:
            centre = tl.load(moments + 2 * edge, mask=inside, other=0.0)
            inverse_std = tl.load(moments + 2 * edge + 1, mask=inside, other=0.0)

        # in the order of the forward pass, of which the moments are
        logits = logits.to(tl.float32) + gate_j + gate_i.to(tl.float32)
        message = message_j - mean.to(tl.float32)
        if MESSAGES:
            message += logits
        gate = sigmoid(logits, FAST)
        passed = gate * share.to(tl.float32)
        grad = (passed - passed * gate) * message
        if MESSAGES:
            grad += passed
        if EDGES:
            outer = outer.to(tl.float32)
            if NORM:
                outer, of_weight, of_bias = normalised_silu_backward(
                    (logits - centre) * inverse_std,
                    inverse_std,
                    outer,
                    weight,
                    bias,
                    D,
                    FAST,
                )
                by_weight += of_weight
                by_bias += of_bias
            grad += outer
        tl.store(grad_mapped + own, grad, mask=mask)
        by_gate += grad  # zero where masked, as share and outer are
        by_message += passed
    return by_gate, by_message, by_weight, by_bias


@triton.jit
def receiver_kernel(
    ptr,
    grad_mapped,
    grad_both,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_E: tl.constexpr,
):
    """Gradients by the gates of one receiver: the sum of those by its logits."""
    node = tl.program_id(0).to(tl.int64)  # so that no offset overflows
    cols = tl.arange(0, BLOCK_D)[None, :]
    begin, end = tl.load(ptr + node), tl.load(ptr + node + 1)
    total = segment_total(grad_mapped, begin, end, cols, D, BLOCK_D, BLOCK_E)
    tl.store(grad_both + node * 4 * D + 2 * D + cols, total, mask=cols < D)


@triton.jit
def column_sum_kernel(
    partial,
    out,
    n_first,
    n_second,
    D: tl.constexpr,
    FIRST: tl.constexpr,
    SECOND: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLS: tl.constexpr,
):
    """Sum what the programs of the node kernel, then of the sender kernel, wrote.

    The sums are put where the gradients of the maps' biases are one behind the other:
    gate and message of senders, gate and update of receivers, gate of edges; then
    those of the norms. All three gates are the same sum.
    """
    col = tl.program_id(0) * BLOCK_COLS + tl.arange(0, BLOCK_COLS)[None, :]
    row = tl.arange(0, BLOCK_ROWS)[:, None]
    kind = tl.program_id(1)
    n_rows, width = n_first, FIRST * D
    start = partial + kind * D
    if kind >= FIRST:
        n_rows, width = n_second, SECOND * D
        start += n_first * FIRST * D - FIRST * D
    total = tl.zeros([BLOCK_ROWS, BLOCK_COLS], dtype=tl.float32)
    for begin in range(0, n_rows, BLOCK_ROWS):
        mask = (begin + row < n_rows) & (col < D)
        total += tl.load(start + (begin + row) * width + col, mask=mask, other=0.0)
    found = tl.sum(total, axis=0)[None, :]
    if kind == FIRST:
        tl.store(out + col, found, mask=col < D)
        tl.store(out + 2 * D + col, found, mask=col < D)
        tl.store(out + 4 * D + col, found, mask=col < D)
    else:
        place = kind + 3
        if kind < 2:
            place = 2 * kind + 1
        if kind > FIRST:
            place = kind - FIRST + 6
        tl.store(out + place * D + col, found, mask=col < D)
