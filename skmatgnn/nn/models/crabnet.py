"""Compositionally restricted attention-based network.

Wang, Kauwe, Murdock, Sparks, "Compositionally restricted attention-based network for
materials property predictions", npj Comput. Mater. 7, 77 (2021).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn._blocks import Block
from skmatgnn.nn._noise import Dropout, NoiseSource
from skmatgnn.nn._tokens import TokenBatch
from skmatgnn.nn.layers import ElementEmbedding, last_map

__all__ = ["CrabNet"]

LOG_FACTOR = 0.0025  # brings the squared log2 of a fraction of 1e-6 to one
MIN_HALF_WIDTH = 512  # the published one
LARGEST_LOG_STD = 3.0  # deviations from a 20th to 20 times the targets' spread


class FractionEncoding(nn.Module):
    """Sines and cosines of an element's fraction, and of its squared logarithm.

    Parameters
    ----------
    dim : int
        Width, a multiple of four: half of it for each of the two.
    resolution : int, default=5000
        Steps between zero and one.
    base : float, default=50.0
        The wavelength of column i of n is its (2 i / n)-th power, in steps over 2 pi,
        so that the longest is nearly its square. Even columns are sines, odd ones
        cosines.
    """

    frequencies: Tensor  # of the sines and of the cosines

    def __init__(self, dim: int, resolution: int = 5000, base: float = 50.0) -> None:
        super().__init__()
        self.resolution = resolution
        exponents = torch.arange(dim // 2, dtype=torch.float32) / (dim // 4)
        columns = (base**-exponents).view(-1, 2)
        self.register_buffer("frequencies", columns.T.contiguous())

    def forward(self, fractions: Tensor) -> Tensor:
        """Encode.

        Parameters
        ----------
        fractions : Tensor of shape (n_tokens,)

        Returns
        -------
        Tensor of shape (n_tokens, 2, dim / 2)
            Of the fraction, and of its logarithm: sines, then cosines.
        """
        log = (LOG_FACTOR * fractions.log2() ** 2).clamp(max=1.0)
        share = torch.stack([fractions, log], dim=-1)
        step = (share * self.resolution).round().clamp(min=1.0) - 1.0
        of_sine, of_cosine = self.frequencies
        step = step.unsqueeze(-1)
        return torch.cat([(step * of_sine).sin(), (step * of_cosine).cos()], dim=-1)


class EncoderLayer(nn.Module):
    """Self-attention among the elements of a composition, then two linear maps.

    Parameters
    ----------
    d_model : int
    n_heads : int
    dim_feedforward : int
    dropout : float
    norm_first : bool
        Whether to normalise what goes into the attention and the linear maps, and not
        the sums after them.
    noise : NoiseSource
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        dim_feedforward: int,
        dropout: float,
        norm_first: bool,
        noise: NoiseSource,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_first = norm_first
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.project = nn.Linear(d_model, d_model)
        self.expand = nn.Linear(d_model, dim_feedforward)
        self.contract = nn.Linear(dim_feedforward, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout, noise)

    def forward(
        self, x: Tensor, batch: TokenBatch, is_token: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update the tokens.

        Parameters
        ----------
        x : Tensor of shape (n_tokens, d_model)
        batch : TokenBatch
        is_token : Tensor of shape (n_samples, width), bool

        Returns
        -------
        x : Tensor of shape (n_tokens, d_model)
        weights : Tensor of shape (n_samples, n_heads, width, width)
            Attention that each token (third axis) pays to each (last axis).
        """
        if self.norm_first:
            mixed, weights = self._attend(self.norm1(x), batch, is_token)
            x = x + mixed
            return x + self._feed_forward(self.norm2(x)), weights
        mixed, weights = self._attend(x, batch, is_token)
        x = self.norm1(x + mixed)
        return self.norm2(x + self._feed_forward(x)), weights

    def _attend(
        self, x: Tensor, batch: TokenBatch, is_token: Tensor
    ) -> tuple[Tensor, Tensor]:
        qkv = batch.pad(self.qkv(x)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5
        scores = scores.masked_fill(~is_token[:, None, None, :], -torch.inf)
        weights = scores.softmax(dim=-1)
        mixed = (self.dropout(weights) @ value).transpose(1, 2).flatten(-2)
        return self.dropout(self.project(batch.unpad(mixed))), weights

    def _feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(F.relu(self.expand(x)))
        return self.dropout(self.contract(hidden))


class ResidualHead(nn.Module):
    """Linear layers with shortcuts, then a linear map.

    Parameters
    ----------
    widths : sequence of int
        Of the input and of each layer.
    n_outputs : int
    """

    def __init__(self, widths: list[int], n_outputs: int) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.shortcuts = nn.ModuleList(
            nn.Identity() if a == b else nn.Linear(a, b, bias=False) for a, b in pairs
        )
        self.output = nn.Linear(widths[-1], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows.

        Parameters
        ----------
        x : Tensor of shape (n, widths[0])

        Returns
        -------
        Tensor of shape (n, n_outputs)
        """
        for layer, shortcut in zip(self.layers, self.shortcuts, strict=True):
            x = F.leaky_relu(layer(x)) + shortcut(x)
        return last_map(self.output, x)


class CrabNet(nn.Module):
    """CrabNet: attention among the elements of a composition.

    Parameters
    ----------
    element_table : Tensor of shape (n_elements, d)
        Element features by atomic number.
    n_outputs : int, default=1
        Targets, or classes.
    d_model : int, default=512
        Width of the tokens; a multiple of four and of ``n_heads``.
    n_layers : int, default=3
        Attention layers.
    n_heads : int, default=4
        Attention heads of each.
    dim_feedforward : int or None, default=None
        Width between the linear maps of a layer; None is four times ``d_model``.
    dropout : float, default=0.1
    norm_first : bool, default=False
        Whether layers normalise their inputs instead of their sums; False as published.
    fraction_noise : float, default=0.0
        In training fractions are multiplied by one plus this times a normal number.
    uncertainty : bool, default=False
        Whether to predict, after the targets, the logarithms of their standard
        deviations.
    fraction_resolution : int, default=5000
        Steps of the fraction encoding.
    fraction_base : float, default=50.0
        Wavelengths of the fraction encoding reach nearly its square.

    Notes
    -----
    Dropout and noise come from a generator of the network's own, ``noise``.

    References
    ----------
    Wang, Kauwe, Murdock, Sparks, npj Comput. Mater. 7, 77 (2021).
    """

    def __init__(
        self,
        element_table: Tensor,
        *,
        n_outputs: int = 1,
        d_model: int = 512,
        n_layers: int = 3,
        n_heads: int = 4,
        dim_feedforward: int | None = None,
        dropout: float = 0.1,
        norm_first: bool = False,
        fraction_noise: float = 0.0,
        uncertainty: bool = False,
        fraction_resolution: int = 5000,
        fraction_base: float = 50.0,
    ) -> None:
        super().__init__()
        self.n_outputs, self.uncertainty = n_outputs, uncertainty
        self.fraction_noise = fraction_noise
        self.noise = NoiseSource()
        self.elements = ElementEmbedding(element_table)
        self.element_embedding = nn.Linear(element_table.shape[1], d_model)
        self.fraction_encoding = FractionEncoding(
            d_model, fraction_resolution, fraction_base
        )
        # powers of two: the elements count double at first, as published
        self.element_scale = nn.Parameter(torch.ones(()))
        self.fraction_scale = nn.Parameter(torch.zeros(2))
        self.layers = nn.ModuleList(
            EncoderLayer(
                d_model,
                n_heads,
                4 * d_model if dim_feedforward is None else dim_feedforward,
                dropout,
                norm_first,
                self.noise,
            )
            for _ in range(n_layers)
        )
        widths = [d_model, 2 * d_model, d_model, d_model // 2, d_model // 4]
        # one output more is the gate
        self.head = ResidualHead(widths, n_outputs * (1 + uncertainty) + 1)

    @staticmethod
    def half_width(*, d_model: int = 512, **_: object) -> int:
        """Tell how wide the products are that the CPU may do in bfloat16.

        Parameters
        ----------
        d_model : int, default=512
        **_ : object
            Other parameters of the network.

        Returns
        -------
        int
            0 below the published width, for which the error was measured.
        """
        return d_model if d_model >= MIN_HALF_WIDTH else 0

    def accepts_padding(self) -> bool:
        """Whether rows that no segment contains leave all others' results alone.

        Returns
        -------
        bool
        """
        return True

    def blocks(self) -> list[Block]:
        """Name the parts of the network, from the input to the head.

        Returns
        -------
        list of Block
        """
        embeddings = ("element_embedding", "element_scale", "fraction_scale")
        layers = range(len(self.layers))
        return [
            *(Block(name, "embedding", 0) for name in embeddings),
            *(Block(f"layers.{i}", "attention", i + 1) for i in layers),
            Block("head", "head", len(self.layers) + 1),
        ]

    def _with_noise(self, batch: TokenBatch) -> TokenBatch:
        if not (self.training and self.fraction_noise):
            return batch
        noise = self.noise.normal_like(batch.fractions)
        fractions = batch.fractions * (1.0 + self.fraction_noise * noise)
        return batch.with_fractions(fractions.clamp(1e-9, 1.0))

    def _encode(
        self, batch: TokenBatch, is_token: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Tokens after the last layer, and each layer's attention."""
        batch = self._with_noise(batch)
        elements = self.element_embedding(self.elements(batch.atomic_numbers))
        fractions = self.fraction_encoding(batch.fractions)
        fractions = fractions * self.fraction_scale.exp2().unsqueeze(-1)
        x = elements * self.element_scale.exp2() + fractions.flatten(1)
        attention = []
        for layer in self.layers:
            x, weights = layer(x, batch, is_token)
            attention.append(weights)
        return x, attention

    def embed(self, batch: TokenBatch) -> Tensor:
        """Average the tokens of each composition after the last layer.

        Parameters
        ----------
        batch : TokenBatch

        Returns
        -------
        Tensor of shape (n_samples, d_model)
        """
        is_token = batch.is_token()
        return _mean_over_tokens(self._encode(batch, is_token)[0], batch, is_token)

    def attention(self, batch: TokenBatch) -> Tensor:
        """Compute the attention weights.

        Parameters
        ----------
        batch : TokenBatch

        Returns
        -------
        Tensor of shape (n_samples, n_layers, n_heads, width, width)
            What each element (fourth axis) takes from each (last axis), which sums to
            one; without meaning where there is no element.
        """
        return torch.stack(self._encode(batch, batch.is_token())[1], dim=1)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Predict.

        Parameters
        ----------
        batch : TokenBatch

        Returns
        -------
        Tensor of shape (n_samples, n_outputs) or (n_samples, 2 * n_outputs)
            The latter with ``uncertainty``.
        """
        is_token = batch.is_token()
        tokens, _ = self._encode(batch, is_token)
        outputs = _mean_over_tokens(self.head(tokens), batch, is_token)
        value = outputs[:, : self.n_outputs] * outputs[:, -1:].sigmoid()
        if not self.uncertainty:
            return value
        log_std = outputs[:, self.n_outputs : -1]
        # bounded, so that targets that are met exactly do not drive it to infinity
        log_std = LARGEST_LOG_STD * torch.tanh(log_std / LARGEST_LOG_STD)
        return torch.cat([value, log_std], dim=1)


def _mean_over_tokens(values: Tensor, batch: TokenBatch, is_token: Tensor) -> Tensor:
    return batch.pad(values).sum(dim=1) / is_token.sum(dim=1, keepdim=True)
