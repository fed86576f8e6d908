"""What the parts of the networks are for."""

import pytest
import torch

from skmatgnn.errors import InvalidValueError
from skmatgnn.nets._fine_tuning import (
    STRATEGIES,
    FineTuning,
    freeze_blocks,
    parameters_of,
    rate_factors,
)
from skmatgnn.nn import (
    ALIGNN,
    CGCNN,
    CrabNet,
    MultiPropertyALIGNN,
    MultiPropertyCGCNN,
)

TABLE = torch.ones(10, 3)
SMALL = {"hidden_dim": 4, "embedding_dim": 4, "n_radial": 4, "n_angular": 4}
NETWORKS = {
    "alignn": ALIGNN(TABLE, n_alignn_layers=2, n_gcn_layers=3, **SMALL),
    "alignn_without_angles": ALIGNN(TABLE, n_alignn_layers=0, n_gcn_layers=1, **SMALL),
    "alignn_of_embeddings": ALIGNN(TABLE, n_alignn_layers=0, n_gcn_layers=0, **SMALL),
    "cgcnn": CGCNN(TABLE, n_conv_layers=2, node_dim=4, hidden_dim=4),
    "cgcnn_of_embeddings": CGCNN(TABLE, n_conv_layers=0, n_hidden_layers=0),
    "crabnet": CrabNet(TABLE, d_model=8, n_heads=2, n_layers=2),
    "many_alignn": MultiPropertyALIGNN(TABLE, n_outputs=3, **SMALL),
    "many_cgcnn": MultiPropertyCGCNN(TABLE, n_outputs=3, node_dim=4, hidden_dim=4),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]


def test_blocks__of_every_network__hold_each_parameter_exactly_once(network):
    found = [
        name
        for block in network.blocks()
        for name in parameters_of(network, block.name)
    ]
    assert sorted(found) == sorted(name for name, _ in network.named_parameters())


def test_blocks__of_every_network__lead_from_the_embedding_to_the_head(network):
    blocks = network.blocks()
    depths = [block.depth for block in blocks]
    assert depths == sorted(depths)
    assert set(depths) == set(range(depths[-1] + 1))
    assert blocks[0].role == "embedding"
    assert [b.name for b in blocks if b.role == "head"] == ["head"]
    assert blocks[-1].name == "head"


def test_strategy__each__fits_where_the_network_has_what_it_names(network):
    roles = {block.role for block in network.blocks()}
    for name, strategy in STRATEGIES.items():
        if name in ("two_body", "three_body") and name not in roles:
            with pytest.raises(InvalidValueError, match=f"names the {name} blocks"):
                strategy.select(network.blocks())
            continue
        trained = strategy.select(network.blocks())
        assert "head" in {block.role for block in trained}
        if name not in ("full", "gradual", "discriminative"):
            assert len(trained) < len(network.blocks())


def test_freeze__blocks__then_others__opens_the_first_again():
    network = NETWORKS["crabnet"]
    by_name = {block.name: block for block in network.blocks()}
    closed = freeze_blocks(network, [by_name["element_scale"], by_name["layers.0"]])
    assert closed == ["layers.0"]  # a bare parameter has no mode
    frozen = {n for n, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"element_scale", *parameters_of(network, "layers.0")}
    assert freeze_blocks(network, []) == []
    assert all(p.requires_grad for p in network.parameters())


def test_parameters_of__name_of_nothing__lists_what_there_is():
    with pytest.raises(InvalidValueError, match=r"'gcn'.*begin with.*'gcn_layers'"):
        parameters_of(NETWORKS["alignn"], "gcn")


def test_rate_factors__patterns__are_those_of_the_blocks():
    factors = rate_factors(NETWORKS["cgcnn"], FineTuning("x", rate_decay=2.0))
    assert factors == {
        "atom_embedding.*": 1 / 16,
        "conv_layers.0.*": 1 / 8,
        "conv_layers.1.*": 1 / 4,
        "hidden_layers.0.*": 1 / 2,
        "head.*": 1,
    }
