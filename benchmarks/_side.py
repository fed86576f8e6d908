"""What both sides of ``composition_*.py`` share: a job in, a reply out.

Runs in the Pythons of the peers, so it needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import sys
import time

SEED = 0


def read_job():
    """Read the job and keep whatever the models print off the reply."""
    sys.stdout.flush()
    reply = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job = json.load(sys.stdin)
    job["reply"] = reply
    return job


def send(job, packages, **found):
    peaks = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    versions = {name: importlib.metadata.version(name) for name in packages}
    found["peak_mb"] = round(max(peaks) / 1024)  # Linux counts in kB
    found["versions"] = {"python": platform.python_version(), **versions}
    with os.fdopen(job["reply"], "w") as stream:
        json.dump(found, stream)


def cpu_seconds():
    """CPU time of this process and of the children that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def device_seconds():
    """Wall time when the CUDA device has done all that it was given."""
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def clock(device):
    return cpu_seconds if device == "cpu" else device_seconds


class Stopwatch:
    """Names and times of the steps of a job, and the wall time of all."""

    def __init__(self, now=cpu_seconds):
        self.seconds, self.now = {}, now
        self.started = time.perf_counter()

    def measure(self, name, function, *args, **params):
        start = self.now()
        result = function(*args, **params)
        self.seconds[name] = round(self.now() - start, 4)
        return result

    def wall(self):
        return round(time.perf_counter() - self.started, 1)
