"""Files of named arrays, written piece by piece."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from skmatgnn.utils.packed_file import DTYPES

__all__ = ["ArrayWriter"]

_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
_COPY_BYTES = 2**24


class ArrayWriter:
    """Append to arrays whose lengths are not known yet, in memory of one piece.

    The arrays grow in files of their own, in a folder beside the target, which become
    one file on `commit`: the disk has to hold it once, and its largest array once more.
    A target that is there is replaced only then. To be used as a context manager.

    Parameters
    ----------
    path : str or Path
        File to write, which ``read_arrays`` reads.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._columns: dict[str, _Column] = {}

    def __enter__(self) -> Self:
        self._folder = Path(
            tempfile.mkdtemp(
                prefix=f".{self.path.name}.", suffix=".tmp", dir=self.path.parent
            )
        )
        return self

    def __exit__(self, *_: object) -> None:
        for column in self._columns.values():
            column.file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def append(self, name: str, values: np.ndarray) -> None:
        """Add rows to an array.

        Parameters
        ----------
        name : str
            Which; it begins with its first rows.
        values : ndarray
            Of the same type and row shape every time.

        Raises
        ------
        ValueError
            If the type or the row shape is not that of the first rows.
        """
        column = self._columns.get(name)
        if column is None:
            file = (self._folder / str(len(self._columns))).open("wb")
            column = self._columns[name] = _Column(file, values.dtype, values.shape[1:])
        if (values.dtype, values.shape[1:]) != (column.dtype, column.row_shape):
            raise ValueError(
                f"{name} has rows of {column.dtype} and shape {column.row_shape}; got "
                f"{values.dtype} and {values.shape[1:]}."
            )
        column.file.write(np.ascontiguousarray(values).data)
        column.n_rows += len(values)

    def commit(self, metadata: dict[str, str]) -> None:
        """Put the arrays into one file and move it to its place.

        Parameters
        ----------
        metadata : dict of str to str
        """
        # wider numbers first, as safetensors has them, so that all are aligned
        order = sorted(
            self._columns, key=lambda name: -self._columns[name].dtype.itemsize
        )
        whole = self._folder / "whole"
        with whole.open("wb") as file:
            file.write(self._header(order, metadata))
            for name in order:
                self._columns[name].move_to(file)
            file.flush()
            os.fsync(file.fileno())
        whole.replace(self.path)

    def _header(self, order: list[str], metadata: dict[str, str]) -> bytes:
        entries: dict[str, dict] = {"__metadata__": metadata}
        position = 0
        for name in order:
            column = self._columns[name]
            stop = position + column.nbytes
            entries[name] = {
                "dtype": _NAMES[column.dtype],
                "shape": [column.n_rows, *column.row_shape],
                "data_offsets": [position, stop],
            }
            position = stop
        text = json.dumps(entries).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text


class _Column:
    def __init__(self, file: BinaryIO, dtype: np.dtype, row_shape: tuple) -> None:
        self.file = file
        self.dtype = dtype
        self.row_shape = row_shape
        self.n_rows = 0

    @property
    def nbytes(self) -> int:
        return self.n_rows * int(np.prod(self.row_shape)) * self.dtype.itemsize

    def move_to(self, target: BinaryIO) -> None:
        self.file.close()
        path = Path(self.file.name)
        with path.open("rb") as source:
            shutil.copyfileobj(source, target, _COPY_BYTES)
        path.unlink()
