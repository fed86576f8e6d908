"""How many captured training steps of compositions a GPU computes side by side.

    python benchmarks/side_by_side.py [--models default published modnet] [--json FILE]

Ten networks are fitted to ten resamples of 1,000 formation energies, for a few epochs,
and the step that each replays most is then run again and again, without all else that a
fit does: one alone, and those of 2, 5 and 10 networks on as many streams, launched by
as many threads or by one. That is how fast fits in threads could be at best. "host" is
until all was launched, "kernels" how many one step has, and "busy" how long they take.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from skmatgnn import CrabNetRegressor, MODNetRegressor, presets
from skmatgnn.datasets import load_formation_energies
from skmatgnn.nets import _replay
from skmatgnn.nets._captured import MOST_AHEAD, CapturedStep

MODELS = {
    "default": (CrabNetRegressor, {"max_epochs": 4}),
    "published": (
        CrabNetRegressor,
        {**presets.CRABNET_2021, "batch_size": 128, "max_epochs": 12},
    ),
    "modnet": (MODNetRegressor, {"max_epochs": 8}),
}
N_NETWORKS, N_ROWS = 10, 1000
TURNS = 8  # of as many steps as are sent at once


class KeptStep(CapturedStep):
    """A step that is remembered, with the rows of its last batch."""

    made: list = []

    def __init__(self, net, packed, *args, training=True, **options):
        super().__init__(net, packed, *args, training=training, **options)
        # what the graph reads by its address
        self.kept = [packed, net.optimizer_, *net.module_.parameters()]
        self.n_runs = 0
        if training:
            self.made.append(self)

    def wait(self, rows):
        super().wait(rows)
        self.rows, self.n_runs = rows, self.n_runs + 1

    def run_again(self):
        for _ in range(MOST_AHEAD):
            self.wait(self.rows)
        self.flush()


def captured_steps(name):
    """Fit the networks; the step that each replayed most, and what must be kept."""
    bunch = load_formation_energies()
    X, y = list(bunch.data)[:N_ROWS], np.asarray(bunch.target, dtype=float)[:N_ROWS]
    estimator, parameters = MODELS[name]
    models, steps = [], []
    for seed in range(N_NETWORKS):
        rows = np.unique(np.random.RandomState(seed).randint(N_ROWS, size=N_ROWS))
        KeptStep.made.clear()
        model = estimator(**parameters, device="cuda", random_state=seed)
        models.append(model.fit([X[i] for i in rows], y[rows]))
        steps.append(max(KeptStep.made, key=lambda step: step.n_runs))
    return models, steps


def timed(launch):
    """Milliseconds of one step of each network, and of its launch."""
    launch(1)
    torch.cuda.synchronize()
    start = time.perf_counter()
    launch(TURNS)
    host = time.perf_counter() - start
    torch.cuda.synchronize()
    return [
        1e3 * seconds / TURNS / MOST_AHEAD
        for seconds in (time.perf_counter() - start, host)
    ]


def by_threads(steps, streams):
    def launch(n_turns):
        def go(step, stream):
            with torch.cuda.stream(stream):
                for _ in range(n_turns):
                    step.run_again()

        threads = [
            threading.Thread(target=go, args=pair)
            for pair in zip(steps, streams, strict=False)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return launch


def by_one(steps, streams):
    def launch(n_turns):
        for _ in range(n_turns):
            for step, stream in zip(steps, streams, strict=True):
                with torch.cuda.stream(stream):
                    step.run_again()

    return launch


def kernels_of(step):
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CUDA]
    ) as profiler:
        step.run_again()
        torch.cuda.synchronize()
    events = [
        event
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    busy = sum(event.time_range.elapsed_us() for event in events)
    return len(events) // MOST_AHEAD, busy / MOST_AHEAD / 1e3


def measure(name, steps):
    streams = [torch.cuda.Stream() for _ in steps]
    ways = {
        f"{n} by {n} thread{'s' * (n > 1)}": by_threads(steps[:n], streams)
        for n in (1, 2, 5, N_NETWORKS)
    }
    ways[f"{N_NETWORKS} by one thread"] = by_one(steps, streams)
    rows, alone = {}, None
    for way, launch in ways.items():
        total, host = timed(launch)
        alone = alone or total
        rows[way] = {"ms": total, "host_ms": host, "of_one": total / alone}
        print(
            f"{name:10} {way:18} {total:7.3f} ms a step, {total / alone:5.2f} times "
            f"one; host {host:7.3f} ms",
            flush=True,
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[*MODELS])
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("side_by_side.py needs a CUDA device; torch sees none.")
    _replay.CapturedStep = KeptStep
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__}
    print(*report.values())
    fitted = {name: captured_steps(name) for name in options.models}
    report["ways"] = {n: measure(n, steps) for n, (_, steps) in fitted.items()}
    report["kernels"] = {}
    for name, (_, steps) in fitted.items():  # recording slows what comes after it
        n_kernels, busy = report["kernels"][name] = kernels_of(steps[0])
        print(f"{name:10} {n_kernels} kernels a step, busy {busy:.3f} ms")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
