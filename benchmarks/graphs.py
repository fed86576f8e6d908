"""Time the construction of crystal graphs, against pymatgen and alignn.

Run from the project's root; times are CPU times of one thread:

    OMP_NUM_THREADS=1 python benchmarks/graphs.py [--peer-python PEER/bin/python]
        [--peer FOLDER] [--structures FILE.json] [--n 200] [--json FILE]
        [--device cuda] [--many 5000] [--n-jobs 1 2 4]

Ours starts from a list of Structure and includes all checks and packing. pymatgen's
figure is its bare list of neighbours within 8 A, one structure after the other.
alignn's is its graph and line graph; it runs in an environment of its own
(--peer-python), or in this one with the package and its dependencies in FOLDER.
The file holds a list of {"lattice": 3x3, "frac": nx3, "species": [n symbols]}.

--device and --n-jobs add wall times, from Structure and from a StructureArray: of the
search on that device, with the line graphs made there in batches of 64, and of so many
processes. They are of the same structures and of --many, which repeat them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Structure

from skmatgnn.datasets import make_crystals
from skmatgnn.graphs import GraphBatch, StructureToGraph, place_graphs
from skmatgnn.preprocessing import StructureArray

PEER_SCRIPT = Path(__file__).with_name("_graphs_peer.py")
REPEATS = 7
BATCH = 64
CUTOFF, NEIGHBORS, ANGLE_CUTOFF = 8.0, 12, 3.5


def make_records(n=200, seed=0):
    """Strained and rattled prototypes in supercells of up to 40 atoms."""
    rng = np.random.default_rng(seed)
    crystals = make_crystals(n, strain=0.03, rattle=0.02, random_state=seed).data
    shapes = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (3, 2, 1)]
    records = []
    for crystal in crystals:
        fitting = [s for s in shapes if len(crystal) * np.prod(s) <= 40]
        structure = crystal * fitting[rng.integers(len(fitting))]
        structure.perturb(0.02, seed=int(rng.integers(2**31)))
        records.append(
            {
                "lattice": structure.lattice.matrix.tolist(),
                "frac": structure.frac_coords.tolist(),
                "species": [site.specie.symbol for site in structure],
            }
        )
    return records


def to_structures(records):
    return [
        Structure(r["lattice"], r["species"], r.get("frac", r.get("frac_coords")))
        for r in records
    ]


def cpu_ms(function, n):
    best = np.inf
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return 1e3 * best / n


def time_ours(structures):
    n = len(structures)
    plain = StructureToGraph(cutoff=CUTOFF, max_neighbors=NEIGHBORS)
    short = StructureToGraph(
        cutoff=CUTOFF, max_neighbors=NEIGHBORS, three_body_cutoff=ANGLE_CUTOFF
    )
    radius = StructureToGraph(cutoff=CUTOFF, max_neighbors=None)
    graphs = plain.transform(structures)
    n_atoms = graphs.n_atoms.sum()
    return {
        "graph": cpu_ms(lambda: plain.transform(structures), n),
        "graph_three_body": cpu_ms(lambda: short.transform(structures), n),
        "graph_radius": cpu_ms(lambda: radius.transform(structures), n),
        "pack": cpu_ms(lambda: StructureArray.from_structures(structures), n),
        "batch_with_line_graph": cpu_ms(lambda: GraphBatch.from_graphs(graphs), n),
        "edges_per_atom": float(graphs.n_edges.sum() / n_atoms),
        "triplets_per_atom": GraphBatch.from_graphs(graphs).triplets.n_edges / n_atoms,
        "kb_per_structure": graphs.nbytes / 1024 / n,
    }


def wall_ms(function, n, repeats=5):
    best = np.inf
    for _ in range(1 + repeats):  # the first starts workers and loads kernels
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best / n


def make_line_graphs(graphs, device):
    placed = place_graphs(graphs, device)
    for start in range(0, len(graphs), BATCH):
        placed.take(np.arange(start, min(start + BATCH, len(graphs))))
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def time_device(structures, device):
    """Wall times of one structure, on a device."""
    n, packed = len(structures), StructureArray.from_structures(structures)
    converter = StructureToGraph(cutoff=CUTOFF, max_neighbors=NEIGHBORS, device=device)
    graphs = converter.transform(packed)

    def whole(source):
        make_line_graphs(converter.transform(source), device)

    return {
        "pack": wall_ms(lambda: StructureArray.from_structures(structures), n),
        "graph from StructureArray": wall_ms(lambda: converter.transform(packed), n),
        "graph from Structure": wall_ms(lambda: converter.transform(structures), n),
        "line graph": wall_ms(lambda: make_line_graphs(graphs, device), n),
        "both from StructureArray": wall_ms(lambda: whole(packed), n),
        "both from Structure": wall_ms(lambda: whole(structures), n),
    }


def time_jobs(structures, jobs):
    """Wall times of one structure out of many, by the number of processes."""
    n, packed = len(structures), StructureArray.from_structures(structures)
    found = {}
    for n_jobs in jobs:
        converter = StructureToGraph(
            cutoff=CUTOFF, max_neighbors=NEIGHBORS, n_jobs=n_jobs
        )
        found[n_jobs] = {
            "graph from StructureArray": wall_ms(
                lambda c=converter: c.transform(packed), n, repeats=3
            ),
            "graph from Structure": wall_ms(
                lambda c=converter: c.transform(structures), n, repeats=3
            ),
        }
    return found


def time_pymatgen(structures):
    return cpu_ms(
        lambda: [s.get_neighbor_list(CUTOFF) for s in structures], len(structures)
    )


def time_peer(python, folder, records):
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "structures.json"
        path.write_text(json.dumps(records))
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(folder).resolve()) if folder else "",
        }
        command = [python, "-W", "ignore", PEER_SCRIPT, path, str(REPEATS)]
        command += [str(CUTOFF), str(NEIGHBORS), str(ANGLE_CUTOFF)]
        result = subprocess.run(
            command,
            check=True,
            cwd=scratch,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
    return json.loads(result.stdout.splitlines()[-1])


def report_of(records, options):
    structures = to_structures(records)
    many = (structures * (1 + options.many // len(structures)))[: options.many]
    report = {
        "structures": len(structures),
        "mean_atoms": float(np.mean([len(s) for s in structures])),
        "skmatgnn_ms": time_ours(structures),
        "pymatgen_neighbor_list_ms": time_pymatgen(structures),
        "versions": {
            "python": platform.python_version(),
            **{
                p: importlib.metadata.version(p) for p in ("pymatgen", "numpy", "torch")
            },
        },
        "cpus": os.cpu_count(),
    }
    if options.device:
        report["device"] = options.device
        if options.device.startswith("cuda"):
            report["device"] = torch.cuda.get_device_name(options.device)
        report["wall_ms_on_device"] = {
            len(some): time_device(some, options.device) for some in (structures, many)
        }
    if options.n_jobs:
        report["wall_ms_by_n_jobs"] = time_jobs(many, options.n_jobs)
    if options.peer_python or options.peer:
        python = options.peer_python or sys.executable
        report["alignn"] = time_peer(python, options.peer, records)
    return report


def print_table(report):
    ours = report["skmatgnn_ms"]
    base = ours["graph"]
    rows = [
        ("skmatgnn, 12 neighbours", base),
        ("skmatgnn, 12 neighbours, angles to 3.5 A", ours["graph_three_body"]),
        ("skmatgnn, all within 8 A", ours["graph_radius"]),
        ("  of which checks and packing", ours["pack"]),
        ("  batch on the device, line graph included", ours["batch_with_line_graph"]),
        ("pymatgen get_neighbor_list, 8 A", report["pymatgen_neighbor_list_ms"]),
    ]
    if "alignn" in report:
        peer = report["alignn"]
        rows += [
            ("alignn, 12 neighbours", peer["graph"]),
            ("alignn, 12 neighbours, angles to 3.5 A", peer["graph_three_body"]),
        ]
    print(f"{report['structures']} structures of {report['mean_atoms']:.1f} atoms")
    print(f"{'':44} ms each  ratio to ours")
    for name, value in rows:
        print(f"{name:44} {value:7.3f}  {value / base:7.2f}")
    print_wall_times(report)


def print_wall_times(report):
    for n, times in report.get("wall_ms_on_device", {}).items():
        print(f"wall time of one of {n} on {report['device']}")
        for name, value in times.items():
            ratio = ""
            if "alignn" in report and name.startswith("both"):
                ratio = f"{report['alignn']['graph'] / value:7.1f} times as fast"
            print(f"  {name:42} {value:7.4f}  {ratio}")
    for n_jobs, times in report.get("wall_ms_by_n_jobs", {}).items():
        print(f"wall time of one of many, n_jobs={n_jobs}")
        for name, value in times.items():
            print(f"  {name:42} {value:7.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python")
    parser.add_argument("--peer", metavar="FOLDER")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--device")
    parser.add_argument("--structures", metavar="FILE.json")
    parser.add_argument("--n-jobs", type=int, nargs="+", default=[])
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    if options.structures:
        records = json.loads(Path(options.structures).read_text())
    else:
        records = make_records(options.n)
    report = report_of(records, options)
    print_table(report)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
