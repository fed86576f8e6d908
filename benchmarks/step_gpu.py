"""Time training steps of ALIGNN on a CUDA device, beside alignn's own model.

    python benchmarks/step_gpu.py [--json FILE] [--sizes 64x30 ...] [--profile]
        [--precisions float32 tf32 bfloat16] [--paths plain fused] [--peer FOLDER]

A step is forward, backward and AdamW of 4+4 layers of width 256, with layer norm, on
so many crystals of so many atoms; every atom has 12 neighbours and all angles are
taken. It is timed in plain torch and in fused kernels, as it comes ("eager") and as
training runs it ("replayed": a CUDA graph, also of the update where our kernel does
it). "layer" is one update of bonds and angles, forward and backward, with the fraction
of the bandwidth of a large copy at which it moves the bytes that the fused path reads
and writes (the plain one moves more). Medians of CUDA events; memory is the
allocator's peak beyond the model and the batch.

The peer is the pure-torch model of the alignn package in FOLDER (with its
dependencies), eager, on the same graphs, in float32, tf32 and bfloat16.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Lattice, Structure
from step_cpu import SIZES, peer_data

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nets._adamw import OneLaunchAdamW
from skmatgnn.nets._precision import numerics
from skmatgnn.nn import ALIGNN
from skmatgnn.nn.layers import EdgeGatedConv
from skmatgnn.nn.ops import branching, kernels

DEVICE = "cuda"
NEIGHBORS = 12
SUPERCELLS = {10: (5, 2, 1), 30: (5, 3, 2)}  # of the one-atom cell of fcc
PRECISIONS = ("float32", "tf32", "bfloat16")
PATHS = {"plain": "reference", "fused": "triton"}
WIDTH = SIZES["paper"][0]["hidden_dim"]
# Rows of features that one update, with new edges, reads and writes for each edge and
# each node. Gates and messages (or updates) of senders or receivers are two rows.
EDGE_ROWS = {
    "linear map": 2,
    "forward kernel": 3,
    "sender kernel": 3,
    "receiver kernel": 1,
    "gradient of the weight": 2,
    "gradient of the input, added to the residual's": 3,
}
NODE_ROWS = {
    "linear maps": 6,
    "forward kernel": 8,
    "node kernel": 6,
    "sender kernel": 7,
    "receiver kernel": 1,
    "gradients of the weights": 5,
    "gradients of the input": 6,
    "their sum with the residual's": 6,
}


def make_graphs(n_crystals, n_atoms):
    """Rattled fcc supercells with random elements: twelve neighbours, all unlike."""
    rng = np.random.default_rng(0)
    cell = Structure(
        Lattice([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]]), ["Cu"], [[0] * 3]
    )
    structures = []
    for _ in range(n_crystals):
        crystal = cell * SUPERCELLS[n_atoms]
        crystal.perturb(0.05, seed=int(rng.integers(2**31)))
        numbers = rng.integers(3, 84, size=n_atoms).tolist()
        frac = crystal.frac_coords
        structures.append(Structure(crystal.lattice, numbers, frac))
    graphs = StructureToGraph(max_neighbors=NEIGHBORS).transform(structures)
    assert graphs.n_edges.sum() == n_crystals * n_atoms * NEIGHBORS
    return graphs


def make_batch(n_crystals, n_atoms, device):
    graphs = make_graphs(n_crystals, n_atoms)
    return GraphBatch.from_graphs(graphs, device)


def median_seconds(function, repeats):
    for _ in range(5):
        function()
    seconds = []
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        stop.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(stop) / 1e3)
    return statistics.median(seconds)


def replayed(function, optimizer):
    """Capture a step, with the update of the weights, in a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph, ready = torch.cuda.CUDAGraph(), optimizer and optimizer.prepare()
    if ready is None:  # torch's own kernels update
        with torch.cuda.graph(graph), branching(DEVICE):
            function()
        return lambda: (graph.replay(), optimizer and optimizer.step())
    room = optimizer.room()
    rates = torch.tensor(ready.rates(), dtype=torch.float64, device=DEVICE)
    with torch.cuda.graph(graph):
        with branching(DEVICE):
            function()
        update = optimizer.prepare(room)
        update.launch(rates)
    update.write()
    return graph.replay


