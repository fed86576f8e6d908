"""Branches of a captured step: what may be computed beside what comes next.

The gradient of a weight is needed only when the weights are updated. On a stream of
their own such short kernels fill what others leave idle. Launched one by one they would
only keep the host busy for longer, so there are branches within :func:`branching`
alone, which is for a CUDA graph that is recorded. What autograd records stays on one
stream: it warns where gradients reach a parameter from another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["Branch", "branch", "branching"]

_open = threading.local()
# as graphs are recorded one at a time, all threads share the streams
_streams: dict[tuple[int, str], torch.cuda.Stream] = {}


class Branch:
    """A stream beside the current one, or the current one.

    Parameters
    ----------
    stream : torch.cuda.Stream, optional
        Without it nothing is beside anything.
    """

    def __init__(self, stream: torch.cuda.Stream | None = None) -> None:
        self._stream = stream
        self._read: tuple[Tensor | None, ...] | None = None  # None if nothing runs

    @contextmanager
    def beside(self, *read: Tensor | None) -> Iterator[None]:
        """Compute within the context what nobody reads before :meth:`wait`.

        It begins when all that was launched before is done, and what the branch
        computed before is waited for.

        Parameters
        ----------
        *read : Tensor or None
            What it reads; kept, as memory that is given back before is used again.

        Yields
        ------
        None
        """
        if self._stream is None:
            yield
            return
        self.wait()
        self._stream.wait_stream(torch.cuda.current_stream())
        self._read = read
        with torch.cuda.stream(self._stream):
            yield

    def wait(self, *made: Tensor) -> None:
        """Let the current stream wait for the branch.

        Parameters
        ----------
        *made : Tensor
            What was made there and is read here, and whose memory the branch may
            therefore not use again when it is given back.
        """
        if self._stream is None or self._read is None:
            return
        current = torch.cuda.current_stream()
        current.wait_stream(self._stream)
        self._read = None
        for tensor in made:
            tensor.record_stream(current)

    def end(self) -> None:
        """Wait, and be the current stream from now on."""
        self.wait()
        self._stream = None


_IDLE = Branch()


def branch(name: str) -> Branch:
    """Get a branch of the step that this thread records.

    Parameters
    ----------
    name : str

    Returns
    -------
    Branch
        That of the current stream if no step is recorded.
    """
    branches: dict[str, Branch] | None = getattr(_open, "branches", None)
    if branches is None:
        return _IDLE
    if name not in branches:
        key = (torch.cuda.current_device(), name)
        if key not in _streams:
            _streams[key] = torch.cuda.Stream()
        branches[name] = Branch(_streams[key])
    return branches[name]


@contextmanager
def branching(device: torch.device | str) -> Iterator[None]:
    """Let there be branches within the context, which ends when all of them have.

    Gradients must be None before a backward pass within: added to what is there, they
    would be read too early.

    Parameters
    ----------
    device : torch.device or str
        Of the step. Without effect unless it has streams.

    Yields
    ------
    None
    """
    if torch.device(device).type != "cuda":
        yield
        return
    branches: dict[str, Branch] = {}
    _open.branches = branches
    try:
        yield
        for each in branches.values():
            each.end()
    finally:
        _open.branches = None
