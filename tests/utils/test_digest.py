import os
import subprocess
import sys
from dataclasses import make_dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler
from torch.optim.lr_scheduler import LambdaLR

import skmatgnn
from skmatgnn import (
    CGCNNRegressor,
    ConformalRegressor,
    CrabNetRegressor,
    DeepEnsembleRegressor,
    GraphEmbedding,
    MODNetRegressor,
    load_estimator,
)
from skmatgnn.datasets import make_crystals
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.model_selection import transfer_matrix
from skmatgnn.utils.digest import digest

FORMULAS = [
    a + b for a in ("Li", "Na", "K", "Rb", "Cs") for b in ("F", "Cl", "Br", "I")
]
y = np.linspace(3.0, 9.0, len(FORMULAS))
CRABNET = CrabNetRegressor(
    d_model=8, n_heads=2, n_layers=1, max_epochs=1, random_state=0
)


def fit_all(y):
    crystals = make_crystals(len(y), random_state=0)["data"]
    cgcnn = CGCNNRegressor(node_dim=4, hidden_dim=4, max_epochs=1, random_state=0)
    graphs = cgcnn.fit(crystals, y)
    forest = RandomForestRegressor(3, random_state=0)
    table = np.column_stack([y, np.cos(y)])
    return {
        "crabnet": CRABNET.fit(FORMULAS, y),
        "modnet": MODNetRegressor(n_models=2, max_epochs=1, random_state=0).fit(
            FORMULAS, y
        ),
        "ensemble": DeepEnsembleRegressor(CRABNET, n_models=2, random_state=0).fit(
            FORMULAS, y
        ),
        "embedding": GraphEmbedding(FrozenEstimator(graphs)).fit(crystals),
        "conformal": ConformalRegressor(
            make_pipeline(MagpieFeatures(), forest),
            confidence_level=0.5,
            random_state=0,
        ).fit(FORMULAS, y),
        "pipeline": make_pipeline(
            MagpieFeatures(), SelectKBest(f_regression, k=5), StandardScaler(), Ridge()
        ).fit(FORMULAS, y),
        "search": GridSearchCV(CRABNET, {"lr": [1e-3, 1e-2]}, cv=2).fit(FORMULAS, y),
        "forest": forest.fit(table, y),
    }


def digests_of(y):
    return {name: digest(FrozenEstimator(m)) for name, m in fit_all(y).items()}


@pytest.fixture(scope="module")
def digests():
    return digests_of(y)


def test_frozen__fitted_in_another_process__has_the_same_digest(digests):
    code = "from tests.utils.test_digest import *; print(digests_of(y))"
    root = Path(skmatgnn.__file__).parents[1]
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env=dict(os.environ, PYTHONHASHSEED="123"),
    )
    assert result.stdout.splitlines()[-1] == str(digests)


def test_frozen__fitted_to_other_targets__has_another_digest(digests):
    other = digests_of(np.sin(y))
    for name, found in digests.items():
        assert other[name] != found, name


def test_frozen__saved_and_loaded__has_the_same_digest(tmp_path):
    models = fit_all(y)
    for name in ("crabnet", "modnet", "ensemble", "embedding"):
        model = models[name]
        model.save(tmp_path / name)
        loaded = load_estimator(tmp_path / name)
        assert digest(FrozenEstimator(loaded)) == digest(FrozenEstimator(model))


def test_frozen__what_no_prediction_depends_on__does_not_count():
    model = CRABNET.fit(FORMULAS, y)
    before = digest(FrozenEstimator(model))
    model.set_params(verbose=1, callbacks=[("stop", lambda: None)])
    assert digest(FrozenEstimator(model)) == before


def test_estimator__fitted_but_not_frozen__counts_by_its_parameters():
    assert digest(Ridge().fit([[0.0], [1.0]], [0, 1])) == digest(Ridge())
    assert digest(Ridge(alpha=2.0)) != digest(Ridge())
    assert digest(Ridge(copy_X=True)) == digest(Ridge())


def test_class__of_the_same_name_elsewhere__has_another_digest():
    other = type("StandardScaler", (StandardScaler,), {"__module__": "elsewhere"})
    assert digest(other()) != digest(StandardScaler())
    kinds = [make_dataclass("Row", ["a"], namespace={"__module__": m}) for m in "xy"]
    assert digest(kinds[0](1)) != digest(kinds[1](1))


def test_containers__of_other_shape_or_mixed_keys__are_told_apart():
    flat = np.array(["a", 1, None, 2.0], dtype=object)
    assert digest(flat) != digest(flat.reshape(2, 2))
    assert digest({1: "a", "1": "b", None: 0}) == digest({None: 0, "1": "b", 1: "a"})
    assert digest({1: "a"}) != digest({"1": "a"})


def test_transfer_matrix__frozen_part_fitted_anew__is_not_taken_for_the_former(
    tmp_path,
):
    def model(targets):
        chosen = make_pipeline(MagpieFeatures(), SelectKBest(f_regression, k=3))
        return make_pipeline(
            FrozenEstimator(chosen.fit(FORMULAS, targets)), StandardScaler(), Ridge()
        )

    options = {
        "designs": ("scratch",),
        "fine_tuning_sizes": (10,),
        "trials": 1,
        "test_size": 0.2,
        "random_state": 0,
    }
    data = {"gap": (FORMULAS, y)}
    first, second = model(y), model(np.random.RandomState(0).normal(size=len(y)))
    transfer_matrix(data, first, cache_dir=tmp_path, **options)
    found = transfer_matrix(data, second, cache_dir=tmp_path, **options)
    assert found.mae[0] == transfer_matrix(data, second, **options).mae[0]
    assert found.mae[0] != transfer_matrix(data, first, **options).mae[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda rate: lambda x: x * rate,
        lambda rate: partial(lambda x, y: x * y, rate),
        lambda rate: LRScheduler(LambdaLR, lr_lambda=lambda epoch: rate**epoch),
        lambda rate: CGCNNRegressor(
            callbacks=[LRScheduler(LambdaLR, lr_lambda=lambda epoch: rate**epoch)]
        ),
    ],
    ids=["closure", "partial", "callback", "estimator"],
)
def test_digest__of_functions_without_a_name__is_that_of_what_they_do(make):
    assert digest(make(0.5)) == digest(make(0.5))
    assert digest(make(0.5)) != digest(make(0.9))
