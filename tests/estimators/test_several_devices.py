"""Training on several devices, which are processes on the CPU here."""

import _thread
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skmatgnn import CrabNetRegressor
from skmatgnn.datasets import load_formation_energies
from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs import GraphArray
from skmatgnn.nets import GraphNet, TrainingInterruptedWarning, TrainingProcessError
from skmatgnn.utils.interrupts import n_interrupts

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="processes are watched as POSIX has them"
)


def losses(model, name="train_loss"):
    return [row[name] for row in model.history_]


def close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_two_devices__same_batches__learn_what_one_learns(data, small, tmp_path):
    class Notes(Callback):
        """Local, so that no process could import it."""

        def __init__(self):
            self.seen = []

        def on_epoch_end(self, net, **_):
            digest = [float(p.detach().sum()) for p in net.module_.parameters()]
            (tmp_path / f"{os.getpid()}.{len(net.history)}").write_text(str(digest))
            self.seen.append(len(net.history))

    notes = Notes()
    settings = {"early_stopping": True, "batch_size": 9, "max_epochs": 3}
    X = small.graphs(small.model("ALIGNNRegressor"), data.X)
    one = small.model("ALIGNNRegressor", **settings).fit(X, data.y)
    two = small.model("ALIGNNRegressor", n_devices=2, callbacks=[notes], **settings)
    two.fit(X, data.y)
    close(losses(two), losses(one))
    close(losses(two, "valid_loss"), losses(one, "valid_loss"))
    close(two.predict(X), one.predict(X))
    assert two.best_epoch_ == one.best_epoch_
    assert notes.seen == [1, 2, 3]  # the user's own object
    assert two.net_.ranks_ is None
    digests = {}
    for path in tmp_path.iterdir():
        pid, epoch = path.name.split(".")
        assert int(pid) != os.getpid()
        digests.setdefault(epoch, []).append(path.read_text())
    for epoch in "123":
        first, second = digests[epoch]
        assert first == second, "the processes' weights drifted apart"


def test_two_devices__unknown_targets_and_weights__count_known_values(data, small):
    Y = np.column_stack([data.y, -data.y, np.full(len(data.y), np.nan)])
    Y[::3, 1] = np.nan
    Y[:5, 2] = [1.0, 2.0, 4.0, 3.0, 2.5]  # in some parts of batches none is known
    weight = np.linspace(0.2, 2, len(Y))
    settings = {"early_stopping": True, "batch_size": 6, "max_epochs": 3}
    one, two = (
        small.model("MPTRegressor", n_devices=n, **settings).fit(
            data.X, Y, sample_weight=weight
        )
        for n in (None, 2)
    )
    close(losses(two), losses(one))
    close(np.array(losses(two, "valid_losses")), np.array(losses(one, "valid_losses")))
    close(two.predict(data.X), one.predict(data.X))


def test_two_devices__batch_norm__has_the_statistics_of_whole_batches(data, small):
    settings = {"norm": "batch", "max_epochs": 3, "batch_size": 7, "lr": 1e-3}
    one, two = (
        small.model("CGCNNRegressor", n_devices=n, **settings).fit(data.X, data.y)
        for n in (1, 2)
    )
    close(losses(two), losses(one))
    close(two.predict(data.X), one.predict(data.X), 1e-4)


def test_two_devices__compositions__learn_what_one_learns():
    X, y = load_formation_energies(return_X_y=True)
    one, two = (
        CrabNetRegressor(
            d_model=16, n_heads=2, dropout=0.0, fraction_noise=0.0, max_epochs=2,
            batch_size=16, n_devices=n, random_state=0, device="cpu",
        ).fit(X[:50], y[:50])
        for n in (1, 2)
    )  # fmt: skip
    close(losses(two), losses(one))
    close(two.predict(X[50:60]), one.predict(X[50:60]))


def test_two_devices__continued__keep_the_optimizer(data, small):
    one, two = (small.model(batch_size=5).fit(data.X, data.y) for _ in range(2))
    two.set_params(n_devices=2)
    for model in (one, two):
        model.partial_fit(data.X, data.y)
    close(losses(two), losses(one))
    assert len(losses(two)) == one.max_epochs + 1
    steps = [s["step"] for s in two.net_.optimizer_.state_dict()["state"].values()]
    assert all(step == 15 for step in steps)
    clean = dict(two.net_.module_.named_parameters())
    held = {id(p) for g in two.net_.optimizer_.param_groups for p in g["params"]}
    assert {id(p) for p in clean.values()} == held


class Die(Callback):
    def on_epoch_end(self, net, **_):
        if net.ranks_.rank == 1 and len(net.history) == 2:
            os.kill(os.getpid(), signal.SIGKILL)


class Fail(Callback):
    def on_batch_end(self, net, **_):
        if net.ranks_.rank == 1:
            raise ZeroDivisionError("on purpose")


