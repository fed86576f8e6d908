"""The number format that ``precision="auto"`` chooses on the CPU."""

from __future__ import annotations

import pytest
import torch
from sklearn.base import clone

from skmatgnn import (
    ALIGNNRegressor,
    CGCNNRegressor,
    CrabNetRegressor,
    MODNetRegressor,
    MPTRegressor,
)
from skmatgnn.datasets import load_formation_energies, make_crystals
from skmatgnn.nn.ops import kernels

SMALL = {
    "n_alignn_layers": 1,
    "n_gcn_layers": 1,
    "three_body_cutoff": 3.0,
    "max_epochs": 2,
    "batch_size": 8,
    "random_state": 0,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def crystals():
    return make_crystals(12, random_state=0, return_X_y=True)


@pytest.fixture(params=[True, False])
def native(request, monkeypatch):
    """Whether the processor multiplies in bfloat16."""
    found = {"avx512_bf16": request.param}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    return request.param


def fit(crystals, **options):
    return ALIGNNRegressor(**SMALL | options).fit(*crystals)


def test_precision__wide_network__auto_is_bfloat16_where_the_processor_has_it(
    crystals, native
):
    model = fit(crystals, hidden_dim=128)
    chosen = "bfloat16" if native else "float32"
    assert model.net_.precision == chosen
    same = fit(crystals, hidden_dim=128, precision=chosen)
    again = fit(crystals, hidden_dim=128)
    other = fit(crystals, hidden_dim=128, precision="float64")
    expected = model.predict(crystals[0])
    assert (same.predict(crystals[0]) == expected).all()
    assert (again.predict(crystals[0]) == expected).all()
    assert (other.predict(crystals[0]) != expected).any()


@pytest.mark.parametrize(
    "options", [{"hidden_dim": 127}, {}, {"hidden_dim": 128, "norm": "batch"}], ids=str
)
def test_precision__narrow_network_or_batch_norm__auto_is_float32(
    crystals, native, options
):
    assert fit(crystals, **options).net_.precision == "float32"


def test_precision__plain_torch__auto_is_float32(crystals, native):
    with kernels("reference"):
        assert fit(crystals, hidden_dim=128).net_.precision == "float32"


def test_precision__torch_that_does_not_know__auto_is_float32(crystals, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert fit(crystals, hidden_dim=128).net_.precision == "float32"


def test_precision__networks_without_blocks__auto_is_float32(crystals, native):
    model = CGCNNRegressor(node_dim=128, max_epochs=1, device="cpu").fit(*crystals)
    assert model.net_.precision == "float32"
    X, y = load_formation_energies(return_X_y=True)
    model = CrabNetRegressor(d_model=128, n_layers=1, max_epochs=1, device="cpu")
    assert model.fit(X[:20], y[:20]).net_.precision == "float32"


def fit_crabnet(**options):
    X, y = load_formation_energies(return_X_y=True)
    small = {"n_layers": 1, "dim_feedforward": 8, "max_epochs": 2, "device": "cpu"}
    return CrabNetRegressor(**small | {"random_state": 0} | options).fit(X[:20], y[:20])


@pytest.mark.parametrize("width", [256, 512])
def test_precision__crabnet__auto_is_bfloat16_from_the_published_width_on(
    width, native
):
    expected = "bfloat16" if native and width == 512 else "float32"
    assert fit_crabnet(d_model=width).net_.precision == expected


def test_precision__narrow_network__bfloat16_is_float32_to_the_last_bit(crystals):
    found = [
        fit(crystals, precision=precision).predict(crystals[0])
        for precision in ("float32", "bfloat16")
    ]
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("computed", ["auto", "reference"])
@pytest.mark.parametrize(
    "model",
    [
        ALIGNNRegressor(**SMALL, hidden_dim=128),
        CGCNNRegressor(max_epochs=2, random_state=0, device="cpu"),
        MPTRegressor(**SMALL, hidden_dim=128),
        MPTRegressor(architecture="cgcnn", max_epochs=2, random_state=0, device="cpu"),
        CrabNetRegressor(d_model=32, max_epochs=2, random_state=0, device="cpu"),
        MODNetRegressor(n_models=2, max_epochs=2, random_state=0, device="cpu"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_precision__bfloat16__predictions_are_not_rounded(model, computed, crystals):
    X, y = crystals
    model = clone(model).set_params(precision="bfloat16")
    with kernels(computed):
        dataset = model.fit(X, y)._make_dataset(model._ensure_samples(X), reset=False)
        outputs = model.net_.apply(dataset, model.net_.module_)
    scaled = torch.tensor(outputs, dtype=torch.float32)
    assert (scaled.bfloat16().float() - scaled).abs().max() > 1e-6


def test_precision__other_processor__resumable_fit_starts_afresh(
    crystals, monkeypatch, tmp_path
):
    options = {"hidden_dim": 128, "checkpoint_dir": tmp_path}
    for number, has in enumerate((True, False, True), start=1):
        monkeypatch.setattr(
            torch.cpu,
            "get_capabilities",
            lambda has=has: {"avx512_bf16": has},
            raising=False,
        )
        model = fit(crystals, **options)
        assert model.net_.n_recalled_ == (2 if number == 3 else 0)


def test_precision__loaded__is_that_of_the_training(crystals, monkeypatch, tmp_path):
    capabilities = {"avx512_bf16": True}
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )
    model = fit(crystals, hidden_dim=128)
    model.save(tmp_path / "model.safetensors")
    capabilities["avx512_bf16"] = False
    found = ALIGNNRegressor.load(tmp_path / "model.safetensors")
    assert found.net_.precision == "bfloat16"
    assert (found.predict(crystals[0]) == model.predict(crystals[0])).all()
