"""Settings that torch keeps for the whole process, shared among training threads.

Folds and members may train side by side in threads. Each asks for settings on entry
and restores them on exit, and threads leave in another order than they came.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

__all__ = ["held_matmul_precision", "kept_generator", "limited_threads"]

_generator_lock = threading.Lock()


@contextmanager
def kept_generator() -> Iterator[None]:
    """Leave torch's global generator as it is, one thread at a time.

    Threads that save and restore its state in turns would restore each other's.

    Yields
    ------
    None
    """
    with _generator_lock, torch.random.fork_rng(devices=[]):
        yield


class _MatmulPrecision:
    """How float32 matrices are multiplied, as all threads that compute agree on.

    Threads on a kind of device that want another setting wait until those that hold the
    present one have finished, because a switch would change what these compute. The
    setting of accelerators comes before that of the CPU, which heeds it only where it
    has TF32 instructions of its own. A thread holds one setting at a time, so that none
    waits for another that waits for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[str, tuple[str, int]] = {}
        self._own = threading.local()
        self._before = ""

    @contextmanager
    def __call__(self, setting: str, kind: str) -> Iterator[None]:
        outer = getattr(self._own, "held", None)
        self._release()
        try:
            self._acquire((setting, "cpu" if kind == "cpu" else "accelerator"))
            yield
        finally:
            self._release()
            if outer is not None:
                self._acquire(outer)

    def _acquire(self, wanted: tuple[str, str]) -> None:
        setting, kind = wanted
        with self._changed:
            self._changed.wait_for(
                lambda: self._holders.get(kind, (setting, 0))[0] == setting
            )
            if not self._holders:
                self._before = torch.get_float32_matmul_precision()
            self._holders[kind] = setting, self._holders.get(kind, (setting, 0))[1] + 1
            self._own.held = wanted
            self._apply()

    def _release(self) -> None:
        held = getattr(self._own, "held", None)
        if held is None:
            return
        setting, kind = held
        with self._changed:
            self._own.held = None
            number = self._holders[kind][1] - 1
            if number:
                self._holders[kind] = setting, number
            else:
                del self._holders[kind]
            self._apply()
            self._changed.notify_all()

    def reset(self) -> None:
        """Forget threads that a forked process does not have."""
        self._changed = threading.Condition()
        held = getattr(self._own, "held", None)
        self._holders = {} if held is None else {held[1]: (held[0], 1)}

    def _apply(self) -> None:
        first = self._holders.get("accelerator") or self._holders.get("cpu")
        torch.set_float32_matmul_precision(first[0] if first else self._before)


class _ThreadLimit:
    """Threads of an operation on the CPU, which each thread sets for itself.

    But what was set last, in whatever thread, is what new threads begin with. They
    shall begin with what they would without us, so it is set back at once, in a thread
    that has nothing else to do. Only a new thread tells what it is: one that was first
    to use torch while another set its own number has that number.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: ThreadPoolExecutor | None = None

    @contextmanager
    def __call__(self, number: int | None) -> Iterator[None]:
        with self._lock:
            before = torch.get_num_threads()
        if number is None or number == before:
            yield
            return
        try:
            self._set(number)
            yield
        finally:
            try:
                self._set(before)
            except KeyboardInterrupt:  # it takes long enough for Ctrl-C to fall in
                self._set(before)
                raise

    def _set(self, number: int) -> None:
        with self._lock:
            default = _threads_of_a_new_thread()
            torch.set_num_threads(number)
            self._set_for_new_threads(default)
            if torch.get_num_threads() != number:  # a build with one number for all
                torch.set_num_threads(number)

    def _set_for_new_threads(self, number: int) -> None:
        if self._idle is None:
            self._idle = ThreadPoolExecutor(1, "skmatgnn-thread-limit")
        self._idle.submit(torch.set_num_threads, number).result()

    def reset(self) -> None:
        """Forget threads that a forked process does not have."""
        self._lock, self._idle = threading.Lock(), None


def _threads_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


held_matmul_precision = _MatmulPrecision()
limited_threads = _ThreadLimit()


def _reset_after_fork() -> None:
    global _generator_lock  # noqa: PLW0603 - the lock of the parent may be held
    _generator_lock = threading.Lock()
    held_matmul_precision.reset()
    limited_threads.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
