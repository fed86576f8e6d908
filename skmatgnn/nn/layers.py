"""Blocks that the structure networks are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn.ops import (
    Adjacency,
    ConvParts,
    PackedMaps,
    edge_gated_update,
    gather_receivers,
    gather_senders,
    gaussians,
    linear_norm_silu,
    normalise,
    segment_sum,
)

__all__ = [
    "BatchNorm",
    "CrystalGraphConv",
    "EdgeGatedConv",
    "ElementEmbedding",
    "GaussianBasis",
    "NormedLinear",
    "last_map",
    "make_norm",
]


def last_map(layer: nn.Module, x: Tensor) -> Tensor:
    """Compute what a network gives in the format of its weights, under any autocast.

    Outputs rounded to bfloat16 have three digits.

    Parameters
    ----------
    layer : torch.nn.Module
    x : Tensor

    Returns
    -------
    Tensor
    """
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.to(next(layer.parameters()).dtype))


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that also trains on a single row.

    One row has no variance, so it is normalised with the running statistics, as in
    evaluation, and leaves them alone.

    Where several processes train on parts of a batch, ``all_sum`` adds up a tensor of
    each of them, and the statistics are those of the whole batch. Where a batch is
    padded, they are those of its real rows.
    """

    all_sum: Callable[[Tensor], Tensor] | None = None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor, n_real: Tensor | None = None) -> Tensor:
        """Normalise rows.

        Parameters
        ----------
        x : Tensor of shape (n, d)
        n_real : Tensor of shape (), optional
            How many rows come before those that are padding; none are without it.

        Returns
        -------
        Tensor of shape (n, d)
        """
        if self.training and not (self.all_sum is None and n_real is None):
            return self._over_real_rows(x, n_real)
        if self.training and len(x) < 2:
            return F.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        return super().forward(x)

    def _over_real_rows(self, x: Tensor, n_real: Tensor | None) -> Tensor:
        """Normalise without any step that waits for the host."""
        rows, add = x.to(self.weight.dtype), self.all_sum or _same
        if n_real is None:
            n_real = torch.full((), len(rows), device=x.device)
        is_real = (torch.arange(len(rows), device=x.device) < n_real).unsqueeze(1)
        rows = torch.where(is_real, rows, 0)
        n = add(n_real.to(rows.dtype))
        has_spread = n > 1
        mean = add(rows.sum(dim=0)) / n.clamp(min=1)
        mean = torch.where(has_spread, mean, self.running_mean)
        centred = torch.where(is_real, rows - mean, 0)
        variance = add(centred.square().sum(dim=0)) / n.clamp(min=1)
        variance = torch.where(has_spread, variance, self.running_var)
        y = centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        with torch.no_grad():
            share: Tensor | float | None = self.momentum
            if share is None:  # a plain average over the batches
                share = 1 / (self.num_batches_tracked.to(rows.dtype) + 1)
            rate = share * has_spread.to(rows.dtype)
            self.running_mean.lerp_(mean, rate)
            self.running_var.lerp_(variance * (n / (n - 1).clamp(min=1)), rate)
            self.num_batches_tracked += has_spread
        return y.to(x.dtype)


def _same(x: Tensor) -> Tensor:
    return x


def make_norm(kind: str, dim: int) -> nn.Module:
    """Build a normalisation layer.

    Parameters
    ----------
    kind : {"layer", "batch"}
        Over the features of a row, or over the rows of a batch.
    dim : int
        Number of features.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    ValueError
        If ``kind`` is unknown.
    """
    if kind == "layer":
        return nn.LayerNorm(dim)
    if kind == "batch":
        return BatchNorm(dim)
    raise ValueError(f"norm must be 'layer' or 'batch'; got {kind!r}.")


