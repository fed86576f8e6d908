"""How much of an epoch's wall time a GPU computes, data and evaluation included.

    python benchmarks/epoch_gpu.py [--json FILE] [--models default paper ...]
        [--precision bfloat16] [--n 2000] [--atoms 10]

Each model is fitted to crystals made by step_gpu.py, already packed, with a fifth of
them held out for early stopping. After the first epochs, which compile and capture,
as many are timed by the clock and as many recorded by torch's profiler. "busy" is the
time in which at least one kernel, copy or fill ran, over the wall time of the same
recorded epochs; recording makes them slower, so "of the clock" gives the same time
over that of the unrecorded epochs, where it may pass one. Each model has a process of
its own: those that were timed after a recording in the same process came out slower.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback
from step_gpu import make_graphs
from torch.profiler import ProfilerActivity

from skmatgnn import ALIGNNRegressor, CGCNNRegressor, presets

MODELS = {
    "default": (ALIGNNRegressor, {}),
    "paper": (ALIGNNRegressor, {**presets.ALIGNN_LARGE, "batch_size": 64}),
    "cgcnn": (CGCNNRegressor, {}),
}
WARM_UP, TIMED = 4, 4


class Recorder(Callback):
    """Profile the last epochs."""

    def __init__(self):
        self.profiler = torch.profiler.profile(activities=[ProfilerActivity.CUDA])

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) - 1 == WARM_UP + TIMED:
            torch.cuda.synchronize()
            self.profiler.start()

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == WARM_UP + 2 * TIMED:
            torch.cuda.synchronize()
            self.profiler.stop()


def busy_seconds(profiler):
    """Length of the union of the intervals in which the device did anything."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    total, reached = 0.0, -np.inf
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / 1e6, len(spans)


def measure(name, graphs, precision):
    estimator, parameters = MODELS[name]
    recorder = Recorder()
    model = estimator(
        **{
            **parameters,
            "max_epochs": WARM_UP + 2 * TIMED,
            "early_stopping": True,
            "n_iter_no_change": WARM_UP + 2 * TIMED,
            "precision": precision,
            "callbacks": [recorder],
            "random_state": 0,
            "device": "cuda",
        }
    )
    model.fit(graphs, np.random.default_rng(0).normal(size=len(graphs)))
    seconds = [row["dur"] for row in model.history_]
    clock = statistics.median(seconds[WARM_UP : WARM_UP + TIMED])
    recorded = sum(seconds[WARM_UP + TIMED :])
    busy, n_spans = busy_seconds(recorder.profiler)
    row = {
        "model": name,
        "precision": precision,
        "n": len(graphs),
        "batch_size": model.batch_size,
        "epoch_ms": 1e3 * clock,
        "recorded_epoch_ms": 1e3 * recorded / TIMED,
        "device_ms": 1e3 * busy / TIMED,
        "busy": busy / recorded,
        "of_the_clock": busy / TIMED / clock,
        "kernels": n_spans // TIMED,
    }
    print(
        f"{name:10} {precision:9} epoch {row['epoch_ms']:8.1f} ms, recorded "
        f"{row['recorded_epoch_ms']:8.1f} ms, of which the device computes "
        f"{row['device_ms']:8.1f} ms in {row['kernels']} kernels: busy "
        f"{row['busy']:.2f}, {row['of_the_clock']:.2f} of the clock",
        flush=True,
    )
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--n", type=int, default=2000, help="crystals")
    parser.add_argument("--atoms", type=int, choices=(10, 30), default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("epoch_gpu.py needs a CUDA device; torch sees none.")
    graphs = make_graphs(options.n, options.atoms)
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    print(*report.values())
    fresh = {"mp_context": get_context("spawn"), "max_tasks_per_child": 1}
    with ProcessPoolExecutor(1, **fresh) as pool:
        found = [
            pool.submit(measure, name, graphs, options.precision)
            for name in options.models
        ]
        report["rows"] = [future.result() for future in found]
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
