"""Time an epoch of training on a GPU with steps replayed as CUDA graphs, and without.

    python benchmarks/replay.py

The same fits twice in one process, on crystals of make_crystals: networks with batch
norm, which are replayed on padded batches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

import numpy as np
import torch

from skmatgnn import ALIGNNRegressor, CGCNNRegressor
from skmatgnn.datasets import make_crystals

MODELS = {
    "CGCNNRegressor()": (CGCNNRegressor, {}, 15),
    "ALIGNNRegressor(norm='batch')": (ALIGNNRegressor, {"norm": "batch"}, 3),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=800, help="crystals that train")
    parser.add_argument("--device", default="cuda", help="cpu is only to see it run")
    args = parser.parse_args()
    X, y = make_crystals(args.n + 200, random_state=0, return_X_y=True)
    train, test = slice(args.n), slice(args.n, None)
    for name, (kind, settings, epochs) in MODELS.items():
        for replay in ("1", "0"):
            os.environ["SKMATGNN_CUDA_GRAPHS"] = replay
            fixed = {"random_state": 0, "device": args.device, **settings}
            kind(max_epochs=2, **fixed).fit(X[:100], y[:100])  # compiles kernels
            model = kind(max_epochs=epochs, **fixed).fit(X[train], y[train])
            seconds = [row["dur"] for row in model.history_][1:]
            row = {
                "model": name,
                "replayed": replay == "1" and args.device != "cpu",
                "epoch_ms": round(1e3 * float(np.median(seconds)), 1),
                "mae": round(float(np.abs(model.predict(X[test]) - y[test]).mean()), 4),
                "device": torch.cuda.get_device_name()
                if args.device != "cpu"
                else "cpu",
            }
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
