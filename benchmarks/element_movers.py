"""Time and compare the element mover's distance matrix with elmd's, side by side.

elmd runs in a Python of its own, on the first formulas; its time for the whole matrix
follows from its time per formula and per pair. Both run on one core; times are CPU
times. Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/element_movers.py --peer-python PYTHON \
        [--formulas FILE.csv COLUMN] [--json]

Without a file the formulas come from matminer's Materials Project transport table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from pathlib import Path

import numpy as np
from _shared import cpu_time, load_formulas

from skmatgnn.metrics import element_movers_distances


def run_peer(python, formulas):
    result = subprocess.run(
        [python, Path(__file__).with_name("_elmd_peer.py")],
        input=json.dumps(formulas),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return json.loads(result.stdout)


def compare(formulas, peer):
    n = len(formulas)
    ours_s, matrix = cpu_time(lambda: element_movers_distances(formulas), 3)
    report = {
        "formulas": n,
        "skmatgnn_matrix_s": ours_s,
        "skmatgnn_ns_per_pair": 2e9 * ours_s / (n * (n - 1)),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    if peer is None:
        return report
    distances = np.array(peer["distances"])
    n_peer = round((1 + np.sqrt(1 + 8 * len(distances))) / 2)
    rows, columns = np.tril_indices(n_peer, -1)
    construct_s, pair_s = 1e-6 * peer["construct_us"], 1e-6 * peer["pair_us"]
    half = n * construct_s + n * (n - 1) / 2 * pair_s
    whole = n * construct_s + n * n * pair_s
    return report | {
        "elmd": peer["version"],
        "elmd_formulas": n_peer,
        "elmd_construct_us": peer["construct_us"],
        "elmd_pair_us": peer["pair_us"],
        "max_difference": float(np.abs(matrix[rows, columns] - distances).max()),
        "ratio_if_elmd_mirrors_half": half / ours_s,
        "ratio_if_elmd_computes_all": whole / ours_s,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", help="the Python that has elmd")
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    parser.add_argument("--formulas", nargs=2, metavar=("FILE", "COLUMN"))
    parser.add_argument("--n", type=int, default=3000, help="formulas for skmatgnn")
    parser.add_argument("--n-peer", type=int, default=300, help="formulas for elmd")
    options = parser.parse_args()
    formulas = load_formulas(options.formulas, options.n, distinct=True)
    peer = None
    if options.peer_python:
        peer = run_peer(options.peer_python, formulas[: options.n_peer])
    report = compare(formulas, peer)
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        text = f"{value:.3g}" if isinstance(value, float) else value
        print(f"{name:28} {text}")


if __name__ == "__main__":
    main()
