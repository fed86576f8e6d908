"""What a network reads from a batch of compositions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["TokenBatch"]


@dataclass(frozen=True)
class TokenBatch:
    """Element tokens of several compositions, without padding.

    Parameters
    ----------
    atomic_numbers : Tensor of shape (n_tokens,)
    fractions : Tensor of shape (n_tokens,)
        Of each element; they sum to one in each sample.
    place : Tensor of shape (n_tokens,)
        Where each token is in the padded table of ``n_samples`` rows and ``width``
        columns, read row by row; strictly increasing, but for padding tokens at the
        end, whose place is behind the table.
    n_samples : int
    width : int
        Most elements in a sample.
    """

    atomic_numbers: Tensor
    fractions: Tensor
    place: Tensor
    n_samples: int
    width: int

    def __len__(self) -> int:
        return self.n_samples

    def pad(self, values: Tensor) -> Tensor:
        """Spread values of tokens over the padded table.

        Parameters
        ----------
        values : Tensor of shape (n_tokens, ...)

        Returns
        -------
        Tensor of shape (n_samples, width, ...)
            Zero where there is no token.
        """
        shape, size = values.shape[1:], self.n_samples * self.width
        table = values.new_zeros(size + 1, *shape)
        table = table.index_copy(0, self.place, values)[:size]
        return table.view(self.n_samples, self.width, *shape)

    def unpad(self, table: Tensor) -> Tensor:
        """Read the values of the tokens back.

        Parameters
        ----------
        table : Tensor of shape (n_samples, width, ...)

        Returns
        -------
        Tensor of shape (n_tokens, ...)
            Padding tokens get the last place's, and no gradient of theirs may reach it.
        """
        place = self.place.clamp(max=self.n_samples * self.width - 1)
        return table.flatten(0, 1).index_select(0, place)

    def is_token(self) -> Tensor:
        """Tell places with a token from padding.

        Returns
        -------
        Tensor of shape (n_samples, width), bool
        """
        return self.pad(torch.ones_like(self.atomic_numbers)) > 0

    def with_fractions(self, fractions: Tensor) -> TokenBatch:
        """Exchange the fractions.

        Parameters
        ----------
        fractions : Tensor of shape (n_tokens,)
            They are divided by their sum in each sample.

        Returns
        -------
        TokenBatch
        """
        table = self.pad(fractions)
        table = table / table.sum(dim=1, keepdim=True)
        return replace(self, fractions=self.unpad(table))
