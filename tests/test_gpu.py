"""What can only be seen on a CUDA device."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

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
from skmatgnn.graphs import DeviceGraphs, GraphBatch, StructureToGraph
from skmatgnn.nets import BatchHalvedWarning, _graph_net
from skmatgnn.nets._precision import numerics
from skmatgnn.nets._replay import ReplayIterator
from skmatgnn.nn.ops import gather_senders, segment_sum

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ESTIMATORS = (CGCNNRegressor, ALIGNNRegressor)
RESUMABLE = """
import sys
import numpy as np
from skmatgnn import ALIGNNRegressor
from skmatgnn.datasets import make_crystals
from skmatgnn.nets import _training_record

_training_record.MOST_SHARE = np.inf
out, folder = sys.argv[1:]
X, y = make_crystals(48, random_state=0, return_X_y=True)
model = ALIGNNRegressor(max_epochs=100, random_state=3, early_stopping=True,
    n_iter_no_change=100, batch_size=8, checkpoint_dir=folder or None)
losses = [row["train_loss"] for row in model.fit(X, y).history_]
np.savez(out, losses=losses, predictions=model.predict(X), device=model.device_)
"""


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


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_captured_step__against_the_same_step_run_eagerly__same_gradients(precision):
    X, y = make_crystals(32, random_state=0, return_X_y=True)
    model = ALIGNNRegressor(max_epochs=1, random_state=0, precision=precision)
    net = model.fit(X, y).net_.module_
    packed = DeviceGraphs(StructureToGraph().fit_transform(X), "cuda")
    rows = np.arange(16)
    index, capacity = torch.from_numpy(rows).cuda(), packed.capacity(rows)

    def step(batch):
        net.zero_grad()
        with numerics(precision, "cuda"):
            output = net(batch)[: len(rows)]
            output.float().square().mean().backward()
        return output

    def results(output):
        grads = {name: p.grad.clone() for name, p in net.named_parameters()}
        return {"output": output.detach().clone(), **grads}

    padded = results(step(packed.take_padded(index, capacity)))
    exact = results(step(packed.take(rows, index)))
    net.zero_grad()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = step(packed.take_padded(index, capacity))
    for _ in range(2):
        graph.replay()
    found = results(output)
    tolerance = {"float32": 1e-4, "tf32": 2e-2, "bfloat16": 5e-2}[precision]
    floor = 1e-2 * max(value.norm() for value in exact.values())
    for name, value in exact.items():
        scale = torch.maximum(value.norm(), floor)  # some vanish but for rounding
        assert (found[name] - padded[name]).norm() < 1e-6 * scale, name
        assert (found[name] - value).norm() < tolerance * scale, name


@pytest.fixture
def little_memory():
    """300 MB more than what is held now."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved() + 3e8
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(allowed / total)
    yield
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("replay", ["0", "1"])
def test_fit__batch_beyond_the_memory__trains_with_smaller_ones(
    replay, monkeypatch, little_memory
):
    monkeypatch.setenv("SKMATGNN_CUDA_GRAPHS", replay)
    X, y = make_crystals(256, random_state=0, return_X_y=True)
    settings = {"max_epochs": 2, "random_state": 0, "hidden_dim": 256}
    settings["precision"] = "float32"
    with pytest.warns(BatchHalvedWarning) as caught:
        model = ALIGNNRegressor(batch_size=256, **settings).fit(X, y)
    size = 256 // 2 ** len(caught)
    assert 1 <= size <= 128
    assert f"batch_size={size}. Set that" in str(caught[-1].message)
    torch.cuda.set_per_process_memory_fraction(1.0)
    expected = ALIGNNRegressor(batch_size=size, **settings).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))


def test_fit__killed_on_the_device__resumes_to_the_same_bits(tmp_path):
    def start(name, folder):
        command = [sys.executable, "-W", "ignore", "-c", RESUMABLE, tmp_path / name]
        root = str(Path(__file__).parents[1])
        path = os.pathsep.join([root, *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.Popen([*command, folder], env=environment)  # noqa: S603

    assert start("whole.npz", "").wait(300) == 0
    states = tmp_path / "states"
    process = start("killed.npz", states)
    while process.poll() is None and not any(states.glob("[!.]*")):
        time.sleep(0.001)
    time.sleep(0.05)
    process.kill()
    assert process.wait() == -9
    assert start("resumed.npz", states).wait(300) == 0
    whole, resumed = (np.load(tmp_path / f"{n}.npz") for n in ("whole", "resumed"))
    assert str(whole["device"]).startswith("cuda")
    for name in ("losses", "predictions"):
        np.testing.assert_array_equal(resumed[name], whole[name])


@pytest.mark.filterwarnings("ignore:Synchronization debug mode:UserWarning")
@pytest.mark.parametrize("replayed", ["0", "1"])
@pytest.mark.parametrize("estimator", [*ESTIMATORS, CrabNetRegressor, MODNetRegressor])
def test_epoch__every_step__goes_on_without_waiting_for_the_device(
    estimator, replayed, crystals, monkeypatch
):
    monkeypatch.setenv("SKMATGNN_CUDA_GRAPHS", replayed)
    X, y = crystals
    if estimator not in ESTIMATORS:
        X = [structure.composition for structure in X]
    run, capture = _graph_net.run_batches, ReplayIterator._capture
    passes = []

    def with_mode(mode, function, args, options):
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode(mode)
        try:
            return function(*args, **options)
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def run_watched(*args, **options):
        passes.append(None)
        return with_mode("error" if len(passes) > 2 else 0, run, args, options)

    def capture_unwatched(*args):
        return with_mode(0, capture, args, {})

    monkeypatch.setattr(_graph_net, "run_batches", run_watched)
    monkeypatch.setattr(ReplayIterator, "_capture", capture_unwatched)
    model = estimator(
        max_epochs=6, batch_size=10, random_state=0, device="cuda", early_stopping=True
    )
    model.fit(X, y)
    assert len(passes) == 12  # training and validation
    assert np.isfinite(model.predict(X)).all()
