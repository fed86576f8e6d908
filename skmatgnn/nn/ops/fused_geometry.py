"""Cosines of angles and Gaussians of lengths, each in one Triton kernel."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from skmatgnn.nn.ops._adjacency import Adjacency
from skmatgnn.nn.ops._triton_geometry import cosine_kernel, gaussian_kernel
from skmatgnn.nn.ops.fused import stored_dtype

__all__ = ["fused_cosines", "fused_gaussians"]

ANGLES, NUMBERS = 256, 1024  # of a program


def fused_cosines(displacement: Tensor, triplets: Adjacency) -> Tensor:
    """Do what :func:`~skmatgnn.nn.ops.bond_cosines` says.

    Parameters
    ----------
    displacement : Tensor of shape (n_edges, 3)
    triplets : Adjacency

    Returns
    -------
    Tensor of shape (n_triplets,)
    """
    displacement = displacement.contiguous()
    out = displacement.new_empty(triplets.n_edges)
    if len(out):
        with torch.cuda.device_of(out):
            cosine_kernel[(triton.cdiv(len(out), ANGLES),)](
                displacement,
                triplets.sender,
                triplets.receiver,
                out,
                len(out),
                BLOCK=ANGLES,
                num_warps=4,
                enable_fp_fusion=True,
            )
    return out


def fused_gaussians(x: Tensor, centers: Tensor, gamma: float) -> Tensor:
    """Do what :func:`~skmatgnn.nn.ops.gaussians` says.

    Parameters
    ----------
    x : Tensor of shape (n,)
    centers : Tensor of shape (n_basis,)
    gamma : float

    Returns
    -------
    Tensor of shape (n, n_basis)
    """
    x = x.contiguous()
    out = x.new_empty(len(x), len(centers), dtype=stored_dtype(x))
    if out.numel():
        with torch.cuda.device_of(out):
            gaussian_kernel[(triton.cdiv(out.numel(), NUMBERS),)](
                x,
                centers,
                out,
                out.numel(),
                gamma,
                N_BASIS=len(centers),
                BLOCK=NUMBERS,
                num_warps=4,
                enable_fp_fusion=True,
            )
    return out
