"""What to say when a worker process was killed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from skmatgnn.errors import WorkerLostError

__all__ = ["explain_lost_workers"]


@contextmanager
def explain_lost_workers() -> Iterator[None]:
    """Say what to do where joblib lost a worker process; also a decorator.

    Yields
    ------
    None

    Raises
    ------
    WorkerLostError
        In place of joblib's error.

    Examples
    --------
    >>> from concurrent.futures.process import BrokenProcessPool
    >>> from skmatgnn.utils.lost_workers import explain_lost_workers
    >>> @explain_lost_workers()
    ... def work():
    ...     raise BrokenProcessPool
    >>> try:
    ...     work()
    ... except RuntimeError as error:
    ...     str(error).startswith("A worker process was killed")
    True
    """
    try:
        yield
    except BrokenProcessPool as error:
        _, given, codes = str(error).partition("exit codes of the workers are ")
        ended = f" (exit codes {codes.splitlines()[0]})" if given else ""
        raise WorkerLostError(
            f"A worker process was killed{ended}, in most cases by the operating "
            "system, because memory ran out; nothing is wrong with the data as such. "
            "Lower n_jobs, so that fewer fits are in memory at a time, or use a "
            "machine with more memory. What a checkpoint_dir of the estimator has kept "
            "is not computed again."
        ) from error