@pytest.mark.parametrize(
    ("callback", "error", "text"),
    [
        (Die, TrainingProcessError, "Process 1 of the 2 .* killed by SIGKILL.*memory"),
        (Fail, ZeroDivisionError, "on purpose"),
    ],
)
def test_two_devices__one_fails__stops_all_with_its_error(
    callback, error, text, data, small, monkeypatch
):
    started = note_processes(monkeypatch)
    model = small.model(max_epochs=1_000_000, n_devices=2, callbacks=[callback()])
    begin = time.monotonic()
    with pytest.raises(error, match=text) as caught:
        model.fit(data.X, data.y)
    assert time.monotonic() - begin < 300
    if error is ZeroDivisionError:
        assert "In process 1 of 2" in str(caught.value.__cause__)
        assert "on_batch_end" in str(caught.value.__cause__)
    assert not hasattr(model, "net_")
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def note_processes(monkeypatch):
    started, popen = [], subprocess.Popen

    def start(*arguments, **parameters):
        started.append(popen(*arguments, **parameters))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def test_two_devices__ctrl_c__keeps_the_best_model(data, small, tmp_path, monkeypatch):
    class Tell(Callback):
        def on_epoch_end(self, net, **_):
            if len(net.history) == 3 and net.ranks_.rank == 0:
                (tmp_path / "running").touch()

    def press():
        while not (tmp_path / "running").exists():
            time.sleep(0.05)
        _thread.interrupt_main()

    started = note_processes(monkeypatch)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(target=press)
    presser.start()
    model = small.model(max_epochs=1_000_000, n_devices=2, callbacks=[Tell()])
    n_before = n_interrupts()
    try:
        with pytest.warns(TrainingInterruptedWarning, match="of 1000000 epochs"):
            model.fit(data.X, data.y)
    finally:
        (tmp_path / "running").touch()
        presser.join()
        signal.signal(signal.SIGINT, before)
    assert n_interrupts() == n_before + 1
    assert 3 <= model.n_epochs_ < 1_000_000
    assert np.isfinite(model.predict(data.X)).all()
    assert all(process.poll() is not None for process in started)


def test_more_devices_than_samples__use_fewer_and_say_so(data, small, monkeypatch):
    started = note_processes(monkeypatch)
    with pytest.warns(UserWarning, match=r"as few as 1 sample.* 1 device\(s\) train"):
        small.model(n_devices=8, batch_size=1).fit(data.X[:3], data.y[:3])
    assert not started


def test_one_device__is_this_process(data, small, monkeypatch):
    started = note_processes(monkeypatch)
    one, none = (small.model(n_devices=n).fit(data.X, data.y) for n in (1, None))
    assert not started
    assert losses(one) == losses(none)


def test_devices__of_one_named_device__are_refused(data, small):
    with pytest.raises(InvalidValueError, match="n_devices=2 needs device='cuda'"):
        small.model(n_devices=2, device="cpu:0").fit(data.X, data.y)


def test_devices__more_than_there_are__are_refused(data, small, monkeypatch):
    model = small.model().fit(data.X, data.y)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(GraphNet, "device", "cuda", raising=False)
    from skmatgnn.nets._data_parallel import train

    model.net_.device = "cuda"
    with pytest.raises(InvalidValueError, match=r"torch sees 1 CUDA device"):
        train(model.net_, None, 2)


def test_arrays_of_a_file__are_not_copied_for_the_processes(tmp_path, data, small):
    from skmatgnn.nets._shipment import read_shipment, write_shipment

    graphs = small.graphs(small.model(), data.X * 30)
    graphs.save(tmp_path / "graphs")
    mapped = GraphArray.load(tmp_path / "graphs")
    scattered = mapped[::-1]
    write_shipment(tmp_path / "task", (mapped, scattered, graphs.displacement[::2]))
    size = (tmp_path / "task.arrays").stat().st_size
    again, backwards, part = read_shipment(tmp_path / "task")
    assert scattered.nbytes < size + 2**18 < 2 * scattered.nbytes + 2**19
    assert again.displacement.base is not None
    for ours, theirs in ((again, graphs), (backwards, scattered)):
        for name, array in theirs._arrays().items():
            np.testing.assert_array_equal(getattr(ours, name), array)
    np.testing.assert_array_equal(part, graphs.displacement[::2])
    assert not again.displacement.flags.writeable


SCRIPT = """
import os, sys, warnings
warnings.simplefilter("error")
from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import make_crystals

X, y = make_crystals(24, random_state=0, return_X_y=True)
model = CGCNNRegressor(
    node_dim=8, hidden_dim=8, n_conv_layers=1, max_neighbors=4, batch_size=6,
    max_epochs=2, norm="layer", device="cpu", n_devices=2,
)
model.fit(X, y)
with open(sys.argv[1] + os.environ["RANK"], "w") as file:
    losses = [row["train_loss"] for row in model.history_]
    print(losses, model.predict(X[:2]), file=file)
"""


def test_launcher__unseeded__all_processes_have_one_model(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, *launcher, script, tmp_path / "rank"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / f"rank{i}").read_text() for i in range(2))
    assert first
    assert first == second


@pytest.mark.parametrize(
    ("n_devices", "batch_size", "text"),
    [
        (3, 8, "n_devices=3, but a launcher has started 2 processes"),
        (2, 1, r"A batch has 1 sample\(s\), fewer than the 2 processes"),
    ],
)
def test_launcher__processes_that_do_not_fit__are_refused(
    n_devices, batch_size, text, data, small, monkeypatch
):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidValueError, match=text):
        small.model(n_devices=n_devices, batch_size=batch_size).fit(data.X, data.y)


def test_two_devices__one_sample_to_validate_with__learn_what_one_learns(data, small):
    settings = {"early_stopping": True, "validation_fraction": 0.04}
    y = np.column_stack([data.y, -data.y])
    one = small.model("MPTRegressor", **settings).fit(data.X, y)
    two = small.model("MPTRegressor", n_devices=2, **settings).fit(data.X, y)
    close(losses(two, "valid_loss"), losses(one, "valid_loss"))
    assert two.best_epoch_ == one.best_epoch_
