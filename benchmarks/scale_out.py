"""Several devices: data-parallel training, and one dask worker for each GPU.

Run from the project's root:

    python benchmarks/scale_out.py speed [--devices 1 2] [--n 132752] [--steps 0]
        [--batch-sizes 64] [--precisions bfloat16] [--device cuda] [--json FILE]
    python benchmarks/scale_out.py check [--devices 1 2] [--device cuda]
    python benchmarks/scale_out.py dask [--devices 2] [--device cuda]
    torchrun --nproc-per-node 2 benchmarks/scale_out.py launched [--device cuda]
    accelerate launch --multi_gpu --num_processes 2 benchmarks/scale_out.py launched

"speed" trains ALIGNN of the study's size (4+4 layers, width 256, all angles, layer
norm) for two epochs, of which the first compiles kernels and captures steps, and shows
the fastest after it. --steps shortens an epoch to so many steps. The structures
are those of large_graphs.py; an eighth of them is made and taken eight times. "check"
compares the losses of several devices with those of one at the same batches; "launched"
prints those of the processes that a launcher started, or of one without it. "dask"
searches over fine-tuning strategies on a cluster with a worker for each GPU (or on
so many processes with --device cpu), and compares the scores with those of one process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from joblib import parallel_config
from large_graphs import N_STRUCTURES, packed_structures, targets_of
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skmatgnn import ALIGNNRegressor, MPTRegressor, presets
from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import GraphArray, StructureToGraph

REPEATS = 8  # how often each structure is taken
TOLERANCE = {"float64": 1e-9, "float32": 1e-5, "tf32": 1e-3, "bfloat16": 1e-2}


def pack(n, three_body_cutoff, n_jobs):
    converter = StructureToGraph(three_body_cutoff=three_body_cutoff, n_jobs=n_jobs)
    return converter.transform(packed_structures(n))


def make_file(options):
    """Write the graphs to a file, unless it is there."""
    path = Path(options.folder) / f"scale_out_{options.n}.graphs"
    if not path.exists():
        start = time.perf_counter()
        few = pack(-(-options.n // REPEATS), None, options.n_jobs)
        GraphArray.concatenate([few] * REPEATS)[: options.n].save(path)
        size = path.stat().st_size / 2**20
        seconds = time.perf_counter() - start
        print(f"{options.n:,} graphs, {size:.0f} MB, made in {seconds:.1f} s")
    return path


def train_once(options, n_devices, batch_size, precision):
    """Train in this process; what an epoch takes."""
    graphs = GraphArray.load(make_file(options))
    if options.steps:
        graphs = graphs[: options.steps * batch_size]
    settings = {**presets.ALIGNN_LARGE, **json.loads(options.set)}
    settings |= {
        "batch_size": batch_size,
        "max_epochs": options.epochs or 2,
        "random_state": 0,
    }
    model = ALIGNNRegressor(
        **settings,
        device=options.device,
        precision=precision,
        n_devices=n_devices,
    )
    start = time.perf_counter()
    model.fit(graphs, targets_of(graphs))
    seconds = [row["dur"] for row in model.history_]
    n_steps = -(-len(graphs) // batch_size)
    return {
        "n_devices": n_devices,
        "batch_size": batch_size,
        "precision": precision,
        "n": len(graphs),
        "fit_seconds": time.perf_counter() - start,
        "epoch_seconds": seconds,
        "ms_step": 1e3 * min(seconds[1:]) / n_steps,
        "losses": [row["train_loss"] for row in model.history_],
    }


def speed(options):
    rows = []
    for precision in options.precisions:
        for batch_size in options.batch_sizes:
            for n_devices in options.devices:
                rows.append(run_apart(options, n_devices, batch_size, precision))
                show(rows[-1], rows)
                if options.json:
                    Path(options.json).write_text(json.dumps(rows, indent=1))


def run_apart(options, n_devices, batch_size, precision):
    """Train in a process of its own, as a user's script would."""
    command = [sys.executable, __file__, "once", "--folder", options.folder]
    for key in ("n", "steps", "device", "set", "epochs"):
        if getattr(options, key) is not None:
            command += [f"--{key}", str(getattr(options, key))]
    command += ["--devices", str(n_devices), "--batch-sizes", str(batch_size)]
    command += ["--precisions", precision]
    make_file(options)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(row, rows):
    alone = next(
        (
            other
            for other in rows
            if other["n_devices"] == 1
            and (other["batch_size"], other["precision"])
            == (row["batch_size"], row["precision"])
        ),
        None,
    )
    ratio = f"{alone['ms_step'] / row['ms_step']:.2f}x" if alone else ""
    epochs = ", ".join(f"{s:.2f}" for s in row["epoch_seconds"])
    print(
        f"{row['n_devices']} device(s), {row['precision']}, batch {row['batch_size']}: "
        f"{row['ms_step']:.2f} ms a step {ratio} (epochs {epochs} s, fit "
        f"{row['fit_seconds']:.1f} s, losses {np.round(row['losses'], 4).tolist()})",
        flush=True,
    )


