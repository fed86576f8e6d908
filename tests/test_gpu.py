"""What can only be seen on a CUDA device."""

import pickle

import numpy as np
import pytest
import torch

from skmatgnn import (
    ALIGNNRegressor,
    CGCNNClassifier,
    CGCNNRegressor,
    CrabNetRegressor,
    MODNetRegressor,
)
from skmatgnn.datasets import load_formation_energies, make_crystals
from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nn.ops import gather_senders, segment_sum

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ESTIMATORS = (CGCNNRegressor, ALIGNNRegressor)


@pytest.fixture(scope="module")
def crystals():
    return make_crystals(100, random_state=0, return_X_y=True)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_training__float64_on_cuda__equals_cpu(estimator, crystals):
    X, y = crystals
    models = [
        estimator(max_epochs=2, random_state=0, precision="float64", device=d)
        for d in ("cpu", "cuda")
    ]
    cpu, cuda = (model.fit(X, y).predict(X) for model in models)
    np.testing.assert_allclose(cuda, cpu, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("estimator", [CrabNetRegressor, MODNetRegressor])
def test_composition_network__on_cuda__learns_as_on_cpu(estimator):
    X, y = load_formation_energies(return_X_y=True)
    X, y = X[:400], y[:400]
    makes = [
        estimator(max_epochs=20, random_state=0, device=device)
        for device in ("cpu", "cuda", "cuda")
    ]
    cpu, cuda, again = (model.fit(X[:300], y[:300]) for model in makes)
    np.testing.assert_array_equal(cuda.predict(X), again.predict(X))
    errors = [np.abs(m.predict(X[300:]) - y[300:]).mean() for m in (cpu, cuda)]
    assert errors[1] < 1.3 * errors[0]  # other random numbers, the same recipe


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_training__same_seed_on_cuda__is_bitwise_equal(estimator, precision, crystals):
    X, y = crystals
    model = estimator(max_epochs=3, random_state=0, precision=precision)
    first, second = (model.fit(X, y).predict(X) for _ in range(2))
    assert model.device_.startswith("cuda")
    np.testing.assert_array_equal(first, second)


def test_pickle__model_trained_on_cuda__predicts_the_same(crystals):
    X, y = crystals
    model = CGCNNClassifier(max_epochs=2, random_state=0).fit(X, y > y.mean())
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_segment_ops__on_cuda__equal_cpu_forward_and_backward(crystals):
    X, _ = crystals
    batch = GraphBatch.from_graphs(StructureToGraph().fit_transform(X))
    results = []
    for device in ("cpu", "cuda"):
        graph = batch.triplets.to(device)
        values = torch.linspace(-1, 1, graph.n_nodes * 3, dtype=torch.float64)
        x = values.reshape(-1, 3).to(device).requires_grad_()
        rows = gather_senders(x, graph)
        total = segment_sum(rows**2, graph.receiver_ptr, graph.receiver)
        total.pow(2).sum().backward()
        results.append((total.detach().cpu(), x.grad.cpu()))
    for on_cpu, on_cuda in zip(*results, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu)
