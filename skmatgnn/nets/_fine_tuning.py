"""Which parts of a pre-trained network are trained, from when on, and how fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from skmatgnn.errors import InvalidValueError
from skmatgnn.nn._blocks import Block

__all__ = [
    "STRATEGIES",
    "FineTuning",
    "freeze_blocks",
    "parameters_of",
    "rate_factors",
]

RATE_DECAY = 2.6


@dataclass(frozen=True)
class FineTuning:
    """A strategy: which blocks of a network are trained.

    Parameters
    ----------
    name : str
    trained : frozenset of str, optional
        Roles of the blocks that are trained; all by default.
    frozen : frozenset of str, default=frozenset()
        Roles of the blocks that are not.
    gradual : bool, default=False
        Whether training begins with the head and takes in one depth after another.
    rate_decay : float, default=1.0
        By what the learning rate is divided at each depth from the head down.

    References
    ----------
    Devi, Butler, Sai Gautam, npj Comput. Mater. 10, 300 (2024): all, head, two-body
    and three-body. Howard, Ruder, "Universal Language Model Fine-tuning for Text
    Classification", arXiv:1801.06146, section 3.2: gradual and discriminative.
    """

    name: str
    trained: frozenset[str] | None = None
    frozen: frozenset[str] = frozenset()
    gradual: bool = False
    rate_decay: float = 1.0

    def select(self, blocks: Iterable[Block]) -> list[Block]:
        """Pick the blocks that are trained.

        Parameters
        ----------
        blocks : iterable of Block
            All of a network.

        Returns
        -------
        list of Block

        Raises
        ------
        InvalidValueError
            If the network has no block of a role that the strategy names.
        """
        blocks = list(blocks)
        missing = self.missing(blocks)
        if missing:
            usable = [s.name for s in STRATEGIES.values() if not s.missing(blocks)]
            raise InvalidValueError(
                f"fine_tuning={self.name!r} names the {missing[0]} blocks, which this "
                f"network does not have: its blocks are {_roles(blocks)}. Use one of "
                f"{usable}."
            )
        return [
            block
            for block in blocks
            if block.role not in self.frozen
            and (self.trained is None or block.role in self.trained)
        ]

    def missing(self, blocks: Iterable[Block]) -> list[str]:
        """Find what the strategy names and a network lacks.

        Parameters
        ----------
        blocks : iterable of Block
            All of a network.

        Returns
        -------
        list of str
            Roles.
        """
        named = (self.trained or frozenset()) | self.frozen
        return sorted(named - set(_roles(blocks)))


def _roles(blocks: Iterable[Block]) -> list[str]:
    return list(dict.fromkeys(block.role for block in blocks))


STRATEGIES: MappingProxyType[str, FineTuning] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            FineTuning("full"),
            FineTuning("head", trained=frozenset({"head"})),
            FineTuning("two_body", trained=frozenset({"two_body", "head"})),
            FineTuning("three_body", trained=frozenset({"three_body", "head"})),
            FineTuning("all_but_embedding", frozen=frozenset({"embedding"})),
            FineTuning("gradual", gradual=True),
            FineTuning("discriminative", rate_decay=RATE_DECAY),
        )
    }
)


def parameters_of(module: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """Find the parameters of a block.

    Parameters
    ----------
    module : torch.nn.Module
    name : str
        Of a submodule or a parameter.

    Returns
    -------
    dict of str to Parameter

    Raises
    ------
    InvalidValueError
        If there is none.
    """
    found = {
        key: parameter
        for key, parameter in module.named_parameters()
        if key == name or key.startswith(f"{name}.")
    }
    if not found:
        prefixes = list(dict.fromkeys(key.split(".")[0] for key in module.state_dict()))
        raise InvalidValueError(
            f"No parameter of {type(module).__name__} is named {name!r} or begins with "
            f"it; the names begin with {prefixes}."
        )
    return found


def rate_factors(module: Any, strategy: FineTuning) -> dict[str, float]:
    """Say by what the learning rate of each block is multiplied.

    Parameters
    ----------
    module : torch.nn.Module
    strategy : FineTuning

    Returns
    -------
    dict of str to float
        By the pattern of the names of the block's parameters.
    """
    blocks = module.blocks()
    last = blocks[-1].depth
    factors = {}
    for name, _, depth in blocks:
        pattern = name if name in parameters_of(module, name) else f"{name}.*"
        factors[pattern] = strategy.rate_decay ** (depth - last)
    return factors


def freeze_blocks(module: nn.Module, blocks: Iterable[Block]) -> list[str]:
    """Let these blocks, and no others, keep their parameters.

    Parameters
    ----------
    module : torch.nn.Module
    blocks : iterable of Block
        What is not to be trained.

    Returns
    -------
    list of str
        Submodules that belong in evaluation mode.
    """
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    names = [block.name for block in blocks]
    for name in names:
        for parameter in parameters_of(module, name).values():
            parameter.requires_grad_(False)
            parameter.grad = None
    submodules = dict(module.named_modules())
    return [name for name in names if name in submodules]
