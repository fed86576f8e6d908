"""Compare the composition models with crabnet, modnet and matminer, side by side.

    OMP_NUM_THREADS=1 python benchmarks/composition_models.py --out RESULTS.json \
        --expt-gap expt_gap.csv.gz --electrodes electrodes_mp_2019.csv.gz \
        --crabnet-python PYTHON --modnet-python PYTHON [--matminer-python PYTHON]

Both sides fit the same rows and predict the same rows: fold 0 of matbench expt_gap
(columns composition, gap_expt in eV, fold), and the first of five folds of the
electrodes that never split a reduced formula (columns formula_discharge,
capacity_grav in mAh/g, average_voltage in V). Each fit is a process of its own, on the
CPU with one thread; times are CPU times and start with formula strings.

Every result is added to RESULTS.json at once, and what is there is not run again.
``--list`` names the runs, ``--only 'expt_gap/crabnet/*'`` selects among them, and
without peers or data the table of what is there is printed.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from skmatgnn.model_selection import formula_groups

THREADS = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
EPOCH_ROWS, EPOCH_REPEATS = 1000, 3
HELD_OUT, HELD_OUT_SEEDS = 0.2, (0, 1, 2)
OURS = "skmatgnn"


class Rows(NamedTuple):
    formulas: list
    y: np.ndarray
    test: np.ndarray


class Run(NamedTuple):
    data: str
    model: str
    side: str
    label: str
    script: str
    settings: dict

    @property
    def name(self):
        return f"{self.data}/{self.model}/{self.side}/{self.label}"


def load_data(options):
    """Rows of each data set that was given, by name."""
    loaded = {}
    if options.expt_gap:
        frame = pd.read_csv(options.expt_gap, keep_default_na=False)
        loaded["expt_gap"] = Rows(
            frame["composition"].tolist(),
            frame["gap_expt"].to_numpy(float),
            np.flatnonzero(frame["fold"].astype(int) == 0),
        )
    if options.electrodes:
        frame = pd.read_csv(options.electrodes, keep_default_na=False)
        formulas = frame["formula_discharge"].tolist()
        groups = formula_groups(formulas)
        _, test = next(GroupKFold(5).split(formulas, groups=groups))
        for target in ("capacity_grav", "average_voltage"):
            loaded[target] = Rows(formulas, frame[target].to_numpy(float), test)
    return loaded


def crabnet_runs(epochs):
    peer, ours = "_crabnet_peer.py", "_skmatgnn_side.py"
    estimator = {"estimator": "CrabNetRegressor"}
    short = {"max_epochs": epochs}
    return [
        ("crabnet", f"{epochs} epochs", peer, {"params": {"epochs": epochs}}),
        (OURS, f"{epochs} epochs", ours, {**estimator, "params": short}),
        (
            OURS,
            f"published network, {epochs} epochs",
            ours,
            {**estimator, "preset": "CRABNET_2021", "params": short},
        ),
        (OURS, "defaults", ours, {**estimator, "params": {}}),
    ]


def recipe_runs(epochs):
    """CrabNet's recipe and ours on equal terms: the same rows choose the epoch."""
    peer, ours = "_crabnet_peer.py", "_skmatgnn_side.py"
    estimator = {"estimator": "CrabNetRegressor", "params": {"max_epochs": epochs}}
    sides = [
        ("crabnet", "", peer, {"params": {"epochs": epochs}}),
        (OURS, "published network, ", ours, {**estimator, "preset": "CRABNET_2021"}),
        (OURS, "", ours, estimator),
    ]
    return [
        (
            side,
            f"{label}{epochs} epochs, a fifth held out, seed {seed}",
            script,
            {**settings, "held_out": HELD_OUT, "seed": seed},
        )
        for seed in HELD_OUT_SEEDS
        for side, label, script, settings in sides
    ]


def modnet_runs(cross_rows):
    peer, ours = "_modnet_peer.py", "_skmatgnn_side.py"
    common = {"cross_rows": cross_rows, "params": {}, "fit_params": {}}
    one_of_its_grid = {
        "params": {
            "n_feat": 128,
            "num_neurons": [[128], [64], [16], [16]],
            "act": "elu",
        },
        "fit_params": {"lr": 0.005, "batch_size": 64, "epochs": 1000, "loss": "mae"},
    }
    published_like = {
        "n_features": 64,
        "feature_scaling": "minmax",
        "bootstrap": True,
        "activation": "elu",
    }
    estimator = {"estimator": "MODNetRegressor"}
    return [
        ("modnet", "defaults", peer, {**common, "n_models": 1}),
        ("modnet", "ensemble of 5", peer, {**common, "n_models": 5}),
        (
            "modnet",
            "ensemble of 5, a preset of its grid",
            peer,
            {**common, **one_of_its_grid, "n_models": 5},
        ),
        (OURS, "defaults", ours, {**estimator, "params": {}}),
        (OURS, "64 ranked features", ours, {**estimator, "params": published_like}),
    ]


def forest_runs():
    peer, ours = "_forest_peer.py", "_skmatgnn_side.py"
    estimator = {"estimator": "make_rf_magpie", "params": {}}
    trees = {"n_estimators": 500}
    like_ours = {"params": {**trees, "max_features": 0.33}}
    return [
        ("matminer", "500 trees", peer, {"params": trees}),
        ("matminer", "500 trees, a third of the features", peer, like_ours),
        (OURS, "defaults", ours, estimator),
    ]


