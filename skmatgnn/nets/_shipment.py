"""Objects for other processes of this machine, whose large arrays exist once."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

__all__ = ["read_shipment", "shared_folder", "write_shipment"]

LARGE = 2**16  # bytes from which on an array is shared
ALIGNMENT = 64
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
SPARE = 2**28  # bytes of it that are left free


@contextmanager
def shared_folder(n_bytes: int) -> Iterator[Path]:
    """Make a folder that only this user can read, in memory where there is room.

    Parameters
    ----------
    n_bytes : int
        What it is to hold.

    Yields
    ------
    Path
    """
    parent = None
    if IN_MEMORY.is_dir() and os.access(IN_MEMORY, os.W_OK):
        roomy = shutil.disk_usage(IN_MEMORY).free > n_bytes + SPARE
        parent = IN_MEMORY if roomy else None
    with tempfile.TemporaryDirectory(
        prefix="skmatgnn-", dir=parent, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def write_shipment(path: Path, content: Any) -> None:
    """Write an object; arrays of a memory-mapped file stay where they are.

    Parameters
    ----------
    path : Path
        Of the file for all but the large arrays, which have one beside it.
    content : object
        Anything that cloudpickle can pickle, classes of a script or a notebook too.

    Raises
    ------
    OSError
        If there is no room for it.
    """
    places: list[tuple[int, int]] = []
    stream = io.BytesIO()
    with path.with_suffix(".arrays").open("wb") as arrays:

        def keep_apart(buffer: pickle.PickleBuffer) -> bool:
            with buffer.raw() as raw:
                if raw.nbytes < LARGE:
                    return True  # goes with the rest
                arrays.seek(-arrays.tell() % ALIGNMENT, os.SEEK_CUR)
                places.append((arrays.tell(), raw.nbytes))
                arrays.write(raw)
            return False

        _Pickler(stream, protocol=5, buffer_callback=keep_apart).dump(content)
    with path.open("wb") as file:
        pickle.dump((places, stream.getvalue()), file)


def read_shipment(path: Path) -> Any:
    """Read what `write_shipment` of this very program has written.

    Parameters
    ----------
    path : Path

    Returns
    -------
    object
        Its large arrays are read-only, and in memory once for all who read it.
    """
    with path.open("rb") as file:
        places, content = pickle.load(file)  # noqa: S301 - from this program
    buffers = []
    if places:
        whole = np.memmap(path.with_suffix(".arrays"), dtype=np.uint8, mode="r")
        buffers = [whole[start : start + size] for start, size in places]
    return pickle.loads(content, buffers=buffers)  # noqa: S301 - from this program


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            place = _place_in_file(obj)
            if place is not None:
                return _map_file, place
        return super().reducer_override(obj)


def _place_in_file(array: np.ndarray) -> tuple[Any, ...] | None:
    """Say where a large array of a memory-mapped file is, if it is one."""
    if array.nbytes < LARGE or not array.flags.c_contiguous:
        return None
    whole: Any = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    mapped = isinstance(whole, np.memmap) and isinstance(whole.base, mmap.mmap)
    if not mapped or whole.mode != "r" or not Path(whole.filename or "").is_file():
        return None
    start = array.ctypes.data - whole.ctypes.data + whole.offset
    return str(whole.filename), start, array.dtype.str, array.shape


def _map_file(
    filename: str, start: int, dtype: str, shape: tuple[int, ...]
) -> np.ndarray:
    whole = np.memmap(filename, dtype=np.uint8, mode="r")
    n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape))
    return whole[start : start + n_bytes].view(dtype).reshape(shape)
