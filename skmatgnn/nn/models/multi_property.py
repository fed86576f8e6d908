"""Graph networks with a head for each of many properties.

Devi, Butler, Sai Gautam, "Optimal pre-train/fine-tune strategies for accurate material
property predictions", npj Comput. Mater. 10, 300 (2024).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from skmatgnn.nn.models.alignn import ALIGNN
from skmatgnn.nn.models.cgcnn import CGCNN
from skmatgnn.nn.models.modnet import MemberLinear

__all__ = ["MultiPropertyALIGNN", "MultiPropertyCGCNN", "PropertyHeads"]


class PropertyHeads(nn.Module):
    """A small network for each property, all evaluated at once.

    SiLU of the features, then linear layers with SiLU after each, then one output.

    Parameters
    ----------
    in_features : int
        Features of a material.
    n_properties : int
    hidden_dim : int, default=64
        Width of the layers.
    n_layers : int, default=1
        Number of layers before the output.
    """

    def __init__(
        self,
        in_features: int,
        n_properties: int,
        hidden_dim: int = 64,
        n_layers: int = 1,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.n_properties = n_properties
        self.shape = (hidden_dim, n_layers)
        widths = [in_features] + [hidden_dim] * n_layers
        self.layers = nn.ModuleList(
            MemberLinear(n_properties, a, b) for a, b in pairwise(widths)
        )
        self.output = MemberLinear(n_properties, widths[-1], 1)

    def forward(self, features: Tensor) -> Tensor:
        """Predict all properties.

        Parameters
        ----------
        features : Tensor of shape (n, in_features)

        Returns
        -------
        Tensor of shape (n, n_properties)
        """
        hidden = F.silu(features).expand(self.n_properties, *features.shape)
        for layer in self.layers:
            hidden = F.silu(layer(hidden))
        return self.output(hidden)[:, :, 0].T


class _ManyHeads(nn.Module):
    """Replace the head of a graph network."""

    head: Any

    def __init__(
        self,
        element_table: Tensor,
        *,
        n_outputs: int = 1,
        head_dim: int = 64,
        n_head_layers: int = 1,
        **trunk: Any,
    ) -> None:
        super().__init__(element_table, n_outputs=n_outputs, **trunk)
        width = self.head.in_features
        self.head = PropertyHeads(width, n_outputs, head_dim, n_head_layers)


class MultiPropertyALIGNN(_ManyHeads, ALIGNN):
    """ALIGNN with a head for each property.

    Parameters
    ----------
    element_table : Tensor of shape (n_elements, d)
        Element features by atomic number.
    n_outputs : int, default=1
        Properties.
    head_dim : int, default=64
        Width of the heads.
    n_head_layers : int, default=1
        Layers of that width in each head.
    **trunk : object
        Parameters of ALIGNN.

    References
    ----------
    Devi, Butler, Sai Gautam, npj Comput. Mater. 10, 300 (2024).
    """


class MultiPropertyCGCNN(_ManyHeads, CGCNN):
    """CGCNN with a head for each property.

    Parameters
    ----------
    element_table : Tensor of shape (n_elements, d)
        Element features by atomic number.
    n_outputs : int, default=1
        Properties.
    head_dim : int, default=64
        Width of the heads.
    n_head_layers : int, default=1
        Layers of that width in each head.
    **trunk : object
        Parameters of CGCNN.
    """
