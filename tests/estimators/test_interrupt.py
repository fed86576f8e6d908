"""Ctrl-C in a real process."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from skorch.callbacks import Callback, EarlyStopping

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="a process cannot be sent SIGINT alone"
)

SCRIPT = """
import signal
from skmatgnn import CGCNNRegressor
from skmatgnn.datasets import make_crystals

signal.signal(signal.SIGINT, signal.default_int_handler)
X, y = make_crystals(24, random_state=0, return_X_y=True)
model = CGCNNRegressor(
    max_epochs=1_000_000, batch_size=1, verbose=True, random_state=0, device="cpu"
)
model.fit(X, y)
print("FITTED", model.n_epochs_, model.best_epoch_, model.score(X, y))
model.set_params(warm_start=True, max_epochs=2).fit(X, y)
print("CONTINUED", model.n_epochs_)
"""


def run_until(process, wanted, seconds=120):
    """Read what the process shows until it shows the wanted text."""
    seen, end = "", time.monotonic() + seconds
    while wanted not in seen:
        assert time.monotonic() < end, seen[-2000:]
        assert process.poll() is None, seen[-2000:]
        seen += os.read(process.stderr.fileno(), 4096).decode()
    return seen


def test_ctrl_c__in_training__keeps_the_best_model_and_says_so():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        run_until(process, "train_loss=")
        time.sleep(0.03)
        process.send_signal(signal.SIGINT)
        out, err = (part.decode() for part in process.communicate(timeout=60))
    finally:
        process.kill()
    assert process.returncode == 0, err[-2000:]
    assert "TrainingInterruptedWarning" in err
    assert "the best model so far" in err
    assert "is kept" in err
    fitted, continued = out.splitlines()
    _, n_epochs, best, score = fitted.split()
    assert 0 < int(best) <= int(n_epochs) < 1_000_000
    assert np.isfinite(float(score))
    assert continued == "CONTINUED 2"


def test_ctrl_c__before_the_first_epoch_ends__is_raised(data, small, monkeypatch):
    from skmatgnn.nets import GraphNet

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    model = small.model()
    monkeypatch.setattr(GraphNet, "train_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data.X, data.y)


def test_ctrl_c__later__leaves_a_model_that_predicts(data, small, monkeypatch):
    from skmatgnn.nets import GraphNet, TrainingInterruptedWarning

    step, calls = GraphNet.train_step, []

    def interrupt(self, *arguments, **parameters):
        calls.append(1)
        if len(calls) > 7:
            raise KeyboardInterrupt
        return step(self, *arguments, **parameters)

    monkeypatch.setattr(GraphNet, "train_step", interrupt)
    model = small.model(max_epochs=50, batch_size=8)
    with pytest.warns(TrainingInterruptedWarning, match="after 2 of 50 epochs"):
        model.fit(data.X, data.y)
    assert model.n_epochs_ == 2
    assert np.isfinite(model.predict(data.X)).all()
    assert model.best_epoch_ in {1, 2}


@pytest.fixture
def listening():
    """Take Ctrl-C as Python does, also where the tests were started in background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class PressCtrlC(Callback):
    def on_epoch_end(self, net, **_):
        if len(net.history) == 3:
            signal.raise_signal(signal.SIGINT)
            time.sleep(1)


@pytest.mark.usefixtures("listening")
def test_ctrl_c__while_an_epoch_is_closed__says_so_too(data, small):
    model = small.model(max_epochs=50, callbacks=[PressCtrlC()])
    with pytest.warns(UserWarning, match="after 3 of 50 epochs"):
        model.fit(data.X, data.y)


def test_early_stopping_of_skorch__ends_without_a_warning(data, small):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0, sink=str)
    model = small.model(max_epochs=50, callbacks=[stop]).fit(data.X, data.y)
    assert model.n_epochs_ < 10
