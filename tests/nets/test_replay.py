"""Padded training steps and, on a CUDA device, their replay."""

from __future__ import annotations

import copy
from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback

from skmatgnn import (
    ALIGNNRegressor,
    CGCNNRegressor,
    CrabNetClassifier,
    CrabNetRegressor,
    MODNetClassifier,
    MODNetRegressor,
)
from skmatgnn.datasets import load_formation_energies, make_crystals
from skmatgnn.nets import TrainingInterruptedWarning, _captured, _loop, _replay
from skmatgnn.nets._adamw import N_RATES
from skmatgnn.nets._device_inputs import DeviceTokens
from skmatgnn.nets._replay import ReplayIterator, can_replay
from skmatgnn.nn.layers import BatchNorm
from skmatgnn.nn.ops import kernels

gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class SeesBatches(Callback):
    def on_batch_begin(self, net, **_):
        pass


class Heir(SeesBatches):
    pass


class SeesGradients(Callback):
    def on_grad_computed(self, net, **_):
        assert all(p.grad is not None for p in net.module_.head.parameters())


def padded_only(monkeypatch):
    """Let every net train on padded batches, which are never captured."""
    made = []

    def wrap(net, iterator, training):
        made.append(ReplayIterator(net, iterator, training))
        return made[-1]

    monkeypatch.setattr(_replay, "MAX_GRAPHS", 0)
    monkeypatch.setattr(_loop, "can_replay", lambda net, n_steps: True)
    monkeypatch.setattr(_loop, "ReplayIterator", wrap)
    return made


class ComputedAnew:
    """In place of a CUDA graph."""

    def __init__(self, compute):
        self.replay = compute


