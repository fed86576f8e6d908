"""Time CrabNet and MODNet on one device: an epoch beside crabnet's, many fits at once.

    python benchmarks/composition_gpu.py [--json FILE] [--peer-python PYTHON]
        [--table FILE COLUMN TARGET] [--parts epoch bootstrap] [--device cpu] [--quick]

"epoch": seconds of an epoch of 1,000 formulas, the median of those after the first
three, each model in a process of its own. crabnet (whose metadata want Python < 3.11)
has to be importable in PYTHON, by default this one; it is timed with float32 and with
TF32 matrix products, within its training function alone, and the ratio is to the
faster. "published" is its network and batch size, "default" that of CrabNetRegressor().

"bootstrap": ten resamples by `bootstrap_score` in as many threads against one, and
against ten one by one, with whether the scores are the same to the last bit.

On CUDA seconds are wall time after all is done; on the CPU epochs are CPU seconds of
one thread. Formulas are pymatgen's formation energies unless a CSV is given.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from composition_models import THREADS
from joblib import parallel_config

import skmatgnn
from skmatgnn import presets
from skmatgnn.datasets import load_formation_energies
from skmatgnn.model_selection import bootstrap_score

WARM_UP = 3
VALID_SHARE = 0.2  # of what crabnet is given, which it does not train on
SIDES = {"crabnet": "_crabnet_peer.py", "skmatgnn": "_skmatgnn_side.py"}
SMALL_PEER = {"d_model": 16, "N": 1, "heads": 2, "dim_feedforward": 32, "batch_size": 8}
SMALL_CRABNET = {"d_model": 16, "n_layers": 1, "batch_size": 8}
SMALL_MODNET = {"n_neurons": ((8,), (), (), ()), "n_models": 2, "batch_size": 8}


def load(options):
    if options.table:
        path, column, target = options.table
        frame = pd.read_csv(path, keep_default_na=False)
        formulas, y = frame[column].tolist(), frame[target].to_numpy(float)
    else:
        bunch = load_formation_energies()
        formulas, y = list(bunch.data), np.asarray(bunch.target, dtype=float)
    needed = round(options.rows / (1 - VALID_SHARE))
    if len(y) < needed:
        raise SystemExit(f"--rows {options.rows} needs {needed} formulas, not {len(y)}")
    order = np.random.default_rng(0).permutation(len(y))[:needed]
    return [formulas[i] for i in order], y[order]


def epoch_models(options):
    """Name, side, settings; the first two are what ratios are to."""
    epochs = options.epochs + WARM_UP
    peer = {"params": SMALL_PEER if options.quick else {}, "stop_after": epochs}
    crabnet = {"estimator": "CrabNetRegressor"}
    published = {"max_epochs": epochs, "batch_size": 128}
    small = SMALL_CRABNET if options.quick else {}
    modnet = {"max_epochs": epochs, **(SMALL_MODNET if options.quick else {})}
    models = [
        ("crabnet", "crabnet", {**peer, "matmul": "highest"}),
        ("crabnet, TF32", "crabnet", {**peer, "matmul": "high"}),
    ]
    for precision in options.precisions:
        how = {"precision": precision}
        params = {**published, **small, **how}
        default = {"max_epochs": epochs, **small, **how}
        models += [
            (
                f"published, {precision}",
                "skmatgnn",
                {**crabnet, "preset": "CRABNET_2021", "params": params},
            ),
            (f"default, {precision}", "skmatgnn", {**crabnet, "params": default}),
            (
                f"MODNet, {precision}",
                "skmatgnn",
                {"estimator": "MODNetRegressor", "params": {**modnet, **how}},
            ),
        ]
    return models


def execute(python, script, job, device):
    environment = dict(os.environ)
    if "PYTHONPATH" in environment:  # the process starts in another folder
        folders = environment["PYTHONPATH"].split(os.pathsep)
        environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders))
    if device == "cpu":
        environment |= THREADS
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [python, Path(__file__).resolve().with_name(script)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=folder,  # crabnet may write files
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout)


def time_epochs(formulas, y, options):
    rows, pythons = [], {"crabnet": options.peer_python, "skmatgnn": sys.executable}
    best = None
    for name, side, settings in epoch_models(options):
        n = len(y) if side == "crabnet" else options.rows
        job = {
            "settings": {**settings, "device": options.device},
            "train": formulas[:n],
            "y": y[:n].tolist(),
            "test": formulas[:2],
            "held_out": [],
        }
        try:
            reply = execute(pythons[side], SIDES[side], job, options.device)
        except RuntimeError as error:
            if side != "crabnet":
                raise
            print(f"{name} did not run: {str(error).splitlines()[-1]}", flush=True)
            rows.append({"model": name, "error": str(error)})
            continue
        seconds = statistics.median(reply["epoch_seconds"][WARM_UP:])
        if side == "crabnet":
            best = min(seconds, best or seconds)
        row = {"model": name, "seconds": seconds, "versions": reply["versions"]}
        row["epoch_seconds"] = reply["epoch_seconds"]
        text = f"{name:24} {1e3 * seconds:9.2f} ms an epoch"
        if side != "crabnet" and best and not name.startswith("MODNet"):
            row["ratio"] = best / seconds
            text += f", {row['ratio']:.1f} times as fast as crabnet"
        print(text, flush=True)
        rows.append(row)
    return rows


def bootstrap_models(options):
    epochs = {"max_epochs": options.bootstrap_epochs, "device": options.device}
    crabnet, modnet = (SMALL_CRABNET, SMALL_MODNET) if options.quick else ({}, {})
    return {
        "CrabNet, default": skmatgnn.CrabNetRegressor(**epochs, **crabnet),
        "CrabNet, published": skmatgnn.CrabNetRegressor(
            **{**presets.CRABNET_2021, "batch_size": 128, **epochs, **crabnet}
        ),
        "MODNet, default": skmatgnn.MODNetRegressor(**epochs, **modnet),
    }


def timed_bootstrap(model, formulas, y, options, n_resamples, n_jobs):
    if options.device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    with parallel_config(options.backend, n_jobs=n_jobs):
        result = bootstrap_score(
            model,
            formulas,
            y,
            scoring="neg_mean_absolute_error",
            n_resamples=n_resamples,
            random_state=0,
        )
    if options.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start, result.scores


def time_bootstraps(formulas, y, options):
    rows = []
    formulas, y = formulas[: options.rows], y[: options.rows]
    for name, model in bootstrap_models(options).items():

        def run(n_resamples, n_jobs, model=model):
            return timed_bootstrap(model, formulas, y, options, n_resamples, n_jobs)

        run(min(2, options.resamples), 1)  # compiles, allocates
        one, _ = run(1, 1)
        serial, expected = run(options.resamples, 1)
        beside, found = run(options.resamples, options.jobs)
        row = {
            "model": name,
            "resamples": options.resamples,
            "jobs": options.jobs,
            "one_s": one,
            "one_by_one_s": serial,
            "side_by_side_s": beside,
            "side_by_side_over_one": beside / one,
            "one_by_one_over_one": serial / one,
            "same_bits": bool(np.array_equal(found, expected)),
            "largest_relative_difference": float(
                np.max(np.abs(found - expected) / np.abs(expected))
            ),
        }
        print(
            f"{name:20} one {one:7.2f} s; {options.resamples} one by one "
            f"{serial:7.2f} s, side by side {beside:7.2f} s, {beside / one:.2f} times "
            f"one; scores differ by {row['largest_relative_difference']:.1e}",
            flush=True,
        )
        rows.append(row)
    return rows


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--table", nargs=3, metavar=("FILE", "COLUMN", "TARGET"))
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("epoch", "bootstrap"),
        default=("epoch", "bootstrap"),
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--precisions", nargs="+", default=["auto", "float32"])
    parser.add_argument("--rows", type=int, default=1000, help="rows of an epoch")
    parser.add_argument("--epochs", type=int, default=12, help="that are timed, < 16")
    parser.add_argument("--bootstrap-epochs", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--backend", choices=("threading", "loky"), default="threading")
    parser.add_argument("--quick", action="store_true", help="tiny, to try the script")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.epochs, options.bootstrap_epochs = 40, 2, 2
        options.resamples, options.jobs = 3, 2
    if not 1 <= options.epochs < 20 - WARM_UP - 1:
        parser.error("--epochs must be from 1 to 15: crabnet's 20th does more")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device; try --device cpu")
    return options


def main():
    options = parse()
    cuda = options.device == "cuda"
    report = {
        "device": torch.cuda.get_device_name() if cuda else platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rows": options.rows,
    }
    print(*report.values(), flush=True)
    formulas, y = load(options)
    if "epoch" in options.parts:
        report["epoch"] = time_epochs(formulas, y, options)
    if "bootstrap" in options.parts:
        report["bootstrap"] = time_bootstraps(formulas, y, options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
