"""Initial weights from an explicit generator, so that threads cannot mix them up."""

from __future__ import annotations

import torch
from torch import nn

from skmatgnn.nn._noise import NoiseSource

__all__ = ["initialize_weights"]


def initialize_weights(module: nn.Module, seed: int) -> None:
    """Draw all linear weights and biases from U(-1/sqrt(n_in), 1/sqrt(n_in)).

    This is torch's default distribution; only the source of randomness differs.
    Normalisation layers start at their fixed defaults. A source of noise gets a seed
    that follows from the same one.

    Parameters
    ----------
    module : torch.nn.Module
    seed : int
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                if layer.bias is not None:
                    layer.bias.uniform_(-bound, bound, generator=generator)
    for layer in module.modules():
        if isinstance(layer, NoiseSource):
            layer.reseed(seed)
