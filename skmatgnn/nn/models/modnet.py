"""Material optimal descriptor network: a tree from all targets to each of them.

De Breuck, Hautier, Rignanese, "Materials property prediction for limited datasets
enabled by feature selection and joint learning with MODNet", npj Comput. Mater. 7, 83
(2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor, nn

from skmatgnn.nn.layers import last_map

__all__ = ["ACTIVATIONS", "MODNet", "MemberLinear", "TargetGroups"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}

TargetGroups = Sequence[Sequence[int | Sequence[int]]]

N_BLOCKS = 4


class MemberLinear(nn.Linear):
    """Linear layers of all members of an ensemble, in one product.

    Parameters
    ----------
    n_members : int
    in_features, out_features : int
        Of each member.
    """

    def __init__(self, n_members: int, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.weight = nn.Parameter(torch.empty(n_members, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(n_members, out_features))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(in_features**-0.5), in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's layer to its own rows.

        Parameters
        ----------
        x : Tensor of shape (n_members, n, in_features)

        Returns
        -------
        Tensor of shape (n_members, n, out_features)
        """
        # weights first: their gradients then need no copy to lie as they do
        bias, columns = self.bias.unsqueeze(2), x.transpose(1, 2)
        return torch.baddbmm(bias, self.weight, columns).transpose(1, 2)


class MODNet(nn.Module):
    """Fully connected tree: shared, group, property and target blocks.

    Every target is read from its own path through the tree, of which the first part
    is common to all targets, the second to those of a group, the third to those of a
    property, and the last its own.

    Parameters
    ----------
    n_features : int
        Columns of the input.
    n_outputs : int, default=1
        Columns of the output of each member.
    target_dim : int, default=1
        Columns that one target has: the number of classes, for a classifier.
    n_neurons : sequence of 4 sequences of int, default=((64,), (32,), (16,), (16,))
        Widths of the layers of a shared, group, property and target block. An empty
        block passes its input on.
    target_groups : sequence of sequences, optional
        Groups of properties. A property is the number of a target, or a sequence of
        them. By default all targets are properties of one group.
    activation : {"elu", "gelu", "relu", "silu"}, default="elu"
        After each layer but the last.
    n_members : int, default=1
        Networks of an ensemble, which share nothing but are evaluated together:
        small networks leave any device idle.

    Raises
    ------
    ValueError
        If ``n_neurons`` has not four blocks of positive widths, a target is missing
        from ``target_groups`` or in it twice, or ``activation`` is unknown.

    References
    ----------
    De Breuck, Hautier, Rignanese, npj Comput. Mater. 7, 83 (2021), figure 1.

    Examples
    --------
    >>> import torch
    >>> from skmatgnn.nn import MODNet
    >>> net = MODNet(10, n_outputs=3, target_groups=[[[0, 2]], [1]])
    >>> net(torch.zeros(5, 10)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        *,
        n_outputs: int = 1,
        target_dim: int = 1,
        n_neurons: Sequence[Sequence[int]] = ((64,), (32,), (16,), (16,)),
        target_groups: TargetGroups | None = None,
        activation: str = "elu",
        n_members: int = 1,
    ) -> None:
        super().__init__()
        self.n_members = n_members
        _require_blocks(n_neurons)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {sorted(ACTIVATIONS)}; got {activation!r}."
            )
        n_targets = n_outputs // target_dim
        self.groups = _normalised_groups(target_groups, n_targets)
        widths = [n_features]
        for block in n_neurons:
            widths.append(block[-1] if len(block) else widths[-1])

        def make_block(level: int) -> nn.Sequential:
            layers = pairwise((widths[level], *n_neurons[level]))
            return nn.Sequential(
                *(
                    part
                    for before, after in layers
                    for part in (
                        MemberLinear(n_members, before, after),
                        ACTIVATIONS[activation](),
                    )
                )
            )

        n_properties = sum(len(group) for group in self.groups)
        self.shared = make_block(0)
        self.group_blocks = nn.ModuleList(make_block(1) for _ in self.groups)
        self.property_blocks = nn.ModuleList(make_block(2) for _ in range(n_properties))
        self.target_blocks = nn.ModuleList(make_block(3) for _ in range(n_targets))
        self.outputs = nn.ModuleList(
            MemberLinear(n_members, widths[4], target_dim) for _ in range(n_targets)
        )

    def accepts_padding(self) -> bool:
        """Say that batches need none and can be captured.

        Returns
        -------
        bool
        """
        return True

    def forward(self, features: Tensor) -> Tensor:
        """Predict all targets.

        Parameters
        ----------
        features : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n, n_members * n_outputs)
            The outputs of the first member, of the second, and so on; of each those
            of target 0, of target 1, and so on.
        """
        paths = self._paths(features)
        return _side_by_side(
            [last_map(*part) for part in zip(self.outputs, paths, strict=True)]
        )

    def embed(self, features: Tensor) -> Tensor:
        """Compute what the output layers read.

        Parameters
        ----------
        features : Tensor of shape (n, n_features)

        Returns
        -------
        Tensor of shape (n, n_members * n_targets * width)
            In the order of the outputs.
        """
        return _side_by_side(self._paths(features))

    def _paths(self, features: Tensor) -> list[Tensor]:
        shared = self.shared(features.expand(self.n_members, *features.shape))
        paths: dict[int, Tensor] = {}
        property_blocks = iter(self.property_blocks)
        for block, group in zip(self.group_blocks, self.groups, strict=True):
            of_group = block(shared)
            for targets in group:
                of_property = next(property_blocks)(of_group)
                for target in targets:
                    paths[target] = self.target_blocks[target](of_property)
        return [paths[target] for target in range(len(self.outputs))]


def _side_by_side(parts: list[Tensor]) -> Tensor:
    joined = torch.cat(parts, dim=2)
    return joined.transpose(0, 1).flatten(start_dim=1)


def _require_blocks(n_neurons: Sequence[Sequence[int]]) -> None:
    is_nested = hasattr(n_neurons, "__len__") and all(
        hasattr(block, "__len__") and not isinstance(block, str) for block in n_neurons
    )
    if not is_nested or len(n_neurons) != N_BLOCKS:
        raise ValueError(
            "n_neurons must have four sequences of widths, of the shared, group, "
            "property and target blocks, such as ((64,), (32,), (16,), ()); got "
            f"{n_neurons!r}."
        )
    for place, block in enumerate(n_neurons):
        for width in block:
            if not isinstance(width, Integral) or width < 1:
                raise ValueError(
                    "n_neurons must have positive integers as widths; got "
                    f"{width!r} in block {place}."
                )


def _numbers_of(targets: int | Sequence[int]) -> list[int]:
    return list(targets) if hasattr(targets, "__iter__") else [targets]


def _normalised_groups(
    target_groups: TargetGroups | None, n_targets: int
) -> list[list[list[int]]]:
    if target_groups is None:
        return [[[target] for target in range(n_targets)]]
    try:
        groups = [[_numbers_of(part) for part in group] for group in target_groups]
    except TypeError as error:
        raise ValueError(
            "target_groups must be a sequence of groups, each a sequence of "
            "properties, each the number of a target or a sequence of them, such as "
            f"[[0, 1], [2]]; got {target_groups!r}."
        ) from error
    named = [t for group in groups for targets in group for t in targets]
    if sorted(named, key=repr) != sorted(range(n_targets), key=repr):
        raise ValueError(
            f"target_groups must name each of the {n_targets} targets, numbered from "
            f"0, exactly once; got {target_groups!r}."
        )
    return groups
