"""Predict for millions of formulas: formulas per second, and memory that stays.

Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/stream_formulas.py [--n 200000 50000]
        [--models crabnet modnet rf_magpie] [--device cpu] [--json FILE]

Two ways: `predict` of a list in memory, and the command `skmatgnn predict` from a CSV
to a CSV. Each runs in a process of its own for each number of formulas. "beyond" is the
peak memory over that of the process with model, formulas and room for the predictions:
what must not grow with the number. Models are trained shortly: how good they are does
not matter here.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from skmatgnn import CrabNetRegressor, MODNetRegressor, make_rf_magpie
from skmatgnn.cli import main as command
from skmatgnn.cli._model_file import ModelInfo, read_model, write_model
from skmatgnn.datasets import load_formation_energies
from skmatgnn.estimators import predict_in_chunks
from skmatgnn.utils.elements import ELEMENT_SYMBOLS

MB = 2**20
MODELS = ("crabnet", "modnet", "rf_magpie")
LEFT_OUT = ("He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm")
ELEMENTS = np.array([e for e in ELEMENT_SYMBOLS[1:84] if e not in LEFT_OUT])


def make_formulas(n, seed=0, at_once=10_000):
    """Two to five elements with amounts of 1 to 12, one by one."""
    for start in range(0, n, at_once):
        rng = np.random.default_rng([seed, start])
        size = min(at_once, n - start)
        counts = rng.integers(2, 6, size)
        first = rng.integers(len(ELEMENTS), size=size)
        step = rng.integers(1, 10, size)  # so that no element comes twice
        amounts = rng.integers(1, 13, (size, 5)).astype(str)
        for i in range(size):
            places = first[i] + step[i] * np.arange(counts[i])
            symbols = ELEMENTS[places % len(ELEMENTS)]
            yield "".join(map("".join, zip(symbols, amounts[i], strict=False)))


def train(options):
    """Write a model file of each kind."""
    data = load_formation_energies()
    nets = {"max_epochs": 2, "random_state": 0, "device": options.device}
    models = {
        "crabnet": lambda: CrabNetRegressor(**nets),
        "modnet": lambda: MODNetRegressor(**nets),
        "rf_magpie": lambda: make_rf_magpie(n_estimators=500, random_state=0),
    }
    name = options.models[0]
    model = models[name]().fit(data.data, data.target)
    info = ModelInfo(name, ["energy"], False, "formula", len(data.data))
    with model_file(options).open("wb") as file:
        write_model(file, model, info)
    return {}


def model_file(options):
    return Path(options.folder) / f"{options.models[0]}.model"


def memory(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return 1024 * int(line.split()[1])
    return 0


def predict_list(options):
    n = options.n[0]
    model, _ = read_model(model_file(options))
    model.predict(list(make_formulas(2000)))  # loads tables and libraries
    formulas, room = list(make_formulas(n)), np.ones(n)
    before = memory("VmRSS")
    del room
    start, cpu = time.perf_counter(), time.process_time()
    found = predict_in_chunks(model, formulas)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert found.shape == (n,)
    assert np.isfinite(found).all()
    return {"seconds": seconds, "cpu_seconds": cpu, "before_mb": before / MB}


def predict_file(options):
    n, folder = options.n[0], Path(options.folder)
    table, out = folder / f"{n}.csv", folder / f"{n}.predictions.csv"
    with table.open("w") as file:
        file.write("formula\n")
        file.writelines(f"{formula}\n" for formula in make_formulas(n))
    read_model(model_file(options))
    before = memory("VmRSS")
    start, cpu = time.perf_counter(), time.process_time()
    arguments = ["predict", model_file(options), table, "--out", out, "--quiet"]
    assert command([str(argument) for argument in arguments]) == 0
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    with out.open() as file:
        assert sum(1 for _ in file) == n + 1
    for path in (table, out):
        path.unlink()
    return {"seconds": seconds, "cpu_seconds": cpu, "before_mb": before / MB}


PHASES = {"train": train, "list": predict_list, "file": predict_file}


def run_phase(phase, model, n, options):
    command_line = [sys.executable, __file__, "--phase", phase, "--models", model]
    command_line += ["--n", str(n), "--device", options.device]
    command_line += ["--folder", options.folder]
    result = subprocess.run(command_line, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def run_all(options):
    rows = []
    for model in options.models:
        run_phase("train", model, 0, options)
        for way in ("list", "file"):
            for n in options.n:
                print(f"{model}, {way}, {n:,} ...", file=sys.stderr)
                row = run_phase(way, model, n, options)
                rows.append({"model": model, "way": way, "n": n, **row})
    versions = ("torch", "numpy", "scikit-learn")
    return {
        "device": options.device,
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in versions},
        },
        "rows": rows,
    }


def print_table(report):
    print(f"device {report['device']}, {report['threads']} threads")
    print(
        f"{'model':12}{'way':6}{'formulas':>12}{'per second':>12}{'us CPU':>9}"
        f"{'before, MB':>12}{'peak, MB':>10}{'beyond, MB':>12}"
    )
    for row in report["rows"]:
        n = row["n"]
        print(
            f"{row['model']:12}{row['way']:6}{n:12,}{n / row['seconds']:12,.0f}"
            f"{1e6 * row['cpu_seconds'] / n:9.1f}{row['before_mb']:12.0f}"
            f"{row['peak_mb']:10.0f}{row['peak_mb'] - row['before_mb']:12.0f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", help="for models and tables; temporary by default")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        found = PHASES[options.phase](options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "peak_mb": peak}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or temporary
        report = run_all(options)
    print_table(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
