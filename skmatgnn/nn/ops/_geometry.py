"""What networks read of bonds and angles: the door and the reference."""

from __future__ import annotations

import torch
from torch import Tensor

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._choice import use_kernels

__all__ = ["bond_cosines", "gaussians"]


def bond_cosines(displacement: Tensor, triplets: Adjacency) -> Tensor:
    """Cosine of the angle at the atom that two bonds share.

    Plain torch, or a Triton kernel where :func:`~skmatgnn.nn.ops.kernels` says so and
    positions have no gradient.

    Parameters
    ----------
    displacement : Tensor of shape (n_edges, 3)
        From each edge's receiving atom to its sender.
    triplets : Adjacency
        Pairs of edges ``k -> j`` (sender) and ``j -> i`` (receiver).

    Returns
    -------
    Tensor of shape (n_triplets,)
        Cosine of the angle k-j-i; 1 for an edge and its own reverse.
    """
    if not displacement.requires_grad and use_kernels(displacement, 3):
        from skmatgnn.nn.ops.fused_geometry import fused_cosines

        return fused_cosines(displacement, triplets)
    unit = displacement / displacement.norm(dim=1, keepdim=True)
    to_k = unit.index_select(0, triplets.sender)
    to_i = unit.index_select(0, triplets.receiver)
    return -(to_k * to_i).sum(dim=1).clamp(-1.0, 1.0)


def gaussians(x: Tensor, centers: Tensor, gamma: float) -> Tensor:
    """Expand scalars in Gaussians, ``exp(-gamma (x - center)^2)``.

    Plain torch, or a Triton kernel, which writes the format of autocast, where
    :func:`~skmatgnn.nn.ops.kernels` says so and the scalars have no gradient.

    Parameters
    ----------
    x : Tensor of shape (n,)
    centers : Tensor of shape (n_basis,)
    gamma : float
        Inverse squared width.

    Returns
    -------
    Tensor of shape (n, n_basis)
    """
    fixed = not (x.requires_grad or centers.requires_grad)
    if fixed and use_kernels(x, len(centers)):
        from skmatgnn.nn.ops.fused_geometry import fused_gaussians

        return fused_gaussians(x, centers, gamma)
    return torch.exp(-gamma * (x.unsqueeze(-1) - centers) ** 2)
