"""Check that what makes training fast leaves the test error as it is.

    python benchmarks/accuracy_guard.py DATA --out guard.jsonl [--jobs 4]
        [--time-limit 500] [--tasks 'phonons/*'] [--paths reference fast]
        [--seeds 0 1 2] [--device cpu]
    python benchmarks/accuracy_guard.py DATA --out guard.jsonl --print
    OMP_NUM_THREADS=1 python benchmarks/accuracy_guard.py DATA --out cpu.jsonl
        --device cpu --tasks 'wide/*' --paths kernels bfloat16 --against kernels

DATA is a folder with phonons.json.gz and expt_gap.csv.gz, as for phonons.py and
expt_gap.py; the official fold 0 of each is the test set. Every path of PATHS below,
which is environment variables and parameters, trains every model of TASKS with every
seed, each in a process of its own, --jobs of them at once on the same device.

The rule: a path passes if the mean of its errors over the seeds is within the spread of
the reference path, which is its largest less its smallest error, of the mean of the
reference path. The exit status is 1 if one does not, and 2 if fits are missing. Paths
that are truly alike fail by chance in one of seven tasks with three seeds and in one of
fifty with five: more seeds settle a doubt, as fits are kept. Beside it stands the mean
difference between fits of the same seed, and its standard error. --against names
another path as the reference.

The tasks of WIDE have to be asked for: networks wide enough for products in bfloat16 on
the CPU, on the first rows of the training set and for few epochs, and one that takes
all angles.

Every finished fit is a line of --out: the same command goes on where a run was stopped,
or ended by --time-limit. Results of several devices are judged apart. --quick takes
tiny models and made-up data, without DATA, to try the script. Seconds are those of a
first fit in a process, with what it imports and compiles, and on the CPU those of the
processor.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

REFERENCE = "reference"


class Route(NamedTuple):
    """How to compute: variables of the environment, None to unset, and parameters."""

    environment: dict
    parameters: dict


PATHS = {
    REFERENCE: Route(
        {"SKMATGNN_KERNELS": "reference", "SKMATGNN_CUDA_GRAPHS": "0"},
        {"precision": "float32"},
    ),
    # what a user gets who sets nothing
    "fast": Route(
        {"SKMATGNN_KERNELS": None, "SKMATGNN_CUDA_GRAPHS": None},
        {"precision": "auto"},
    ),
    # one thing at a time, to find what is to blame
    "kernels": Route(
        {"SKMATGNN_KERNELS": "auto", "SKMATGNN_CUDA_GRAPHS": "0"},
        {"precision": "float32"},
    ),
    "replay": Route(
        {"SKMATGNN_KERNELS": "reference", "SKMATGNN_CUDA_GRAPHS": "1"},
        {"precision": "float32"},
    ),
    "tf32": Route(
        {"SKMATGNN_KERNELS": "reference", "SKMATGNN_CUDA_GRAPHS": "0"},
        {"precision": "tf32"},
    ),
    # angles not rounded to a grid before they are embedded
    "exact_angles": Route(
        {
            "SKMATGNN_KERNELS": "auto",
            "SKMATGNN_CUDA_GRAPHS": "1",
            "SKMATGNN_ANGLE_STEPS": "0",
        },
        {"precision": "bfloat16"},
    ),
    "bfloat16": Route(
        {"SKMATGNN_KERNELS": "auto", "SKMATGNN_CUDA_GRAPHS": "1"},
        {"precision": "bfloat16"},
    ),
}
JUDGED = (REFERENCE, "fast")

TASKS = {
    "phonons/ALIGNNRegressor": {
        "hidden_dim": 8,
        "n_radial": 8,
        "n_angular": 4,
        "n_alignn_layers": 1,
        "n_gcn_layers": 1,
    },
    "expt_gap/CrabNetRegressor": {"d_model": 16, "n_layers": 1},
    "expt_gap/MODNetRegressor": {"n_neurons": [[8], [], [], []], "n_models": 2},
}
SMALL = {"three_body_cutoff": 3.5, "max_epochs": 25}
# data and estimator, training rows, parameters
WIDE = {
    "angles/alignn-64": (
        "phonons/ALIGNNRegressor",
        10**6,
        {"three_body_cutoff": None},
    ),
    "wide/crabnet-512": (
        "expt_gap/CrabNetRegressor",
        10**6,
        {
            "d_model": 512,
            "norm_first": False,
            "loss": "robust_l1",
            "lr": 3e-4,
            "batch_size": 128,
            "max_epochs": 20,
        },
    ),
    "wide/alignn-128": (
        "phonons/ALIGNNRegressor",
        400,
        {"hidden_dim": 128, "n_alignn_layers": 2, "n_gcn_layers": 2, **SMALL},
    ),
    "wide/alignn-256": (
        "phonons/ALIGNNRegressor",
        300,
        {"hidden_dim": 256, "n_alignn_layers": 1, "n_gcn_layers": 1, **SMALL},
    ),
}
QUICK_EPOCHS, QUICK_ROWS = 2, 40
UNITS = {"phonons": "1/cm", "expt_gap": "eV"}


def kind_of(task):
    """Data and estimator of a task."""
    return WIDE[task][0] if task in WIDE else task


def load(task, folder):
    """Samples, targets, and which are tested."""
    import numpy as np

    if folder is None:
        return *made_up(task), np.arange(QUICK_ROWS) % 5 == 0
    if kind_of(task).startswith("phonons"):
        import phonons

        path = Path(folder) / "phonons.json.gz"
        X, y, fold = phonons.load(path, "last_phdos_peak")
    else:
        import pandas as pd

        frame = pd.read_csv(Path(folder) / "expt_gap.csv.gz", keep_default_na=False)
        X, y = frame["composition"].to_numpy(object), frame["gap_expt"].to_numpy(float)
        fold = frame["fold"].to_numpy().astype(int)
    train, test = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
    kept = np.concatenate([train[: WIDE[task][1]], test]) if task in WIDE else ...
    return X[kept], y[kept], fold[kept] == 0


def made_up(task):
    from skmatgnn.datasets import load_formation_energies, make_crystals
    from skmatgnn.preprocessing import StructureArray

    if kind_of(task).startswith("phonons"):
        X, y = make_crystals(QUICK_ROWS, random_state=0, return_X_y=True)
        return StructureArray.from_structures(X), y
    X, y = load_formation_energies(return_X_y=True)
    return X[:QUICK_ROWS], y[:QUICK_ROWS]


def work():
    """Do one fit, in a process of its own: a job from stdin, a row to stdout."""
    job = json.load(sys.stdin)
    import numpy as np
    import torch

    import skmatgnn

    X, y, test = load(job["task"], job["data"])
    make = getattr(skmatgnn, kind_of(job["task"]).partition("/")[2])
    model = make(
        random_state=job["seed"], device=job["torch_device"], **job["parameters"]
    )
    clock = time.process_time if model.device == "cpu" else time.perf_counter
    start = clock()
    model.fit(X[~test], y[~test])
    seconds = clock() - start
    row = {
        "mae": float(np.abs(model.predict(X[test]) - y[test]).mean()),
        "fit_s": round(seconds, 2),
        "epochs": model.n_epochs_,
        "device": device_name(model.device_),
        "precision": model.net_.precision,
        "torch": torch.__version__,
        "skmatgnn": skmatgnn.__version__,
    }
    json.dump(row, sys.stdout)


class Guard:
    """The fits that are wanted, those that are done, and what starts the others."""

    def __init__(self, options):
        self.options = options
        self.device = None if options.print else device_name(options.device)
        self.rows = read_rows(options.out)
        self.lock, self.running, self.stopped = threading.Lock(), set(), False

    def wanted(self):
        """Seed by seed and the reference first, so that a stopped run can be judged."""
        return [
            (task, path, seed)
            for seed in self.options.seeds
            for task in self.options.tasks
            for path in self.options.paths
        ]

    def job(self, task, path, seed):
        quick = self.options.quick
        small = WIDE[task][2] if task in WIDE else {}
        if quick:
            tiny = TASKS[kind_of(task)]
            small = {**small, **tiny, "max_epochs": QUICK_EPOCHS}
        return {
            "task": task,
            "path": path,
            "seed": seed,
            "device": self.device,
            "torch_device": self.options.device,
            "data": None if quick else str(self.options.data),
            "parameters": {**small, **PATHS[path].parameters},
            "environment": PATHS[path].environment,
        }

    def missing(self):
        done = {self.key_of(row) for row in self.rows}
        jobs = (self.job(*each) for each in self.wanted())
        return [job for job in jobs if self.key_of(job) not in done]

    def done(self):
        wanted = {self.key_of(self.job(*each)) for each in self.wanted()}
        return [row for row in self.rows if self.key_of(row) in wanted]

    def key_of(self, row):
        """What tells a fit from others; tables are of all devices."""
        names = ("task", "path", "seed", "data", "parameters", "environment")
        device = None if self.options.print else row["device"]
        return json.dumps([device, *(row[name] for name in names)], sort_keys=True)

    def run(self):
        jobs = self.missing()
        say(f"{len(self.wanted()) - len(jobs)} fits are done, {len(jobs)} to do")
        timer = None
        if self.options.time_limit is not None:
            timer = threading.Timer(self.options.time_limit, self.stop)
            timer.daemon = True
            timer.start()
        with ThreadPoolExecutor(self.options.jobs) as pool:
            try:
                list(pool.map(self.do, jobs))
            except BaseException:
                self.stop()
                raise
        if timer is not None:
            timer.cancel()

    def stop(self):
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.terminate()

    def do(self, job):
        environment = dict(os.environ)
        for name, value in job["environment"].items():
            environment.pop(name, None)
            environment |= {} if value is None else {name: value}
        with self.lock:
            if self.stopped:
                return
            process = subprocess.Popen(
                [sys.executable, __file__, "--work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            self.running.add(process)
        reply, errors = process.communicate(json.dumps(job))
        with self.lock:
            self.running.discard(process)
            if process.returncode == 0:
                self.keep({**job, **json.loads(reply)})
            elif not self.stopped:
                say(f"{job['task']} {job['path']} seed {job['seed']} failed:\n{errors}")

    def keep(self, row):
        self.rows.append(row)
        with self.options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        text = f"{row['task']:26} {row['path']:10} seed {row['seed']}"
        say(f"{text}: {row['mae']:.4f}, {row['fit_s']:.1f} s, {row['precision']}")


def device_name(device):
    import torch

    if device == "cpu" or not torch.cuda.is_available():
        return "CPU"
    return torch.cuda.get_device_name(None if device == "auto" else device)


def read_rows(path):
    """Rows of a file whose last line may have been cut off."""
    rows = []
    if path.exists():
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        if text and not text.endswith("\n"):
            path.write_text(text + "\n", encoding="utf-8")
    return rows


def judge(reference, errors):
    """Compare the errors of a path's seeds with those of the reference path.

    Returns the difference of the means, the spread, and whether it is within.
    """
    spread = max(reference) - min(reference)
    difference = statistics.mean(errors) - statistics.mean(reference)
    return difference, spread, abs(difference) <= spread


def paired(reference, errors):
    """Mean difference between fits of the same seed, and its standard error."""
    differences = [errors[seed] - reference[seed] for seed in errors]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return statistics.mean(differences), error


def summarise(rows, paths, seeds, against):
    """Print a table a task and device; 1 where a path is outside the rule."""
    status = 0
    for task, device in sorted({(row["task"], row["device"]) for row in rows}):
        found = {path: {} for path in paths}
        seconds = {path: [] for path in paths}
        for row in rows:
            if (row["task"], row["device"]) == (task, device):
                found[row["path"]][row["seed"]] = row["mae"]
                seconds[row["path"]].append(row["fit_s"])
        unit = UNITS[kind_of(task).partition("/")[0]]
        print(f"\n{task}, test error in {unit}, {device}\n")
        names = [f"seed {seed}" for seed in seeds]
        columns = ["path", *names, "mean", "max-min", "std", "fit, s", "verdict"]
        print("|", " | ".join(columns), "|")
        print("|---" * len(columns) + "|")
        for path in found:
            status = max(status, print_path(path, against, found, seconds, seeds))
    return status


def print_path(path, against, found, seconds, seeds):
    by_seed = found[path]
    errors, reference = (list(x.values()) for x in (by_seed, found[against]))
    cells = [f"{by_seed[seed]:.4f}" if seed in by_seed else "" for seed in seeds]
    if len(errors) < 2:
        cells += [f"{errors[0]:.4f}" if errors else "", "", ""]
    else:
        spread, std = max(errors) - min(errors), statistics.stdev(errors)
        cells += [f"{x:.4f}" for x in (statistics.mean(errors), spread, std)]
    cells.append(f"{statistics.median(seconds[path]):.1f}" if errors else "")
    status, verdict = 2, "fits are missing"
    if len(errors) == len(seeds) == len(reference):
        difference, spread, within = judge(reference, errors)
        status = 0 if within else 1
        verdict = f"{'within' if within else 'OUTSIDE'}: {difference:+.4f}, "
        verdict += f"{spread:.4f} allowed; by seed "
        verdict += "{:+.4f} +- {:.4f}".format(*paired(found[against], by_seed))
    if path == against:
        status, verdict = (0, "") if len(errors) == len(seeds) else (2, verdict)
    print("|", " | ".join([path, *cells, verdict]), "|")
    return status


def say(text):
    print(text, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], metavar="PATTERN")
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=JUDGED)
    parser.add_argument("--against", choices=PATHS, default=REFERENCE)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--time-limit", type=float, metavar="SECONDS")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--print", action="store_true", help="no fits, only tables")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return options
    if options.out is None or (options.data is None) != options.quick:
        parser.error("give --out, and DATA or --quick")
    options.tasks = [
        task
        for task in (*TASKS, *WIDE)
        if any(fnmatch.fnmatch(task, pattern) for pattern in options.tasks)
    ]
    if options.against not in options.paths or len(set(options.seeds)) < 2:
        parser.error(f"--paths must have {options.against}, and --seeds two seeds")
    return options


def main():
    options = parse()
    if options.work:
        work()
        return
    guard = Guard(options)
    if not options.print:
        guard.run()
    status = summarise(guard.done(), options.paths, options.seeds, options.against)
    sys.exit(max(status, 2 * bool(guard.missing())))


if __name__ == "__main__":
    main()