class PlainUpdate:
    """AdamW by torch at the rates that were sent, in place of a kernel's."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def groups(self):  # others when a state was loaded
        return self.optimizer.param_groups

    def rates(self):
        return [
            rate
            for group in self.groups
            for rate in (group["lr"], *group["betas"], *[0.0] * (N_RATES - 3))
        ]

    def launch(self, rates):
        host = [(group["lr"], group["betas"]) for group in self.groups]
        sent = rates.view(-1, N_RATES).tolist()
        for group, (lr, *betas) in zip(self.groups, sent, strict=True):
            group["lr"], group["betas"] = lr, tuple(betas[:2])
        self.optimizer.step()
        self.optimizer.zero_grad()
        for group, (lr, betas) in zip(self.groups, host, strict=True):
            group["lr"], group["betas"] = lr, betas

    def write(self):
        pass


class PlainOptimizer:
    def __init__(self, net):
        self.update, self.param_groups = PlainUpdate(net.optimizer_), [None]

    def room(self):
        return []

    def prepare(self, room):
        return self.update


def replayed_on_cpu(monkeypatch):
    """Let steps be 'captured' on the CPU; how many were run at once, and what."""
    runs = []

    class OnCPU(_captured.CapturedStep):
        def __init__(self, net, *args, **options):
            parts = net.module_, net.optimizer_
            states = [copy.deepcopy(part.state_dict()) for part in parts]
            super().__init__(net, *args, **options)
            for part, state in zip(parts, states, strict=True):
                part.load_state_dict(state)

        def flush(self):
            runs.append(("train" if self._training else "valid", self.n_waiting()))
            return super().flush()

    def record(compute, pool, generators):
        compute()  # which a CUDA graph would not yet
        return ComputedAnew(compute)

    monkeypatch.setattr(_captured, "_record", record)
    monkeypatch.setattr(_captured, "_capturable_optimizer", PlainOptimizer)
    monkeypatch.setattr(_replay, "CapturedStep", OnCPU)
    monkeypatch.setattr(_loop, "can_replay", lambda net, n_steps: True)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    return runs


# without noise, of which padding would take a share
QUIET = {"random_state": 0, "precision": "float64", "dropout": 0, "fraction_noise": 0}
# the last batches have a sample less
UNEVEN = {
    "crabnet": CrabNetRegressor(max_epochs=3, batch_size=16, **QUIET),
    "crabnet classes": CrabNetClassifier(max_epochs=3, batch_size=16, **QUIET),
    "crabnet stopped": CrabNetRegressor(
        max_epochs=3, batch_size=16, early_stopping=True, **QUIET
    ),
    "modnet": MODNetRegressor(
        max_epochs=5, batch_size=16, random_state=0, precision="float64"
    ),
    "modnet classes": MODNetClassifier(
        max_epochs=5, batch_size=16, random_state=0, precision="float64", bootstrap=True
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", UNEVEN)
def test_training__padded_batches__same_model(name, weighted, monkeypatch):
    X, y = load_formation_energies(return_X_y=True)
    X, y, model = X[:155], y[:155], clone(UNEVEN[name])
    weight = np.linspace(0.5, 2, 155) if weighted else None
    if "classes" in name:
        y = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    output = "predict_proba" if "classes" in name else "predict"
    expected = getattr(model.fit(X, y, sample_weight=weight), output)(X)
    losses = [row["train_loss"] for row in model.history_]
    made = padded_only(monkeypatch)
    found = getattr(model.fit(X, y, sample_weight=weight), output)(X)
    assert len({len(rows) for rows in made[0].iterator.rows()}) == 2
    assert all(len(one._steps) == 1 for one in made)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    again = [row["train_loss"] for row in model.history_]
    np.testing.assert_allclose(again, losses, rtol=1e-7)


class SeesOutputs(Callback):
    def __init__(self):
        self.losses, self.sizes = [], []

    def on_batch_end(self, net, batch=None, training=False, loss=None, **step):
        if training:
            self.losses.append(loss.item())
            self.sizes.append((len(batch[1].target), len(step["y_pred"])))


AT_ONCE = [1, 2, 4, 2]  # of nine steps, the first of ten being computed as it comes


@pytest.mark.parametrize(
    ("name", "at_once"),
    [
        ("crabnet", {"train": AT_ONCE}),
        ("crabnet classes", {"train": AT_ONCE}),
        # the error that is watched takes the outputs of validation
        ("crabnet stopped", {"train": [1, 2, 4, 1], "valid": [1]}),
    ],
)
def test_replay__steps_sent_several_at_once__same_model(name, at_once, monkeypatch):
    X, y = load_formation_energies(return_X_y=True)
    X, y, model = X[:155], y[:155], clone(UNEVEN[name])
    if "classes" in name:
        y = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    output = "predict_proba" if "classes" in name else "predict"
    expected, history = getattr(model.fit(X, y), output)(X), model.history_
    runs = replayed_on_cpu(monkeypatch)
    found = getattr(model.fit(X, y), output)(X)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    for row, other in zip(model.history_, history, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-9)
    for phase, numbers in at_once.items():
        found = [number for kind, number in runs if kind == phase]
        assert found[: len(numbers)] == numbers


def test_replay__callback_that_reads_outputs__gets_those_of_each_step(monkeypatch):
    X, y = load_formation_energies(return_X_y=True)
    X, y = X[:155], y[:155]
    seen, again = SeesOutputs(), SeesOutputs()
    clone(UNEVEN["crabnet"]).set_params(callbacks=[seen]).fit(X, y)
    runs = replayed_on_cpu(monkeypatch)
    clone(UNEVEN["crabnet"]).set_params(callbacks=[again]).fit(X, y)
    assert runs
    assert {number for _, number in runs} == {1}
    np.testing.assert_allclose(again.losses, seen.losses, rtol=1e-9)
    assert again.sizes == seen.sizes  # no sample without a target among them


def message_of(model, X, y):
    with pytest.warns(TrainingInterruptedWarning) as caught:
        model.fit(X, y)
    return str(caught[0].message)


def test_replay__loss_not_finite__says_in_which_step(monkeypatch):
    X, y = load_formation_energies(return_X_y=True)
    model = clone(UNEVEN["crabnet"]).set_params(lr=1e150)
    expected = message_of(model, X[:155], y[:155])
    runs = replayed_on_cpu(monkeypatch)
    assert message_of(model, X[:155], y[:155]) == expected
    assert "It happened in step " in expected
    assert max(number for _, number in runs) > 1


class OwnLoss(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()

    def forward(self, prediction, labels):
        assert labels.target.isfinite().all()
        return (prediction[:, :1] - labels.target).abs().mean()


def test_training__criterion_of_the_user__gets_no_samples_without_target(monkeypatch):
    X, y = load_formation_energies(return_X_y=True)
    made = padded_only(monkeypatch)
    model = clone(UNEVEN["crabnet"]).set_params(net_params={"criterion": OwnLoss})
    assert np.isfinite(model.fit(X[:155], y[:155]).history_[-1]["train_loss"])
    assert len({capacity.n_samples for capacity in made[0]._steps}) == 2


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("estimator", [CGCNNRegressor, ALIGNNRegressor])
def test_training__padded_graphs__same_model(estimator, norm, monkeypatch):
    X, y = make_crystals(30, random_state=0, return_X_y=True)
    model = estimator(
        norm=norm, max_epochs=3, batch_size=8, random_state=0, precision="float64"
    )
    if estimator is ALIGNNRegressor:
        model.set_params(hidden_dim=16, n_alignn_layers=2, n_gcn_layers=2)
    expected = model.fit(X, y).predict(X)
    state = model.net_.module_.state_dict()
    made = padded_only(monkeypatch)
    found = model.fit(X, y).predict(X)
    assert {len(rows) for rows in made[0].iterator.rows()} == {7, 8}
    assert {capacity.n_samples for capacity in made[0]._steps} == {8}
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    for name, value in model.net_.module_.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-6, atol=1e-9)


def test_tokens__padded__equal_those_without_padding():
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 6, size=20)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    numbers = rng.integers(1, 90, size=ptr[-1])
    tokens = DeviceTokens(ptr, numbers, rng.random(ptr[-1]), "cpu", torch.float64)
    rows = np.array([4, 19, 0, 7, 7])
    plain = tokens.take(rows, torch.from_numpy(rows))
    padded = tokens.take_padded(torch.from_numpy(rows), tokens.capacity(rows))
    n = len(plain.place)
    assert len(padded.place) > n
    assert padded.width == counts.max()
    for name in ("atomic_numbers", "fractions"):
        values = getattr(plain, name)
        assert torch.equal(getattr(padded, name)[:n], values)
        table = plain.pad(values)
        assert torch.equal(padded.pad(getattr(padded, name))[:, : plain.width], table)
        assert torch.equal(padded.unpad(padded.pad(getattr(padded, name)))[:n], values)
    assert int(padded.is_token().sum()) == n


def tokens_of(counts):
    ptr = np.concatenate([[0], np.cumsum(counts)])
    ones = np.ones(ptr[-1])
    return DeviceTokens(ptr, ones.astype(int), ones, "cpu", torch.float32)


def test_tokens__random_batches__nearly_all_have_one_capacity():
    rng = np.random.default_rng(0)
    tokens = tokens_of(rng.integers(1, 7, size=1000))
    batches = [rng.permutation(1000)[:32] for _ in range(500)]
    (usual, number), *_ = Counter(map(tokens.capacity, batches)).most_common()
    assert number > 490
    most = np.sort(tokens._count)[-32:].sum()
    assert usual.sizes()["tokens"] < 1.4 * 32 * 3.5 < most
    largest = np.argsort(tokens._count)[-32:]
    assert tokens.capacity(largest).sizes()["tokens"] > most


@pytest.mark.parametrize(("counts", "room"), [([], 0), ([3], 8), ([2, 2, 2, 2], 16)])
def test_tokens__all_alike__have_room_for_one_more(counts, room):
    tokens = tokens_of(np.array(counts, dtype=int))
    assert tokens.capacity(np.arange(len(counts))).sizes() == {"tokens": room}


def test_replay__process_without_a_part_of_any_batch__has_none():
    X, y = make_crystals(10, random_state=0, return_X_y=True)
    model = CGCNNRegressor(max_epochs=1).fit(X, y)
    dataset = model._make_dataset(model._ensure_samples(X), reset=False)
    iterator = model.net_.get_iterator(dataset)
    iterator.rows = lambda: iter(())
    replayed = ReplayIterator(model.net_, iterator, training=False)
    assert list(replayed.batches([])) == []


def test_can_replay__cpu_or_curious_callback_or_short_run__no(monkeypatch):
    X, y = load_formation_energies(return_X_y=True)
    net = CrabNetRegressor(max_epochs=1, device="cpu").fit(X[:20], y[:20]).net_
    assert not can_replay(net, 1000)
    monkeypatch.setattr(net, "device", "cuda")
    assert can_replay(net, 1000)
    assert not can_replay(net, 3)
    monkeypatch.setenv("SKMATGNN_CUDA_GRAPHS", "0")
    assert not can_replay(net, 1000)
    monkeypatch.delenv("SKMATGNN_CUDA_GRAPHS")
    for callback in (SeesBatches(), Heir()):
        net.callbacks_.append(("mine", callback))
        assert not can_replay(net, 1000)
        net.callbacks_.pop()
    assert can_replay(net, 1000)


def test_can_replay__kernels_of_dgl__no(monkeypatch):
    X, y = make_crystals(10, random_state=0, return_X_y=True)
    for model in (CGCNNRegressor(), ALIGNNRegressor(hidden_dim=8)):
        net = model.set_params(max_epochs=1).fit(X, y).net_
        monkeypatch.setattr(net, "device", "cuda")
        assert can_replay(net, 1000)
        with kernels("dgl"):
            assert not can_replay(net, 1000)


def test_can_replay__batch_norm_over_processes__no(monkeypatch):
    X, y = make_crystals(10, random_state=0, return_X_y=True)
    net = CGCNNRegressor(max_epochs=1).fit(X, y).net_
    monkeypatch.setattr(net, "device", "cuda")
    assert can_replay(net, 1000)
    norm = next(m for m in net.module_.modules() if isinstance(m, BatchNorm))
    norm.all_sum = torch.clone
    assert not can_replay(net, 1000)


def errors(model, X, y, n_train):
    model.fit(X[:n_train], y[:n_train])
    return float(np.abs(model.predict(X[n_train:]) - y[n_train:]).mean())


CASES = {
    "alignn": (ALIGNNRegressor, 15),
    "alignn_batch_norm": (partial(ALIGNNRegressor, norm="batch"), 15),
    "cgcnn": (CGCNNRegressor, 15),
    "cgcnn_layer_norm": (partial(CGCNNRegressor, norm="layer"), 15),
    "crabnet": (CrabNetRegressor, 30),
    "modnet": (MODNetRegressor, 30),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=gpu) for name in CASES])
def test_replay__same_seed__bitwise_equal_and_as_good_as_eager(name, monkeypatch):
    estimator, n_epochs = CASES[name]
    if name.startswith(("alignn", "cgcnn")):
        X, y = make_crystals(400, random_state=0, return_X_y=True)
    else:
        X, y = load_formation_energies(return_X_y=True)
        X, y = X[:400], y[:400]
    captured = []

    class Counted(_replay.CapturedStep):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            captured.append(self)

    monkeypatch.setattr(_replay, "CapturedStep", Counted)
    model = estimator(max_epochs=n_epochs, random_state=0, batch_size=32)
    first = errors(model, X, y, 300)
    assert captured
    predicted = model.predict(X)
    assert errors(model, X, y, 300) == first
    np.testing.assert_array_equal(model.predict(X), predicted)
    monkeypatch.setenv("SKMATGNN_CUDA_GRAPHS", "0")
    captured.clear()
    eager = errors(model, X, y, 300)
    assert not captured
    assert 0.75 * eager < first < 1.33 * eager


@pytest.mark.parametrize("frozen", [pytest.param("gradual", marks=gpu)])
def test_replay__unfreezing__captures_anew(frozen):
    X, y = make_crystals(200, random_state=0, return_X_y=True)
    source = ALIGNNRegressor(max_epochs=3, random_state=0).fit(X, y)
    model = ALIGNNRegressor(
        pretrained=FrozenEstimator(source),
        fine_tuning=frozen,
        max_epochs=12,
        random_state=0,
    )
    predicted = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(model.fit(X, y).predict(X), predicted)
    before = source.net_.module_.state_dict()
    after = model.net_.module_.state_dict()
    moved = [k for k in after if k in before and not torch.equal(before[k], after[k])]
    assert any(key.startswith("alignn_layers") for key in moved)


def on_gpu(model, *, updates):
    return pytest.param(model, updates, marks=gpu)


@pytest.mark.parametrize(
    ("model", "updates"),
    [
        # the kernel of the optimizer takes float32 alone
        on_gpu(CGCNNRegressor(precision="float64"), updates=False),
        on_gpu(ALIGNNRegressor(norm="batch", precision="float32"), updates=True),
        on_gpu(ALIGNNRegressor(norm="batch", precision="float64"), updates=False),
        on_gpu(ALIGNNRegressor(precision="float32"), updates=True),
        on_gpu(
            ALIGNNRegressor(precision="float32", callbacks=[SeesGradients()]),
            updates=False,
        ),
    ],
    ids=["cgcnn", "batch_norm", "batch_norm_plain", "layer_norm", "sees_gradients"],
)
def test_replay__first_epochs__equal_those_run_eagerly(model, updates, monkeypatch):
    X, y = make_crystals(80, random_state=0, return_X_y=True)
    made = []

    class Counted(_replay.CapturedStep):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append((options["training"], self.update is not None))

    monkeypatch.setattr(_replay, "CapturedStep", Counted)
    model.set_params(max_epochs=8, batch_size=8, random_state=0)
    model.set_params(early_stopping=True, validation_fraction=0.5)
    if isinstance(model, ALIGNNRegressor):
        model.set_params(hidden_dim=32)
    replayed = model.fit(X, y)
    predicted, history = replayed.predict(X), replayed.history_
    assert set(made) == {(True, updates), (False, False)}
    monkeypatch.setenv("SKMATGNN_CUDA_GRAPHS", "0")
    eager = model.fit(X, y)
    tolerance = 1e-6 if model.precision == "float64" else 1e-2
    assert np.abs(eager.predict(X) - predicted).max() < tolerance * y.std()
    for name in ("train_loss", "valid_loss"):
        found, expected = (
            [row[name] for row in rows] for rows in (history, eager.history_)
        )
        np.testing.assert_allclose(found, expected, rtol=tolerance)
