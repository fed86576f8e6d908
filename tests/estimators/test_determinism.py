"""Same seed, same model, bit for bit; and nothing else in the process changes."""

import os
import random
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict

from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.validation import to_object_array


def target_of(model, data):
    return data.labels if hasattr(model, "predict_proba") else data.y


def outputs(model, X):
    method = getattr(model, "predict_proba", model.predict)
    return method(X)


def test_seed__twice__gives_the_same_bits(estimator, data):
    y = target_of(estimator, data)
    first = outputs(clone(estimator).fit(data.X, y), data.X)
    torch.rand(3)
    np.random.rand(3)
    assert np.array_equal(outputs(clone(estimator).fit(data.X, y), data.X), first)


def test_seed__batches_and_early_stopping__gives_the_same_bits(estimator, data):
    y = target_of(estimator, data)
    estimator.set_params(batch_size=5, early_stopping=True, max_epochs=4)
    first = outputs(clone(estimator).fit(data.X, y), data.X)
    assert np.array_equal(outputs(clone(estimator).fit(data.X, y), data.X), first)


@pytest.fixture
def default_format():
    yield torch.set_default_dtype
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_seed__torch_with_another_default_format__gives_the_same_bits(
    precision, estimator, data, default_format
):
    y = target_of(estimator, data)
    estimator.set_params(precision=precision)
    first = outputs(clone(estimator).fit(data.X, y), data.X)
    default_format(torch.float64)
    assert np.array_equal(outputs(clone(estimator).fit(data.X, y), data.X), first)


def test_seed__other__gives_another_model(estimator, data):
    y = target_of(estimator, data)
    first = outputs(clone(estimator).fit(data.X, y), data.X)
    other = clone(estimator).set_params(random_state=1).fit(data.X, y)
    assert not np.allclose(outputs(other, data.X), first)


def test_seed__none__differs_between_fits(data, small):
    model = small.model(random_state=None)
    first = model.fit(data.X, data.y).predict(data.X)
    assert not np.array_equal(model.fit(data.X, data.y).predict(data.X), first)


def test_seed__random_state_instance__is_consumed_by_fit(data, small):
    first, second = (
        small.model(random_state=np.random.RandomState(5)).fit(data.X, data.y)
        for _ in range(2)
    )
    expected = first.predict(data.X)
    assert np.array_equal(second.predict(data.X), expected)
    assert not np.array_equal(second.fit(data.X, data.y).predict(data.X), expected)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_cross_validation__parallel__equals_serial(backend, estimator, data):
    y = target_of(estimator, data)
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    cv = KFold(3, shuffle=True, random_state=0)
    arguments = {"cv": cv, "method": method}
    serial = cross_val_predict(estimator, data.X, y, **arguments)
    with parallel_config(backend=backend, n_jobs=2):
        parallel = cross_val_predict(estimator, data.X, y, **arguments)
    assert np.array_equal(serial, parallel)


def test_threads__many_fits_at_once__leave_each_other_alone(data, small):
    seeds = list(range(6))
    serial = [
        small.model(random_state=s).fit(data.X, data.y).predict(data.X) for s in seeds
    ]
    fits = (delayed(small.model(random_state=s).fit)(data.X, data.y) for s in seeds)
    models = Parallel(n_jobs=3, backend="threading")(fits)
    for model, expected in zip(models, serial, strict=True):
        assert np.array_equal(model.predict(data.X), expected)


def test_graph_workers__two__change_nothing(data, small):
    expected = small.model().fit(data.X, data.y).predict(data.X)
    model = small.model(n_jobs=2).fit(data.X, data.y)
    assert np.array_equal(model.predict(data.X), expected)


SCRIPT = """
import sys
import torch
from skmatgnn import ALIGNNRegressor
from skmatgnn.datasets import make_crystals

torch.set_num_threads(int(sys.argv[1]))
X, y = make_crystals(12, random_state=0, return_X_y=True)
model = ALIGNNRegressor(max_epochs=2, random_state=0, device="cpu")
print([value.hex() for value in model.fit(X, y).predict(X).tolist()])
"""


def test_fresh_process__other_threads_and_hash_seed__gives_the_same_bits():
    found = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": threads}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", SCRIPT, threads],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_fit_and_predict__global_state__is_left_alone(estimator, data):
    y = target_of(estimator, data)
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    state, numbers, python = (
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),
        random.getstate(),
    )
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    precision = torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    estimator.set_params(precision="float64").fit(data.X, y).predict(data.X)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numbers)
    assert random.getstate() == python
    assert torch.get_num_threads() == threads
    assert torch.get_default_dtype() == dtype
    assert torch.get_float32_matmul_precision() == precision
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.is_grad_enabled()


def frozen(array):
    array = np.array(array)
    array.setflags(write=False)
    return array


def test_fit_and_predict__inputs__are_not_changed_and_may_be_read_only(regressor, data):
    structures = [structure.copy() for structure in data.X]
    X = to_object_array(structures)
    X.setflags(write=False)
    Y = frozen(np.column_stack([data.y, np.where(data.groups == 1, np.nan, data.y)]))
    weight, groups = frozen(np.linspace(0, 1, 24)), frozen(data.groups)
    before = [s.as_dict() for s in structures], Y.copy(), weight.copy(), groups.copy()
    regressor.set_params(early_stopping=True)
    regressor.fit(X, Y, sample_weight=weight, groups=groups).predict(X)
    regressor.score(X, Y, sample_weight=weight)
    assert [s.as_dict() for s in structures] == before[0]
    assert all(kept is given for kept, given in zip(X, structures, strict=True))
    for now, then in zip((Y, weight, groups), before[1:], strict=True):
        assert np.array_equal(now, then, equal_nan=True)


def test_fit_and_predict__packed_read_only_arrays__are_accepted(data, small):
    packed = StructureArray.from_structures(data.X)
    expected = small.model().fit(packed, data.y).predict(packed)
    for field in fields(packed):
        getattr(packed, field.name).setflags(write=False)
    model = small.model()
    assert np.array_equal(model.fit(packed, data.y).predict(packed), expected)
    graphs = small.graphs(model, packed)
    for field in fields(graphs):
        if field.name != "settings":
            getattr(graphs, field.name).setflags(write=False)
    assert np.array_equal(model.fit(graphs, data.y).predict(graphs), expected)


def test_fit__parameters__are_not_changed(estimator, data):
    callbacks, net_params = [], {"optimizer__betas": (0.8, 0.9)}
    estimator.set_params(callbacks=callbacks, net_params=net_params, device="auto")
    before = dict(estimator.get_params())
    estimator.fit(data.X, target_of(estimator, data))
    after = estimator.get_params()
    assert all(after[name] is value for name, value in before.items())
    assert (callbacks, net_params) == ([], {"optimizer__betas": (0.8, 0.9)})


def test_predict__subset_or_order__gives_the_same_rows(regressor, data):
    regressor.set_params(precision="float64").fit(data.X, data.y)
    all_rows = regressor.predict(data.X)
    order = np.random.default_rng(0).permutation(24)
    shuffled = regressor.predict([data.X[i] for i in order])
    assert shuffled == pytest.approx(all_rows[order], rel=1e-9)
    single = np.concatenate([regressor.predict([x]) for x in data.X])
    assert single == pytest.approx(all_rows, rel=1e-9)
