"""Users' tables: rows with their line numbers, problems raised together."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._text_files import opened_text, rows_of
from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.validation import describe, to_object_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = [
    "Table",
    "is_unknown",
    "parse_number",
    "parts_of_rows",
    "read_json",
    "read_rows",
    "read_table",
]

_MISSING = frozenset({"", "na", "nan", "n/a", "null", "none"})


def is_unknown(value: Any) -> bool:
    """Tell whether a cell says that the value is not known.

    Parameters
    ----------
    value : object
        Text of a CSV cell, or a JSON value.

    Returns
    -------
    bool
        True for None, NaN, and the words na, nan, n/a, null, none and "".
    """
    if isinstance(value, str):
        return value.strip().lower() in _MISSING
    return value is None or (isinstance(value, float) and np.isnan(value))


def parse_number(value: Any) -> float | None:
    """Convert a cell to a finite number.

    Parameters
    ----------
    value : object
        Text of a CSV cell, or a JSON value.

    Returns
    -------
    float or None
        NaN for a missing value, None where it is no finite number.
    """
    if is_unknown(value):
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and "_" in value:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Read a delimited text file, plain or compressed.

    Parameters
    ----------
    path : Path
        File; tabs separate the cells of a ``.tsv``, commas those of all others.

    Returns
    -------
    list of (int, list of str)
        1-based line number and stripped cells of every row that is not blank.

    Raises
    ------
    InvalidValueError
        If it cannot be read or is not such a table.
    """
    with opened_text(path) as file:
        return list(rows_of(io.StringIO(file.read(), newline=""), path))


def read_json(path: Path) -> Any:
    """Read a JSON file, plain or compressed.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    object
        Its content.

    Raises
    ------
    InvalidValueError
        If it cannot be read or is no JSON.
    """
    with opened_text(path) as file:
        text = file.read()
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidValueError(
            f"{path} is no valid JSON at line {error.lineno}, column {error.colno}: "
            f"{error.msg}."
        ) from error
    except (RecursionError, ValueError) as error:
        raise InvalidValueError(f"{path} is no usable JSON: {error}.") from error


