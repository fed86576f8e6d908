"""Tables that are read part by part."""

from __future__ import annotations

import csv
import gzip
from multiprocessing.pool import ThreadPool

import pytest

from skmatgnn.datasets import _text_files
from skmatgnn.datasets._table_parts import is_readable_twice, table_parts
from skmatgnn.datasets._tables import read_table
from skmatgnn.errors import InvalidValueError

ROWS = ["id,formula,note", "1,NaCl,a", "", '2,KCl,"two\nlines"', "3,MgO,ü", "4,ZnO,d"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("\r\n".join(ROWS).encode("utf-8-sig"))
    return path


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5])
def test_parts__joined__are_the_table(table, n_rows):
    whole = read_table(table)
    parts = list(table_parts(table, n_rows))
    assert [len(part.rows) for part in parts[:-1]] == [n_rows] * (len(parts) - 1)
    assert 0 < len(parts[-1].rows) <= n_rows
    assert [row for part in parts for row in part.rows] == whole.rows
    assert [place for part in parts for place in part.places] == whole.places
    assert all(part.columns == whole.columns for part in parts)
    assert all(part.source == whole.source for part in parts)


def test_parts__compressed__are_the_same(table, tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(table.read_bytes()))
    assert [len(part.rows) for part in table_parts(path, 3)] == [3, 1]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InvalidValueError, match="cannot be read"):
        list(table_parts(path, 3))


def test_parts__ragged_rows__are_all_named_like_those_of_the_table(table):
    with table.open("a") as file:
        file.write("\n5,CaO\n6,BaO,x\n7,SrO,x,y\n")
    parts = table_parts(table, 2)
    next(parts)
    with pytest.raises(InvalidValueError, match=r"2 problems in .*t\.csv") as found:
        list(parts)
    with pytest.raises(InvalidValueError, match="2 problems") as expected:
        read_table(table)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "no rows of data"),
        (b"a,b\n\n", "no rows of data"),
        (b"a\n\xff", "not UTF-8"),
    ],
)
def test_parts__nothing_or_no_text__is_refused_like_a_table(tmp_path, content, reason):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidValueError, match=reason) as expected:
        read_table(path)
    with pytest.raises(InvalidValueError, match=reason) as found:
        list(table_parts(path, 3))
    assert str(found.value) == str(expected.value)


def test_parts__missing_file__says_so(tmp_path):
    with pytest.raises(InvalidValueError, match="does not exist"):
        list(table_parts(tmp_path / "nowhere.csv", 3))


def test_readable_twice__json_and_folders__are_not(table, tmp_path):
    (tmp_path / "t.json.gz").write_bytes(b"")
    assert is_readable_twice(table)
    assert not is_readable_twice(tmp_path / "t.json.gz")
    assert not is_readable_twice(tmp_path)


def test_cells__longer_than_the_limit_of_csv__are_read_and_the_limit_stays(tmp_path):
    before = csv.field_size_limit()
    long = "x" * (before + 1)
    path = tmp_path / "long.csv"
    path.write_text(f'formula,note\nNaCl,{long}\nKCl,"{long}\n{long}"\nMgO,a\n')
    table = read_table(path)
    assert [len(row[1]) for row in table.rows] == [before + 1, 2 * before + 3, 1]
    assert table.places == ["line 2", "line 3", "line 5"]
    for _ in table_parts(path, 1):
        assert csv.field_size_limit() == before
    path.write_bytes(b"formula,note\nNaCl,\xff\n")
    with pytest.raises(InvalidValueError, match="not UTF-8"):
        read_table(path)
    assert csv.field_size_limit() == before


def test_cells__longer_than_a_c_long_counts__are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_text_files, "_MAX_CELL", 100)
    path = tmp_path / "t.csv"
    path.write_text("a\nb\n" + "x" * 101)
    with pytest.raises(InvalidValueError, match="no valid CSV at line 3") as expected:
        read_table(path)
    with pytest.raises(InvalidValueError) as found:
        list(table_parts(path, 1))
    assert str(found.value) == str(expected.value)


def test_cells__longer_than_the_limit_of_csv__are_read_by_many_threads(tmp_path):
    before = csv.field_size_limit()
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" + f"1,{'x' * (before + 1)}\n" * 20)
    with ThreadPool(4) as pool:
        tables = pool.map(read_table, [path] * 24)
    assert [len(table.rows) for table in tables] == [20] * 24
    assert csv.field_size_limit() == before
