"""Clusters of dask workers, for searches and cross-validation through joblib."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils._optional import import_optional
from skmatgnn.utils.validation import require_count

if TYPE_CHECKING:
    from distributed import SpecCluster

__all__ = ["local_cluster"]

LOCAL = "127.0.0.1"  # no other machine can connect
DEFAULTS = {
    "nthreads": 1,
    "memory_limit": 0,
    "host": LOCAL,
    "silence_logs": logging.WARNING,
}


def local_cluster(
    n_workers: int | None = None, *, gpus: bool | None = None, **options: Any
) -> SpecCluster:
    """Start workers on this machine, processes of one thread, each with its own GPU.

    Everything that takes ``n_jobs`` uses them inside
    ``joblib.parallel_config("dask")``. Estimators with ``device="auto"`` or ``"cuda"``
    train on the worker's GPU, the only one that it sees.

    Parameters
    ----------
    n_workers : int or None, default=None
        None is one for each GPU, or for each CPU core without GPUs.
    gpus : bool or None, default=None
        Whether each worker gets a GPU; None is where there are any.
    **options : object
        Of each :class:`distributed.Nanny`, such as ``memory_limit="8GiB"``. By default
        the workers' memory is not limited.

    Returns
    -------
    distributed.SpecCluster
        For use in a ``with`` statement, and for :class:`distributed.Client`.

    Raises
    ------
    InvalidValueError
        If there are fewer GPUs than workers, or ``n_workers`` is below 1.
    ImportError
        If dask is not installed.

    Notes
    -----
    Workers import the script that starts them, as all of :mod:`multiprocessing` does:
    in a script, put what starts the cluster under ``if __name__ == "__main__":``.
    Notebooks need nothing.

    Examples
    --------
    >>> from skmatgnn.clusters import local_cluster
    >>> def main():  # in a script
    ...     from dask.distributed import Client
    ...     from joblib import parallel_config
    ...     with local_cluster() as cluster, Client(cluster):
    ...         with parallel_config("dask"):
    ...             search.fit(graphs, y)
    """
    if n_workers is not None:
        require_count("n_workers", n_workers)
    distributed = import_optional("distributed", extra="dask", purpose="A cluster")
    devices = [] if gpus is False else _visible_gpus()
    if gpus and not devices:
        raise InvalidValueError("gpus=True was asked for, but torch sees no GPU.")
    if devices and (n_workers or 1) > len(devices):
        raise InvalidValueError(
            f"n_workers={n_workers} with a GPU each was asked for, but torch sees "
            f"{len(devices)} GPU(s). Ask for fewer workers, or set gpus=False."
        )
    options = {**DEFAULTS, **options}
    common = options.pop("env", {})
    workers = {}
    for index in range(n_workers or len(devices) or os.cpu_count() or 1):
        own = {"CUDA_VISIBLE_DEVICES": devices[index]} if devices else {}
        workers[index] = {
            "cls": distributed.Nanny,
            "options": {**options, "env": {**common, **own}},
        }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {
            "host": LOCAL,
            "dashboard": False,
            "dashboard_address": f"{LOCAL}:0",  # of its other pages: any free port
        },
    }
    return distributed.SpecCluster(
        workers=workers, scheduler=scheduler, silence_logs=logging.WARNING
    )


def _visible_gpus() -> list[str]:
    """Names by which processes can be given the GPUs that torch sees."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else [str(index) for index in range(count)]
    return names[:count]
