"""Train from a file of graphs that is larger than the memory that it may use.

Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/large_graphs.py [--n 132752] [--json FILE]

Structures of 24 to 36 atoms are made one by one, their graphs written to a file as
they come, and a network trained from that file for some steps. Each phase runs in a
process of its own, whose peak memory is what the table shows; "anonymous" is what it
holds without the pages of the file that the system may take back at any time. A phase
whose result is there is not run again, so that a run can be cut short: --folder keeps
the file. --resident also trains with all graphs in memory and compares the losses.
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
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback

import skmatgnn
from skmatgnn.graphs import GraphArray, StructureToGraph
from skmatgnn.nets import GraphDataset
from skmatgnn.preprocessing import StructureArray

MB = 2**20
N_STRUCTURES = 132_752  # the size of the largest task of Matbench
PACKAGES = ("torch", "numpy", "pymatgen")
SPECIES = np.array([3, 8, 11, 12, 13, 14, 17, 20, 22, 25, 26, 27, 28, 29, 38, 56])


def make_structures(n, seed=0, at_once=128):
    """Rattled, strained grids with vacancies, 24 to 36 atoms; nothing is kept."""
    shapes = np.array([(3, 3, 3), (4, 3, 3), (3, 3, 4), (2, 4, 4), (4, 4, 2)])
    for start in range(0, n, at_once):
        rng = np.random.default_rng([seed, start])
        for _ in range(min(at_once, n - start)):
            shape = shapes[rng.integers(len(shapes))]
            sites = np.indices(shape).reshape(3, -1).T
            kept = rng.permutation(len(sites))[: rng.integers(24, len(sites) + 1)]
            frac = (sites[kept] + rng.uniform(-0.12, 0.12, (len(kept), 3))) / shape
            spacing = rng.uniform(2.1, 2.9)
            lattice = np.diag(shape * spacing) + rng.normal(0, 0.3, (3, 3))
            numbers = rng.choice(rng.choice(SPECIES, 3, replace=False), len(kept))
            yield lattice, numbers.astype(np.uint8), frac


def as_structures(structures):
    """Make pymatgen's objects of them, one at a time."""
    from pymatgen.core import Structure

    for lattice, numbers, frac in structures:
        yield Structure(lattice, numbers, frac)


def packed_structures(n):
    """All of make_structures in memory, as arrays."""
    lattices, numbers, coords = zip(*make_structures(n), strict=True)
    return StructureArray(
        np.array(lattices),
        np.ones((n, 3), dtype=bool),
        np.concatenate([[0], np.cumsum([len(z) for z in numbers])]),
        np.concatenate(numbers),
        np.concatenate(coords),
    )


def targets_of(graphs):
    """Something that can be learnt: mean atomic number and bonds per atom."""
    ptr = graphs.node_ptr
    numbers = np.add.reduceat(graphs.atomic_numbers, ptr[:-1], dtype=np.float64)
    return (numbers / graphs.n_atoms) + graphs.n_edges / graphs.n_atoms


class Memory:
    """Peak of the process's memory, and of its part that is no file's."""

    def __init__(self):
        self.anonymous = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._stop.wait(0.05):
            self.anonymous = max(self.anonymous, anonymous_bytes())

    def peaks(self):
        self._stop.set()
        self._thread.join()
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return {
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "peak_worker_mb": children / 1024,
            "peak_anonymous_mb": self.anonymous / MB,
        }


def anonymous_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return 1024 * int(line.split()[1])
    return 0


def pack(options):
    converter = StructureToGraph(
        three_body_cutoff=4.0, n_jobs=options.n_jobs, verbose=True
    )
    start = time.perf_counter()
    graphs = converter.transform_to_file(
        as_structures(make_structures(options.n)), options.file
    )
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "ms_each": 1e3 * seconds / len(graphs),
        "file_mb": options.file.stat().st_size / MB,
        "mean_atoms": float(graphs.n_atoms.mean()),
        "edges": int(graphs.edge_ptr[-1]),
    }


def make_only(options):
    """What making the structures alone takes, to be taken off the packing."""
    n = min(options.n, 5000)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in as_structures(make_structures(n)):
        pass
    return {
        "ms_each": 1e3 * (time.perf_counter() - start) / n,
        "cpu_ms_each": 1e3 * (time.process_time() - cpu) / n,
    }


def build_only(options):
    """Graphs of packed structures, in memory: the converter without the rest."""
    n = min(options.n, 5000)
    structures = packed_structures(n)
    converter = StructureToGraph(three_body_cutoff=4.0, n_jobs=options.n_jobs)
    converter.transform(structures[:256])  # starts the workers
    start, cpu = time.perf_counter(), time.process_time()
    converter.transform(structures)
    return {
        "ms_each": 1e3 * (time.perf_counter() - start) / n,
        "cpu_ms_each": 1e3 * (time.process_time() - cpu) / n,
    }


