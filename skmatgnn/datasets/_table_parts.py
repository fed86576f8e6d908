"""Tables that are larger than memory, read part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._tables import Table
from skmatgnn.datasets._text_files import opened_text, rows_of
from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    problems = Problems(str(path), "Each row needs one cell for each column name.")
    part: Table | None = None
    columns, is_empty = [], True
    with opened_text(path) as file:
        for line, cells in rows_of(file, path):
            if part is None:
                columns = cells
                part = Table(str(path), columns, [], [])
                continue
            is_empty = False
            if len(cells) != len(columns):
                text = f"expected {len(columns)} cells; got {len(cells)}."
                problems.add(f"line {line}", text)
                continue
            part.rows.append(cells)
            part.places.append(f"line {line}")
            if len(part.rows) == n_rows:
                yield part
                part = Table(str(path), columns, [], [])
    if part is None:
        raise InvalidValueError(
            f"{path} is empty; expected a line of column names and rows of data."
        )
    if is_empty:
        raise InvalidValueError(f"{path} has column names but no rows of data.")
    problems.raise_if_any()
    if part.rows:
        yield part
