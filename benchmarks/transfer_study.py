"""Pre-training for small datasets: pairs, many properties at once, and strategies.

    python benchmarks/transfer_study.py DATA --out study.jsonl --jobs 8 --time-limit 500
    python benchmarks/transfer_study.py DATA --out study.jsonl --print
    python benchmarks/transfer_study.py DATA --score skmatgnn/mpt-mp-small

DATA is a folder with phonons, dielectric_constant, piezoelectric_tensor and
mp_electrode_hosts (gzipped JSON lists of records with lattice, species, frac_coords and
the properties). Targets: PH (last phonon peak, 1/cm), DC (poly_total), PZ (eij_max,
C/m^2); these and FE (formation energy) and BG (band gap) of the electrode hosts are
what models are pre-trained on. No formula of any test set is in any pre-training set,
but in the part "leak", where a target's test materials may be seen with other
properties. Published at 500 rows, one trial, on the study's own hold-outs: PH 61.0, DC
2.965, PZ 0.720 (0.237 without one outlier); from scratch 127.0, 3.165, 0.906 (0.428).

--score prints the errors of a jointly pre-trained model on the hold-outs as it is, and
of the median of each set. Every finished fit is a line of --out, and pre-trained models
are kept in a folder beside it: the same command goes on where a run was stopped, or
ended by --time-limit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _shared import settings
from _study_folds import fold_plans
from _study_tables import print_tables
from _study_workers import Study
from pymatgen.core import Structure

from skmatgnn import ALIGNNRegressor, load_estimator
from skmatgnn.model_selection._transfer_checks import make_plan
from skmatgnn.model_selection._transfer_plan import default_mpt

FILES = {
    "PH": ("phonons", "last_phdos_peak"),
    "DC": ("dielectric_constant", "poly_total"),
    "PZ": ("piezoelectric_tensor", "eij_max"),
    "FE": ("mp_electrode_hosts", "formation_energy_per_atom"),
    "BG": ("mp_electrode_hosts", "band_gap"),
}
TARGETS = ("PH", "DC", "PZ")
SIZES = (10, 100, 200, 500, 800)
DESIGNS = ("scratch", "pair", "mpt", "mpt_without_target")
PARTS = (*DESIGNS, "strategies", "leak")
STRATEGIES = {
    "full": {"fine_tuning": "full"},
    "head": {"fine_tuning": "head"},
    "two_body": {"fine_tuning": "two_body"},
    "three_body": {"fine_tuning": "three_body"},
    "all_but_embedding": {"fine_tuning": "all_but_embedding"},
    "new head": {"fine_tuning": "full", "head": "new"},
    "gradual": {"fine_tuning": "gradual"},
    "discriminative": {"fine_tuning": "discriminative"},
}
QUICK = {
    "hidden_dim": 8, "embedding_dim": 8, "n_radial": 8, "n_angular": 4,
    "n_alignn_layers": 1, "n_gcn_layers": 1, "max_neighbors": 4, "max_epochs": 1,
}  # fmt: skip
QUICK_ROWS = {"PH": 90, "DC": 90, "PZ": 90, "FE": 120, "BG": 120}
QUICK_SIZES = (10, 40)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, help="a JSON-lines file")
    parser.add_argument("--score", metavar="MODEL", help="only score a model")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument(
        "--sources", nargs="+", choices=FILES, help="of the part pair; all by default"
    )
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--trials", type=int)
    parser.add_argument(
        "--folds", type=int, metavar="N",
        help="of each trial another of N folds is the hold-out, in place of a tenth",
    )  # fmt: skip
    parser.add_argument(
        "--pair", nargs=2, default=("FE", "PH"), metavar=("SOURCE", "TARGET"),
        help="of the part strategies, at sizes of 100 rows or more",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument(
        "--threads", type=int, default=1, help="fits side by side in each process"
    )
    parser.add_argument("--time-limit", type=float, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--pretrain-set", nargs="*", default=[], metavar="NAME=VALUE",
        help="parameters of pre-training where they differ",
    )  # fmt: skip
    parser.add_argument(
        "--mpt-set", nargs="*", default=["property_weights=balanced"],
        metavar="NAME=VALUE", help="parameters of joint pre-training besides",
    )  # fmt: skip
    parser.add_argument(
        "--fine-tune-set", nargs="*", default=[], metavar="NAME=VALUE",
        help="parameters of fine-tuning where they differ",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny, to see it run")
    parser.add_argument("--print", action="store_true", help="only print the tables")
    args = parser.parse_args()
    if args.out is None and args.score is None:
        parser.error("give --out, or --score")
    return args


def load(folder, *, quick):
    datasets, structures = {}, {}
    for name, (file, column) in FILES.items():
        with gzip.open(folder / f"{file}.json.gz") as opened:
            rows = json.load(opened)
        if file not in structures:
            rows_of = rows[: QUICK_ROWS[name]] if quick else rows
            structures[file] = [
                Structure(r["lattice"], r["species"], r["frac_coords"]) for r in rows_of
            ]
        X = structures[file]
        y = np.array([r[column] for r in rows[: len(X)]], dtype=float)
        known = np.flatnonzero(np.isfinite(y))
        datasets[name] = ([X[i] for i in known], y[known])
    return datasets


def base_plan(args):
    """All designs, sizes and trials that were asked for."""
    given = {**(QUICK if args.quick else {}), **settings(args.set)}
    source = ALIGNNRegressor(**{**given, **settings(args.pretrain_set)})
    sizes = args.sizes or (QUICK_SIZES if args.quick else SIZES)
    return make_plan(
        load(args.data, quick=args.quick),
        ALIGNNRegressor(**given),
        targets=TARGETS,  # the hold-outs of all, whichever are run
        sources=None,
        source_estimator=source,
        mpt_estimator=default_mpt(source).set_params(**settings(args.mpt_set)),
        fine_tuning_params=settings(args.fine_tune_set),
        designs=DESIGNS,
        fine_tuning_sizes=sizes,
        trials=args.trials or (2 if args.quick else 5),
        test_size=0.1,
        exclude_test=True,
        random_state=args.seed,
    )


def plans_of(args):
    """Make (part, label, plan) of what was asked for."""
    base = base_plan(args)
    of_trials = fold_plans(base, args.folds) if args.folds else [base]
    return [plan for each in of_trials for plan in parts_of(args, each)]


def parts_of(args, base):
    plans = []
    for part in args.only:
        if part in DESIGNS:
            plans.append((part, part, replace(base, designs=(part,))))
        elif part == "leak":
            leaky = replace(base, designs=("mpt_without_target",), exclude_test=False)
            plans.append((part, "mpt_without_target, leaky", leaky))
        else:
            pair = replace(
                base,
                designs=("pair",),
                sizes=tuple(n for n in base.sizes if n >= 100 or args.quick),
            )
            for name, chosen in STRATEGIES.items():
                plans.append((part, name, pair.with_fine_tuning(**chosen)))
    return plans


def score(args):
    plan = base_plan(args)
    model = load_estimator(args.score)
    for name in args.targets:
        dataset, test = plan.datasets[name], plan.test[name]
        column = list(model.property_names_).index(name)
        y, y_pred = dataset.y[test], model.predict(dataset.X[np.flatnonzero(test)])
        error = np.abs(y_pred[:, column] - y).mean()
        constant = np.abs(np.median(dataset.y) - y).mean()
        print(f"{name}: {len(y)} rows, MAE {error:.4g}, of the median {constant:.4g}")


def wanted(args, part, fit):
    if part == "strategies":
        return (fit.source, fit.target) == tuple(args.pair)
    if part == "pair" and args.sources and fit.source not in args.sources:
        return False
    return fit.target in args.targets


def main():
    start = time.monotonic()
    args = parse()
    if args.score:
        score(args)
        return 0
    if args.print:
        print_tables(args.out)
        return 0
    deadline = None if args.time_limit is None else start + args.time_limit
    settings = " ".join(
        [
            *(["--quick"] if args.quick else []),
            *named("--seed", [str(args.seed)] if args.seed else []),
            *named("--folds", [str(args.folds)] if args.folds else []),
            *named("--set", args.set),
            *named("--pretrain-set", args.pretrain_set),
            *named("--mpt-set", args.mpt_set),
            *named("--fine-tune-set", args.fine_tune_set),
        ]
    )
    study = Study(
        plans_of(args), args.out, lambda part, fit: wanted(args, part, fit), settings
    )
    return study.run(args.jobs, args.threads, deadline)


def named(option, values):
    return [option, *values] if values else []


if __name__ == "__main__":
    sys.exit(main())
