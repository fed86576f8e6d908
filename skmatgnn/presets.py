"""Settings of published studies, to be unpacked into an estimator.

Examples
--------
>>> from skmatgnn import ALIGNNRegressor, presets
>>> ALIGNNRegressor(**presets.ALIGNN_STUDY).hidden_dim
256
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

__all__ = ["ALIGNN_LARGE", "ALIGNN_STUDY", "CGCNN_2018", "CRABNET_2021"]

#: ALIGNN as Devi, Butler, Sai Gautam, npj Comput. Mater. 10, 300 (2024), trained it
#: from scratch: the published architecture, squared error, 500 epochs.
ALIGNN_STUDY: MappingProxyType[str, Any] = MappingProxyType(
    {
        "cutoff": 8.0,
        "max_neighbors": 12,
        "three_body_cutoff": None,
        "n_alignn_layers": 4,
        "n_gcn_layers": 4,
        "hidden_dim": 256,
        "embedding_dim": 64,
        "n_radial": 80,
        "n_angular": 40,
        "norm": "batch",
        "edge_messages": False,
        "loss": "mse",
        "max_epochs": 500,
        "batch_size": 16,
        "lr": 1e-3,
        "weight_decay": 1e-5,
    }
)

#: The published architecture with what trains it better: absolute error, layer norm,
#: larger batches and fewer epochs.
ALIGNN_LARGE: MappingProxyType[str, Any] = MappingProxyType(
    {
        **ALIGNN_STUDY,
        "norm": "layer",
        "loss": "l1",
        "max_epochs": 150,
        "batch_size": 64,
    }
)

#: CGCNN as Xie, Grossman, Phys. Rev. Lett. 120, 145301 (2018), published it.
CGCNN_2018: MappingProxyType[str, Any] = MappingProxyType(
    {
        "cutoff": 8.0,
        "max_neighbors": 12,
        "n_conv_layers": 3,
        "node_dim": 64,
        "hidden_dim": 128,
        "n_hidden_layers": 1,
        "edge_step": 0.2,
        "norm": "batch",
        "loss": "mse",
        "max_epochs": 30,
        "batch_size": 256,
        "lr": 1e-2,
        "weight_decay": 0.0,
    }
)

#: CrabNet's architecture as Wang, Kauwe, Murdock, Sparks, npj Comput. Mater. 7, 77
#: (2021), published it, with its 300 epochs; the optimizer is ours.
CRABNET_2021: MappingProxyType[str, Any] = MappingProxyType(
    {
        "d_model": 512,
        "n_layers": 3,
        "n_heads": 4,
        "dim_feedforward": 2048,
        "norm_first": False,
        "dropout": 0.1,
        "fraction_noise": 0.02,
        "loss": "robust_l1",
        "max_epochs": 300,
        "batch_size": 256,
        "lr": 3e-4,
    }
)