class GaussianBasis(nn.Module):
    """Expand scalars in Gaussians, ``exp(-gamma (x - center)^2)``.

    Parameters
    ----------
    start, stop : float
        First and last centre, in the unit of the scalars.
    n_basis : int
        Number of equally spaced centres.
    gamma : float
        Inverse squared width.
    """

    centers: Tensor

    def __init__(self, start: float, stop: float, n_basis: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        centers = torch.linspace(start, stop, n_basis, dtype=torch.float32)
        self.register_buffer("centers", centers)

    @classmethod
    def alignn(cls, start: float, stop: float, n_basis: int) -> GaussianBasis:
        """Use ALIGNN's width: gamma is one over the spacing, not over its square.

        Parameters
        ----------
        start, stop : float
        n_basis : int

        Returns
        -------
        GaussianBasis
        """
        return cls(start, stop, n_basis, (n_basis - 1) / (stop - start))

    def forward(self, x: Tensor) -> Tensor:
        """Expand.

        Parameters
        ----------
        x : Tensor of shape (n,)

        Returns
        -------
        Tensor of shape (n, n_basis)
        """
        return gaussians(x, self.centers, self.gamma)


class ElementEmbedding(nn.Module):
    """Look up fixed element features by atomic number.

    Parameters
    ----------
    table : Tensor of shape (n_elements, d)
        Row ``Z`` describes the element of atomic number ``Z``.
    """

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        # an unknown element's NaN row is rejected before it gets here
        self.register_buffer("table", torch.nan_to_num(table).float())

    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Look up.

        Parameters
        ----------
        atomic_numbers : Tensor of shape (n_atoms,)

        Returns
        -------
        Tensor of shape (n_atoms, d)
        """
        return self.table.index_select(0, atomic_numbers)


class NormedLinear(nn.Sequential):
    """Linear map, normalisation, SiLU: the embedding block of ALIGNN.

    Parameters
    ----------
    in_dim, out_dim : int
    norm : {"layer", "batch"}
    full_precision : bool, default=False
        Whether fused kernels return float32 under autocast, as plain torch does after
        a layer norm: for atoms, which are few. Bonds and angles are left in bfloat16.
    """

    def __init__(
        self, in_dim: int, out_dim: int, norm: str, *, full_precision: bool = False
    ) -> None:
        super().__init__(
            nn.Linear(in_dim, out_dim), make_norm(norm, out_dim), nn.SiLU()
        )
        self.full_precision = full_precision

    def forward(self, x: Tensor, n_real: Tensor | None = None) -> Tensor:
        """Map rows.

        Parameters
        ----------
        x : Tensor of shape (n, in_dim)
        n_real : Tensor of shape (), optional
            How many rows come before those that are padding; none are without it.

        Returns
        -------
        Tensor of shape (n, out_dim)
        """
        linear: Any = self[0]
        norm = self[1]
        return linear_norm_silu(
            x, linear, norm, n_real, full_precision=self.full_precision
        )


class EdgeGatedConv(nn.Module):
    r"""Edge-gated graph convolution with residual node and edge updates.

    With node features :math:`h`, edge features :math:`e` and an edge from ``j`` to
    ``i``,

    .. math::
        m_{ij} &= A h_j + B h_i + C e_{ij} \\
        h_i' &= h_i + \mathrm{SiLU}\Big(\mathrm{Norm}\Big(
            U h_i + \frac{\sum_j \sigma(m_{ij}) \odot V h_j}
                         {\sum_j \sigma(m_{ij}) + \epsilon}\Big)\Big) \\
        e_{ij}' &= e_{ij} + \mathrm{SiLU}(\mathrm{Norm}(m_{ij}))

    Parameters
    ----------
    dim : int
        Width of node and edge features.
    norm : {"layer", "batch"}
    update_edges : bool, default=True
        False where nobody reads the new edge features, so that they are not made.
    edge_messages : bool, default=False
        Whether the message is :math:`V h_j + m_{ij}` in place of :math:`V h_j`.

    Notes
    -----
    The gates are normalised, so where all neighbours are alike the published message
    does not depend on the edges at all: every structure of a pure element gets the
    same node features. ``edge_messages`` mends that.

    References
    ----------
    Bresson, Laurent, arXiv:1711.07553; Choudhary, DeCost, npj Comput. Mater. 7, 185
    (2021), equations 1-4.
    """

    eps = 1e-6

    def __init__(
        self,
        dim: int,
        norm: str,
        *,
        update_edges: bool = True,
        edge_messages: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.edge_messages = edge_messages
        self.sender = nn.Linear(dim, 2 * dim)  # A and V: gate and message
        self.receiver = nn.Linear(dim, 2 * dim)  # B and U: gate and update
        self.edge = nn.Linear(dim, dim)  # C
        self.node_norm = make_norm(norm, dim)
        self.edge_norm = make_norm(norm, dim) if update_edges else None

    @property
    def maps(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """Maps of senders, receivers and edges."""
        return self.sender, self.receiver, self.edge

    def forward(
        self,
        nodes: Tensor,
        edges: Tensor,
        graph: Adjacency,
        packed: PackedMaps | None = None,
        index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Update nodes and edges.

        Parameters
        ----------
        nodes : Tensor of shape (n_nodes, dim)
        edges : Tensor of shape (n_edges, dim), or (n_rows, dim) with an index
        graph : Adjacency
        packed : tuple of 4 Tensor, optional
            Of :func:`skmatgnn.nn.ops.pack_maps` for the maps of this layer.
        index : Tensor of shape (n_edges,) or None, default=None
            Row of ``edges`` that each edge reads, where many are alike.

        Returns
        -------
        nodes : Tensor of shape (n_nodes, dim)
        edges : Tensor of shape (n_edges, dim)
            The input where ``update_edges`` is False.
        """
        norms = (self.node_norm, self.edge_norm)
        parts = ConvParts(*self.maps, *norms, self.eps, self.edge_messages)
        return edge_gated_update(nodes, edges, graph, parts, packed=packed, index=index)


