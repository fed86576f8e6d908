"""Threads that launch work on one GPU take turns."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skmatgnn import CrabNetRegressor
from skmatgnn.datasets import load_formation_energies
from skmatgnn.estimators import _net_base
from skmatgnn.nets import _graph_net
from skmatgnn.nets._replay import ReplayIterator
from skmatgnn.nets._turns import taking_turns, to_host


class SeesOutputs(Callback):
    def on_batch_end(self, net, **_):
        pass


def is_excluded(turn, *, expected):
    """Whether another thread has to wait for a turn; soon known if it is expected."""
    entered = threading.Event()

    def enter():
        with turn():
            entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    return thread, not entered.wait(0.3 if expected else 30)


@pytest.mark.parametrize(
    ("mine", "others", "waits"),
    [
        ("cuda", "cuda", True),
        ("cuda:1", "cuda", True),
        ("cuda", "cpu", False),
        ("cpu", "cuda", False),
    ],
)
def test_turns__of_two_threads__exclude_each_other_on_a_gpu(mine, others, waits):
    with ExitStack() as nested:
        nested.enter_context(taking_turns(mine))
        nested.enter_context(taking_turns(mine))  # of one thread they may be nested
        thread, excluded = is_excluded(lambda: taking_turns(others), expected=waits)
    thread.join(30)
    assert excluded is waits
    assert not thread.is_alive()


@pytest.mark.parametrize(("callbacks", "waits"), [([], True), ([SeesOutputs()], False)])
def test_replay__turn__only_without_a_callback_between_steps(
    callbacks, waits, monkeypatch
):
    X, y = load_formation_energies(return_X_y=True)
    model = CrabNetRegressor(max_epochs=1, device="cpu", callbacks=callbacks)
    net = model.fit(X[:20], y[:20]).net_
    dataset = model._make_dataset(model._ensure_samples(X[:20]), reset=False)
    iterator = ReplayIterator(net, net.get_iterator(dataset), training=True)
    monkeypatch.setattr(net, "device", "cuda")
    with iterator.turn():
        thread, excluded = is_excluded(iterator.turn, expected=waits)
    thread.join(30)
    assert excluded is waits


def test_turns__making_and_evaluating_a_network__launch_within_and_wait_outside(
    monkeypatch,
):
    X, y = load_formation_energies(return_X_y=True)
    events = []

    @contextmanager
    def noted(device):
        events.append("begin")
        yield
        events.append("end")

    for module in (_net_base, _graph_net):
        monkeypatch.setattr(module, "taking_turns", noted)
    initialize = _graph_net.GraphNet.initialize_module
    monkeypatch.setattr(
        _graph_net.GraphNet,
        "initialize_module",
        lambda net: events.append("make") or initialize(net),
    )
    model = CrabNetRegressor(max_epochs=1, device="cpu").fit(X[:20], y[:20])
    assert events == ["begin", "make", "end"]
    events.clear()
    model.net_.module_.register_forward_hook(lambda *_: events.append("forward"))
    dataset = model._make_dataset(model._ensure_samples(X[:20]), reset=False)
    model.net_.apply(dataset, model.net_.module_, 10)
    assert events == 2 * ["begin", "forward", "end"]


ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_GPU)])
def test_to_host__something_to_wait_for__is_there(device):
    x = torch.ones(300, 300, device=device, requires_grad=True)
    for _ in range(50):
        x = x @ x / 300
    assert to_host(x).dtype == np.float32
    assert (to_host(x) == 1.0).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_to_host__waiting_thread__lets_another_launch():
    waiting, waited = threading.Event(), threading.Event()
    small = torch.ones(3, device="cuda")

    def wait():
        with torch.cuda.stream(torch.cuda.Stream()):
            torch.cuda._sleep(4_000_000_000)  # cycles, about two seconds
            waiting.set()
            to_host(small + 1)
            waited.set()

    to_host(small + 1), to_host(small * 2)  # loads kernels, which waits for others
    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait(30)
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(20):
            assert to_host(small * 2).tolist() == [2.0, 2.0, 2.0]
        assert not waited.is_set()
    thread.join(30)
    assert waited.is_set()
