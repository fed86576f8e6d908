"""Train on matbench phonons, official folds, and print the test error.

    python benchmarks/phonons.py DATA --preset ALIGNN_LARGE --folds 0 --seeds 0

DATA is a gzipped JSON list of records with lattice, species, frac_coords,
last_phdos_peak (1/cm) and fold (0-4). With --inner N the tests stay out of it: a fifth
of the training rows of the fold is measured, and N of the others train. With --average,
moving averages of the weights of the same training are measured too.

Published for fold 0: ALIGNN 33.41, CGCNN 81.16; over the five folds: ALIGNN 29.54, the
best 28.76.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time

import numpy as np
import torch
from _shared import settings
from pymatgen.core import Structure
from skorch.callbacks import Callback

import skmatgnn
from skmatgnn import DeepEnsembleRegressor, presets
from skmatgnn.preprocessing import StructureArray


class Averages(Callback):
    """Moving averages of the weights over the steps of a training."""

    def __init__(self, decays=()):
        self.decays = decays

    def on_train_begin(self, net, **_):
        self.n_steps_ = 0
        self.weights_ = {decay: copies(net) for decay in self.decays}

    def on_batch_end(self, net, *, training, **_):
        if not training:
            return
        self.n_steps_ += 1
        weights = [p.detach() for p in net.module_.parameters()]
        for decay, average in self.weights_.items():
            # of the steps so far alone, not of the weights before them
            rate = (1 - decay) / (1 - decay**self.n_steps_)
            torch._foreach_lerp_(average, weights, rate)


def copies(net):
    return [p.detach().clone() for p in net.module_.parameters()]


def errors_of_averages(model, X, y):
    """Error with each average in the place of the last weights."""
    averages = next(c for _, c in model.net_.callbacks_ if isinstance(c, Averages))
    last, found = copies(model.net_), {}
    weights = [p.detach() for p in model.net_.module_.parameters()]
    for decay, average in averages.weights_.items():
        torch._foreach_copy_(weights, average)
        found[str(decay)] = error(model, X, y)
    torch._foreach_copy_(weights, last)
    return found


def load(path, target):
    with gzip.open(path) as file:
        rows = json.load(file)
    structures = [Structure(r["lattice"], r["species"], r["frac_coords"]) for r in rows]
    y = np.array([r[target] for r in rows])
    fold = np.array([r["fold"] for r in rows])
    return StructureArray.from_structures(structures), y, fold


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--target", default="last_phdos_peak")
    parser.add_argument("--estimator", default="ALIGNNRegressor")
    parser.add_argument("--preset", help="a name in skmatgnn.presets")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--members", type=int, default=1, help="of an ensemble")
    parser.add_argument("--inner", type=int, metavar="N", help="to choose settings")
    parser.add_argument("--average", type=float, nargs="+", metavar="DECAY")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="other parameters"
    )
    args = parser.parse_args()
    if args.average and args.members > 1:
        parser.error("--average is for one model, not for --members")
    return args


def split(fold, number, inner):
    """Rows that train and rows that are measured."""
    train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
    if inner is None:
        return train, test
    np.random.default_rng(100 + number).shuffle(train)
    n_test = len(train) // 5
    return train[n_test:][:inner], train[:n_test]


def error(model, X, y):
    return round(float(np.abs(model.predict(X) - y).mean()), 3)


def main():
    args = parse()
    chosen = dict(getattr(presets, args.preset)) if args.preset else {}
    chosen |= settings(args.set)
    X, y, fold = load(args.data, args.target)
    for number in args.folds:
        train, test = split(fold, number, args.inner)
        for seed in args.seeds:
            estimator = getattr(skmatgnn, args.estimator)(random_state=seed, **chosen)
            if args.average:
                estimator.set_params(callbacks=[Averages(tuple(args.average))])
            if args.members > 1:
                estimator = DeepEnsembleRegressor(
                    estimator, n_models=args.members, random_state=seed
                )
            start = time.perf_counter()
            estimator.fit(X[train], y[train])
            seconds = time.perf_counter() - start
            models = estimator.estimators_ if args.members > 1 else [estimator]
            one = models[0]
            on_gpu = one.device_.startswith("cuda")
            row = {
                "fold": number,
                "seed": seed,
                "n_train": len(train),
                "mae": error(estimator, X[test], y[test]),
                "each": [error(model, X[test], y[test]) for model in models],
                "train_s": round(seconds, 1),
                "members": args.members,
                "epochs": one.n_epochs_,
                "device": torch.cuda.get_device_name() if on_gpu else "cpu",
                "preset": args.preset,
                **{key: str(value) for key, value in chosen.items()},
            }
            if args.average:
                row["averages"] = errors_of_averages(one, X[test], y[test])
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