@dataclass
class Table:
    """A table in memory with the place of each row.

    Parameters
    ----------
    source : str
        The file.
    columns : list of str
        Column names.
    rows : list of list
        Cells: strings, or JSON values.
    places : list of str
        Where each row came from, for example ``"line 2"``.
    """

    source: str
    columns: list[str]
    rows: list[list[Any]]
    places: list[str]

    def require(self, names: Sequence[str]) -> None:
        """Reject the table if a column is missing or its name occurs twice.

        Parameters
        ----------
        names : sequence of str
            The columns that are needed.

        Raises
        ------
        InvalidValueError
            Naming the missing columns and those that exist.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            shown = ", ".join(repr(name) for name in self.columns[:30])
            more = ", ..." if len(self.columns) > 30 else ""
            raise InvalidValueError(
                f"{self.source} has no column {', '.join(map(repr, missing))}. "
                f"Its columns are: {shown}{more}."
            )
        twice = [name for name in names if self.columns.count(name) > 1]
        if twice:
            raise InvalidValueError(
                f"{self.source} has more than one column {twice[0]!r}. Rename one."
            )

    def column(self, name: str) -> list[Any]:
        """Return the cells of a column.

        Parameters
        ----------
        name : str
            The column.

        Returns
        -------
        list
        """
        index = self.columns.index(name)
        return [row[index] for row in self.rows]

    def texts(self, name: str, problems: Problems) -> list[Any]:
        """Return a column of strings, noting empty cells.

        Only the empty cell counts as missing: NaN is sodium nitride, too.

        Parameters
        ----------
        name : str
            The column.
        problems : Problems
            Where to note.

        Returns
        -------
        list
        """
        cells = self.column(name)
        for place, cell in zip(self.places, cells, strict=True):
            if not isinstance(cell, str):
                problems.add(place, f"{name} must be text; got {describe(cell)}.")
            elif not cell:
                problems.add(place, f"{name} is empty.")
        return cells

    def labels(self, name: str, problems: Problems) -> list[Any]:
        """Return a column of group labels, noting missing ones.

        Parameters
        ----------
        name : str
            The column.
        problems : Problems
            Where to note.

        Returns
        -------
        list
        """
        cells = self.column(name)
        for place, cell in zip(self.places, cells, strict=True):
            if cell is None or cell == "":
                problems.add(place, f"{name} is empty.")
            elif not isinstance(cell, str | int | float):
                problems.add(
                    place, f"{name} must be text or a number; got {describe(cell)}."
                )
        return cells

    def numbers(
        self, name: str, problems: Problems, *, missing_allowed: bool
    ) -> np.ndarray:
        """Return a column of floats, noting cells that are none.

        Parameters
        ----------
        name : str
            The column.
        problems : Problems
            Where to note.
        missing_allowed : bool
            Whether an unknown value is NaN rather than a problem.

        Returns
        -------
        ndarray of float64
        """
        values = np.full(len(self.rows), np.nan)
        cells = zip(self.places, self.column(name), strict=True)
        for index, (place, cell) in enumerate(cells):
            number = parse_number(cell)
            if number is None:
                problems.add(
                    place, f"{name} must be a finite number; got {describe(cell)}."
                )
            elif np.isnan(number) and not missing_allowed:
                problems.add(place, f"{name} is missing.")
            else:
                values[index] = number
        return values

    def to_frame(self, converted: dict[str, Any]) -> pd.DataFrame:
        """Make a frame; columns not converted become numeric where they can.

        Parameters
        ----------
        converted : dict
            Columns that are known already.

        Returns
        -------
        DataFrame
        """
        import pandas as pd

        series = {}
        for name in dict.fromkeys(self.columns):
            if name in converted:
                values = converted[name]
                series[name] = pd.Series(
                    values
                    if isinstance(values, np.ndarray)
                    else to_object_array(values)
                )
            else:
                series[name] = _inferred(self.column(name))
        return pd.DataFrame(series)


def _inferred(cells: list[Any]) -> pd.Series:
    import pandas as pd

    known = [None if is_unknown(cell) else cell for cell in cells]
    if any(cell is not None for cell in known) and all(
        parse_number(cell) is not None for cell in known
    ):
        return pd.to_numeric(pd.Series(known, dtype=object))
    return pd.Series(to_object_array(cells))


def read_table(path: Path) -> Table:
    """Read a CSV, TSV or JSON table, plain or compressed.

    Parameters
    ----------
    path : Path
        ``.json`` is a list of records, a mapping of columns, or ``columns`` and
        ``data`` (as in Matbench); all others are delimited text with a header.

    Returns
    -------
    Table

    Raises
    ------
    InvalidValueError
        If it cannot be read, is empty, or a row has a cell too few or too many.
    """
    if ".json" in (suffix.lower() for suffix in path.suffixes):
        table = _table_of_json(read_json(path), str(path))
    else:
        [table] = parts_of_rows(read_rows(path), str(path), np.inf)
    if not table.rows:
        raise InvalidValueError(f"{path} has column names but no rows of data.")
    return table


def parts_of_rows(
    rows: Iterable[tuple[int, list[str]]], source: str, n_rows: float
) -> Iterator[Table]:
    """Make tables of the rows of a text, column names first.

    Parameters
    ----------
    rows : iterable of (int, list of str)
        As `read_rows` gives them.
    source : str
        The file, for messages.
    n_rows : int or inf
        Rows of a part, except the last.

    Yields
    ------
    Table
        The next rows, at least one.

    Raises
    ------
    InvalidValueError
        If there are none; at the end, if rows have a cell too few or too many.
    """
    problems = Problems(source, "Each row needs one cell for each column name.")
    rest = iter(rows)
    _, columns = next(rest, (0, None))
    if columns is None:
        raise InvalidValueError(
            f"{source} is empty; expected a line of column names and rows of data."
        )
    part, is_empty = Table(source, columns, [], []), True
    for line, cells in rest:
        is_empty = False
        if len(cells) != len(columns):
            text = f"expected {len(columns)} cells; got {len(cells)}."
            problems.add(f"line {line}", text)
            continue
        part.rows.append(cells)
        part.places.append(f"line {line}")
        if len(part.rows) == n_rows:
            yield part
            part = Table(source, columns, [], [])
    if is_empty:
        raise InvalidValueError(f"{source} has column names but no rows of data.")
    problems.raise_if_any()
    if part.rows:
        yield part


def _table_of_json(content: Any, source: str) -> Table:
    if isinstance(content, dict) and {"columns", "data"} <= set(content):
        content = _records_of_split(content, source)
    if isinstance(content, dict) and all(
        isinstance(column, list | dict) for column in content.values()
    ):
        content = _records_of_columns(content, source)
    if not isinstance(content, list):
        raise InvalidValueError(
            f"{source} must hold a list of records or a mapping of columns; "
            f"got {describe(content)}."
        )
    problems = Problems(source, "Each record must be a JSON object.")
    for index, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            problems.add(f"record {index}", f"expected an object; got {record!r:.40}.")
    problems.raise_if_any()
    if not content:
        raise InvalidValueError(f"{source} is empty; expected at least one record.")
    columns = list(dict.fromkeys(name for record in content for name in record))
    return Table(
        source,
        columns,
        [[record.get(name) for name in columns] for record in content],
        [f"record {index}" for index in range(1, len(content) + 1)],
    )


def _records_of_split(content: dict[str, Any], source: str) -> list[dict[str, Any]]:
    """Read pandas' orient="split", which is also that of the Matbench files."""
    columns, rows = content["columns"], content["data"]
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise InvalidValueError(
            f"{source} has columns and data, which must be lists, of names and of rows."
        )
    problems = Problems(source, "Each row needs one cell for each column name.")
    for index, row in enumerate(rows, start=1):
        if not isinstance(row, list) or len(row) != len(columns):
            problems.add(f"record {index}", f"expected {len(columns)} cells.")
    problems.raise_if_any()
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _records_of_columns(content: dict[str, Any], source: str) -> list[dict[str, Any]]:
    columns = {
        name: _in_row_order(name, column, content, source)
        for name, column in content.items()
    }
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidValueError(
            f"{source} has columns of different lengths: {lengths}. Each row needs "
            "one value in each column."
        )
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _in_row_order(
    name: str, column: Any, content: dict[str, Any], source: str
) -> list[Any]:
    """Bring a column that names its rows into the order of the first such column."""
    if not isinstance(column, dict):
        return column
    rows = next(other for other in content.values() if isinstance(other, dict))
    if len(rows) == len(column) and rows.keys() != column.keys():
        raise InvalidValueError(
            f"{source} has other rows in column {name!r} than in the first one: "
            f"{sorted(column.keys() ^ rows.keys())!r:.80}. Each row needs one value in "
            "each column."
        )
    return [column.get(row) for row in (rows if len(rows) == len(column) else column)]
