"""Training of one network on several devices, one process each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from skmatgnn.errors import InvalidValueError, SkmatgnnError
from skmatgnn.nets._launched import take_over, train_launched, was_launched
from skmatgnn.nets._rank_process import INTERRUPT, Failure, Task
from skmatgnn.nets._ranks import smallest_batch
from skmatgnn.nets._shipment import read_shipment, shared_folder, write_shipment
from skmatgnn.nets._split import split_datasets
from skmatgnn.utils.interrupts import count_interrupt

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["TrainingProcessError", "train"]

BOOTSTRAP = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from skmatgnn.nets._rank_process import main
main(sys.argv[2], int(sys.argv[3]))
"""
POLL = 0.02  # seconds
GRACE = 2.0  # seconds in which the others may say why they ended too


class TrainingProcessError(SkmatgnnError, RuntimeError):
    """One of the processes that train a network on several devices has ended."""


def train(net: GraphNet, dataset: DeviceDataset, n_devices: int | None) -> None:
    """Train a net further, on several devices if so asked.

    Parameters
    ----------
    net : GraphNet
        Is trained in place.
    dataset : DeviceDataset
    n_devices : int or None
        None and 1 train in this process.

    Raises
    ------
    InvalidValueError
        If there are fewer devices, or the net is bound to one of them.
    TrainingProcessError
        If a process was killed. What is raised in one is raised here.
    KeyboardInterrupt
        If no epoch was finished before Ctrl-C.
    """
    n_devices = n_devices or 1
    if n_devices > 1 and was_launched():
        train_launched(net, dataset, n_devices)
        return
    n_ranks = _n_ranks(net, dataset, n_devices)
    if n_ranks == 1:
        net.partial_fit(dataset)
        return
    net.interrupted_ = False  # as it stays where all epochs are recalled
    with shared_folder(_n_bytes(dataset)) as folder:
        task = Task(net, dataset.unpacked(), n_ranks)
        write_shipment(folder / "task", task)
        with _processes(folder, n_ranks) as processes:
            _wait(processes, folder)
            trained, caught = read_shipment(folder / "outcome")
    take_over(net, trained)
    if net.interrupted_:
        count_interrupt()
    for message, category in caught:
        warnings.warn(message, category, stacklevel=3)


def _n_ranks(net: GraphNet, dataset: DeviceDataset, n_devices: int) -> int:
    device = torch.device(net.device)
    if n_devices == 1:
        return 1
    if device.type not in {"cpu", "cuda"} or device.index is not None:
        raise InvalidValueError(
            f"n_devices={n_devices} needs device='cuda' (all devices that torch sees) "
            f"or 'cpu'; got {net.device!r}. CUDA_VISIBLE_DEVICES chooses among devices."
        )
    if device.type == "cuda" and torch.cuda.device_count() < n_devices:
        raise InvalidValueError(
            f"n_devices={n_devices} was asked for, but torch sees "
            f"{torch.cuda.device_count()} CUDA device(s)."
        )
    training, _ = split_datasets(net, dataset)
    # every process has a part of every batch
    smallest = smallest_batch(len(training), net.batch_size)
    if smallest < n_devices:
        warnings.warn(
            f"n_devices={n_devices}, but batches have as few as {smallest} sample(s) "
            f"to share: {smallest} device(s) train. Raise batch_size.",
            UserWarning,
            stacklevel=4,
        )
    return min(n_devices, smallest)


def _n_bytes(dataset: DeviceDataset) -> int:
    """Estimate what the processes share of a dataset."""
    values = [*vars(dataset).values()]
    return sum(int(getattr(value, "nbytes", 0)) for value in values)


@contextmanager
def _processes(folder: Path, n_ranks: int) -> Iterator[list[subprocess.Popen]]:
    """Start the processes, and leave none behind."""
    processes: list[subprocess.Popen] = []
    path = json.dumps([str(entry) for entry in sys.path])
    try:
        for rank in range(n_ranks):
            command = [sys.executable, "-c", BOOTSTRAP, path, str(folder), str(rank)]
            processes.append(
                subprocess.Popen(  # noqa: S603 - our own code
                    command,
                    stdin=subprocess.PIPE,
                    # Ctrl-C is for the parent, which passes it on
                    start_new_session=os.name == "posix",
                )
            )
        yield processes
    finally:
        for process in processes:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _wait(processes: list[subprocess.Popen], folder: Path) -> None:
    interrupted = False
    while not (folder / "outcome").exists():
        if any(_has_failed(process) for process in processes):
            _raise_failure(processes, folder, interrupted=interrupted)
        try:
            time.sleep(POLL)
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True  # the first process keeps the best model so far
            stream: Any = processes[0].stdin
            with suppress(OSError):
                stream.write(INTERRUPT)
                stream.flush()


def _has_failed(process: subprocess.Popen) -> bool:
    return process.poll() not in {None, 0}


def _raise_failure(
    processes: list[subprocess.Popen], folder: Path, *, interrupted: bool
) -> None:
    end = time.monotonic() + GRACE
    while time.monotonic() < end and any(p.poll() is None for p in processes):
        time.sleep(POLL)
    failures: dict[int, Failure] = {}
    for rank in range(len(processes)):
        with suppress(OSError, EOFError):
            failures[rank] = read_shipment(folder / f"failure{rank}")
    killed = [
        rank
        for rank, process in enumerate(processes)
        if _has_failed(process) and rank not in failures
    ]
    if interrupted and (0 in killed or _is_interrupt(failures.get(0))):
        raise KeyboardInterrupt
    if killed:
        raise TrainingProcessError(_obituary(killed[0], processes))
    rank = min(failures, key=lambda rank: failures[rank].time)
    failure = failures[rank]
    cause = TrainingProcessError(
        f"In process {rank} of {len(processes)}:\n{failure.text}"
    )
    raise failure.error from cause


def _is_interrupt(failure: Failure | None) -> bool:
    return failure is not None and isinstance(failure.error, KeyboardInterrupt)


def _obituary(rank: int, processes: list[subprocess.Popen]) -> str:
    code = processes[rank].returncode
    how = f"ended with exit code {code}"
    if code < 0:
        with suppress(ValueError):
            how = f"was killed by {signal.Signals(-code).name}"
    hint = " The system does this to processes when memory runs out." * (code == -9)
    return (
        f"Process {rank} of the {len(processes)} that train on n_devices="
        f"{len(processes)} {how}; the others were stopped, and nothing was learnt."
        f"{hint}"
    )
