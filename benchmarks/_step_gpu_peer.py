"""The peer's side of step_gpu.py; needs alignn and its dependencies on the path.

python _step_gpu_peer.py IN.npz REPEATS
"""

from __future__ import annotations

import json
import statistics
import sys

import numpy as np
import torch
from _alignn_peer import make_pure

MODES = ("float32", "tf32", "bfloat16")


def measure(data, mode, repeats):
    torch.set_float32_matmul_precision("high" if mode == "tf32" else "highest")
    model, run, n_triplets = make_pure(data, torch.float32, "cuda")
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    seconds = []
    for _ in range(5 + repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=mode == "bfloat16"):
            output = run()
        output.float().abs().mean().backward()
        optimizer.step()
        stop.record()
        torch.cuda.synchronize()
        seconds.append(start.elapsed_time(stop) / 1e3)
    return {
        "seconds": statistics.median(seconds[5:]),
        "peak_mb": (torch.cuda.max_memory_allocated() - before) / 2**20,
        "triplets": n_triplets,
    }


def main():
    data = np.load(sys.argv[1])
    print(json.dumps({mode: measure(data, mode, int(sys.argv[2])) for mode in MODES}))


if __name__ == "__main__":
    main()