def read(options):
    """One pass over all batches in random order, without a network."""
    graphs = GraphArray.load(options.file)
    dataset = GraphDataset(graphs)
    packed = dataset.pack(options.device, torch.float32)
    n_batches = -(-len(graphs) // options.batch_size)
    rows = np.random.default_rng(0).permutation(len(graphs))
    batches = np.array_split(rows, n_batches)
    packed.announce(batches)
    start, n_edges = time.perf_counter(), 0
    for batch in batches:
        inputs, _ = packed.take(batch)
        n_edges += inputs.edges.n_edges
    assert n_edges == graphs.edge_ptr[-1]
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "ms_batch": 1e3 * seconds / n_batches}


class StopAfter(Callback):
    """Ends the training in the middle of an epoch, and notes losses and times."""

    def __init__(self, n_steps):
        self.n_steps = n_steps
        self.losses, self.times = [], []

    def on_batch_end(self, net, training=False, loss=None, **_):
        if training:
            self.losses.append(float(loss.detach()))
            self.times.append(time.perf_counter())
            if len(self.losses) == self.n_steps:
                raise KeyboardInterrupt


def train(options):
    graphs = GraphArray.load(options.file)
    steps = StopAfter(options.steps)
    model = skmatgnn.ALIGNNRegressor(
        batch_size=options.batch_size,
        max_epochs=1,
        random_state=0,
        device=options.device,
        callbacks=[("steps", steps)],
    )
    start = time.perf_counter()
    with suppress(KeyboardInterrupt):
        model.fit(graphs, targets_of(graphs))
    between = np.diff(steps.times)
    return {
        "seconds": time.perf_counter() - start,
        "first_step_seconds": steps.times[0] - start,
        "steps": len(steps.losses),
        "ms_step": 1e3 * float(np.median(between)) if len(between) else None,
        "losses": steps.losses,
    }


PHASES = {
    "make": make_only,
    "build": build_only,
    "pack": pack,
    "read": read,
    "train": train,
    "read_resident": read,
    "train_resident": train,
}


def run_phase(name, options):
    """Run one phase in a process of its own; graphs stay on disk unless resident."""
    environment = dict(os.environ)
    environment["SKMATGNN_RESIDENT_MB"] = (
        "1e9" if name.endswith("_resident") else str(options.budget_mb)
    )
    command = [sys.executable, __file__, "--phase", name, "--folder", options.folder]
    for key in ("n", "steps", "device", "n_jobs", "budget_mb", "batch_size"):
        command += [f"--{key.replace('_', '-')}", str(getattr(options, key))]
    result = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def print_table(report):
    n, packed = report["n"], report["pack"]
    atoms, edges, size = (packed[k] for k in ("mean_atoms", "edges", "file_mb"))
    print(f"{n:,} structures of {atoms:.1f} atoms, {edges:,} edges")
    print(f"file: {size:.0f} MB, {size * 1024 / n:.2f} kB each")
    heads = ["seconds", "CPU s", "ms", "", "peak MB", "anonymous"]
    print(" " * 16 + "".join(f"{head:>12}" for head in heads))
    units = {"ms_each": "a structure", "ms_batch": "a batch", "ms_step": "a step"}
    for name in PHASES:
        row = report.get(name)
        if row is None:
            continue
        key = next(key for key in units if key in row)
        print(
            f"{name:16}{row.get('seconds', float('nan')):12.1f}"
            f"{row['cpu_seconds']:12.1f}{row[key]:12.3f}{units[key]:>12}"
            f"{row['peak_mb']:12.0f}{row['peak_anonymous_mb']:12.0f}"
        )
    if "train_resident" in report:
        same = report["train"]["losses"] == report["train_resident"]["losses"]
        print("losses from the file and in memory:", "equal" if same else "DIFFERENT")


def describe(options):
    return {
        "n": options.n,
        "batch_size": options.batch_size,
        "device": options.device,
        "n_jobs": options.n_jobs,
        "budget_mb": options.budget_mb,
        "cpus": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            **{p: importlib.metadata.version(p) for p in PACKAGES},
        },
    }


def run_all(options):
    kept = Path(options.folder) / f"large_graphs_{options.n}.json"
    report = json.loads(kept.read_text()) if kept.exists() else {}
    if report.get("description") != describe(options) or not options.file.exists():
        report = {"description": describe(options), "n": options.n}
    names = [name for name in PHASES if options.resident or "resident" not in name]
    for name in names:
        if report.get(name, {}).get("steps", options.steps) != options.steps:
            del report[name]
        if name not in report:
            print(f"{name} ...", file=sys.stderr)
            report[name] = run_phase(name, options)
            kept.write_text(json.dumps(report, indent=2))
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=N_STRUCTURES)
    parser.add_argument("--folder", help="keeps the file and what was measured")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--budget-mb", type=float, default=64, help="of graphs kept")
    parser.add_argument("--resident", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or temporary
        Path(options.folder).mkdir(parents=True, exist_ok=True)
        options.file = Path(options.folder) / f"large_{options.n}.graphs"
        if options.phase:
            torch.set_num_threads(1)
            memory = Memory()
            found = PHASES[options.phase](options)
            cpu = {"cpu_seconds": sum(os.times()[:4])}  # imports included
            print(json.dumps({**found, **cpu, **memory.peaks()}))
            return
        report = run_all(options)
    print_table(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
