"""checkpoint_dir: what is kept, when it is used, and what can go wrong with it."""

from __future__ import annotations

import os
import pickletools
import subprocess

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EarlyStopping, Freezer, LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skmatgnn import MPTRegressor, load_estimator
from skmatgnn.errors import InvalidValueError
from skmatgnn.nets import TrainingStateWarning, _training_record
from skmatgnn.nets._training_record import TrainingRecord
from skmatgnn.utils import packed_file


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Write a state after every epoch."""
    monkeypatch.setattr(_training_record, "MOST_SHARE", np.inf)


def losses(model):
    return [row["train_loss"] for row in model.history_]


def assert_same(model, expected, data):
    assert np.array_equal(model.predict(data.X), expected.predict(data.X))
    assert losses(model) == losses(expected)
    assert model.best_epoch_ == expected.best_epoch_
    for key, value in expected.net_.module_.state_dict().items():
        assert torch.equal(model.net_.module_.state_dict()[key], value), key


def make_pretrained(data):
    small = {"architecture": "cgcnn", "max_epochs": 1, "random_state": 1}
    small |= {"node_dim": 8, "hidden_dim": 8, "n_conv_layers": 1, "max_neighbors": 4}
    small |= {"edge_step": 1.0}
    return FrozenEstimator(MPTRegressor(**small).fit(data.X, data.y))


@pytest.mark.parametrize("epoch", [1, 3, 5])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"lr_schedule": "constant", "precision": "float64"},
        {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 9},
        {"net_params": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}},
        {"callbacks": [EarlyStopping(monitor="train_loss", patience=3)]},
        {
            "callbacks": [
                LRScheduler(ReduceLROnPlateau, monitor="train_loss", patience=0)
            ],
            "lr_schedule": "constant",
        },
        {"callbacks": [Freezer("conv_layers.*")]},  # it acts in the first epoch
    ],
    ids=["default", "constant", "early", "sgd", "stopping", "plateau", "freezer"],
)
def test_fit__stopped_after_an_epoch__goes_on_to_the_same_bits(
    make_model, data, fit_until, tmp_path, parameters, epoch
):
    expected = make_model(**parameters).fit(data.X, data.y)
    model = make_model(**parameters, checkpoint_dir=tmp_path)
    fit_until(model, data, epoch)
    assert not hasattr(model, "net_")
    assert_same(clone(model).fit(data.X, data.y), expected, data)
    assert_same(clone(model).fit(data.X, data.y), expected, data)  # finished


@pytest.mark.parametrize("fine_tuning", ["gradual", "discriminative", "head"])
def test_fit__of_pretrained_weights__goes_on_to_the_same_bits(
    make_model, data, fit_until, tmp_path, fine_tuning
):
    transfer = {"pretrained": make_pretrained(data), "fine_tuning": fine_tuning}
    model = make_model(**transfer, checkpoint_dir=tmp_path)
    fit_until(model, data, 3)
    expected = make_model(**transfer).fit(data.X, data.y)
    assert_same(model.fit(data.X, data.y), expected, data)


def test_warm_start__stopped__goes_on_to_the_same_bits(
    make_model, data, fit_until, tmp_path
):
    expected, model = make_model(), make_model(checkpoint_dir=tmp_path)
    for m in (expected, model):
        m.fit(data.X, data.y).set_params(warm_start=True)
    expected.fit(data.X, data.y)
    fit_until(model, data, 2)
    assert_same(model.fit(data.X, data.y), expected, data)
    assert len(list(tmp_path.iterdir())) == 2


def test_partial_fit__after_a_finished_fit_was_recalled__is_the_same(
    make_model, data, tmp_path
):
    models = [make_model(checkpoint_dir=tmp_path).fit(data.X, data.y) for _ in "ab"]
    for model in models:
        model.partial_fit(data.X, data.y)
    assert_same(*models, data)


def test_fit__random_state_instance__is_advanced_as_without(
    make_model, data, fit_until, tmp_path
):
    states = [np.random.RandomState(5) for _ in range(3)]
    expected = make_model(random_state=states[0]).fit(data.X, data.y)
    fit_until(make_model(random_state=states[1], checkpoint_dir=tmp_path), data, 2)
    model = make_model(random_state=states[2], checkpoint_dir=tmp_path)
    assert_same(model.fit(data.X, data.y), expected, data)
    assert states[2].randint(2**31) == states[0].randint(2**31)


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0.02},
        {"max_epochs": 7},
        {"random_state": 1},
        {"weight_decay": 0.1},
        {"loss": "mse"},
        {"batch_size": 7},
        {"cutoff": 5.0},
        {"early_stopping": True},
        {"callbacks": [EarlyStopping(monitor="train_loss", patience=99)]},
        {"net_params": {"optimizer__eps": 1e-7}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_fit__other_parameters__starts_afresh_and_leaves_the_state_alone(
    make_model, data, fit_until, tmp_path, change
):
    fit_until(make_model(checkpoint_dir=tmp_path), data, 3)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = make_model(**change, checkpoint_dir=tmp_path).fit(data.X, data.y)
    assert_same(other, make_model(**change).fit(data.X, data.y), data)
    assert len(list(tmp_path.iterdir())) == 2
    assert all(path.read_bytes() == content for path, content in before.items())


def test_fit__other_data__starts_afresh(make_model, data, fit_until, tmp_path):
    fit_until(make_model(checkpoint_dir=tmp_path), data, 3)
    y = data.y.copy()
    y[7] = np.nextafter(y[7], np.inf)
    weight = np.linspace(1, 2, 24)
    groups = np.arange(24) // 2
    for X, target, kwargs in (
        (data.X, y, {}),
        (data.X[::-1], data.y, {}),
        (data.X[1:], data.y[1:], {}),
        (data.X, data.y, {"sample_weight": weight}),
        (data.X, data.y, {"groups": groups}),
    ):
        model = make_model(checkpoint_dir=tmp_path).fit(X, target, **kwargs)
        assert_same(model, make_model().fit(X, target, **kwargs), data)
    assert len(list(tmp_path.iterdir())) == 6


def test_fit__other_kernels__starts_afresh(
    make_model, data, fit_until, tmp_path, monkeypatch
):
    model = make_model(checkpoint_dir=tmp_path)
    fit_until(model, data, 3)
    monkeypatch.setenv("SKMATGNN_KERNELS", "reference")
    expected = make_model().fit(data.X, data.y)
    assert_same(clone(model).fit(data.X, data.y), expected, data)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("idle", [{"verbose": True}, {"n_jobs": 2}])
def test_fit__parameters_that_change_nothing__goes_on(
    make_model, data, fit_until, tmp_path, idle, capsys
):
    fit_until(make_model(checkpoint_dir=tmp_path), data, 3)
    model = make_model(**idle, checkpoint_dir=str(tmp_path)).fit(data.X, data.y)
    assert len(list(tmp_path.iterdir())) == 1
    assert model.n_epochs_ == 6
    if "verbose" in idle:
        assert "6/6" in capsys.readouterr().err


def test_search__repeated__fits_nothing_anew(make_model, data, tmp_path, monkeypatch):
    search = GridSearchCV(
        make_model(checkpoint_dir=tmp_path / "new" / "folder"),
        {"lr": [0.01, 0.02]},
        cv=2,
        error_score="raise",
    )
    first = clone(search).fit(data.X, data.y)

    def fail(*_, **__):
        raise AssertionError

    monkeypatch.setattr("skmatgnn.nets.GraphNet.train_step", fail)
    second = clone(search).fit(data.X, data.y)
    assert np.array_equal(
        first.cv_results_["mean_test_score"], second.cv_results_["mean_test_score"]
    )
    assert np.array_equal(first.predict(data.X), second.predict(data.X))


def test_fit__without_random_state__is_refused(make_model, data, tmp_path):
    model = make_model(random_state=None, checkpoint_dir=tmp_path / "x")
    with pytest.raises(InvalidValueError, match="needs a random_state, such as"):
        model.fit(data.X, data.y)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["file", "below_file", "read_only"])
def test_fit__folder_that_cannot_be_written_to__fails_before_anything_else(
    make_model, tmp_path, kind
):
    (tmp_path / "file").write_text("")
    places = {"file": tmp_path / "file", "below_file": tmp_path / "file" / "x"}
    place = places.get(kind, tmp_path)
    if kind == "read_only":
        tmp_path.chmod(0o500)
        if os.access(tmp_path, os.W_OK):  # as root
            place = "/proc"
    with pytest.raises(InvalidValueError, match=r"cannot be written to .* Give a fold"):
        make_model(checkpoint_dir=place).fit(["neither data"], None)
    tmp_path.chmod(0o700)


def test_state__damaged__says_which_file_to_delete(
    make_model, data, fit_until, tmp_path
):
    model = make_model(checkpoint_dir=tmp_path)
    fit_until(model, data, 2)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [whole[:n] for n in (0, 3, 100, len(whole) // 2, len(whole) - 1)]
    for place in rng.integers(0, len(whole), 20):
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(content))
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InvalidValueError, match="Delete this file to train from"):
            model.fit(data.X, data.y)
    with pytest.raises(InvalidValueError, match=str(path)):
        model.fit(data.X, data.y)
    path.unlink()
    assert_same(model.fit(data.X, data.y), make_model().fit(data.X, data.y), data)


def test_state__of_another_training_or_kind__is_refused(
    make_model, data, fit_until, tmp_path
):
    model = make_model(checkpoint_dir=tmp_path)
    fit_until(model, data, 2)
    (path,) = tmp_path.iterdir()
    fit_until(make_model(lr=0.1, checkpoint_dir=tmp_path / "other"), data, 2)
    (other,) = (tmp_path / "other").iterdir()
    other.replace(path)
    with pytest.raises(InvalidValueError, match="belongs to another training Delete"):
        model.fit(data.X, data.y)
    with pytest.raises(InvalidValueError, match="no checkpoint of skmatgnn"):
        load_estimator(path)
    make_model().fit(data.X, data.y).save(path)
    with pytest.raises(InvalidValueError, match="no training state of skmatgnn"):
        model.fit(data.X, data.y)


def test_state__file__is_no_pickle(make_model, data, tmp_path):
    make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    (path,) = tmp_path.iterdir()
    assert packed_file.read_metadata(path)["format"] == "skmatgnn.training"
    with pytest.raises(ValueError, match=r"."):  # which depends on the bytes
        list(pickletools.genops(path.read_bytes()))


def fill(folder):
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    except OSError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("mounting is not permitted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S603, S607


class FillDisk(Callback):
    def __init__(self, folder, epoch):
        self.folder, self.epoch = folder, epoch

    def on_epoch_end(self, net, **_):
        if len(net.history) == self.epoch:
            fill(self.folder)


def test_disk_full__in_training__goes_on_with_a_warning_and_keeps_the_old_state(
    make_model, data, small_disk
):
    model = make_model(
        checkpoint_dir=small_disk / "states", callbacks=[FillDisk(small_disk, 4)]
    )
    with pytest.warns(TrainingStateWarning, match="state of epoch 4 is not kept") as w:
        model.fit(data.X, data.y)
    assert len(w) == 1
    expected = make_model().fit(data.X, data.y)
    assert_same(model, expected, data)
    (path,) = (small_disk / "states").iterdir()
    (small_disk / "ballast").unlink()
    config, _, _ = _training_record.read_sealed(
        path, kind=_training_record.FORMAT, newest=1, what="", other=""
    )
    assert not config["finished"]
    model.callbacks[0].epoch = 99
    # the callback's parameter is part of what a training follows from
    assert_same(model.fit(data.X, data.y), expected, data)


def test_disk_full__faked__goes_on_and_the_next_run_uses_the_old_state(
    make_model, data, tmp_path, monkeypatch
):
    expected = make_model().fit(data.X, data.y)
    flush, calls = packed_file._flush, []

    def full(path):
        calls.append(path)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        flush(path)

    with monkeypatch.context() as patch:
        patch.setattr(packed_file, "_flush", full)
        model = make_model(checkpoint_dir=tmp_path)
        with pytest.warns(TrainingStateWarning, match=r"No space left.*the last state"):
            assert_same(model.fit(data.X, data.y), expected, data)
    assert len(list(tmp_path.iterdir())) == 1
    model = make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    assert model.net_.n_recalled_ == 3


def test_disk_full__before_the_first_state__says_that_there_is_none(
    make_model, data, tmp_path, monkeypatch
):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packed_file, "_flush", full)
    model = make_model(checkpoint_dir=tmp_path)
    with pytest.warns(TrainingStateWarning, match="no state written stays"):
        model.fit(data.X, data.y)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c__keeps_the_best_and_the_same_fit_goes_on(make_model, data, tmp_path):
    class PressCtrlC(Callback):
        def on_epoch_begin(self, net, **_):
            if len(net.history) == 4 and pressed:
                raise KeyboardInterrupt

    pressed = [True]
    model = make_model(callbacks=[PressCtrlC()], checkpoint_dir=tmp_path)
    with pytest.warns(UserWarning, match=r"after 3 of 6.*The same fit again goes on"):
        model.fit(data.X, data.y)
    pressed.clear()
    assert_same(model.fit(data.X, data.y), make_model().fit(data.X, data.y), data)


def test_writing__takes_at_most_its_share_of_the_time(
    make_model, data, tmp_path, monkeypatch
):
    written = []
    write = TrainingRecord.write

    def slow(self, net, *, finished):
        written.append((len(net.history), finished))
        write(self, net, finished=finished)
        self._seconds = 10.0

    monkeypatch.setattr(_training_record, "MOST_SHARE", 0.02)
    monkeypatch.setattr(TrainingRecord, "write", slow)
    make_model(checkpoint_dir=tmp_path).fit(data.X, data.y)
    assert written == [(1, False), (6, True)]  # the next would be after 500 s


def test_half_written_states__of_killed_processes__are_removed(
    make_model, data, fit_until, tmp_path
):
    model = make_model(checkpoint_dir=tmp_path)
    fit_until(model, data, 2)
    (path,) = tmp_path.iterdir()
    left = tmp_path / f".{path.name}.123.456.tmp"
    left.mkdir()
    (left / "whole").write_bytes(b"half")
    model.fit(data.X, data.y)
    assert list(tmp_path.iterdir()) == [path]


def test_fit__with_a_folder__leaves_global_generators_alone(
    make_model, data, fit_until, tmp_path
):
    model = make_model(checkpoint_dir=tmp_path)
    fit_until(model, data, 2)
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    model.fit(data.X, data.y)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_save__estimator_with_a_folder__leaves_the_folder_out(
    make_model, data, tmp_path
):
    model = make_model(checkpoint_dir=tmp_path / "states").fit(data.X, data.y)
    model.save(tmp_path / "model")
    assert str(tmp_path).encode() not in (tmp_path / "model").read_bytes()
    loaded = load_estimator(tmp_path / "model")
    assert loaded.checkpoint_dir is None
    assert np.array_equal(loaded.predict(data.X), model.predict(data.X))


class Fail(Callback):
    """End the processes in the fourth epoch, where a file says so."""

    def __init__(self, switch):
        self.switch = str(switch)

    def on_epoch_begin(self, net, **_):
        if len(net.history) == 4 and os.path.exists(self.switch):  # noqa: PTH110
            raise RuntimeError("stopped here")


@pytest.mark.slow
def test_fit__in_two_processes__goes_on_to_the_same_bits(
    make_model, data, tmp_path, monkeypatch
):
    monkeypatch.undo()  # other processes do not see it
    (tmp_path / "switch").touch()
    parameters = {"n_devices": 2, "callbacks": [Fail(tmp_path / "switch")]}
    model = make_model(**parameters, checkpoint_dir=tmp_path / "states")
    with pytest.raises(RuntimeError, match="stopped here"):
        model.fit(data.X, data.y)
    (path,) = (tmp_path / "states").iterdir()
    (tmp_path / "switch").unlink()
    expected = make_model(**parameters).fit(data.X, data.y)
    # a state after the first epoch, or later ones if epochs took long, and the result
    for recalled in ((1, 2, 3), (6,)):
        model.fit(data.X, data.y)
        assert model.net_.n_recalled_ in recalled
        assert_same(model, expected, data)
    assert list((tmp_path / "states").iterdir()) == [path]
