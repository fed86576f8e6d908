"""Fit in child processes, kill them at random moments, and compare the results.

Run as ``run_killed.py FOLDER HOW:NAME:SEED ...``. Everything is imported once and
each fit is forked, so that a kill costs milliseconds. The children write a state after
every epoch, which makes it likely that some are killed while they write.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.model_selection import cross_val_predict

from skmatgnn import (
    CGCNNRegressor,
    CrabNetRegressor,
    DeepEnsembleRegressor,
    MODNetRegressor,
    MPTRegressor,
)
from skmatgnn.datasets import make_crystals
from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.nets import _training_record

COMMON = {"random_state": 3, "device": "cpu", "early_stopping": True}
GRAPH = {"max_neighbors": 4, "node_dim": 16, "hidden_dim": 16, "edge_step": 1.0}
MODELS = {
    "cgcnn": (CGCNNRegressor, {**GRAPH, "batch_size": 4, "max_epochs": 8}),
    "crabnet": (
        CrabNetRegressor,  # dropout and noise
        {"d_model": 32, "batch_size": 4, "max_epochs": 8},
    ),
    "modnet": (
        MODNetRegressor,
        {"bootstrap": True, "batch_size": 4, "max_epochs": 12,
         "featurizer": MagpieFeatures(), "lr_schedule": "constant"},
    ),
    "mpt": (
        MPTRegressor,
        {**GRAPH, "architecture": "cgcnn", "batch_size": 4, "max_epochs": 8,
         "net_params": {"optimizer__amsgrad": True}},
    ),
}  # fmt: skip
N_ROUNDS = 10
ENOUGH, MOST_ROUNDS = 2, 40  # kills, and states that were found


def make(name, folder):
    cls, parameters = MODELS[name]
    return cls(**COMMON, **parameters, checkpoint_dir=folder)


def fit_one(name, X, y, folder):
    """Fit, go on training after it, and say what came out."""
    model = make(name, folder).fit(X, y)
    found = {
        "predictions": model.predict(X),
        "losses": [row["train_loss"] for row in model.history_],
        "best": [model.best_epoch_],
    }
    model.partial_fit(X, y)
    return {**found, "later": model.predict(X)}


def fit_many(name, X, y, folder):
    ensemble = DeepEnsembleRegressor(make(name, folder), n_models=2, random_state=1)
    return {"predictions": cross_val_predict(ensemble, X, y, cv=3)}


def in_child(function, out, *, seconds=None):
    """Run in a child, which may be killed; give its seconds, or None if it was."""
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            np.savez(out, **function())
            status = 0
        finally:
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # does nothing to one that has ended
    _, status = os.waitpid(child, 0)
    if status and os.WTERMSIG(status) != signal.SIGKILL:
        raise SystemExit(f"the child ended with {status}")
    return None if status else time.perf_counter() - start


def kill_and_compare(how, name, seed, folder):
    folder.mkdir()
    rng = random.Random(seed)
    X, y = make_crystals(24, random_state=0, return_X_y=True)
    X = list(X)
    if name in ("crabnet", "modnet"):
        X = [structure.formula for structure in X]
    fit = {"one": fit_one, "many": fit_many}[how]
    fit(name, X, y, folder / "warm")  # so that no child imports or compiles anything
    states = folder / "states"
    seconds = {}
    for run, used in (("expected", None), ("whole", folder / "whole")):
        seconds[run] = in_child(partial(fit, name, X, y, used), folder / f"{run}.npz")
    n_rounds = n_killed = n_recalled = 0
    share = 0.3
    while n_rounds < N_ROUNDS or (
        min(n_killed, n_recalled) < ENOUGH and n_rounds < MOST_ROUNDS
    ):
        if n_rounds >= N_ROUNDS:  # a busy machine kept other time
            share *= 1.3 if n_recalled < ENOUGH else 0.7
        n_rounds += 1
        n_recalled += states.exists() and any(states.glob("[!.]*"))
        killed = in_child(
            lambda: fit(name, X, y, states),
            folder / "found.npz",
            seconds=rng.uniform(0.03, share) * seconds["whole"],
        )
        n_killed += killed is None
    for run in ("found", "again"):
        seconds[run] = in_child(lambda: fit(name, X, y, states), folder / f"{run}.npz")
    expected = np.load(folder / "expected.npz")
    return {
        "n_killed": n_killed,
        "n_recalled": n_recalled,
        "different": [
            f"{run}.{key}"
            for run in ("whole", "found", "again")
            for key, value in expected.items()
            if not np.array_equal(np.load(folder / f"{run}.npz")[key], value)
        ],
        "n_files": len(list(states.iterdir())),
        "seconds": seconds,
    }


def main(folder, *tasks):
    warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork, with threads
    _training_record.MOST_SHARE = np.inf
    found = {}
    for task in tasks:
        how, name, seed = task.split(":")
        place = Path(folder) / task.replace(":", "-")
        found[task] = kill_and_compare(how, name, int(seed), place)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
