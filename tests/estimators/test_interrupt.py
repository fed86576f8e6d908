"""Ctrl-C, in a real process and in one of many fits."""

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EarlyStopping

from skmatgnn import (
    ConformalRegressor,
    CrabNetRegressor,
    DeepEnsembleRegressor,
    GraphEmbedding,
    MODNetRegressor,
    MODNetSearchCV,
)
from skmatgnn.errors import InvalidValueError
from skmatgnn.graphs import StructureToGraph
from skmatgnn.model_selection import bootstrap_score, extrapolation_report
from skmatgnn.nets import GraphNet, TrainingInterruptedWarning
from skmatgnn.utils._seeds import MAX_SEED
from skmatgnn.utils.interrupts import fit_or_stop, n_interrupts

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


def run_until(process, wanted, seconds=600):
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
        out, err = (part.decode() for part in process.communicate(timeout=300))
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
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    model = small.model()
    monkeypatch.setattr(GraphNet, "train_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(data.X, data.y)


def test_ctrl_c__later__leaves_a_model_that_predicts(data, small, monkeypatch):
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


# --- one of many fits


@pytest.fixture
def interrupt_at(monkeypatch):
    """Press Ctrl-C in a training step; tell how many there have been."""
    step, calls = GraphNet.train_step, []

    def choose(number):
        def pressed(self, *arguments, **parameters):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return step(self, *arguments, **parameters)

        monkeypatch.setattr(GraphNet, "train_step", pressed)
        return calls

    return choose


STEPS = 12  # of a fit of three epochs of four batches


def short(small):
    return small.model(max_epochs=3, batch_size=6)


@pytest.mark.parametrize(
    ("at", "finished", "text"),
    [
        (STEPS * 3 + 7, 3, "3 of 5 members are kept\\.$"),
        (STEPS * 3 + 1, 3, "3 of 5 members are kept\\.$"),
        (STEPS + 7, 1, "2 of 5 members are kept, the last with its best model so far"),
        (STEPS + 1, 1, "1 of 5 members are kept.* no spread"),
        (7, 0, "1 of 5 members are kept, the last with .* no spread"),
    ],
)
def test_ensemble__ctrl_c__keeps_its_members_and_begins_no_other(
    at, finished, text, data, small, interrupt_at
):
    model = DeepEnsembleRegressor(short(small), random_state=0)
    whole = clone(model).fit(data.X, data.y)
    calls = interrupt_at(at)
    with pytest.warns(TrainingInterruptedWarning) as found:
        model.fit(data.X, data.y)
    assert len(calls) == at
    (message,) = [str(w.message) for w in found]
    assert re.search(text, message)
    assert len(model.estimators_) == int(re.search(r"(\d) of 5", message)[1])
    for number in range(finished):
        ours, theirs = model.estimators_[number], whole.estimators_[number]
        assert np.array_equal(ours.predict(data.X), theirs.predict(data.X))
    assert np.isfinite(model.predict(data.X)).all()
    if len(model.estimators_) > 1:
        assert (model.predict(data.X, return_std=True)[1] > 0).all()
    else:
        with pytest.raises(InvalidValueError, match=r"two members.* Fit again"):
            model.predict(data.X, return_std=True)


def test_ensemble__of_one_member_that_has_a_spread__gives_it(interrupt_at):
    X = ["NaCl", "KCl", "MgO", "CaO", "LiF", "NaF"]
    crabnet = {"d_model": 8, "n_heads": 2, "n_layers": 1, "device": "cpu"}
    model = DeepEnsembleRegressor(
        CrabNetRegressor(**crabnet, max_epochs=5, batch_size=6), random_state=0
    )
    interrupt_at(3)
    with pytest.warns(TrainingInterruptedWarning, match="1 of 5"):
        model.fit(X, np.arange(6.0))
    (member,) = model.estimators_
    expected = member.predict(X, return_std=True)[1]
    assert model.predict(X, return_std=True)[1] == pytest.approx(expected)


@pytest.mark.usefixtures("listening")
def test_ensemble__in_processes__ctrl_c__keeps_the_members_that_came_back(tmp_path):
    class FourthPresses(RegressorMixin, BaseEstimator):  # local ones are sent by value
        def __init__(self, folder, parent, random_state=None):
            self.folder, self.parent = folder, parent
            self.random_state = random_state

        def fit(self, X, y):
            (self.folder / str(self.random_state)).touch()
            if len(list(self.folder.iterdir())) < 4:
                return self
            with suppress(FileExistsError):  # of two at once, one presses
                (self.folder / "pressed").touch(exist_ok=False)
                time.sleep(3)  # until the others have come back
                os.kill(self.parent, signal.SIGINT)
            time.sleep(10)
            return self

        def predict(self, X):
            return np.full(len(X), float(self.random_state))

    member = FourthPresses(tmp_path, os.getpid())
    model = DeepEnsembleRegressor(member, n_models=9, n_jobs=2, random_state=0)
    with pytest.warns(TrainingInterruptedWarning, match=r"[123] of 9 members are kept"):
        model.fit(np.zeros((5, 1)), np.zeros(5))
    seeds = np.random.RandomState(0).randint(MAX_SEED, size=9).tolist()
    kept = [m.predict([0])[0] for m in model.estimators_]
    assert kept == [seed for seed in seeds if seed in kept]


def test_ensemble__ctrl_c_before_there_is_a_model__is_raised(data, small, interrupt_at):
    interrupt_at(2)
    with pytest.raises(KeyboardInterrupt):
        DeepEnsembleRegressor(short(small), random_state=0).fit(data.X, data.y)


def test_folds_and_resamples__ctrl_c_in_one__ends_all(data, small, interrupt_at):
    model = make_pipeline(StructureToGraph(max_neighbors=4), short(small))
    conformal = ConformalRegressor(
        model, method="cv+", cv=3, confidence_level=0.5, random_state=0
    )
    clusters = GroupKFold(3)
    for fit in (
        lambda: conformal.fit(data.X, data.y),
        lambda: bootstrap_score(model, data.X, data.y, n_resamples=3, random_state=0),
        lambda: extrapolation_report(
            model, data.X, data.y, groups=data.groups, cv=clusters, n_neighbors=2
        ),
    ):
        calls = interrupt_at(7)
        calls.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error", TrainingInterruptedWarning)
            with pytest.raises(KeyboardInterrupt):
                fit()
        assert len(calls) == 7


def test_conformal__of_one_model__ctrl_c__calibrates_what_is_kept(
    data, small, interrupt_at
):
    interrupt_at(7)
    model = ConformalRegressor(short(small), confidence_level=0.5, random_state=0)
    with pytest.warns(TrainingInterruptedWarning, match="best model so far"):
        model.fit(data.X, data.y)
    low, high = model.predict_interval(data.X)
    assert (low < high).all()


def test_fit_or_stop__network_that_was_interrupted_before__is_no_reason_to_stop(
    data, small, interrupt_at
):
    interrupt_at(7)
    with pytest.warns(TrainingInterruptedWarning):
        trained = short(small).fit(data.X, data.y)
    embedding = GraphEmbedding(FrozenEstimator(trained))
    fit_or_stop(make_pipeline(embedding, Ridge()), data.X, data.y)


@pytest.mark.parametrize("at", [STEPS + 1, STEPS + 7])
def test_fit_or_stop__ensemble_that_keeps_a_member__ends_all(
    at, data, small, interrupt_at
):
    ensemble = DeepEnsembleRegressor(short(small), random_state=0)
    interrupt_at(at)
    with pytest.raises(KeyboardInterrupt):
        fit_or_stop(ensemble, data.X, data.y)
    assert ensemble.predict(data.X).shape == (24,)


def test_fit_or_stop__one_fit_of_a_search__ends_all(data, small, interrupt_at):
    search = GridSearchCV(short(small), {"lr": [1e-3, 1e-2]}, cv=2)
    interrupt_at(7)  # in a fold of the first; the best may be another
    with pytest.raises(KeyboardInterrupt):
        fit_or_stop(search, data.X, data.y)


# --- MODNet's search, whose fits are made by scikit-learn


TABLE = np.random.default_rng(0).normal(size=(24, 2))
MODNET_STEPS = 4  # of a fit of two epochs of two batches


def search_of(preset="quick", **parameters):
    narrow = ((4,), (), (), ())
    model = MODNetRegressor(
        featurizer=None, max_epochs=2, n_models=1, batch_size=6, random_state=0,
        device="cpu", n_neurons=narrow,
    )  # fmt: skip
    space = {"lr": [1e-3, 1e-2, 1e-1, 1.0], "n_features": [None]}
    if preset == "quick":
        space["n_neurons"] = [narrow]
    else:
        space.update(first_width=[4, 8], batch_size=[6])
    return MODNetSearchCV(
        model, preset=preset, space=space, cv=KFold(2, shuffle=True, random_state=0),
        population_size=3, n_generations=3, random_state=0, **parameters,
    )  # fmt: skip


@pytest.mark.parametrize("preset", ["quick", "genetic"])
@pytest.mark.parametrize("step", [1, 4])
def test_search__ctrl_c__keeps_the_settings_that_were_finished(
    step, preset, interrupt_at
):
    whole = search_of(preset).fit(TABLE, TABLE[:, 0])
    calls = interrupt_at(3 * 2 * MODNET_STEPS + step)  # in the first fold of the fourth
    search = search_of(preset)
    before = n_interrupts()
    with pytest.warns(TrainingInterruptedWarning, match="3 settings; the best .* data"):
        search.fit(TABLE, TABLE[:, 0])
    assert n_interrupts() > before  # for what is around it
    assert len(calls) == 3 * 2 * MODNET_STEPS + step + 2 * MODNET_STEPS  # and the best
    score, expected = (s.cv_results_["mean_test_score"] for s in (search, whole))
    assert np.array_equal(score, expected[:3])
    assert search.best_index_ == score.argmax()
    assert search.generations_[0] == whole.generations_[0][:3]
    assert np.isfinite(search.predict(TABLE)).all()


def test_search__ctrl_c_before_a_setting_is_finished__is_raised(interrupt_at):
    interrupt_at(2 * MODNET_STEPS)
    with pytest.raises(KeyboardInterrupt):
        search_of().fit(TABLE, TABLE[:, 0])


def test_search__ctrl_c_while_the_best_is_fitted__keeps_that(interrupt_at):
    interrupt_at(4 * 2 * MODNET_STEPS + 6)
    search = search_of()
    with pytest.warns(TrainingInterruptedWarning, match="after 1 of 2 epochs"):
        search.fit(TABLE, TABLE[:, 0])
    assert len(search.cv_results_["params"]) == 4


def test_search__numeric_error_score__stops_and_may_have_settings_that_fail(
    interrupt_at,
):
    search = search_of(error_score=-9.0)
    search.space["batch_size"] = [6, 0]
    with pytest.warns(FitFailedWarning):
        search.fit(TABLE, TABLE[:, 0])
    assert (search.cv_results_["mean_test_score"] == -9.0).sum() == 4
    calls = interrupt_at(4)
    with pytest.raises(KeyboardInterrupt):
        search_of(error_score=-9.0).fit(TABLE, TABLE[:, 0])
    assert len(calls) == 4
