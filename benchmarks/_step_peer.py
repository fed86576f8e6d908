"""The peer's side of step_cpu.py; runs in alignn's environment.

python _step_peer.py IN.npz STEPS THREADS
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import torch
from _alignn_peer import make_pure


def main():
    n_threads = int(sys.argv[3])
    torch.set_num_threads(n_threads)
    clock = time.process_time if n_threads == 1 else time.perf_counter
    data = np.load(sys.argv[1])
    model, run, n_triplets = make_pure(data, torch.float32)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    seconds = []
    for _ in range(int(sys.argv[2])):
        start = clock()
        optimizer.zero_grad()
        run().abs().mean().backward()
        optimizer.step()
        seconds.append(clock() - start)
    report = {
        "seconds": min(seconds[1:] or seconds),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "triplets": n_triplets,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
