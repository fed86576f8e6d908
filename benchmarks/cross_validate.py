"""One line of scikit-learn: a graph network under grouped folds, on a structure file.

    python benchmarks/cross_validate.py DATA --target n --estimator ALIGNNRegressor
    python benchmarks/cross_validate.py DATA --target poly_total --log

DATA: a gzipped JSON list of records with lattice, species, frac_coords and the target.
Folds keep reduced formulas together.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time

import numpy as np
from _shared import settings
from pymatgen.core import Structure
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GroupKFold, cross_val_score

import skmatgnn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--target", required=True)
    parser.add_argument("--estimator", default="ALIGNNRegressor")
    parser.add_argument("--n-splits", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--log", action="store_true", help="learn the logarithm")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    with gzip.open(args.data) as file:
        rows = json.load(file)
    structures = [Structure(r["lattice"], r["species"], r["frac_coords"]) for r in rows]
    y = np.array([r[args.target] for r in rows], dtype=float)
    groups = [s.composition.reduced_formula for s in structures]
    chosen = settings(args.set)
    estimator = getattr(skmatgnn, args.estimator)(random_state=0, **chosen)
    if args.log:
        estimator = TransformedTargetRegressor(
            estimator, func=np.log, inverse_func=np.exp
        )
    scheme = {
        "groups": groups,
        "cv": GroupKFold(args.n_splits),
        "scoring": "neg_mean_absolute_error",
        "error_score": "raise",
        "n_jobs": args.n_jobs,
    }
    control = -cross_val_score(DummyRegressor(), y[:, None], y, **scheme).mean()
    start = time.perf_counter()
    scores = -cross_val_score(estimator, structures, y, **scheme)
    sys.stdout.write(
        json.dumps(
            {
                "target": args.target,
                "estimator": repr(estimator),
                "n": len(y),
                "mae": [round(float(s), 4) for s in scores],
                "mean": round(float(scores.mean()), 4),
                "control": round(float(control), 4),
                "smae": round(float(scores.mean() / control), 4),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
