"""Keep freed memory in the process while a network trains on the CPU."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["retained_memory"]

# names and numbers of glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_MMAP_MAX = -4
DEFAULT_MMAP_MAX = 65536
# to which glibc moves its thresholds by itself in a program with large arrays
LARGE_MMAP_THRESHOLD = 32 * 2**20
LARGE_TRIM_THRESHOLD = 64 * 2**20
LARGEST_INT = 2**31 - 1


class _RetainedMemory:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Let large arrays reuse memory instead of asking the kernel for it each time.

        By default glibc returns large blocks to the kernel when they are freed, so
        every operation on large arrays faults its pages in again: more than half the
        time of a training step. When the last thread leaves, the memory is given back.
        Does nothing where the C library is another one.

        Yields
        ------
        None
        """
        libc = _glibc()
        if libc is None:
            yield
            return
        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                libc.mallopt(M_MMAP_MAX, 0)
                libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT)
        try:
            yield
        finally:
            with self._lock:
                self._n_inside -= 1
                if not self._n_inside:
                    _give_back(libc)


def _give_back(libc: Any) -> None:
    libc.mallopt(M_MMAP_MAX, DEFAULT_MMAP_MAX)
    libc.mallopt(M_MMAP_THRESHOLD, LARGE_MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, LARGE_TRIM_THRESHOLD)
    libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - only glibc has it
    except (OSError, AttributeError):
        return None
    return libc


retained_memory = _RetainedMemory()
