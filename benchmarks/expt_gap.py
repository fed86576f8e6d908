"""Predict experimental band gaps from formulas, matbench expt_gap, official folds.

    python benchmarks/expt_gap.py DATA --estimator MODNetRegressor --folds 0 1 2 3 4
    python benchmarks/expt_gap.py DATA --estimator CrabNetRegressor --members 3
    python benchmarks/expt_gap.py DATA --estimator make_rf_magpie --folds 0 1 2 3 4

DATA is a CSV with the columns composition, gap_expt (eV) and fold (0-4). Published
means over the five folds: CrabNet 0.346, MODNet 0.333, random forest on Magpie 0.446.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import pandas as pd
from _shared import settings

import skmatgnn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--estimator", default="MODNetRegressor")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--members", type=int, default=1, help="average this many, of seeds from SEED"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    chosen = settings(args.set)
    frame = pd.read_csv(args.data)
    formulas = frame["composition"].to_numpy(object)
    y, fold = frame["gap_expt"].to_numpy(float), frame["fold"].to_numpy()
    for number in args.folds:
        test = fold == number
        make = getattr(skmatgnn, args.estimator)
        start = time.perf_counter()
        predicted = [
            make(random_state=args.seed + member, **chosen)
            .fit(formulas[~test], y[~test])
            .predict(formulas[test])
            for member in range(args.members)
        ]
        error = np.abs(np.mean(predicted, axis=0) - y[test]).mean()
        row = {
            "estimator": args.estimator,
            "fold": number,
            "seed": args.seed,
            "members": args.members,
            "mae": round(float(error), 4),
            "seconds": round(time.perf_counter() - start, 1),
            **{name: str(value) for name, value in chosen.items()},
        }
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
