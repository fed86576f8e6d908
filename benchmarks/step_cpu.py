"""Time one training step of ALIGNN on the CPU, against alignn's own model.

Both train on the same graphs (ours: whole shells) with the same sizes: forward,
backward and AdamW, layer norm, float32. Run from the project's root:

    OMP_NUM_THREADS=1 python benchmarks/step_cpu.py --peer-python PEER/bin/python
        [--size paper|small] [--structures FILE.json[.gz]] [--threads N] [--steps N]
        [--rounds N] [--json FILE]

``paper`` is 4+4 layers of width 256 with all angles, ``small`` 2+2 layers of width 64
with angles between bonds up to 3.5 A. Ours is timed by each of its ways (plain torch,
blocks in torch, blocks compiled by Numba where it is installed, the same without
merging equal rows, and with products in bfloat16), the peer as it comes and once more
("tuned") with glibc told by environment variables to keep freed memory, which our fit
does by itself. Each runs in a process of its own, in turns; the best step of all rounds
counts, by CPU time of one thread, or by the clock with more. The file holds records as
for graphs.py, or as phonons.py reads them, of which the first 64 are taken.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from graphs import make_records, to_structures

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nets._precision import numerics
from skmatgnn.nn import ALIGNN
from skmatgnn.nn.ops import _alike, _choice, kernels
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
EVERY_ROW = "every row, Numba"
# kernels, with Numba, precision
WAYS = {
    "plain torch": ("reference", False, "float32"),
    "blocks, torch": ("blocked", False, "float32"),
    "blocks, Numba": ("blocked", True, "float32"),
    EVERY_ROW: ("blocked", True, "float32"),
    "bfloat16, Numba": ("blocked", True, "bfloat16"),
}
PEERS = {"alignn": {}, "alignn, tuned": RETAINED_MEMORY}


def time_ours(way, batch, size, steps, n_threads):
    choice, with_numba, precision = WAYS[way]
    if not with_numba:
        _choice._compiled_blocks = lambda: None  # noqa: SLF001
    if way == EVERY_ROW:
        _alike.MAX_SHARE = 0
    table = torch.tensor(cgcnn_element_features(), dtype=torch.float32)
    model = ALIGNN(table, **size).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    clock = time.process_time if n_threads == 1 else time.perf_counter
    seconds = []
    with kernels(choice), numerics(precision, "cpu", n_threads):  # as every fit
        for _ in range(steps):
            start = clock()
            optimizer.zero_grad()
            model(batch).abs().mean().backward()
            optimizer.step()
            seconds.append(clock() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": min(seconds[1:] or seconds), "peak_rss_mb": memory}


def make_graphs(options):
    size, cutoff = SIZES[options.size]
    if options.structures:
        content = Path(options.structures).read_bytes()
        if options.structures.endswith(".gz"):
            content = gzip.decompress(content)
        records = json.loads(content)
    else:
        records = make_records()
    graphs = StructureToGraph(three_body_cutoff=cutoff).transform(
        to_structures(records[:64])
    )
    return size, graphs, GraphBatch.from_graphs(graphs)


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


def call(command, variables, **options):
    result = subprocess.run(
        command,
        check=True,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        **options,
    )
    return json.loads(result.stdout.splitlines()[-1])


def run_side(name, options, peer_input):
    threads = str(options.threads)
    variables = {"OMP_NUM_THREADS": threads}
    if name in WAYS:
        return call([sys.executable, *sys.argv, "--only", name], variables)
    command = [options.peer_python, "-W", "ignore", PEER_SCRIPT, peer_input]
    variables |= {"PYTHONPATH": ""} | PEERS[name]
    return call(
        [*command, str(options.steps), threads], variables, cwd=Path(peer_input).parent
    )


def compare(options):
    size, graphs, batch = make_graphs(options)
    report = {
        "size": options.size,
        "threads": options.threads,
        "atoms": len(batch.atomic_numbers),
        "edges": batch.edges.n_edges,
        "triplets": batch.triplets.n_edges,
    }
    names = [n for n in WAYS if find_spec("numba") or "Numba" not in n] + [*PEERS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.npz"
        np.savez(path, **peer_data(batch, graphs, size))
        for _ in range(options.rounds):
            for name in names:
                found = run_side(name, options, path)
                best = report.get(name, found)
                report[name] = min(best, found, key=lambda side: side["seconds"])
    show(report, names)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


def show(report, names):
    print(
        f"{report['size']}: {report['edges']} edges, {report['triplets']} triplets, "
        f"{report['threads']} threads"
    )
    for name in names:
        side = report[name]
        seconds = side["seconds"]
        ratios = " ".join(f"{report[p]['seconds'] / seconds:5.2f}" for p in PEERS)
        print(
            f"{name:16} {seconds:6.3f} s a step, "
            f"{1e6 * seconds / report['triplets']:5.1f} us a triplet, "
            f"peak {side['peak_rss_mb']:5.0f} MB, ratios {ratios}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--structures", metavar="FILE.json")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        size, _, batch = make_graphs(options)
        steps, threads = options.steps, options.threads
        print(json.dumps(time_ours(options.only, batch, size, steps, threads)))
    else:
        compare(options)


if __name__ == "__main__":
    main()
