"""Training in processes that exist already, such as those of a launcher."""

from __future__ import annotations

import atexit
import os
import sys
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist

from skmatgnn.errors import InvalidValueError
from skmatgnn.nets._ranks import Ranks, smallest_batch
from skmatgnn.nets._split import split_datasets

if TYPE_CHECKING:
    from skmatgnn.nets._dataset import DeviceDataset
    from skmatgnn.nets._graph_net import GraphNet

__all__ = ["join_group", "take_over", "train_as", "train_launched", "was_launched"]

TIMEOUT = timedelta(minutes=30)  # of waiting for the others
SHOWS = "first_process_only"


def was_launched() -> bool:
    """Whether ``torchrun`` or ``accelerate launch`` started this among other processes.

    Returns
    -------
    bool
    """
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def join_group(rank: int, n_ranks: int, device: str, store: dist.Store | None) -> None:
    """Make the processes known to each other.

    Parameters
    ----------
    rank, n_ranks : int
    device : str
        Of the network.
    store : torch.distributed.Store or None
        Where they meet; None is what a launcher has set in the environment.
    """
    on_cuda = torch.device(device).type == "cuda"
    arguments: dict[str, Any] = {"timeout": TIMEOUT}
    if store is not None:
        arguments |= {"store": store, "rank": rank, "world_size": n_ranks}
    if on_cuda:
        index = torch.cuda.current_device()
        arguments["device_id"] = torch.device("cuda", index)
    elif store is not None and sys.platform.startswith("linux"):
        # all are on this machine, whose own name need not be known to it
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("nccl" if on_cuda else "gloo", **arguments)


def train_as(net: GraphNet, dataset: DeviceDataset, rank: int, n_ranks: int) -> None:
    """Train a net as one of the processes of a group.

    Parameters
    ----------
    net : GraphNet
    dataset : DeviceDataset
    rank, n_ranks : int
    """
    if rank:
        net.callbacks_ = [
            (name, callback)
            for name, callback in net.callbacks_
            if not getattr(callback, SHOWS, False)
        ]
    net.ranks_ = Ranks(rank, n_ranks)
    net.partial_fit(dataset)


def train_launched(net: GraphNet, dataset: DeviceDataset, n_devices: int) -> None:
    """Train a net in all processes of a launcher, each of which calls this.

    Parameters
    ----------
    net : GraphNet
        That of the first process is trained; all have it afterwards.
    dataset : DeviceDataset
        The same in all processes.
    n_devices : int
        Number of these processes.

    Raises
    ------
    InvalidValueError
        If their number is another, data differ, or a batch has too few samples.
    """
    rank, n_ranks = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    if n_devices != n_ranks:
        raise InvalidValueError(
            f"n_devices={n_devices}, but a launcher has started {n_ranks} processes. "
            f"Set n_devices={n_ranks}, or start this program without a launcher."
        )
    training, _ = split_datasets(net, dataset)
    size = smallest_batch(len(training), net.batch_size)
    if size < n_ranks:
        raise InvalidValueError(
            f"A batch has {size} sample(s), fewer than the {n_ranks} processes. Start "
            "fewer, or raise batch_size."
        )
    if torch.device(net.device).type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        join_group(rank, n_ranks, net.device, None)
        atexit.register(_leave_group)
    _require_same(dataset, n_ranks)
    box: list[Any] = [_without_callbacks(net) if rank == 0 else None]
    dist.broadcast_object_list(box, src=0)
    if rank:
        take_over(net, box[0])
    train_as(net, dataset, rank, n_ranks)


def _without_callbacks(net: GraphNet) -> GraphNet:
    bare = type(net).__new__(type(net))
    bare.__dict__.update({**vars(net), "callbacks": None, "callbacks_": []})
    return bare


def take_over(net: GraphNet, other: GraphNet) -> None:
    """Become another net, but keep the callbacks, which the user may hold.

    Parameters
    ----------
    net, other : GraphNet
    """
    ours = dict(net.callbacks_)
    for name, callback in other.callbacks_:
        if name in ours:
            ours[name].__dict__.clear()
            ours[name].__dict__.update(vars(callback))
    kept: dict[str, Any] = {"callbacks": net.callbacks, "callbacks_": net.callbacks_}
    net.__dict__.clear()
    net.__dict__.update({**vars(other), **kept})


def _require_same(dataset: DeviceDataset, n_ranks: int) -> None:
    target = np.ascontiguousarray(dataset.target)
    own = (len(dataset), zlib.crc32(target.tobytes()))
    found: list[Any] = [None] * n_ranks
    dist.all_gather_object(found, own)
    if len(set(found)) > 1:
        sizes = [size for size, _ in found]
        raise InvalidValueError(
            "The processes that a launcher started have other data, of so many "
            f"samples: {sizes}. All must call fit with the same X and y, in the same "
            "order; seed what draws them."
        )


def _leave_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