def time_both_ways(function, optimizer, repeats):
    """Time a step as it comes, and replayed."""

    def eager():
        function()
        if optimizer:
            optimizer.step()

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = {"eager_seconds": median_seconds(eager, repeats)}
    found["peak_mb"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        found["graph_seconds"] = median_seconds(replayed(function, optimizer), repeats)
    except RuntimeError as error:
        found["graph_error"] = str(error).splitlines()[0]
    return found


def make_step(batch, precision):
    torch.manual_seed(0)
    model = ALIGNN(torch.randn(101, 92), **SIZES["paper"][0]).to(DEVICE).train()
    optimizer = OneLaunchAdamW(model.parameters(), lr=1e-4, fused=True)

    def compute():
        optimizer.zero_grad()
        with numerics(precision, DEVICE):
            loss = model(batch).abs().mean()
            loss.backward()

    return compute, optimizer


def make_layer(batch, precision):
    """Bonds and angles as they come from another layer, gradients as they come back."""
    torch.manual_seed(0)
    graph = batch.triplets
    conv = EdgeGatedConv(WIDTH, "layer").to(DEVICE)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    sizes = (graph.n_nodes, graph.n_edges)
    inputs = [
        torch.randn(n, WIDTH, device=DEVICE).to(dtype).requires_grad_() for n in sizes
    ]
    grads = [torch.randn(n, WIDTH, device=DEVICE).to(dtype) for n in sizes]

    def layer():
        conv.zero_grad()
        for x in inputs:
            x.grad = None
        with numerics(precision, DEVICE):
            outputs = conv(*inputs, graph)
            pairs = zip(outputs, grads, strict=True)
            torch.autograd.backward(outputs, [g.to(o.dtype) for o, g in pairs])

    return layer, None


def layer_bytes(batch, precision):
    graph = batch.triplets
    rows = sum(EDGE_ROWS.values()) * graph.n_edges
    rows += sum(NODE_ROWS.values()) * graph.n_nodes
    return rows * WIDTH * (2 if precision == "bfloat16" else 4)


def copy_bandwidth():
    """Bytes read and written by a large copy, per second."""
    source = torch.randn(2**29, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median_seconds(lambda: target.copy_(source), 20)


def show(text, found):
    graph = found.get("graph_seconds")
    graph = found["graph_error"] if graph is None else f"{1e3 * graph:8.3f} ms replayed"
    print(
        f"{text:36} {1e3 * found['eager_seconds']:8.3f} ms eager, {graph}, "
        f"peak {found['peak_mb']:7.0f} MB",
        flush=True,
    )


def profile(function):
    with torch.profiler.profile() as report:
        for _ in range(3):
            function()
        torch.cuda.synchronize()
    averages = report.key_averages()
    print(averages.table(sort_by="self_cuda_time_total", row_limit=30))


def time_peer(folder, graphs, repeats):
    batch = GraphBatch.from_graphs(graphs)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "in.npz"
        np.savez(path, **peer_data(batch, graphs, SIZES["paper"][0]))
        script = Path(__file__).with_name("_step_gpu_peer.py")
        result = subprocess.run(
            [sys.executable, "-W", "ignore", script, path, str(repeats)],
            check=True,
            env=os.environ | {"PYTHONPATH": str(Path(folder).resolve())},
            cwd=scratch,
            stdout=subprocess.PIPE,
            text=True,
        )
    return json.loads(result.stdout.splitlines()[-1])


def compare(size, rows, peer):
    """Our best step beside the peer's best."""
    ours = [row["fused step"] for row in rows if row["size"] == size]
    fastest = min(ours, key=lambda found: found.get("graph_seconds", np.inf))
    best = min(peer.values(), key=lambda found: found["seconds"])
    seconds = fastest["graph_seconds"]
    print(
        f"{size}: alignn "
        + ", ".join(f"{k} {1e3 * v['seconds']:.1f} ms" for k, v in peer.items())
        + f", peak {best['peak_mb']:.0f} MB; ours {1e3 * seconds:.2f} ms, peak "
        f"{fastest['peak_mb']:.0f} MB: {best['seconds'] / seconds:.1f} times as fast, "
        f"{fastest['peak_mb'] / best['peak_mb']:.2f} of the memory",
        flush=True,
    )


def compare_paths(row):
    for what in ("step", "layer"):
        plain, fused = (
            row[f"{path} {what}"].get("graph_seconds", np.inf) for path in PATHS
        )
        row[f"{what} ratio"] = plain / fused
    print(
        f"{row['size']} {row['precision']}: step {row['step ratio']:.2f} times, layer "
        f"{row['layer ratio']:.2f} times as fast; fused layer at "
        f"{row['fused layer']['fraction_of_copy']:.2f} of the copy's bandwidth"
    )


def run(size, precision, options, bandwidth):
    n_crystals, n_atoms = map(int, size.split("x"))
    batch = make_batch(n_crystals, n_atoms, DEVICE)
    row = {"size": size, "precision": precision, "triplets": batch.triplets.n_edges}
    for path in options.paths:
        with kernels(PATHS[path]):
            for what, make in (("step", make_step), ("layer", make_layer)):
                function, optimizer = make(batch, precision)
                found = time_both_ways(function, optimizer, options.repeats)
                if what == "layer":
                    best = found.get("graph_seconds", found["eager_seconds"])
                    moved = found["bytes"] = layer_bytes(batch, precision)
                    found["fraction_of_copy"] = moved / best / bandwidth
                row[f"{path} {what}"] = found
                show(f"{size} {precision} {path} {what}", found)
                if options.profile:
                    profile(function)
    if set(options.paths) == set(PATHS):
        compare_paths(row)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = ("64x10", "64x30", "16x10")
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=sizes)
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS
    )
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=[*PATHS])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--peer", metavar="FOLDER")
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    if options.peer and "fused" not in options.paths:
        parser.error("--peer needs --paths fused")
    if not torch.cuda.is_available():
        sys.exit("step_gpu.py needs a CUDA device; torch sees none.")
    bandwidth = copy_bandwidth()
    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}, copy {bandwidth / 1e12:.2f} TB/s")
    rows = [
        run(size, precision, options, bandwidth)
        for size in options.sizes
        for precision in options.precisions
    ]
    peers = {}
    for size in options.sizes if options.peer else ():
        graphs = make_graphs(*map(int, size.split("x")))
        peers[size] = time_peer(options.peer, graphs, options.repeats)
        compare(size, rows, peers[size])
    report = {
        "device": device,
        "torch": torch.__version__,
        "copy_bytes_per_second": bandwidth,
        "rows_per_edge": EDGE_ROWS,
        "rows_per_node": NODE_ROWS,
        "rows": rows,
        "alignn": peers,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
