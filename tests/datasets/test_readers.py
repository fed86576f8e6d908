"""Readers of users' tables."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skmatgnn.datasets import read_electrodes, read_formulas
from skmatgnn.errors import InvalidTypeError, InvalidValueError

ELECTRODES = (
    Path(__file__).parents[2] / "../shared/data/electrodes_mp_2019.csv.gz"
).resolve()
needs_electrodes = pytest.mark.skipif(
    not ELECTRODES.is_file(), reason="needs ../shared/data/electrodes_mp_2019.csv.gz"
)
HEADER = (
    "battery_id,formula_charge,formula_discharge,working_ion,"
    "average_voltage,capacity_grav,capacity_vol"
)


@pytest.fixture
def table(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_formulas__one_target__is_one_dimensional(table):
    path = table("id,formula,gap,host\n1,NaCl,8.5,a\n2,GaAs,1.42,b\n")
    bunch = read_formulas(path, target_columns=["gap"], group_column="host")
    assert bunch.data.tolist() == ["NaCl", "GaAs"]
    assert bunch.target.tolist() == [8.5, 1.42]
    assert bunch.groups.tolist() == ["a", "b"]
    assert bunch.target_names == ["gap"]
    assert bunch.frame["id"].tolist() == [1, 2]
    assert bunch.frame["id"].dtype == np.int64


def test_formulas__several_targets__take_the_asked_order_and_nan(table):
    path = table("a,b,c,formula\n1,,3,NaCl\nNA,5,nan,GaAs\n n/a , null,9,Si\n")
    bunch = read_formulas(path, target_columns=["c", "a", "b"])
    np.testing.assert_array_equal(
        bunch.target, [[3, 1, np.nan], [np.nan, np.nan, 5], [9, np.nan, np.nan]]
    )
    assert bunch.groups is None


def test_formulas__nan_and_no__stay_formulas(table):
    path = table("formula,gap,host\nNaN,1,NaN\nNO,2,NA\n")
    bunch = read_formulas(path, target_columns="gap", group_column="host")
    assert bunch.data.tolist() == ["NaN", "NO"]
    assert bunch.groups.tolist() == ["NaN", "NA"]
    assert bunch.frame["formula"].tolist() == ["NaN", "NO"]


def test_formulas__no_target__gives_none(table):
    bunch = read_formulas(table("name\nNaCl\n"), formula_column="name", as_frame=True)
    assert bunch.target is None
    assert bunch.target_names == []
    assert bunch.data.columns.tolist() == ["name"]


def test_formulas__formula_as_group__is_allowed(table):
    path = table("formula,gap\nNaCl,1\nSi,2\n")
    bunch = read_formulas(path, target_columns="gap", group_column="formula")
    assert bunch.groups.tolist() == ["NaCl", "Si"]


@pytest.mark.parametrize("orient", ["records", "columns", "list"])
def test_formulas__json__equals_csv(table, orient):
    frame = pd.DataFrame({"formula": ["NaCl", "NaN"], "a": [1.0, 2], "b": [None, 4]})
    text = (
        json.dumps(frame.to_dict("list")).replace("NaN,", "null,")
        if orient == "list"
        else frame.to_json(orient=orient)
    )
    bunch = read_formulas(table(text, "table.json"), target_columns=["a", "b"])
    assert bunch.data.tolist() == ["NaCl", "NaN"]
    np.testing.assert_array_equal(bunch.target, [[1, np.nan], [2, 4]])


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv", "t.json.gz", "t.txt"])
def test_formulas__suffix__selects_the_format(table, name):
    text = "formula,gap\nNaCl,8.5\n"
    if "tsv" in name:
        text = text.replace(",", "\t")
    if "json" in name:
        text = '[{"formula": "NaCl", "gap": 8.5}]'
    data = gzip.compress(text.encode()) if name.endswith("gz") else text
    bunch = read_formulas(table(data, name), target_columns="gap")
    assert (bunch.data.tolist(), bunch.target.tolist()) == (["NaCl"], [8.5])


def test_formulas__byte_order_mark_crlf_and_quotes__are_understood(table):
    text = '\ufeffformula,note,gap\r\n\r\nNaCl,"two\r\nlines, one cell",8.5\r\n'
    bunch = read_formulas(table(text), target_columns="gap")
    assert bunch.target.tolist() == [8.5]
    with pytest.raises(InvalidValueError, match="line 5: gap must be a finite number"):
        read_formulas(table(text + "Si,,x\r\n"), target_columns="gap")


def test_formulas__many_bad_cells__five_are_shown_with_lines_and_the_count(table):
    rows = ["formula,gap", "NaCl,1"] + [f"Si,bad{i}" for i in range(7)]
    with pytest.raises(InvalidValueError) as caught:
        read_formulas(table("\n".join(rows)), target_columns="gap")
    text = str(caught.value)
    assert "7 problems in" in text
    assert "line 3: gap must be a finite number; got str ('bad0')" in text
    assert "line 7:" in text
    assert "line 8:" not in text


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("formula,gap\n", "no rows of data"),
        ("composition,gap\nNaCl,1\n", "no column 'formula'.*'composition', 'gap'"),
        ("formula,Gap\nNaCl,1\n", "no column 'gap'"),
        ("formula,gap,gap\nNaCl,1,2\n", "more than one column 'gap'"),
        ("formula,gap\nNaCl\n", "line 2: expected 2 cells; got 1"),
        ("formula,gap\nNaCl,1,2\n", "line 2: expected 2 cells; got 3"),
        ("formula,gap\nNaCl,\n", "line 2: gap is missing"),
        ("formula,gap\nNaCl,inf\n", "line 2: gap must be a finite number"),
        ("formula,gap\nNaCl,1_0\n", "line 2: gap must be a finite number"),
        ("formula,gap\nNaCl,1e999\n", "line 2: gap must be a finite number"),
        ("formula,gap\n,1\n", "line 2: formula is empty"),
        (b"formula,gap\nNaCl,\xff\n", "not UTF-8"),
        ("formula,gap\nNaCl," + "9" * 140000, "line 2: gap must be a finite number"),
    ],
)
def test_formulas__bad_csv__says_what_and_where(table, text, match):
    with pytest.raises(InvalidValueError, match=match):
        read_formulas(table(text), target_columns="gap")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[", "no valid JSON at line 1"),
        ("[]", "is empty"),
        ("3", "list of records or a mapping"),
        ("[1]", "record 1: expected an object"),
        ('[{"formula": 3, "gap": 1}]', "record 1: formula must be text"),
        ('[{"formula": "Si", "gap": true}]', "record 1: gap must be a finite"),
        ('[{"formula": "Si", "gap": [1]}]', "record 1: gap must be a finite"),
        ('[{"formula": "Si"}, {"gap": 2}]', "record 1: gap is missing"),
        ('{"formula": ["Si"], "gap": [1, 2]}', "different lengths"),
        ("[" * 100000, "no usable JSON|no valid JSON"),
    ],
)
def test_formulas__bad_json__says_what_and_where(table, text, match):
    with pytest.raises(InvalidValueError, match=match):
        read_formulas(table(text, "t.json"), target_columns="gap")


def test_formulas__bad_group__is_reported_with_its_line(table):
    path = table("formula,gap,host\nNaCl,1,\n")
    with pytest.raises(InvalidValueError, match="line 2: host is empty"):
        read_formulas(path, target_columns="gap", group_column="host")


def test_formulas__unreadable_path__is_explained(tmp_path, table):
    with pytest.raises(InvalidValueError, match="does not exist"):
        read_formulas(tmp_path / "no.csv")
    with pytest.raises(InvalidValueError, match=r"is a folder.*load_id_prop"):
        read_formulas(tmp_path)
    with pytest.raises(InvalidValueError, match="cannot be read"):
        read_formulas(table("plain text", "t.csv.gz"))
    truncated = gzip.compress(b"formula,gap\nNaCl,1\n" * 50)[:-20]
    with pytest.raises(InvalidValueError, match="cannot be read"):
        read_formulas(table(truncated, "u.csv.gz"))
    with pytest.raises(InvalidValueError, match="cannot be read"):
        read_formulas("a\0b.csv")
    with pytest.raises(InvalidTypeError, match="path must be a str or a path; got int"):
        read_formulas(3)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"target_columns": 3}, InvalidTypeError, "sequence of str"),
        ({"target_columns": [3]}, InvalidTypeError, "index 0"),
        ({"target_columns": ["gap", "gap"]}, InvalidValueError, "twice"),
        ({"target_columns": "formula"}, InvalidValueError, "both the formula"),
        ({"formula_column": 0}, InvalidTypeError, "Column names must be str"),
        ({"group_column": 7}, InvalidTypeError, "Column names must be str"),
    ],
)
def test_formulas__bad_argument__is_named(table, arguments, error, match):
    with pytest.raises(error, match=match):
        read_formulas(table("formula,gap\nSi,1\n"), **arguments)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.binary(max_size=80), as_json=st.booleans())
def test_formulas__any_bytes__give_a_bunch_or_our_error(table, data, as_json):
    text = b"formula,gap\nNaCl,1\n" + data if not as_json else data
    path = table(text, "t.json" if as_json else "t.csv")
    try:
        bunch = read_formulas(path, target_columns="gap")
    except InvalidValueError:
        return
    assert len(bunch.data) == len(bunch.target) >= 1
    assert np.isfinite(bunch.target).all()


@needs_electrodes
def test_electrodes__materials_project_file__is_read_whole():
    bunch = read_electrodes(ELECTRODES)
    frame = pd.read_csv(ELECTRODES, keep_default_na=False)
    assert bunch.data.tolist() == frame["formula_discharge"].tolist()
    assert bunch.target.shape == (5133, 3)
    np.testing.assert_allclose(
        bunch.target, frame[bunch.target_names].to_numpy(float), rtol=1e-15
    )
    assert len(bunch.groups) - len(set(bunch.groups)) == 754
    assert bunch.units["capacity_grav"] == "mAh / g"
    assert list(bunch.frame.columns) == list(frame.columns)
    assert bunch.frame["max_delta_volume"].dtype == np.float64


def test_electrodes__small_table__keeps_other_columns_and_unknown_targets(table):
    path = table(f"{HEADER},note\nb1,CoO2,LiCoO2,Li,3.9,273.8,,x\n")
    bunch = read_electrodes(path)
    np.testing.assert_array_equal(bunch.target, [[3.9, 273.8, np.nan]])
    assert bunch.groups.tolist() == ["b1"]
    assert bunch.frame["note"].tolist() == ["x"]
    X, y = read_electrodes(path, return_X_y=True, as_frame=True)
    assert X.iloc[0, 0] == "LiCoO2"
    assert y.columns.tolist() == ["average_voltage", "capacity_grav", "capacity_vol"]


def test_electrodes__missing_columns__are_all_named(table):
    with pytest.raises(
        InvalidValueError, match="no column 'working_ion', 'battery_id', 'capacity_vol'"
    ):
        read_electrodes(
            table(
                "formula_charge,formula_discharge,average_voltage,capacity_grav\n"
                "CoO2,LiCoO2,3.9,273.8\n"
            )
        )


def test_electrodes__bad_values__are_all_reported_with_lines(table):
    path = table(f"{HEADER}\nb1,CoO2,LiCoO2,Li,high,1,2\nb1,,LiCoO2,Li,3,1,2\n")
    with pytest.raises(InvalidValueError) as caught:
        read_electrodes(path)
    assert "line 2: average_voltage must be a finite number" in str(caught.value)
    assert "line 3: formula_charge is empty" in str(caught.value)


def test_formulas__json_of_columns__rows_are_matched_by_name(tmp_path):
    path = tmp_path / "table.json"
    columns = {"formula": {"0": "NaCl", "1": "KCl"}, "y": {"1": 2.0, "0": 1.0}}
    path.write_text(json.dumps(columns))
    X, y = read_formulas(path, target_columns="y", return_X_y=True)
    assert list(X) == ["NaCl", "KCl"]
    assert y.tolist() == [1.0, 2.0]
    path.write_text(json.dumps({**columns, "y": {"1": 2.0, "2": 1.0}}))
    with pytest.raises(InvalidValueError, match="other rows in column 'y'"):
        read_formulas(path, target_columns="y")
