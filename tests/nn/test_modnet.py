"""The tree of MODNet: its shapes, its paths, and members that share nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skmatgnn.nets._seeding import initialize_weights
from skmatgnn.nn import MODNet
from skmatgnn.nn.models.modnet import MemberLinear

SMALL = {"n_neurons": ((8, 7), (6,), (5,), (4,))}


def make_net(n_features=9, **parameters):
    net = MODNet(n_features, **{**SMALL, **parameters})
    initialize_weights(net, 0)
    return net.double().eval()


def rows(n=6, n_features=9):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, n_features, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("n_outputs", [1, 4])
def test_network__batch_of_any_size__output_is_two_dimensional(n_members, n_outputs):
    net = make_net(n_outputs=n_outputs, n_members=n_members)
    for n in (1, 2, 6):
        assert net(rows(n)).shape == (n, n_members * n_outputs)
        assert net.embed(rows(n)).shape == (n, n_members * n_outputs * 4)


def test_network__batch__equals_single_rows_and_leaves_them_alone():
    net, x = make_net(n_outputs=3, n_members=2), rows()
    before = x.clone()
    together = net(x)
    torch.testing.assert_close(together, torch.cat([net(row[None]) for row in x]))
    assert torch.equal(x, before)
    assert together.std(dim=0).min() > 1e-3


def test_network__each_member__is_a_network_of_its_own():
    """A single network with a member's weights gives that member's outputs."""
    ensemble = make_net(n_outputs=2, n_members=3)
    x = rows()
    outputs = ensemble(x).unflatten(1, (3, 2))
    for member in range(3):
        single = make_net(n_outputs=2)
        state = ensemble.state_dict()
        single.load_state_dict({k: v[member : member + 1] for k, v in state.items()})
        torch.testing.assert_close(single(x), outputs[:, member])
    assert (outputs[:, 0] - outputs[:, 1]).abs().max() > 1e-3


def test_network__loss_of_one_member__does_not_reach_the_others():
    net = make_net(n_members=3)
    net(rows())[:, 1].sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad[1].abs().sum() > 0, name
        assert parameter.grad[[0, 2]].abs().sum() == 0, name


def test_network__single_member__is_a_plain_stack_of_layers():
    net = make_net()
    layers = [m for m in net.modules() if isinstance(m, MemberLinear)]
    x = rows()
    expected = x
    for layer in layers[:-1]:
        weight, bias = layer.weight[0], layer.bias[0]
        expected = nn.functional.elu(expected @ weight.T + bias)
    expected = expected @ layers[-1].weight[0].T + layers[-1].bias[0]
    torch.testing.assert_close(net(x), expected)


def reached(net, target):
    """Blocks that a target's output depends on."""
    net.zero_grad(set_to_none=True)
    net(rows())[:, target].sum().backward()
    return {
        name.rsplit(".", 2)[0]
        for name, parameter in net.named_parameters()
        if parameter.grad is not None and parameter.grad.abs().sum() > 0
    }


def test_target_groups__nested__say_which_blocks_targets_share():
    """Targets 0 and 2 are one property; 3 is in their group; 1 is in another."""
    net = make_net(n_outputs=4, target_groups=[[[2, 0], 3], [1]])
    blocks = [reached(net, target) for target in range(4)]
    for target, names in enumerate(blocks):
        assert "shared" in names
        assert f"target_blocks.{target}" in names
        own = {name for name in names if name.startswith("target_blocks")}
        assert own == {f"target_blocks.{target}"}

    def common(i, j, level):
        return {b for b in blocks[i] & blocks[j] if b.startswith(level)}

    assert common(0, 2, "property_blocks") == common(0, 2, "property_blocks") != set()
    assert common(0, 3, "group_blocks")
    assert not common(0, 3, "property_blocks")
    assert not common(0, 1, "group_blocks")
    assert not common(0, 1, "property_blocks")


def test_target_groups__default__is_one_group_of_properties():
    net = make_net(n_outputs=3)
    assert len(net.group_blocks) == 1
    assert len(net.property_blocks) == len(net.target_blocks) == 3


def test_target_dim__classes__come_from_one_path():
    net = make_net(n_outputs=4, target_dim=4, n_members=2)
    assert len(net.target_blocks) == 1
    assert net(rows()).shape == (6, 8)


def test_n_neurons__empty_blocks__pass_their_input_on():
    net = make_net(n_neurons=((), (), (), ()))
    assert sum(p.numel() for p in net.parameters()) == 10
    assert torch.equal(net.embed(rows()), rows())


def test_initial_weights__have_the_spread_of_torch_linear():
    layer = MemberLinear(2, 100, 50)
    initialize_weights(layer, 0)
    weight = layer.weight.detach()
    assert 0.099 < weight.abs().max() <= 0.1
    assert float(weight.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert not torch.equal(weight[0], weight[1])


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"n_neurons": ((8,), (8,))}, "four sequences"),
        ({"n_neurons": (8, 8, 8, 8)}, "four sequences"),
        ({"n_neurons": ((8,), (0,), (), ())}, "0 in block 1"),
        ({"n_neurons": ((8,), (2.5,), (), ())}, "2.5 in block 1"),
        ({"activation": "sine"}, "'sine'"),
        ({"n_outputs": 2, "target_groups": [[0]]}, "each of the 2 targets"),
        ({"n_outputs": 2, "target_groups": [[0, 1], [1]]}, "exactly once"),
        ({"n_outputs": 2, "target_groups": [[0, "a"]]}, "exactly once"),
        ({"n_outputs": 2, "target_groups": [0, 1]}, "sequence of groups"),
    ],
)
def test_network__bad_parameters__are_named(parameters, match):
    with pytest.raises(ValueError, match=match):
        make_net(**parameters)
