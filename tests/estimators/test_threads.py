"""Fits side by side in threads of one process: the same bits as one by one."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from pymatgen.core import Composition
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skmatgnn import (
    CrabNetClassifier,
    CrabNetRegressor,
    MODNetClassifier,
    MODNetRegressor,
)
from skmatgnn.model_selection import bootstrap_score

FORMULAS = [
    f"{metal}{1 + i % 2}{anion}{1 + (i + j) % 3}"
    for i, metal in enumerate(["Li", "Na", "K", "Mg", "Ca", "Al", "Fe", "Zn"])
    for j, anion in enumerate(["O", "S", "Cl", "F"])
]
Y = np.array([Composition(formula).average_electroneg for formula in FORMULAS])
LABELS = np.where(np.median(Y) < Y, "high", "low").astype(object)
SMALL = {"max_epochs": 3, "batch_size": 8, "random_state": 0, "device": "cpu"}
STOPPED = {"early_stopping": True, "validation_fraction": 0.25}
CRABNET = {**SMALL, "d_model": 16, "n_layers": 1}
MODNET = {**SMALL, "n_models": 2}


@pytest.fixture(autouse=True)
def _many_switches():
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def state_of_the_process():
    # without the warnings' filters, which scikit-learn's own checks of arrays change
    # in each thread; those of this package have tests of their own
    fresh = Parallel(2, backend="threading")(
        delayed(torch.get_num_threads)() for _ in range(4)
    )
    return {
        "torch's random numbers": torch.get_rng_state().tolist(),
        "NumPy's random numbers": np.random.get_state()[1].tolist(),
        "threads": torch.get_num_threads(),
        "threads of new threads": fresh,
        "matrix products": torch.get_float32_matmul_precision(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "autocast's cache": torch.is_autocast_cache_enabled(),
    }


def jobs(data, small):
    """Unfitted models with their data, of all networks and number formats."""
    pretrained = small.model("ALIGNNRegressor").fit(data.X, data.y)
    formulas = [
        (CrabNetRegressor(**CRABNET), Y),
        (CrabNetRegressor(**CRABNET, **STOPPED), Y),
        (CrabNetRegressor(**CRABNET, precision="bfloat16"), Y),
        (CrabNetRegressor(**CRABNET, precision="float64"), Y),
        (CrabNetRegressor(**CRABNET, net_params={"n_threads": 2}), Y),
        (CrabNetClassifier(**CRABNET), LABELS),
        (MODNetRegressor(**MODNET, bootstrap=True), Y),
        (MODNetRegressor(**MODNET, n_features=4, **STOPPED), Y),
        (MODNetClassifier(**MODNET), LABELS),
    ]
    crystals = [
        (small.model("ALIGNNRegressor", **STOPPED), data.y),
        (small.model("ALIGNNRegressor", precision="bfloat16"), data.y),
        (small.model("CGCNNClassifier", batch_size=5), data.labels),
        (small.model("MPTRegressor"), np.column_stack([data.y, data.y**2])),
        (
            small.model("ALIGNNRegressor", pretrained=FrozenEstimator(pretrained)),
            data.y,
        ),
    ]
    return [(model, FORMULAS, y) for model, y in formulas] + [
        (model, data.X, y) for model, y in crystals
    ]


def outputs(model, X, y):
    model = clone(model).fit(X, y)
    return getattr(model, "predict_proba", model.predict)(X)


def test_threads__all_networks_at_once__give_the_same_bits(data, small):
    work = jobs(data, small)
    expected = [outputs(*job) for job in work]
    before = state_of_the_process()
    order = np.random.default_rng(0).permutation(2 * len(work)) % len(work)
    found = Parallel(n_jobs=4, backend="threading")(
        delayed(outputs)(*work[i]) for i in order
    )
    for i, values in zip(order, found, strict=True):
        assert np.array_equal(values, expected[i]), work[i][0]
    assert state_of_the_process() == before


@pytest.mark.parametrize("precisions", [("float32",) * 4, ("tf32", "float32") * 2])
def test_threads__another_precision_beside__neither_changes_nor_hangs(
    precisions,
):
    models = [
        CrabNetRegressor(**{**CRABNET, "random_state": i}, precision=precision)
        for i, precision in enumerate(precisions)
    ]
    expected = [outputs(model, FORMULAS, Y) for model in models]
    before = state_of_the_process()
    found = Parallel(n_jobs=4, backend="threading")(
        delayed(outputs)(model, FORMULAS, Y) for model in models
    )
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert state_of_the_process() == before


@pytest.mark.parametrize(
    "model", [CrabNetRegressor(**CRABNET), MODNetRegressor(**MODNET)]
)
def test_threads__bootstrap__equals_one_by_one(model):
    arguments = {"n_resamples": 4, "random_state": 0}
    serial = bootstrap_score(model, FORMULAS, Y, **arguments)
    with parallel_config("threading", n_jobs=3):
        threads = bootstrap_score(model, FORMULAS, Y, **arguments)
    assert np.array_equal(serial.scores, threads.scores)
