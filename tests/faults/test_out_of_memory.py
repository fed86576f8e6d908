"""A device without enough memory; torch's error is faked on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skmatgnn.errors import TooLargeError
from skmatgnn.nets import BatchHalvedWarning, GraphNet

MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has"


@pytest.fixture
def memory(monkeypatch):
    """Let batches fit only up to a size, from some training step on."""
    limits = {"train": 99, "first_step": 0, "steps": 0}
    step = GraphNet.train_step_single

    def limited(self, batch, **kwargs):
        limits["steps"] += 1
        late = limits["steps"] > limits["first_step"]
        if late and len(batch[0]) > limits["train"]:
            raise torch.cuda.OutOfMemoryError(MESSAGE)
        return step(self, batch, **kwargs)

    monkeypatch.setattr(GraphNet, "train_step_single", limited)
    return limits


@pytest.mark.parametrize("first_step", [0, 7])
def test_fit__batch_too_large__starts_again_with_half_of_it(
    make_model, data, memory, first_step
):
    memory |= {"train": 3, "first_step": first_step}
    with pytest.warns(BatchHalvedWarning) as caught:
        model = make_model(batch_size=8).fit(data.X, data.y)
    assert [str(w.message).partition(".")[0] for w in caught] == [
        "The device ran out of memory with batch_size=8 (CUDA out of memory",
        "The device ran out of memory with batch_size=4 (CUDA out of memory",
    ]
    assert "starts again with batch_size=2. Set that" in str(caught[1].message)
    expected = make_model(batch_size=2).fit(data.X, data.y)
    assert np.array_equal(model.predict(data.X), expected.predict(data.X))
    assert model.n_epochs_ == 6


def test_fit__random_state_instance__draws_its_seeds_once(make_model, data, memory):
    memory["train"] = 4
    states = [np.random.RandomState(1) for _ in range(2)]
    with pytest.warns(BatchHalvedWarning):
        model = make_model(random_state=states[0]).fit(data.X, data.y)
    expected = make_model(batch_size=4, random_state=states[1]).fit(data.X, data.y)
    assert np.array_equal(model.predict(data.X), expected.predict(data.X))


def test_fit__with_a_checkpoint_dir__recalls_the_smaller_batches(
    make_model, data, memory, tmp_path
):
    memory["train"] = 4
    with pytest.warns(BatchHalvedWarning):
        first = make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    memory["steps"] = 0
    with pytest.warns(BatchHalvedWarning):
        second = make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    assert np.array_equal(first.predict(data.X), second.predict(data.X))
    assert memory["steps"] == 1  # one attempt with eight, and the result of the other


def test_fit__single_sample_too_large__says_what_to_set(make_model, data, memory):
    memory["train"] = 0
    with (
        pytest.warns(BatchHalvedWarning),
        pytest.raises(
            TooLargeError, match=r"batch_size=1 .*precision='bfloat16'.*RESI"
        ),
    ):
        make_model().fit(data.X, data.y)


def test_fit__batch_size_of_net_params__is_not_overruled(make_model, data, memory):
    memory["train"] = 4
    model = make_model(net_params={"batch_size": 6})
    with pytest.raises(MemoryError, match=r"batch_size=6 .*Lower batch_size"):
        model.fit(data.X, data.y)


def test_partial_fit__batch_too_large__says_what_to_set(make_model, data, memory):
    model = make_model().fit(data.X, data.y)
    expected = model.predict(data.X)
    memory |= {"train": 4, "steps": 0}
    with pytest.raises(TooLargeError, match="Lower batch_size"):
        model.partial_fit(data.X, data.y)
    assert np.array_equal(model.predict(data.X), expected)


def test_predict__batch_too_large__is_made_in_smaller_ones(
    make_model, data, monkeypatch
):
    model = make_model().fit(data.X, data.y)
    expected = model.predict(data.X)
    sizes = []
    forward = type(model.net_.module_).forward

    def limited(self, batch):
        if len(batch) > 4:
            raise torch.cuda.OutOfMemoryError(MESSAGE)
        sizes.append(len(batch))
        return forward(self, batch)

    monkeypatch.setattr(type(model.net_.module_), "forward", limited)
    with pytest.warns(BatchHalvedWarning, match="it evaluates with batch_size=4"):
        found = model.predict(data.X)
    assert sizes == [4] * 6
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fit__memory_of_the_host__is_told_from_other_errors(
    make_model, data, monkeypatch
):
    step, calls = GraphNet.train_step_single, []

    def fail(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: "
                "can't allocate memory: you tried to allocate 9 bytes."
            )
        return step(self, *args, **kwargs)

    monkeypatch.setattr(GraphNet, "train_step_single", fail)
    with pytest.warns(BatchHalvedWarning, match="batch_size=4"):
        make_model().fit(data.X, data.y)

    def break_down(*_, **__):
        raise RuntimeError("expected scalar type Float but found Half")

    monkeypatch.setattr(GraphNet, "train_step_single", break_down)
    with pytest.raises(RuntimeError, match="expected scalar"):
        make_model().fit(data.X, data.y)