def check(options):
    graphs = pack(options.n_check, 4.0, 1)
    y = targets_of(graphs)
    known = np.random.default_rng(0).random((len(y), 2)) < 0.7
    targets = np.where(known, np.column_stack([y, y**2]), np.nan)
    failed = False
    for precision in options.precisions:
        models = [
            MPTRegressor(
                max_epochs=8,
                batch_size=24,
                early_stopping=True,
                random_state=0,
                device=options.device,
                precision=precision,
                n_devices=n_devices,
            ).fit(graphs, targets)
            for n_devices in options.devices
        ]
        for name in ("train_loss", "valid_loss"):
            curves = [[row[name] for row in m.history_] for m in models]
            print(f"{name} in {precision}:")
            for n_devices, curve in zip(options.devices, curves, strict=True):
                print(f"  {n_devices} device(s)", [f"{v:.7f}" for v in curve])
            worst = np.abs(np.diff(curves, axis=0)).max()
            failed |= worst > TOLERANCE[precision]
            print(f"  largest difference {worst:.1e}", flush=True)
    sys.exit("DIFFERENT" if failed else 0)


def launched(options):
    X, y = make_crystals(options.n_check, random_state=0, return_X_y=True)
    n_processes = int(os.environ.get("WORLD_SIZE", "1"))
    model = ALIGNNRegressor(
        max_epochs=6,
        batch_size=24,
        random_state=0,
        device=options.device,
        precision=options.precisions[0],
        n_devices=n_processes,
    ).fit(X, y)
    if os.environ.get("RANK", "0") == "0":
        losses = ", ".join(f"{row['train_loss']:.7f}" for row in model.history_)
        print(f"{n_processes} process(es): {losses}")


def search(options):
    from dask.distributed import Client

    from skmatgnn.clusters import local_cluster

    graphs = pack(options.n_check, 4.0, 1)
    half = len(graphs) // 2
    y = targets_of(graphs)
    arguments = {"random_state": 0, "batch_size": 16, "device": options.device}
    source = ALIGNNRegressor(max_epochs=3, **arguments).fit(
        graphs[:half], y[:half] ** 2
    )
    search = GridSearchCV(
        ALIGNNRegressor(
            pretrained=FrozenEstimator(source),
            max_epochs=options.epochs or 20,
            **arguments,
        ),
        {"fine_tuning": ["full", "head", "two_body", "three_body"]},
        cv=3,
        refit=False,
        error_score="raise",
    )
    start = time.perf_counter()
    search.fit(graphs[half:], y[half:])
    serial, seconds = search.cv_results_["mean_test_score"], time.perf_counter() - start
    print(f"serial: {seconds:.1f} s, scores {serial}")
    gpus = options.device == "cuda"
    n_workers = options.devices[-1]
    with local_cluster(n_workers, gpus=gpus) as cluster, Client(cluster) as client:
        print(client.run(what_it_sees))
        with parallel_config("dask", client=client):
            for turn in ("first", "second"):  # each worker compiles and warms up
                start = time.perf_counter()
                search.fit(graphs[half:], y[half:])
                seconds = time.perf_counter() - start
                print(f"dask, {n_workers} workers, {turn}: {seconds:.1f} s")
        worst = np.abs(search.cv_results_["mean_test_score"] - serial).max()
    print(f"largest difference of a score: {worst:.1e}")
    sys.exit("DIFFERENT" if worst > 0 else 0)


def what_it_sees():
    return os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()


PARTS = {"speed": speed, "check": check, "launched": launched, "dask": search}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "once"])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--n", type=int, default=N_STRUCTURES)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="of speed (2) and dask (20)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--precisions", nargs="+", default=["float32"])
    parser.add_argument(
        "--n-check", type=int, default=240, help="of check, launched, dask"
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--set", default="{}", help="JSON of other parameters")
    parser.add_argument("--n-jobs", type=int, default=1, help="that make graphs")
    parser.add_argument("--folder", help="keeps the graphs")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or temporary
        Path(options.folder).mkdir(parents=True, exist_ok=True)
        if options.part == "once":
            found = train_once(
                options,
                options.devices[0],
                options.batch_sizes[0],
                options.precisions[0],
            )
            print(json.dumps(found))
            return
        PARTS[options.part](options)


if __name__ == "__main__":
    main()
