"""The peer's side of graphs.py; runs in alignn's environment.

python _graphs_peer.py STRUCTURES.json REPEATS CUTOFF NEIGHBORS ANGLE_CUTOFF
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path

import torch
from alignn.torch_graph_builder import build_pure_torch_graph
from jarvis.core.atoms import Atoms


def cpu_ms(function, items, repeats):
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for item in items:
            function(item)
        best = min(best, time.process_time() - start)
    return 1e3 * best / len(items)


def main():
    torch.set_num_threads(1)
    path, repeats, cutoff, neighbors, angle_cutoff = sys.argv[1:]
    atoms = [
        Atoms(
            lattice_mat=r["lattice"],
            coords=r["frac"],
            elements=r["species"],
            cartesian=False,
        )
        for r in json.loads(Path(path).read_text())
    ]

    def build(item, three_body):
        return build_pure_torch_graph(
            item,
            two_body_cutoff=float(cutoff),
            three_body_cutoff=three_body,
            max_neighbors=int(neighbors),
        )

    built = [build(item, float(cutoff)) for item in atoms]
    n_atoms = sum(graph.num_nodes for graph, _ in built)
    repeats = max(2, int(repeats) // 3)
    report = {
        "graph": cpu_ms(lambda a: build(a, float(cutoff)), atoms, repeats),
        "graph_three_body": cpu_ms(
            lambda a: build(a, float(angle_cutoff)), atoms, repeats
        ),
        "edges_per_atom": sum(graph.num_edges for graph, _ in built) / n_atoms,
        "triplets_per_atom": sum(line.num_edges for _, line in built) / n_atoms,
        "versions": {
            p: importlib.metadata.version(p)
            for p in ("alignn", "jarvis-tools", "torch")
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
