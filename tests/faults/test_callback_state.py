"""checkpoint_dir with callbacks of the user's: what is kept of their state."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict, namedtuple

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Freezer, TrainEndCheckpoint
from torch.optim.swa_utils import AveragedModel

from skmatgnn.nets import TrainingStateWarning, _training_record


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Write a state after every epoch."""
    monkeypatch.setattr(_training_record, "MOST_SHARE", np.inf)


class Counting(Callback):
    """Has state without an underscore, and some that cannot be kept."""

    def __init__(self, *, stream=None):
        self.seen = []
        self.stream = stream

    def on_train_begin(self, net, **_):
        self.seen = []
        if self.stream:
            self.file_ = self.stream

    def on_epoch_end(self, net, **_):
        self.seen.append(net.history[-1, "train_loss"])


def test_callback__with_plain_attributes__keeps_them(
    make_model, data, fit_until, tmp_path
):
    fit_until(make_model(callbacks=[Counting()], checkpoint_dir=tmp_path), data, 3)
    counting = Counting()
    model = make_model(callbacks=[counting], checkpoint_dir=tmp_path)
    model.fit(data.X, data.y)
    assert counting.seen == [row["train_loss"] for row in model.history_]
    assert len(counting.seen) == 6


def test_callback__whose_state_cannot_be_kept__is_named_once(
    make_model, data, tmp_path
):
    with (tmp_path / "log").open("w") as log:
        counting = Counting(stream=log)
        model = make_model(callbacks=[counting], checkpoint_dir=tmp_path / "states")
        with pytest.warns(TrainingStateWarning, match=r"Counting\.file_ cannot") as w:
            model.fit(data.X, data.y)
    assert len(w) == 1


class Changing(Callback):
    """Has one attribute, which each epoch changes."""

    def __init__(self, first, change):
        self.first = first
        self.change = change

    def on_train_begin(self, net, **_):
        self.state_ = self.first()

    def on_epoch_end(self, net, **_):
        self.state_ = self.change(self.state_, len(net.history))


def count(counts, epoch):
    counts[epoch % 2] += 1
    return counts


def add_arrays(arrays, epoch):
    return {epoch: np.ones(2), str(epoch): np.zeros(2)}


CHANGES = {
    "defaultdict": (lambda: defaultdict(int), count),
    "counter": (Counter, count),
    "keys written alike": (dict, add_arrays),
    "big-endian": (
        lambda: np.zeros(2, ">f8"),
        lambda array, epoch: (array + epoch).astype(">f8"),
    ),
    **{
        str(dtype): (
            lambda dtype=dtype: torch.zeros(2, dtype=dtype),
            lambda tensor, epoch: tensor + epoch,
        )
        for dtype in (torch.float16, torch.bfloat16, torch.int16, torch.int8)
    },
}


@pytest.mark.parametrize("kind", CHANGES)
def test_callback__with_state_of_any_kind__keeps_it(
    make_model, data, fit_until, tmp_path, kind
):
    expected = Changing(*CHANGES[kind])
    make_model(callbacks=[expected]).fit(data.X, data.y)
    stopped = make_model(callbacks=[Changing(*CHANGES[kind])], checkpoint_dir=tmp_path)
    fit_until(stopped, data, 3)
    found = Changing(*CHANGES[kind])
    make_model(callbacks=[found], checkpoint_dir=tmp_path).fit(data.X, data.y)
    assert type(found.state_) is type(expected.state_)
    assert getattr(found.state_, "dtype", None) == getattr(
        expected.state_, "dtype", None
    )
    np.testing.assert_equal(plain(found.state_), plain(expected.state_))


def plain(state):
    return state.float().numpy() if isinstance(state, torch.Tensor) else state


Pair = namedtuple("Pair", "one other")  # noqa: PYI024

LOST = {
    "named tuple": (lambda: Pair(0, 0), lambda pair, epoch: Pair(pair.one, epoch)),
    "named tuples in a list": (list, lambda pairs, epoch: [*pairs, Pair(0, epoch)]),
    "complex": (lambda: torch.zeros(2, dtype=torch.complex64), lambda t, _: t + 1j),
    "sparse": (lambda: torch.eye(3).to_sparse(), lambda tensor, _: tensor * 2),
}


@pytest.mark.parametrize("kind", LOST)
def test_callback__with_state_that_only_pickle_keeps__begins_anew(
    make_model, data, fit_until, tmp_path, kind
):
    stopped = make_model(callbacks=[Changing(*LOST[kind])], checkpoint_dir=tmp_path)
    with pytest.warns(TrainingStateWarning, match=r"Changing\.state_ cannot be kept"):
        fit_until(stopped, data, 3)
    found = Changing(*LOST[kind])
    model = make_model(callbacks=[found], checkpoint_dir=tmp_path)
    with pytest.warns(TrainingStateWarning, match=r"Changing\.state_ cannot be kept"):
        model.fit(data.X, data.y)
    assert model.n_epochs_ == 6
    assert type(found.state_) is type(stopped.callbacks[0].state_)


class Averaging(Callback):
    """Averages weights, and begins to with the first epoch."""

    average_ = None

    def on_epoch_end(self, net, **_):
        if self.average_ is None:
            self.average_ = AveragedModel(net.module_)
        self.average_.update_parameters(net.module_)


def test_callback__that_makes_its_state_late__is_named_and_begins_anew(
    make_model, data, fit_until, tmp_path
):
    fit_until(make_model(callbacks=[Averaging()], checkpoint_dir=tmp_path), data, 4)
    averaging = Averaging()
    model = make_model(callbacks=[averaging], checkpoint_dir=tmp_path)
    with pytest.warns(TrainingStateWarning, match=r"Averaging\.average_ could not"):
        model.fit(data.X, data.y)
    assert int(averaging.average_.n_averaged) == 2


def test_callback__that_has_frozen_layers__goes_on_to_the_same_bits(
    make_model, data, fit_until, tmp_path
):
    expected = make_model(callbacks=[Freezer("head*")]).fit(data.X, data.y)
    stopped = make_model(callbacks=[Freezer("head*")], checkpoint_dir=tmp_path)
    fit_until(stopped, data, 3)
    found = make_model(callbacks=[Freezer("head*")], checkpoint_dir=tmp_path)
    found.fit(data.X, data.y)
    np.testing.assert_array_equal(found.predict(data.X), expected.predict(data.X))


def test_callback__that_looks_at_the_last_batch__may_where_nothing_is_left_to_do(
    make_model, data, tmp_path
):
    for folder in ("one", "other"):
        last = TrainEndCheckpoint(dirname=tmp_path / folder, f_pickle=None)
        model = make_model(callbacks=[last], checkpoint_dir=tmp_path / "states")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingStateWarning)
            model.fit(data.X, data.y)
    files = [tmp_path / folder / "train_end_params.pt" for folder in ("one", "other")]
    one, other = (torch.load(file, weights_only=True) for file in files)
    assert all(torch.equal(one[key], other[key]) for key in one)
