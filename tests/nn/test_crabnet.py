"""CrabNet on tokens: invariances, published sizes, its own random numbers."""

import copy
import pickle

import numpy as np
import pytest
import torch

from skmatgnn.nets import TokenDataset
from skmatgnn.nn import CrabNet, TokenBatch
from skmatgnn.nn.losses import l1_with_std, robust_l1
from skmatgnn.nn.models.crabnet import FractionEncoding

SAMPLES = [
    ([8, 26], [0.6, 0.4]),
    ([11], [1.0]),
    ([3, 8, 15, 26], [1 / 7, 4 / 7, 1 / 7, 1 / 7]),
    ([8, 26], [0.5, 0.5]),
    (list(range(1, 13)), [1 / 12] * 12),
]


def make_batch(samples, dtype=torch.float64):
    counts = [len(numbers) for numbers, _ in samples]
    dataset = TokenDataset(
        np.concatenate([[0], np.cumsum(counts)]),
        np.concatenate([numbers for numbers, _ in samples]),
        np.concatenate([fractions for _, fractions in samples]),
    )
    batch, _ = dataset.pack("cpu", dtype).take(np.arange(len(samples)))
    return batch


def make_module(**parameters):
    table = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        defaults = {"d_model": 16, "n_layers": 2, "n_heads": 4, "n_outputs": 2}
        return CrabNet(table, **{**defaults, **parameters}).double().eval()


def test_published_size__parameters__are_as_many_as_in_the_matbench_log():
    # whose fixed element vectors have 200 columns, and whose scalars are as many
    module = CrabNet(torch.zeros(119, 200), uncertainty=True)
    assert sum(p.numel() for p in module.parameters()) == 11_987_206


@pytest.mark.parametrize("uncertainty", [False, True])
def test_forward__batch__equals_single_samples(uncertainty):
    module = make_module(uncertainty=uncertainty)
    together = module(make_batch(SAMPLES))
    assert together.shape == (5, 4 if uncertainty else 2)
    single = torch.cat([module(make_batch([sample])) for sample in SAMPLES])
    torch.testing.assert_close(together, single, rtol=1e-10, atol=1e-12)
    assert len(together.unique(dim=0)) == 5


def test_forward__order_of_elements__does_not_matter():
    module = make_module()
    turned = [(n[::-1], f[::-1]) for n, f in SAMPLES]
    torch.testing.assert_close(
        module(make_batch(SAMPLES)), module(make_batch(turned)), rtol=1e-10, atol=1e-12
    )


def test_attention__weights__sum_to_one_and_pass_over_padding():
    attention = make_module().attention(make_batch(SAMPLES))
    assert attention.shape == (5, 2, 4, 12, 12)
    for weights, (numbers, _) in zip(attention, SAMPLES, strict=True):
        n = len(numbers)
        assert (weights[..., n:] == 0).all()
        torch.testing.assert_close(
            weights[:, :, :n, :n].sum(-1), torch.ones(2, 4, n, dtype=torch.float64)
        )


@pytest.mark.parametrize("norm_first", [False, True])
def test_layer__either_norm__equals_torchs_encoder(norm_first):
    module = make_module(n_layers=1, norm_first=norm_first)
    layer, batch = module.layers[0], make_batch(SAMPLES)
    theirs = torch.nn.TransformerEncoderLayer(
        16, 4, 64, batch_first=True, norm_first=norm_first
    ).double()
    theirs.eval().requires_grad_(False)
    with torch.no_grad():
        pairs = {
            theirs.self_attn.in_proj_weight: layer.qkv.weight,
            theirs.self_attn.in_proj_bias: layer.qkv.bias,
            theirs.self_attn.out_proj.weight: layer.project.weight,
            theirs.self_attn.out_proj.bias: layer.project.bias,
            theirs.linear1.weight: layer.expand.weight,
            theirs.linear1.bias: layer.expand.bias,
            theirs.linear2.weight: layer.contract.weight,
            theirs.linear2.bias: layer.contract.bias,
        }
        for target, source in pairs.items():
            target.copy_(source)
        x = torch.randn(len(batch.place), 16, dtype=torch.float64)
        ours, _ = layer(x, batch, batch.is_token())
        padded = theirs(batch.pad(x), src_key_padding_mask=~batch.is_token())
    torch.testing.assert_close(ours, batch.unpad(padded), rtol=1e-8, atol=1e-10)


def test_fraction_encoding__equals_the_published_tables():
    encode = FractionEncoding(16)
    fractions = torch.tensor([1.0, 0.4, 1 / 3, 0.013, 1e-5], dtype=torch.float64)
    found = encode.double()(fractions)
    wavelength = 50 ** (2 * np.arange(8) / 8)  # of each column
    f = fractions.numpy()
    for half, share in enumerate([f, np.minimum(0.0025 * np.log2(f) ** 2, 1)]):
        row = np.maximum(np.round(5000 * share), 1) - 1
        phase = row[:, None] / wavelength
        expected = np.hstack([np.sin(phase[:, 0::2]), np.cos(phase[:, 1::2])])
        np.testing.assert_allclose(found[:, half], expected, atol=1e-3)


