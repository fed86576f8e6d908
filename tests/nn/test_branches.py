"""Branches of a captured step: what waits for what, and that nothing changes."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import DeviceGraphs, StructureToGraph
from skmatgnn.nn.ops import _branches, branch, branching, kernels
from tests.nn.test_fused_ops import make_alignn


class FakeStream:
    def __init__(self, name, log):
        self.name, self.log = name, log

    def wait_stream(self, other):
        self.log.append(f"{self.name} waits for {other.name}")


class FakeTensor:
    def __init__(self, log):
        self.log = log

    def record_stream(self, stream):
        self.log.append(f"memory kept for {stream.name}")


@pytest.fixture
def log(monkeypatch):
    """What streams that are none do; the main one is the current one at first."""
    found, current = [], []
    current.append(FakeStream("main", found))

    @contextlib.contextmanager
    def stream(chosen):
        current.append(chosen)
        yield
        current.pop()

    fake = SimpleNamespace(
        Stream=lambda: FakeStream("side", found),
        stream=stream,
        current_stream=lambda: current[-1],
        current_device=lambda: 0,
    )
    monkeypatch.setattr(_branches, "_streams", {})
    monkeypatch.setattr(_branches.torch, "cuda", fake)
    return found


@pytest.mark.parametrize("device", [None, "cpu"])
def test_branch__nothing_is_recorded__changes_nothing(log, device):
    context = contextlib.nullcontext() if device is None else branching(device)
    with context:
        side = branch("a")
        with side.beside(FakeTensor(log)):
            log.append("work")
        side.wait(FakeTensor(log))
    assert log == ["work"]


def test_branch__work_beside__is_waited_for_once_and_at_the_end(log):
    with branching("cuda"):
        side, other = branch("a"), branch("b")
        assert branch("a") is side is not other
        with side.beside():
            log.append("first")
        side.wait(FakeTensor(log))
        side.wait(FakeTensor(log))
        with side.beside():
            log.append("second")
        with side.beside():
            log.append("third")
    begin, end = "side waits for main", "main waits for side"
    assert log == [
        *(begin, "first", end, "memory kept for main"),
        *(begin, "second", end, begin, "third", end),
    ]
    assert branch("a") is not side
    log.clear()
    with side.beside():  # as a backward pass after the context would
        log.append("late")
    side.wait(FakeTensor(log))
    assert log == ["late"]


def test_branch__what_it_reads__is_kept_until_it_is_waited_for(log):
    tensor = torch.ones(3)
    with branching("cuda"):
        side = branch("a")
        with side.beside(tensor, None):
            log.append("work")
        assert side._read == (tensor, None)
        side.wait()
        assert side._read is None


def test_branching__error_within__leaves_no_branches(log):
    outside = branch("a")

    def fail():
        with branching("cuda"):
            assert branch("a") is not outside
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert branch("a") is outside


def recorded_gradients(batch, dtype, *, branches):
    """Gradients of a step that is recorded, of several runs of it."""
    model = make_alignn("cuda", torch.float32, 64, n_alignn_layers=3, n_gcn_layers=2)

    def step():
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            model(batch).square().sum().backward()

    with kernels("triton"):
        for _ in range(2):
            step()
        for parameter in model.parameters():
            parameter.grad = None
        graph = torch.cuda.CUDAGraph()
        context = branching("cuda") if branches else contextlib.nullcontext()
        with torch.cuda.graph(graph), context:
            step()
    runs = []
    for _ in range(4):
        graph.replay()
        runs.append([p.grad.clone() for p in model.parameters()])
    torch.cuda.synchronize()
    return runs


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_step__recorded_with_branches__has_the_bits_of_one_without(dtype, monkeypatch):
    streams = {}
    monkeypatch.setattr(_branches, "_streams", streams)
    graphs = StructureToGraph().transform(
        make_crystals(64, random_state=0, return_X_y=True)[0]
    )
    batch = DeviceGraphs(graphs, "cuda").take(np.arange(64))
    expected = recorded_gradients(batch, dtype, branches=False)[0]
    assert not streams
    for run in recorded_gradients(batch, dtype, branches=True):
        assert all(map(torch.equal, run, expected))
    assert {name for _, name in streams} == {"maps", "parameters"}
