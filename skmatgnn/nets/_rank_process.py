"""What each of the processes that train one network does."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from skmatgnn.nets._launched import join_group, train_as
from skmatgnn.nets._shipment import read_shipment, write_shipment

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["INTERRUPT", "Failure", "Task", "main"]

INTERRUPT = b"i"  # what the parent writes to pass Ctrl-C on


@dataclass(frozen=True)
class Task:
    """What all processes are given.

    Parameters
    ----------
    net : GraphNet
    dataset : DeviceDataset
    n_ranks : int
    """

    net: GraphNet
    dataset: DeviceDataset
    n_ranks: int


@dataclass(frozen=True)
class Failure:
    """Why a process ended.

    Parameters
    ----------
    error : BaseException
    text : str
        Its traceback.
    time : float
        When it was raised.
    """

    error: BaseException
    text: str
    time: float


def main(folder: str, rank: int) -> None:
    """Train as one of several processes, and end.

    Parameters
    ----------
    folder : str
        Where the parent has put the task, and looks for the outcome.
    rank : int
        Number of this process.
    """
    place = Path(folder)
    ended = threading.Thread(target=_listen, args=(rank,), daemon=True)
    ended.start()
    code = 0
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        outcome = _train(place, rank)
        if rank == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # too late to stop
            write_shipment(place / "unfinished", outcome)
            (place / "unfinished").replace(place / "outcome")
    except BaseException as error:  # noqa: BLE001 - the parent raises it
        code = 1
        _report(place, rank, error)
    sys.stdout.flush()
    sys.stderr.flush()
    if rank and not code:
        ended.join()  # the first process may still read what this one has sent
    os._exit(code)  # the group may be broken, and would be waited for


def _train(place: Path, rank: int) -> tuple[GraphNet, list[tuple[str, type]]]:
    if torch.cuda.is_available() and rank < torch.cuda.device_count():
        torch.cuda.set_device(rank)  # what "cuda" means from here on
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = read_shipment(place / "task")
        net = task.net
        store = dist.FileStore(str(place / "meeting"), task.n_ranks)
        join_group(rank, task.n_ranks, net.device, store)
        train_as(net, task.dataset, rank, task.n_ranks)
    return net, [(str(w.message), w.category) for w in caught]


def _listen(rank: int) -> None:
    """Pass Ctrl-C on, and end with the parent, even if it is killed."""
    stream = sys.stdin.buffer
    while True:
        word = stream.read(1)
        if not word:
            os._exit(0 if rank else 1)
        if word == INTERRUPT:
            _thread.interrupt_main()


def _report(place: Path, rank: int, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    now = time.time()
    path = place / f"failure{rank}"
    try:
        write_shipment(path.with_suffix(".part"), Failure(error, text, now))
    except Exception:  # noqa: BLE001 - not everything can be pickled
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        with suppress(OSError):
            write_shipment(path.with_suffix(".part"), Failure(plain, text, now))
    with suppress(OSError):
        path.with_suffix(".part").replace(path)
