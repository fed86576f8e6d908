"""What is done with one block of rows, in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skmatgnn.nn.ops._block_state import BackwardState, ForwardState, Plan, block_rows

__all__ = [
    "backward_block",
    "distinct",
    "forward_block",
    "n_shares",
    "norm_silu",
    "norm_silu_backward",
]

aten = torch.ops.aten


def n_shares() -> int:
    """Count the threads that need sums of their own: operations share theirs.

    Returns
    -------
    int
    """
    return 1


def distinct(x: Tensor) -> tuple[Tensor, Tensor]:
    """Find the distinct numbers, in the order in which they come first.

    Parameters
    ----------
    x : Tensor of shape (n,)

    Returns
    -------
    values : Tensor of shape (m,)
    inverse : Tensor of shape (n,)
        ``x`` is ``values[inverse]``.
    """
    values, inverse = torch.unique(x, return_inverse=True)
    places = torch.arange(len(x))
    first = places.new_full((len(values),), len(x))
    first = first.scatter_reduce_(0, inverse, places, "amin")
    order = first.argsort()
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    return values[order], rank[inverse]


def norm_silu(x: Tensor, weight: Tensor, bias: Tensor, eps: float, out: Tensor) -> None:
    """Normalise rows and apply the SiLU.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    weight, bias : Tensor of shape (d,)
    eps : float
    out : Tensor of shape (n, d)
        Written.
    """
    for part, to in zip(
        *(t.split(block_rows(x.shape[1])) for t in (x, out)), strict=True
    ):
        torch.ops.aten.silu.out(_normalise(part, weight, bias, eps)[0], out=to)


def norm_silu_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    own: Tensor,
    out: Tensor,
) -> None:
    """Go back through :func:`norm_silu`.

    Parameters
    ----------
    grad, x : Tensor of shape (n, d)
    weight, bias : Tensor of shape (d,)
    eps : float
    own : Tensor of shape (1, 2, d)
        To which the gradients of weight and bias are added.
    out : Tensor of shape (n, d)
        Written: the gradient of ``x``.
    """
    parts = (t.split(block_rows(x.shape[1])) for t in (grad, x, out))
    for by, part, to in zip(*parts, strict=True):
        to.copy_(_through_norm_silu(by, part, weight, bias, eps, own[0]))


def _normalise(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.native_layer_norm(x, weight.shape, weight, bias, eps)


def _through_norm_silu(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, eps: float, own: Tensor
) -> Tensor:
    normed, mean, scale = _normalise(x, weight, bias, eps)
    aten.silu_backward.grad_input(grad, normed, grad_input=normed)
    result, *sums = aten.native_layer_norm_backward(
        normed, x, weight.shape, mean, scale, weight, bias, [True] * 3
    )
    own += torch.stack(sums)
    return result


def _sum_segments(values: Tensor, ptr: Tensor) -> Tensor:
    """As an embedding of bags does, which is faster than other sums."""
    every = torch.arange(len(values))
    return torch.embedding_bag(values, every, ptr, include_last_offset=True)[0]


def forward_block(
    plan: Plan, state: ForwardState
) -> Callable[[slice, slice, int], None]:
    """Prepare the way there.

    Parameters
    ----------
    plan : Plan
    state : ForwardState

    Returns
    -------
    callable
        Takes the nodes and edges of a block and the edge that row 0 of the logits is
        of.
    """
    graph, affine = plan.graph, state.affine
    scratch = _Scratch()

    def run(nodes: slice, rows: slice, base: int) -> None:
        sender, receiver = graph.sender[rows], graph.receiver[rows]
        logits = state.logits[rows.start - base : rows.stop - base]
        one, two = scratch(logits, 2)
        edges = None
        if plan.index is None:
            logits += torch.index_select(state.gate_i, 0, receiver, out=one)
            edges = state.edges[rows]
        else:
            torch.index_select(state.gate_i, 0, receiver, out=logits)
            index = plan.index[rows]
            logits += torch.index_select(state.mapped, 0, index, out=one)
        logits += torch.index_select(state.gate_j, 0, sender, out=one)
        gate = torch.sigmoid(logits, out=one)
        messages = torch.index_select(state.message, 0, sender, out=two)
        if plan.edge_messages:
            messages += logits
        if graph.copies is not None:
            gate *= graph.copies[rows].to(gate.dtype).unsqueeze(1)
        messages *= gate
        ptr = graph.receiver_ptr[nodes.start : nodes.stop + 1] - rows.start
        state.ratio[nodes] = _sum_segments(messages, ptr)
        state.inverse[nodes] = _sum_segments(gate, ptr)
        if plan.norm and plan.update_edges:
            normed = _normalise(logits, *affine[2:], plan.eps[2])[0]
            if edges is None:
                edges = torch.index_select(state.edges, 0, index, out=one)
            torch.add(edges, aten.silu_(normed), out=state.new_edges[rows])
        _finish_nodes(plan, state, nodes)

    return run


def _finish_nodes(plan: Plan, state: ForwardState, nodes: slice) -> None:
    inverse = state.inverse[nodes].add_(plan.eps[0]).reciprocal_()
    update = state.update[nodes].add_(state.ratio[nodes].mul_(inverse))
    if plan.norm:
        normed = _normalise(update, *state.affine[:2], plan.eps[1])[0]
        torch.add(state.nodes[nodes], aten.silu_(normed), out=state.new_nodes[nodes])


def backward_block(plan: Plan, state: BackwardState) -> Callable[[slice, slice], None]:
    """Prepare the way back.

    Parameters
    ----------
    plan : Plan
    state : BackwardState

    Returns
    -------
    callable
        Takes the nodes and edges of a block.
    """
    graph, scratch = plan.graph, _Scratch()
    by_top = state.by_update * state.inverse
    by_bottom = (by_top * state.ratio).neg_()

    def run(nodes: slice, rows: slice) -> None:
        sender, receiver = graph.sender[rows], graph.receiver[rows]
        logits = state.logits[rows]
        one, two, three = scratch(logits, 3)
        by_messages = torch.index_select(by_top, 0, receiver, out=one)
        by_gate = torch.index_select(by_bottom, 0, receiver, out=two)
        if graph.copies is not None:
            copies = graph.copies[rows].to(logits.dtype).unsqueeze(1)
            by_messages *= copies
            by_gate *= copies
        messages = torch.index_select(state.message, 0, sender, out=three)
        if plan.edge_messages:
            messages += logits
        by_gate.addcmul_(by_messages, messages)
        gate = torch.sigmoid(logits, out=three)
        by_messages *= gate
        state.by_message[0].index_add_(0, sender, by_messages)
        grad = state.grad[: len(logits)]
        aten.sigmoid_backward.grad_input(by_gate, gate, grad_input=grad)
        if plan.edge_messages:
            grad += by_messages
        if plan.update_edges:
            grad += _by_logits(plan, state, logits, rows)
        state.by_gate_j[0].index_add_(0, sender, grad)
        ptr = graph.receiver_ptr[nodes.start : nodes.stop + 1] - rows.start
        state.by_gate_i[nodes] = _sum_segments(grad, ptr)
        if plan.index is not None:
            state.by_mapped[0].index_add_(0, plan.index[rows], grad)

    return run


def _by_logits(plan: Plan, state: BackwardState, logits: Tensor, rows: slice) -> Tensor:
    outer = state.by_new_edges[rows]
    if not plan.norm:
        return outer
    if plan.index is not None:
        state.by_residual[0].index_add_(0, plan.index[rows], outer)
    return _through_norm_silu(
        outer, logits, *state.affine[2:], plan.eps[2], state.own[0]
    )


class _Scratch:
    """Arrays that blocks use again, as they are in the cache."""

    def __init__(self) -> None:
        self._arrays: list[Tensor] = []

    def __call__(self, like: Tensor, n: int) -> list[Tensor]:
        if not self._arrays or len(self._arrays[0]) < len(like):
            self._arrays = [torch.empty_like(like) for _ in range(n)]
        return [array[: len(like)] for array in self._arrays]
