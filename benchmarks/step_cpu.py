"""Time one training step of ALIGNN on the CPU, against alignn's own model.

Both train on the same graphs (ours: whole shells) with the same sizes: forward,
backward and AdamW, layer norm, float32. Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/step_cpu.py --peer-python PEER/bin/python
        [--size paper|small] [--structures FILE.json] [--threads N] [--steps N]
        [--rounds N] [--json FILE]

``paper`` is 4+4 layers of width 256 with all angles, ``small`` 2+2 layers of width 64
with angles between bonds up to 3.5 A. Ours is timed by each of its ways (plain torch,
blocks in torch, blocks compiled by Numba where it is installed, those with products in
bfloat16), the peer as it comes and once more ("tuned") with glibc told by environment
variables to keep freed memory, which our fit does by itself. Each runs in a process of
its own, in turns; the best step of all rounds counts, by CPU time of one thread, or by
the clock with more.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from graphs import make_records, to_structures

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nets._precision import numerics
from skmatgnn.nn import ALIGNN
from skmatgnn.utils.elements import cgcnn_element_features

PEER_SCRIPT = Path(__file__).with_name("_step_peer.py")
SIZES = {
    "paper": ({"n_alignn_layers": 4, "n_gcn_layers": 4, "hidden_dim": 256}, None),
    "small": ({"n_alignn_layers": 2, "n_gcn_layers": 2, "hidden_dim": 64}, 3.5),
}
RETAINED_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
}


def time_ours(batch, size, steps):
    table = torch.tensor(cgcnn_element_features(), dtype=torch.float32)
    model = ALIGNN(table, **size).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    seconds = []
    with numerics("float32", "cpu"):  # as every fit computes
        for _ in range(steps):
            start = time.process_time()
            optimizer.zero_grad()
            model(batch).abs().mean().backward()
            optimizer.step()
            seconds.append(time.process_time() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": min(seconds[1:] or seconds), "peak_rss_mb": memory}


def peer_data(batch, graphs, size):
    """What _alignn_peer.make_pure reads."""
    table = torch.tensor(cgcnn_element_features(), dtype=torch.float32)
    return {
        "sender": batch.edges.sender.numpy(),
        "receiver": batch.edges.receiver.numpy(),
        "vector": -batch.displacement.numpy(),
        "n_atoms": graphs.n_atoms,
        "n_edges": graphs.n_edges,
        "atom_features": table[batch.atomic_numbers].numpy(),
        "three_body_cutoff": graphs.settings.three_body_cutoff or np.inf,
        **{f"size:{key}": value for key, value in size.items()},
        "size:n_outputs": 1,
    }


def time_peer(python, batch, graphs, size, steps, variables):
    data = peer_data(batch, graphs, size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.npz"
        np.savez(path, **data)
        environment = (
            os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""} | variables
        )
        command = [python, "-W", "ignore", PEER_SCRIPT, path, str(steps)]
        result = subprocess.run(
            command,
            check=True,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--structures", metavar="FILE.json")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size, cutoff = SIZES[options.size]
    if options.structures:
        records = json.loads(Path(options.structures).read_text())
    else:
        records = make_records()
    graphs = StructureToGraph(three_body_cutoff=cutoff).transform(
        to_structures(records[:64])
    )
    batch = GraphBatch.from_graphs(graphs)
    arguments = (options.peer_python, batch, graphs, size, options.steps)
    peer = time_peer(*arguments, {})
    tuned = time_peer(*arguments, RETAINED_MEMORY)
    ours = time_ours(batch, size, options.steps)
    report = {
        "size": options.size,
        "atoms": len(batch.atomic_numbers),
        "edges": batch.edges.n_edges,
        "triplets": batch.triplets.n_edges,
        "skmatgnn": ours,
        "alignn": peer,
        "alignn, tuned": tuned,
        "ratio": peer["seconds"] / ours["seconds"],
        "ratio_tuned": tuned["seconds"] / ours["seconds"],
    }
    print(f"{options.size}: {report['edges']} edges, {report['triplets']} triplets")
    for name in ("skmatgnn", "alignn", "alignn, tuned"):
        seconds, memory = report[name]["seconds"], report[name]["peak_rss_mb"]
        each = 1e6 * seconds / report["triplets"]
        print(
            f"{name:13} {seconds:6.3f} s a step, {each:5.1f} us a triplet, "
            f"peak {memory:.0f} MB"
        )
    print(f"ratio {report['ratio']:.2f}, {report['ratio_tuned']:.2f} to the tuned")
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
