"""Text files, plain or compressed, and the rows of delimited ones."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import zlib
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from skmatgnn.errors import InvalidValueError, SkmatgnnError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["opened_text", "rows_of"]

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_AT_ONCE = 64  # rows, of which each may hold a large crystal
_MAX_CELL = 2**31 - 1  # what a C long holds everywhere
_LOCK = Lock()
_n_readers, _limit_before = 0, 0
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


@contextmanager
def opened_text(path: Path) -> Iterator[IO[str]]:
    """Open a text file, plain or compressed; what goes wrong with it is our error.

    Parameters
    ----------
    path : Path
        The file.

    Yields
    ------
    text file

    Raises
    ------
    InvalidValueError
        If it cannot be opened, or read within the context.
    """
    opener = _OPENERS.get(path.suffix.lower(), open)
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except SkmatgnnError:
        raise
    except FileNotFoundError as error:
        raise InvalidValueError(
            f"{path} does not exist. Check the path; it is relative to the current "
            "working directory unless absolute."
        ) from error
    except IsADirectoryError as error:
        raise InvalidValueError(
            f"{path} is a folder, not a table. A folder of structures is read by "
            "read_structures, or with an id_prop.csv by load_id_prop."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). "
            "Save it as UTF-8."
        ) from error
    except _UNREADABLE as error:
        raise InvalidValueError(f"{path} cannot be read: {error}.") from error


def _next_rows(reader: Any) -> list[tuple[list[str], int]]:
    """Read some rows, and the line after each."""
    with _long_cells():
        return [(cells, reader.line_num + 1) for cells in islice(reader, _AT_ONCE)]


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be as long as the text of a large crystal is.

    The limit is one for the process, so it is put back, by the last thread that reads.
    """
    global _n_readers, _limit_before  # noqa: PLW0603 - as the limit itself
    with _LOCK:
        if not _n_readers:
            _limit_before = csv.field_size_limit(_MAX_CELL)
        _n_readers += 1
    try:
        yield
    finally:
        with _LOCK:
            _n_readers -= 1
            if not _n_readers:
                csv.field_size_limit(_limit_before)


def rows_of(file: IO[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Read rows of delimited text one by one.

    Parameters
    ----------
    file : text file
        Open.
    path : Path
        Its name.

    Yields
    ------
    (int, list of str)
        As `read_rows` gives them.

    Raises
    ------
    InvalidValueError
        If it is not such a table.
    """
    delimiter = "\t" if ".tsv" in (s.lower() for s in path.suffixes) else ","
    reader = csv.reader(file, delimiter=delimiter)
    line = 1
    try:
        while rows := _next_rows(reader):
            for cells, next_line in rows:
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield line, stripped
                line = next_line
    except csv.Error as error:
        raise InvalidValueError(
            f"{path} is no valid CSV at line {reader.line_num}: {error}."
        ) from error