def epoch_runs():
    """CrabNet epochs on 1,000 rows; the published network with the peer's batches."""
    peer, ours = "_crabnet_peer.py", "_skmatgnn_side.py"
    short = {"estimator": "CrabNetRegressor", "params": {"max_epochs": EPOCH_REPEATS}}
    batch = {"max_epochs": EPOCH_REPEATS, "batch_size": 128}
    return [
        ("crabnet", "epoch", peer, {"params": {}, "stop_after": EPOCH_REPEATS}),
        (OURS, "epoch", ours, short),
        *(
            (
                OURS,
                f"published network, {precision}, epoch",
                ours,
                {
                    **short,
                    "preset": "CRABNET_2021",
                    "params": {**batch, "precision": precision},
                },
            )
            for precision in ("float32", "bfloat16")
        ),
    ]


def all_runs(names, options):
    models = {
        "crabnet": crabnet_runs(options.epochs),
        "modnet": modnet_runs(options.cross_rows),
        "forest": forest_runs(),
    }
    runs = [
        Run(data, model, *parts)
        for data in names
        for model, sides in models.items()
        for parts in sides
    ]
    if "expt_gap" in names:
        recipes = recipe_runs(options.epochs)
        runs += [Run("expt_gap", "crabnet recipe", *parts) for parts in recipes]
        runs += [Run("1000 rows", "crabnet", *parts) for parts in epoch_runs()]
    return runs


def make_job(run, rows, options):
    train = np.setdiff1d(np.arange(len(rows.formulas)), rows.test)
    if run.data == "1000 rows":
        # the peer sets a fifth of what it is given aside
        share = 0.8 if run.side == "crabnet" else 1.0
        train = train[: round(EPOCH_ROWS / share)]
    share = run.settings.get("held_out", 0.0)
    order = np.random.default_rng(0).permutation(len(train))
    return {
        "settings": run.settings,
        "held_out": order[: round(share * len(train))].tolist(),
        "train": [rows.formulas[i] for i in train],
        "y": rows.y[train].tolist(),
        "test": [rows.formulas[i] for i in rows.test],
        "cache": str(options.out.resolve().with_suffix(".cache")),
    }


def execute(python, run, job):
    environment = os.environ | THREADS
    with tempfile.TemporaryDirectory() as folder:
        if run.side != OURS:  # which needs nothing of ours, and may write files
            environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [python, Path(__file__).resolve().with_name(run.script)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=None if run.side == OURS else folder,
        )
    if done.returncode:
        raise SystemExit(f"{run.name} failed.\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def summarise(run, rows, job, reply):
    found = {"name": run.name, **run._asdict(), "n_train": len(job["train"])}
    if reply.get("epoch_seconds"):
        found["epoch_s"] = float(np.median(reply.pop("epoch_seconds")))
    for name, mae in (("predictions", "mae"), ("best_predictions", "best_epoch_mae")):
        predictions = reply.pop(name, None)
        if predictions is not None and run.data != "1000 rows":
            errors = np.abs(np.array(predictions) - rows.y[rows.test])
            found |= {"n_test": len(errors), mae: float(errors.mean())}
    return found | reply


def compare(options, results):
    data = load_data(options)
    pythons = {
        "crabnet": options.crabnet_python,
        "modnet": options.modnet_python,
        "matminer": options.matminer_python,
        OURS: sys.executable,
    }
    options.out.with_suffix(".cache").mkdir(parents=True, exist_ok=True)
    for run in all_runs(data, options):
        wanted = any(fnmatch.fnmatch(run.name, each) for each in options.only)
        there = results.get(run.name, {}).get("settings") == run.settings
        if there or not wanted or pythons[run.side] is None:
            continue
        print(run.name, flush=True)
        if options.list:
            continue
        rows = data["expt_gap" if run.data == "1000 rows" else run.data]
        job = make_job(run, rows, options)
        reply = execute(pythons[run.side], run, job)
        results[run.name] = summarise(run, rows, job, reply)
        options.out.write_text(json.dumps(list(results.values()), indent=1))


def print_table(results):
    columns = ["fit_s", "predict_s", "epoch_s", "peak_mb"]
    print("\n| data, model | side, settings | MAE |", " | ".join(columns), "| ratio |")
    print("|---" * (len(columns) + 4) + "|")
    reference = {}
    rows = results.values()
    for row in sorted(rows, key=lambda r: (r["data"], r["model"], r["side"] == OURS)):
        key = row["data"], row["model"]
        time = row["epoch_s"] if row["data"] == "1000 rows" else row["fit_s"]
        if row["side"] != OURS:
            reference.setdefault(key, time)
        ratio = f"{reference[key] / time:.1f}" if key in reference else ""
        mae = f"{row['mae']:.4g}" if "mae" in row else ""
        if "best_epoch_mae" in row:
            mae += f", of its best epoch {row['best_epoch_mae']:.4g}"
        cells = [f"{row[name]:.4g}" if name in row else "" for name in columns]
        side = f"{row['side']}, {row['label']}"
        print("|", " | ".join([", ".join(key), side, mae, *cells, ratio]), "|")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="results, JSON")
    parser.add_argument("--expt-gap", metavar="FILE")
    parser.add_argument("--electrodes", metavar="FILE")
    parser.add_argument("--crabnet-python", help="the Python that has crabnet")
    parser.add_argument("--modnet-python", help="the Python that has modnet")
    parser.add_argument("--matminer-python", default=sys.executable)
    parser.add_argument("--epochs", type=int, default=20, help="of CrabNet, both sides")
    parser.add_argument(
        "--cross-rows",
        type=int,
        help="rows from which modnet learns the information between features; "
        "by default its own limit of 6,000",
    )
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN")
    parser.add_argument("--list", action="store_true", help="name what would run")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.epochs % 20:
        raise SystemExit("crabnet rounds --epochs up to a multiple of 20; give one.")
    stored = json.loads(options.out.read_text()) if options.out.exists() else []
    results = {row["name"]: row for row in stored}
    compare(options, results)
    if not options.list:
        print_table(results)


if __name__ == "__main__":
    main()
