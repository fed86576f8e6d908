"""One-file storage of named arrays, in the safetensors format, without pickle."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
from glob import escape
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidValueError

__all__ = [
    "DTYPES",
    "read_arrays",
    "read_metadata",
    "release_pages",
    "remove_unfinished",
    "write_arrays",
]

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "|u1",
    "BOOL": "|b1",
}
_MAX_HEADER = 100_000_000
_PICKLE = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
    *(OverflowError, struct.error),
)


def write_arrays(
    path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Write arrays; an old file is replaced only by a complete new one.

    Parameters
    ----------
    path : str or Path
    arrays : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    # a folder, as save_file has temporary files of its own beside what it writes
    folder = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.tmp")
    unfinished = folder / "whole"
    try:
        # NumPy's ascontiguousarray would give a number an axis
        contiguous = {key: np.asarray(a, order="C") for key, a in arrays.items()}
        folder.mkdir()
        unfinished.touch()
        mode = unfinished.stat().st_mode  # save_file makes the file private
        save_file(contiguous, unfinished, metadata=metadata)
        unfinished.chmod(mode)
        _flush(unfinished)  # else a power cut may leave an empty file under the name
        unfinished.replace(path)
    except (SafetensorError, OSError) as error:
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(path: Path) -> None:
    """Remove what processes left that were killed while they wrote a file.

    Parameters
    ----------
    path : Path
        Of the file.
    """
    for folder in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def read_arrays(
    path: str | Path, *, memory_map: bool
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read arrays.

    Parameters
    ----------
    path : str or Path
    memory_map : bool
        Leave them on disk; the arrays are read-only then.

    Returns
    -------
    arrays : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    InvalidValueError
        If the file is damaged or of another format.
    """
    path = Path(path)
    try:
        header, start = _read_header(path)
        metadata = header.pop("__metadata__", {})
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=start)
        _require_covered(header, len(data))
        arrays = {key: _view(data, entry) for key, entry in header.items()}
    except _DAMAGE as error:
        raise InvalidValueError(
            f"{path} is damaged or not in the safetensors format: {error}."
        ) from error
    if not memory_map:
        arrays = {key: np.array(array) for key, array in arrays.items()}
    return arrays, metadata


def release_pages(array: np.ndarray) -> None:
    """Let go of what was read of a memory-mapped array and of its whole file.

    Pages that were read count as memory of the process until the system wants them
    back. The array stays as it is: what is used again is read again, mostly from the
    system's cache. Does nothing for an array in memory, nor where the system cannot.

    Parameters
    ----------
    array : ndarray
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read the metadata alone.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to str

    Raises
    ------
    InvalidValueError
        If the file has no header of the safetensors format.
    """
    try:
        return dict(_read_header(Path(path))[0].get("__metadata__", {}))
    except _DAMAGE as error:
        raise InvalidValueError(
            f"{path} is damaged or not in the safetensors format: {error}."
        ) from error


def _read_header(path: Path) -> tuple[dict, int]:
    with path.open("rb") as file:
        start = file.read(8)
        (length,) = struct.unpack("<Q", start)
        if length > min(_MAX_HEADER, path.stat().st_size):
            looks = "; it begins as a pickle does" * start.startswith(_PICKLE)
            raise ValueError(f"it does not begin as a safetensors file does{looks}")
        return json.loads(file.read(length)), 8 + length


def _require_covered(header: dict, size: int) -> None:
    """Refuse bytes that belong to no array, or to two."""
    position = 0
    for start, stop in sorted(entry["data_offsets"] for entry in header.values()):
        if start != position:
            raise ValueError("its arrays overlap or leave gaps")
        position = stop
    if position != size:
        raise ValueError(f"it has {size} bytes of data in place of {position}")


def _view(data: np.ndarray, entry: dict) -> np.ndarray:
    start, stop = entry["data_offsets"]
    if not 0 <= start <= stop <= len(data):
        raise ValueError("it is cut short")
    return data[start:stop].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