def test_dropout_and_noise__same_seed__same_numbers_whatever_torchs_state():
    module = make_module(dropout=0.3, fraction_noise=0.1).train()
    batch = make_batch(SAMPLES)
    state = torch.get_rng_state()
    module.noise.reseed(5)
    first, second = module(batch), module(batch)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, second)
    torch.rand(3)
    module.noise.reseed(5)
    assert torch.equal(module(batch), first)
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert torch.equal(twin(batch), second)
    module.noise.reseed(6)
    assert not torch.equal(module(batch), first)


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.5, 0.9])
def test_dropout__in_training__keeps_the_mean_and_drops_the_share(p):
    values = make_module().noise.dropout(torch.ones(400_003), p)
    off = 4 * (p * (1 - p) / len(values)) ** 0.5 + 1 / 65536
    assert (values == 0).float().mean() == pytest.approx(p, abs=off)
    kept = values[values != 0].unique()
    assert kept.tolist() == pytest.approx([1 / (1 - p)], rel=1e-4)
    assert values.mean() == pytest.approx(1, abs=off / (1 - p))


def test_dropout__any_shape__places_are_independent():
    zeros = make_module().noise.dropout(torch.ones(301, 7, 97), 0.4) == 0
    noise = zeros.flatten().double() - zeros.double().mean()
    for lag in (*range(1, 9), 97, 7 * 97):
        shared = (noise[lag:] * noise[:-lag]).mean() / noise.square().mean()
        assert abs(shared) < 4 / len(noise) ** 0.5


@pytest.mark.parametrize("shape", [(), (0, 4), (3,), (2, 5)])
def test_dropout__small_shapes_and_nearly_all_dropped__finite(shape):
    x = torch.full(shape, 2.0, dtype=torch.float64, requires_grad=True)
    values = make_module().noise.dropout(x, 1 - 1e-9)
    values.sum().backward()
    assert values.shape == x.shape
    assert values.isfinite().all()
    assert x.grad.isfinite().all()


def test_fraction_noise__in_training__keeps_the_sum():
    module = make_module(fraction_noise=0.2).train()
    batch = make_batch(SAMPLES)
    noisy = module._with_noise(batch)
    sums = noisy.pad(noisy.fractions).sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(5, dtype=torch.float64))
    ratio = noisy.fractions / batch.fractions
    assert 0.05 < (ratio - 1).abs().mean() < 0.3
    assert module.eval()._with_noise(batch) is batch


def test_token_batch__pad_and_unpad__are_inverse():
    batch = make_batch(SAMPLES)
    assert isinstance(batch, TokenBatch)
    assert (len(batch), batch.width) == (5, 12)
    table = batch.pad(batch.atomic_numbers)
    for row, (numbers, _) in zip(table.tolist(), SAMPLES, strict=True):
        assert row == numbers + [0] * (12 - len(numbers))
    assert torch.equal(batch.unpad(table), batch.atomic_numbers)


def test_robust_l1__is_the_laplace_likelihood_and_skips_the_unknown():
    rng = np.random.default_rng(0)
    f, s, y = (torch.tensor(rng.normal(size=(6, 2))) for _ in range(3))
    laplace = torch.distributions.Laplace(f, s.exp() / 2**0.5)
    constant = np.log(2 / 2**0.5)
    prediction = torch.cat([f, s], dim=1).requires_grad_()
    expected = -laplace.log_prob(y).mean() - constant
    torch.testing.assert_close(robust_l1(prediction, y), expected)
    y[2, 1] = torch.nan
    loss = robust_l1(prediction, y, torch.tensor([1.0, 0, 2, 1, 1, 1]))
    loss.backward()
    assert prediction.grad.isfinite().all()
    assert (prediction.grad[2, [1, 3]] == 0).all()
    assert (prediction.grad[1] == 0).all()


def test_l1_with_std__gradients__are_those_of_the_error_and_of_the_likelihood():
    rng = np.random.default_rng(1)
    f, s, y = (torch.tensor(rng.normal(size=(5, 2))) for _ in range(3))
    y[1, 0] = torch.nan
    f.requires_grad_()
    s.requires_grad_()
    l1_with_std(torch.cat([f, s], dim=1), y).backward()
    known = y.isfinite()
    assert torch.equal(f.grad, torch.where(known, (f - y).sign(), 0.0) / 9)
    alone = s.detach().clone().requires_grad_()
    robust_l1(torch.cat([f.detach(), alone], dim=1), y).backward()
    torch.testing.assert_close(s.grad, 0.3 * alone.grad)
