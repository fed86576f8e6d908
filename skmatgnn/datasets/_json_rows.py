"""Rows of large JSON files, one after the other."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from skmatgnn.datasets._text_files import opened_text
from skmatgnn.errors import InvalidValueError

__all__ = ["json_rows"]

_CHUNK = 2**20
_MOST_EXPANSION = 100  # JSON of structures shrinks by 10 to 30
_SMALLEST_LIMIT = 2**26
_LARGEST_VALUE = 2**28
_LONGEST_WORD = 16
_UNREADABLE = (  # RuntimeError: it is encrypted
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError),
)
_SPACE = " \t\r\n"


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a table in JSON, plain or compressed, in little memory.

    Parameters
    ----------
    path : Path
        ``.json``, ``.json.gz``, ``.json.bz2``, ``.json.xz`` or ``.zip`` with one file:
        a list of records, or ``columns`` and ``data``.

    Yields
    ------
    dict
        A record.

    Raises
    ------
    InvalidValueError
        If it is no such table, ends too early, or expands to a hundred times its size.
    """
    limit = max(_SMALLEST_LIMIT, _MOST_EXPANSION * path.stat().st_size)
    with _opened(path) as file:
        stream = _Stream(file, path, limit)
        kind = stream.peek()
        if kind == "[":
            for record in stream.items():
                if not isinstance(record, dict):
                    raise InvalidValueError(f"{path} has a row that is no JSON object.")
                yield record
        elif kind == "{":
            yield from _rows_of_columns(stream, path)
        else:
            raise InvalidValueError(f"{path} is no JSON list or object.")
        stream.require_end()


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    if path.suffix.lower() != ".zip":
        with opened_text(path) as file:
            yield file
        return
    try:
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_only_member(archive, path)) as raw,
        ):
            yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    except InvalidValueError:
        raise
    except _UNREADABLE as error:
        raise InvalidValueError(f"{path} cannot be read: {error}.") from error


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise InvalidValueError(
            f"{path} holds {len(members)} files; expected one JSON file."
        )
    return members[0]


def _rows_of_columns(stream: _Stream, path: Path) -> Iterator[dict[str, Any]]:
    columns: list[str] | None = None
    waiting: list[list[Any]] = []
    for key in stream.members():
        if key != "data":
            value = stream.value()
            columns = value if key == "columns" else columns
            continue
        for cells in stream.items():
            if columns is None:
                waiting.append(cells)
            else:
                yield _record(columns, cells, path)
    if columns is None:
        raise InvalidValueError(f"{path} has no columns; expected columns and data.")
    for cells in waiting:
        yield _record(columns, cells, path)


def _record(columns: Any, cells: Any, path: Path) -> dict[str, Any]:
    if (
        not isinstance(cells, list)
        or not isinstance(columns, list)
        or len(cells) != len(columns)
    ):
        raise InvalidValueError(f"{path} has a row that does not fit its columns.")
    return {str(name): cell for name, cell in zip(columns, cells, strict=True)}


class _Stream:
    """A JSON text of which only the value at hand is in memory."""

    def __init__(self, file: IO[str], path: Path, limit: int) -> None:
        self._file, self._path, self._left = file, path, limit
        self._text, self._at = "", 0
        self._decode = json.JSONDecoder().raw_decode

    def _more(self) -> bool:
        """Read as much again as is waiting, so that long values cost no more."""
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._left -= len(chunk)
        if self._left < 0:
            raise InvalidValueError(
                f"{self._path} expands to more than {_MOST_EXPANSION} times its size."
            )
        self._text, self._at = self._text[self._at :] + chunk, 0
        if len(self._text) > _LARGEST_VALUE:
            raise InvalidValueError(f"{self._path} has a value that is too long.")
        return bool(chunk)

    def peek(self) -> str:
        """Return the next character that is no space, or nothing at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _take(self, expected: str) -> str:
        found = self.peek()
        if found == "" or found not in expected:
            shown = repr(found) if found else "the end"
            raise InvalidValueError(
                f"{self._path} is no valid JSON: expected one of {expected!r}; got "
                f"{shown}."
            )
        self._at += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._is_cut(error) and self._more():
                    continue
                raise InvalidValueError(
                    f"{self._path} is no valid JSON: {error.msg}."
                ) from error
            except RecursionError as error:
                raise InvalidValueError(f"{self._path} is nested too deep.") from error
            if end < len(self._text):
                self._at = end
                return value
            length = end - self._at
            if not self._more():  # else a number at the edge may go on
                self._at = length
                return value

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        near_the_end = error.pos > len(self._text) - _LONGEST_WORD
        return near_the_end or error.msg.startswith("Unterminated string")

    def items(self) -> Iterator[Any]:
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def members(self) -> Iterator[str]:
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            self._take(":")
            yield str(key)
            if self._take(",}") == "}":
                return

    def require_end(self) -> None:
        if self.peek():
            raise InvalidValueError(f"{self._path} has more after its JSON.")
