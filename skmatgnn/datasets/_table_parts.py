"""Tables that are larger than memory, read part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skmatgnn.datasets._tables import parts_of_rows
from skmatgnn.datasets._text_files import opened_text, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from skmatgnn.datasets._tables import Table

__all__ = ["is_readable_twice", "table_parts"]


def is_readable_twice(path: Path) -> bool:
    """Tell whether `table_parts` can read a table, more than once.

    Parameters
    ----------
    path : Path
        The table.

    Returns
    -------
    bool
        False for JSON, which is read as a whole, and for a pipe.
    """
    suffixes = (suffix.lower() for suffix in path.suffixes)
    return path.is_file() and ".json" not in suffixes


def table_parts(path: Path, n_rows: int) -> Iterator[Table]:
    """Read delimited text as `read_table` does, but never all of it at once.

    Parameters
    ----------
    path : Path
        CSV or TSV, plain or compressed.
    n_rows : int
        Rows of a part, except the last.

    Yields
    ------
    Table
        The next rows, at least one.

    Raises
    ------
    InvalidValueError
        If it cannot be read or is empty; at the end, if rows have a cell too few or
        too many.
    """
    with opened_text(path) as file:
        yield from parts_of_rows(rows_of(file, path), str(path), n_rows)
