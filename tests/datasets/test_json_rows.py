"""Rows of JSON files, read piece by piece."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmatgnn.datasets import _json_rows
from skmatgnn.datasets._json_rows import json_rows
from skmatgnn.errors import InvalidValueError

ROWS = [
    {"a": 1.5e-3, "b": 'x"y,]}', "c": [1, {"d": True}]},
    {"a": -12, "b": None, "c": "é"},
    {"a": 123456789, "b": "", "c": {}},
]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 2**20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("kind", ["records", "columns", "columns last", "nothing"])
def test_json_rows__pieces_of_any_size__give_the_rows(
    tmp_path, monkeypatch, chunk, indent, kind
):
    monkeypatch.setattr(_json_rows, "_CHUNK", chunk)
    table = {"columns": list("abc"), "data": [list(row.values()) for row in ROWS]}
    content = {
        "records": ROWS,
        "columns": {"index": [0, 1, 2], **table},
        "columns last": dict(reversed(table.items())),
        "nothing": [],
    }[kind]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(content, indent=indent) + "\n ", encoding="utf-8")
    assert list(json_rows(path)) == ([] if kind == "nothing" else ROWS)


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    rows=st.lists(st.dictionaries(st.text(), values), max_size=4),
    chunk=st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_json_rows__any_records__are_what_json_reads(rows, chunk, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), "utf-8", "surrogatepass")
    before, _json_rows._CHUNK = _json_rows._CHUNK, chunk
    try:
        text = path.read_bytes().decode("utf-8", "surrogatepass")
        if text.encode("utf-8", "ignore").decode() == text:
            assert list(json_rows(path)) == rows
    finally:
        _json_rows._CHUNK = before


@pytest.mark.parametrize("suffix", [".json.gz", ".json.bz2", ".json.xz", ".json.zip"])
def test_json_rows__compressed__are_read(tmp_path, suffix):
    path, raw = tmp_path / f"rows{suffix}", json.dumps(ROWS).encode()
    if suffix == ".json.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("rows.json", raw)
    else:
        module = {".json.gz": gzip, ".json.bz2": bz2, ".json.xz": lzma}[suffix]
        path.write_bytes(module.compress(raw))
    assert list(json_rows(path)) == ROWS


def test_json_rows__large_file__is_never_all_in_memory(tmp_path):
    path = tmp_path / "rows.json.gz"
    row = json.dumps({"values": list(range(20)), "text": "x" * 10_000})
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(f"[{','.join([row] * 4000)}]")
    tracemalloc.start()
    try:
        assert sum(1 for _ in json_rows(path)) == 4000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12e6  # of 40 MB


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON list or object"),
        ("3", "no JSON list or object"),
        ('[{"a": 1}', "expected one of ',]'; got the end"),
        ('[{"a": 1} {"a": 2}]', "expected one of ',]'; got '{'"),
        ('[{"a": 1}, ]', "no valid JSON: Expecting value"),
        ('[{"a": 1}] more', "more after its JSON"),
        ('[{"a": tru}]', "no valid JSON"),
        ('[{"a": "open]', "no valid JSON: Unterminated string"),
        ('[{"a": 1}, 3]', "a row that is no JSON object"),
        ('{"columns": ["a"], "data": [[1, 2]]}', "does not fit its columns"),
        ('{"columns": ["a"], "data": [3]}', "does not fit its columns"),
        ('{"columns": 3, "data": [[3]]}', "does not fit its columns"),
        ('{"data": [[3]]}', "has no columns"),
        ('{"a": 1}', "has no columns"),
        ('{"a" 1}', "expected one of ':'; got '1'"),
        ("[" * 100_000, "nested too deep|no JSON object"),
    ],
)
def test_json_rows__spoilt__says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        list(json_rows(path))
    assert str(path) in str(caught.value)


def test_json_rows__error_early_in_a_large_file__does_not_read_it_all(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[{"a": tru},' + '{"a": 1},' * 500_000)
    with pytest.raises(InvalidValueError, match="no valid JSON") as caught:
        list(json_rows(path))
    assert "too long" not in str(caught.value)


def test_json_rows__expands_without_end__is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(_json_rows, "_SMALLEST_LIMIT", 2**16)
    for name, opener in (("a.json.gz", gzip.open), ("a.json.xz", lzma.open)):
        with opener(tmp_path / name, "wt") as file:
            file.write("[" + " " * 20_000_000)
        with pytest.raises(InvalidValueError, match="more than 100 times its size"):
            list(json_rows(tmp_path / name))


def test_json_rows__value_without_end__is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(_json_rows, "_LARGEST_VALUE", 2**20)
    path = tmp_path / "rows.json"
    path.write_text('[{"a": "' + "x" * 3_000_000)
    with pytest.raises(InvalidValueError, match="value that is too long"):
        list(json_rows(path))


def test_json_rows__damaged_archives__are_our_errors(tmp_path):
    whole = gzip.compress(json.dumps(ROWS * 1000).encode())
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.json", "[]")
        archive.writestr("b.json", "[]")
    with zipfile.ZipFile(tmp_path / "cut.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps(ROWS * 1000))
    packed = bytearray((tmp_path / "cut.zip").read_bytes())
    packed[100:110] = b"0123456789"
    (tmp_path / "cut.zip").write_bytes(packed)
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 nothing")
    (tmp_path / "cut.json.gz").write_bytes(whole[: len(whole) // 2])
    for name in ("two.zip", "cut.zip", "no.zip", "cut.json.gz"):
        with pytest.raises(InvalidValueError, match=name):
            list(json_rows(tmp_path / name))
