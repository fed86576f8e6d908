"""Small data and small nets that train in a fraction of a second."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skmatgnn.graphs import StructureToGraph
from skmatgnn.nets import BestModel, GraphDataset, GraphNet, OneCycle
from skmatgnn.nets._criteria import RegressionLoss
from skmatgnn.nn import CGCNN


@pytest.fixture
def graphs(make):
    rng = np.random.default_rng(0)
    structures = [make.random_crystal(rng, n_atoms=1 + i % 3) for i in range(23)]
    return StructureToGraph(max_neighbors=4, dtype="float64").transform(structures)


@pytest.fixture
def dataset(graphs):
    rng = np.random.default_rng(1)
    return GraphDataset(graphs, rng.normal(size=(len(graphs), 2)))


@pytest.fixture
def make_net():
    def build(*callbacks, **kwargs):
        table = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
        defaults = {
            "module__element_table": table,
            "module__n_outputs": 2,
            "module__node_dim": 8,
            "module__hidden_dim": 8,
            "module__n_conv_layers": 1,
            "criterion": RegressionLoss,
            "criterion__loss": "mse",
            "optimizer": torch.optim.AdamW,
            "lr": 0.01,
            "max_epochs": 4,
            "batch_size": 8,
            "train_split": None,
            "callbacks": [
                ("best", BestModel()),
                ("cycle", OneCycle()),
                *((f"extra{i}", callback) for i, callback in enumerate(callbacks)),
            ],
            "device": "cpu",
            "verbose": 0,
        }
        return GraphNet(CGCNN, **{**defaults, **kwargs})

    return build


@pytest.fixture
def weights():
    """Copy a net's weights into one vector."""

    def read(net):
        values = net.module_.state_dict().values()
        return torch.cat([value.flatten().double() for value in values])

    return read
