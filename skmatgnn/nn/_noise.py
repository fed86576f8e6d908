"""Random numbers of a network's own, so that threads cannot mix them up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "NoiseSource"]

N_VALUES = 2**16
SMALLEST_WORD = -(2**63)


class NoiseSource(nn.Module):
    """Draws from a seeded generator and not from torch's global one.

    All layers of a network share one source. It has no parameters; its state is
    pickled, so that training goes on after loading as it would have without.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start anew.

        Parameters
        ----------
        seed : int
        """
        self.seed = seed
        self._generator: torch.Generator | None = None
        self._saved: tuple[str, Tensor] | None = None

    def generator(self, device: torch.device) -> torch.Generator:
        """Get the generator for a device; another device starts anew.

        Parameters
        ----------
        device : torch.device

        Returns
        -------
        torch.Generator
        """
        if self._generator is None or self._generator.device.type != device.type:
            self._generator = torch.Generator(device).manual_seed(self.seed)
            if self._saved is not None and self._saved[0] == device.type:
                self._generator.set_state(self._saved[1])
            self._saved = None
        return self._generator

    def dropout(self, x: Tensor, p: float) -> Tensor:
        """Set random values to zero and scale the others up.

        Parameters
        ----------
        x : Tensor
        p : float
            Share of zeros.

        Returns
        -------
        Tensor
        """
        generator = self.generator(x.device)
        if x.device.type == "cpu":
            return x * _scaled_mask(x, p, generator)
        keep = torch.empty_like(x, requires_grad=False)
        keep.bernoulli_(1.0 - p, generator=generator)
        return x * keep.div_(1.0 - p)

    def normal_like(self, x: Tensor) -> Tensor:
        """Draw standard normal numbers.

        Parameters
        ----------
        x : Tensor
            Of the shape that is wanted.

        Returns
        -------
        Tensor
        """
        return torch.empty_like(x).normal_(generator=self.generator(x.device))

    def position(self) -> tuple[str, Tensor] | None:
        """Say how far the generator has come.

        Returns
        -------
        tuple of str and Tensor, or None
            Kind of device, and state of its generator; None if nothing was drawn.
        """
        if self._generator is None:
            return self._saved
        return self._generator.device.type, self._generator.get_state()

    def move_to(self, position: tuple[str, Tensor] | None) -> None:
        """Go on where another run was.

        Parameters
        ----------
        position : tuple of str and Tensor, or None
            As :meth:`position` gives it.
        """
        self._generator, self._saved = None, position

    def __getstate__(self) -> dict[str, Any]:
        saved = self.position()
        return {**self.__dict__, "_generator": None, "_saved": saved}


class Dropout(nn.Module):
    """Dropout that draws from a given source.

    Parameters
    ----------
    p : float
        Share of zeros in training.
    noise : NoiseSource
    """

    def __init__(self, p: float, noise: NoiseSource) -> None:
        super().__init__()
        self.p = p
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        """Drop.

        Parameters
        ----------
        x : Tensor

        Returns
        -------
        Tensor
        """
        return self.noise.dropout(x, self.p) if self.training and self.p else x


def _scaled_mask(x: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Draw zeros, and what keeps the mean, in half the time of ``bernoulli_``."""
    n_zero = min(round(p * N_VALUES), N_VALUES - 1)  # of those of 16 bits
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    words.random_(SMALLEST_WORD, None, generator=generator)
    values = words.view(torch.int16)[: x.numel()].view(x.shape)
    keep = values >= n_zero - N_VALUES // 2
    return keep.to(x.dtype).mul_(N_VALUES / (N_VALUES - n_zero))