class CrystalGraphConv(nn.Module):
    r"""Convolution of CGCNN.

    .. math::
        z_{ij} = v_i \oplus v_j \oplus u_{ij}, \qquad
        v_i' = g\Big(v_i + \mathrm{BN}\sum_j \sigma(W_f z_{ij} + b_f) \odot
               g(W_s z_{ij} + b_s)\Big)

    with :math:`g` the softplus and a batch norm on the concatenated logits.

    Parameters
    ----------
    node_dim : int
    edge_dim : int
    norm : {"batch", "layer"}, default="batch"

    References
    ----------
    Xie, Grossman, Phys. Rev. Lett. 120, 145301 (2018), equation 5.
    """

    def __init__(self, node_dim: int, edge_dim: int, norm: str = "batch") -> None:
        super().__init__()
        self.node_dim = node_dim
        # W z, split by its three inputs: node products are made once a node
        self.receiver = nn.Linear(node_dim, 2 * node_dim)
        self.sender = nn.Linear(node_dim, 2 * node_dim, bias=False)
        self.edge = nn.Linear(edge_dim, 2 * node_dim, bias=False)
        self.logit_norm = make_norm(norm, 2 * node_dim)
        self.node_norm = make_norm(norm, node_dim)

    def forward(self, nodes: Tensor, edges: Tensor, graph: Adjacency) -> Tensor:
        """Update nodes.

        Parameters
        ----------
        nodes : Tensor of shape (n_nodes, node_dim)
        edges : Tensor of shape (n_edges, edge_dim)
        graph : Adjacency

        Returns
        -------
        Tensor of shape (n_nodes, node_dim)
        """
        logits = (
            self.edge(edges)
            + gather_senders(self.sender(nodes), graph)
            + gather_receivers(self.receiver(nodes), graph)
        )
        logits = normalise(self.logit_norm, logits, graph.n_real_edges)
        gate, core = logits.split(self.node_dim, dim=1)
        messages = torch.sigmoid(gate) * F.softplus(core)
        summed = segment_sum(messages, graph.receiver_ptr, graph.receiver)
        return F.softplus(nodes + normalise(self.node_norm, summed, graph.n_real))
