"""Compare ALIGNN with the peers' ALIGNN: same weights, same graphs, same numbers.

Ours runs here; the peer runs from its own environment, which needs no skmatgnn:

    python benchmarks/parity_alignn.py --peer-python PEER/bin/python \
        [--legacy-python LEGACY/bin/python] [--json FILE]

The first environment has alignn >= 2026.8 (pure torch, layer norm), the second also
has DGL (the published model, batch norm). The peer finds triplets itself, from the
edges. Outputs in evaluation and in training mode and the gradients of all weights are
compared, in float32 and float64.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from pymatgen.core import Lattice, Structure

from skmatgnn.graphs import GraphBatch, StructureToGraph
from skmatgnn.nn import ALIGNN
from skmatgnn.utils.elements import cgcnn_element_features

PEER_SCRIPT = Path(__file__).with_name("_alignn_peer.py")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def crystals(seed=0):
    rng = np.random.default_rng(seed)
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    perovskite = Structure.from_spacegroup(
        "Pm-3m",
        Lattice.cubic(3.905),
        ["Sr", "Ti", "O"],
        [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]],
    )
    tungsten = Structure(
        3.165 / 2 * (np.ones((3, 3)) - 2 * np.eye(3)), ["W"], [[0] * 3]
    )
    triclinic = Structure(
        Lattice.from_parameters(5.1, 6.3, 7.2, 71, 83, 98),
        ["Li", "Fe", "P", "O", "O", "O"],
        rng.random((6, 3)),
    )
    return [salt, perovskite, tungsten, triclinic]


def randomise(model, seed):
    """Draw all weights, those of the norms and their statistics included."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if name == "elements.table" or not value.is_floating_point():
            continue
        if name.endswith("centers"):
            continue
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.ndim == 2:
            value.copy_(noise * value.shape[1] ** -0.5)
        elif name.endswith(("running_var", "1.weight", "norm.weight")):
            value.copy_(1 + 0.2 * noise.abs())
        else:
            value.copy_(0.2 * noise)


def ours(graphs, norm, dtype, size):
    table = torch.tensor(cgcnn_element_features(), dtype=torch.float32)
    model = ALIGNN(table, norm=norm, **size)
    randomise(model, seed=1)
    model = model.to(dtype)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    batch = GraphBatch.from_graphs(graphs)
    result = {}
    with torch.no_grad():
        result["eval"] = model.eval()(batch).numpy()
    output = model.train()(batch)
    output.square().sum().backward()
    result["train"] = output.detach().numpy()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            result[f"grad:{name}"] = parameter.grad.numpy()
    data = {
        "sender": batch.edges.sender.numpy(),
        "receiver": batch.edges.receiver.numpy(),
        "vector": -batch.displacement.numpy(),
        "n_atoms": graphs.n_atoms,
        "n_edges": graphs.n_edges,
        "atom_features": start["elements.table"][batch.atomic_numbers].numpy(),
        "three_body_cutoff": graphs.settings.three_body_cutoff or np.inf,
        "n_triplets": batch.triplets.n_edges,
        **{f"size:{key}": value for key, value in size.items()},
        **{f"weight:{key}": value.numpy() for key, value in start.items()},
    }
    return data, result


def theirs(python, kind, data):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, **data)
        command = [python, "-W", "ignore", PEER_SCRIPT, kind, source, target]
        environment = os.environ | {"DGLBACKEND": "pytorch", "PYTHONPATH": ""}
        subprocess.run(command, check=True, cwd=folder, env=environment)
        with np.load(target) as file:
            return dict(file)


def difference(ours_result, peer_result):
    report = {
        mode: float(np.abs(ours_result[mode] - peer_result[mode]).max())
        for mode in ("eval", "train")
    }
    grads = [key for key in ours_result if key.startswith("grad:")]
    largest = max(np.abs(peer_result[key]).max() for key in grads)
    report["gradient"] = float(
        max(np.abs(ours_result[key] - peer_result[key]).max() for key in grads)
        / max(largest, 1.0)
    )
    return report


def compare(python, kind, three_body_cutoff, dtype, size):
    transformer = StructureToGraph(three_body_cutoff=three_body_cutoff, dtype=dtype)
    graphs = transformer.transform(crystals())
    norm = "batch" if kind == "dgl" else "layer"
    data, result = ours(graphs, norm, getattr(torch, dtype), size)
    report = difference(result, theirs(python, kind, data))
    return {
        "peer": kind,
        "three_body_cutoff": three_body_cutoff,
        "dtype": dtype,
        "output_range": float(np.ptp(result["eval"])),
        "triplets": int(data["n_triplets"]),
        **report,
        "within": report["eval"] <= TOLERANCE[dtype],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--legacy-python")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    size = {
        "n_alignn_layers": options.layers,
        "n_gcn_layers": options.layers,
        "hidden_dim": options.hidden,
        "n_outputs": 3,
    }
    cases = [(options.peer_python, "pure", None), (options.peer_python, "pure", 3.5)]
    if options.legacy_python:
        cases.append((options.legacy_python, "dgl", None))
    reports = [
        compare(*case, dtype, size)
        for case in cases
        for dtype in ("float32", "float64")
    ]
    print("peer  3-body  dtype    eval diff  train diff  rel. gradient diff")
    for r in reports:
        cut = r["three_body_cutoff"] or "none"
        print(
            f"{r['peer']:5} {cut!s:>6}  {r['dtype']}  {r['eval']:9.1e}  "
            f"{r['train']:10.1e}  {r['gradient']:10.1e}"
            f"{'' if r['within'] else '  DIFFERS'}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(reports, indent=2))
    sys.exit(not all(r["within"] for r in reports))


if __name__ == "__main__":
    main()
