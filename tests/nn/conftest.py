"""Random ragged graphs and networks with random weights."""

from __future__ import annotations

import pytest
import torch

from skmatgnn.nn import ALIGNN, CGCNN, MultiPropertyALIGNN, MultiPropertyCGCNN
from skmatgnn.nn.ops import Adjacency

N_ELEMENTS = 96


def random_adjacency(seed, n_nodes=7, n_edges=19):
    """Some nodes receive nothing, some send nothing, pairs may repeat."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(0, n_nodes - 1, (2, n_edges), generator=generator)
    receiver = ends[0].sort().values
    return Adjacency.from_edges(ends[1], receiver, n_nodes)


def randomise(module, seed=0):
    """Draw all weights, also of norms and their statistics, without global state."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if not value.is_floating_point() or name.endswith(("table", "centers")):
            continue
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.ndim >= 2:
            value.copy_(noise * value.shape[-1] ** -0.5)
        elif "var" in name or "norm.weight" in name or name.endswith("1.weight"):
            value.copy_(1 + 0.3 * noise.abs())
        else:
            value.copy_(0.3 * noise)
    return module


def make_table(seed=0, dim=9):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_ELEMENTS + 1, dim, generator=generator)


MODELS = {
    "alignn": lambda **kw: ALIGNN(
        make_table(),
        **{"n_alignn_layers": 2, "n_gcn_layers": 2, "hidden_dim": 16, **kw},
    ),
    "alignn_batch_norm": lambda **kw: ALIGNN(
        make_table(),
        n_alignn_layers=2,
        n_gcn_layers=1,
        hidden_dim=16,
        norm="batch",
        **kw,
    ),
    "alignn_edge_messages": lambda **kw: ALIGNN(
        make_table(),
        n_alignn_layers=2,
        n_gcn_layers=1,
        hidden_dim=16,
        edge_messages=True,
        **kw,
    ),
    "alignn_no_gcn": lambda **kw: ALIGNN(
        make_table(), n_alignn_layers=1, n_gcn_layers=0, hidden_dim=16, **kw
    ),
    "alignn_no_angles": lambda **kw: ALIGNN(
        make_table(), n_alignn_layers=0, n_gcn_layers=2, hidden_dim=16, **kw
    ),
    "alignn_embedding_only": lambda **kw: ALIGNN(
        make_table(), n_alignn_layers=0, n_gcn_layers=0, hidden_dim=16, **kw
    ),
    "cgcnn": lambda **kw: CGCNN(make_table(), node_dim=12, hidden_dim=16, **kw),
    "cgcnn_layer_norm": lambda **kw: CGCNN(
        make_table(),
        node_dim=12,
        n_conv_layers=1,
        n_hidden_layers=3,
        norm="layer",
        **kw,
    ),
    "cgcnn_no_hidden": lambda **kw: CGCNN(
        make_table(), node_dim=12, n_conv_layers=0, n_hidden_layers=0, **kw
    ),
    # as MPTRegressor builds it
    "multi_property_alignn": lambda **kw: MultiPropertyALIGNN(
        make_table(),
        n_alignn_layers=1,
        n_gcn_layers=1,
        hidden_dim=16,
        head_dim=6,
        edge_messages=True,
        **kw,
    ),
    "multi_property_cgcnn": lambda **kw: MultiPropertyCGCNN(
        make_table(), node_dim=12, hidden_dim=16, head_dim=6, n_head_layers=2, **kw
    ),
}


@pytest.fixture(params=MODELS)
def make_model(request):
    """Build one of the networks with random weights, in evaluation mode."""

    def build(**kwargs):
        return randomise(MODELS[request.param](**kwargs)).eval()

    return build


@pytest.fixture(name="randomise")
def randomise_fixture():
    return randomise


@pytest.fixture(params=[0, 1, 2, "no_edges"])
def adjacency(request):
    if request.param == "no_edges":
        return random_adjacency(0, n_edges=0)
    return random_adjacency(request.param)
