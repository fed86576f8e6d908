"""What the parts of a network are for, so that some can be trained and others not."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Block"]


class Block(NamedTuple):
    """A part of a network; each parameter belongs to exactly one.

    Parameters
    ----------
    name : str
        Of the submodule, or the parameter, such as ``"gcn_layers.0"``.
    role : str
        ``"embedding"``, ``"two_body"`` (atoms and bonds), ``"three_body"`` (bonds and
        angles), ``"attention"``, ``"readout"`` or ``"head"``.
    depth : int
        Steps from the input, where it is 0; the head has the largest.
    """

    name: str
    role: str
    depth: int
