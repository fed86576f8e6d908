"""Electrodes of the Materials Project, from a client that only looks like its own."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from skmatgnn.datasets import fetch_electrodes
from skmatgnn.errors import DownloadError, InvalidTypeError, InvalidValueError

KEY = "secret-key-of-a-user-0123456789"


class Symbol:
    """As pymatgen's Element: no string, but printed as one."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


def pair(discharge, charge, voltage):
    return {
        "formula_discharge": discharge,
        "formula_charge": charge,
        "average_voltage": voltage,
        "capacity_grav": 100.0,
        "capacity_vol": None,
        "id_discharge": Symbol("mp-1"),
    }


def document(number, ion, pairs):
    whole = pair(pairs[0][0], pairs[-1][1], 3.0)
    steps = [SimpleNamespace(**pair(*each)) for each in pairs]
    facts = {"battery_id": f"mp-{number}_{ion}", "working_ion": Symbol(ion)}
    return SimpleNamespace(**whole, **facts, num_steps=len(pairs), adj_pairs=steps)


DOCUMENTS = [
    document(1, "Li", [("LiCoO2", "CoO2", 3.9)]),
    document(2, "Li", [("Li2FeO2", "LiFeO2", 3.1), ("LiFeO2", "FeO2", 3.6)]),
    document(3, "Na", [("NaMnO2", "MnO2", 2.8)]),
    document(4, "Na", [("NaX", None, 2.8)]),
]


@pytest.fixture
def project(monkeypatch, tmp_path):
    """A stand-in for mp_api, its log, and its next failures."""
    log = SimpleNamespace(calls=[], keys=[], failures=[])

    class Rester:
        db_version = "2025.09.25"

        def __init__(self, key):
            log.keys.append(key)
            search = SimpleNamespace(search=self.search)
            self.materials = SimpleNamespace(insertion_electrodes=search)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

        def search(self, **query):
            log.calls.append(query)
            if log.failures:
                raise log.failures.pop(0)
            ions = query.get("working_ion")
            return [d for d in DOCUMENTS if not ions or str(d.working_ion) in ions]

    client = ModuleType("mp_api.client")
    client.MPRester = Rester
    monkeypatch.setitem(sys.modules, "mp_api", ModuleType("mp_api"))
    monkeypatch.setitem(sys.modules, "mp_api.client", client)
    monkeypatch.setenv("SKMATGNN_DATA", str(tmp_path))
    monkeypatch.delenv("MP_API_KEY", raising=False)
    return log


def test_fetch_electrodes__first_and_second_call__ask_once(project, tmp_path):
    bunch = fetch_electrodes(KEY)
    assert bunch.data.tolist() == ["LiCoO2", "Li2FeO2", "NaMnO2"]
    assert bunch.target_names == ["average_voltage", "capacity_grav", "capacity_vol"]
    assert bunch.target[:, 0].tolist() == [3.0, 3.0, 3.0]
    assert np.isnan(bunch.target[:, 2]).all()
    assert bunch.groups.tolist() == ["mp-1_Li", "mp-2_Li", "mp-3_Na"]
    assert bunch.frame.id_discharge.tolist() == ["mp-1"] * 3
    assert bunch.database_version == "2025.09.25"
    assert "2025.09.25" in bunch.DESCR
    assert "CC BY 4.0" in bunch.DESCR
    X, y = fetch_electrodes(return_X_y=True)  # no key is needed now
    assert X.tolist() == bunch.data.tolist()
    np.testing.assert_array_equal(y, bunch.target)
    assert len(project.calls) == 1
    assert project.keys == [KEY]
    fetch_electrodes(KEY, refresh=True)
    assert len(project.calls) == 2
    for path in tmp_path.rglob("*"):  # the key is written nowhere
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


def test_fetch_electrodes__steps__are_rows_of_their_electrode(project):
    bunch = fetch_electrodes(KEY, steps=True, as_frame=True)
    assert bunch.frame.formula_charge.tolist() == ["CoO2", "LiFeO2", "FeO2", "MnO2"]
    assert bunch.target.average_voltage.tolist() == [3.9, 3.1, 3.6, 2.8]
    assert bunch.groups.tolist()[1] == bunch.groups.tolist()[2] == "mp-2_Li"
    assert "adj_pairs" in project.calls[0]["fields"]


def test_fetch_electrodes__ions__are_asked_for_and_kept_apart(project):
    for ions, expected in (("Na", 1), (["Na", "Li", "Na"], 3), (None, 3)):
        assert len(fetch_electrodes(KEY, working_ion=ions).data) == expected
    assert [c.get("working_ion") for c in project.calls] == [["Na"], ["Li", "Na"], None]
    assert len(fetch_electrodes(working_ion=("Li", "Na")).data) == 3
    assert len(project.calls) == 3


def test_fetch_electrodes__variable__is_the_key(project, monkeypatch):
    monkeypatch.setenv("MP_API_KEY", KEY)
    fetch_electrodes()
    assert project.keys == [KEY]


def test_fetch_electrodes__no_key__says_where_it_is(project):
    with pytest.raises(InvalidValueError, match=r"api_key, or set MP_API_KEY.*https"):
        fetch_electrodes()
    assert project.calls == []


def test_fetch_electrodes__client_fails__is_asked_again(project):
    project.failures = [OSError("reset"), TimeoutError()]
    assert len(fetch_electrodes(KEY, delay=0.0).data) == 3
    assert len(project.calls) == 3


def test_fetch_electrodes__client_keeps_failing__error_hides_the_key(project, tmp_path):
    project.failures = [OSError(f"GET ?api_key={KEY} failed") for _ in range(9)]
    with pytest.raises(
        DownloadError, match=r"after 3 attempts .*\*\*\* failed"
    ) as caught:
        fetch_electrodes(KEY, n_retries=2, delay=0.0)
    error = caught.value
    while error is not None:
        assert KEY not in str(error)
        error = error.__cause__ or error.__context__
    assert not list(tmp_path.rglob("*.gz"))


def test_fetch_electrodes__nothing_found__is_not_kept(project, tmp_path):
    with pytest.raises(DownloadError, match="no electrodes of Cs"):
        fetch_electrodes(KEY, working_ion="Cs")
    assert not list(tmp_path.rglob("*.gz"))


def test_fetch_electrodes__without_client__names_the_extra(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "mp_api.client", None)
    with pytest.raises(ImportError, match=r"fetch_electrodes needs .*skmatgnn\[mp\]"):
        fetch_electrodes(KEY)


def test_fetch_electrodes__missing_and_not_wanted__says_which_file(project, tmp_path):
    expected = rf"{tmp_path}/materials_project/electrodes_Li.json.gz does not exist"
    with pytest.raises(DownloadError, match=expected):
        fetch_electrodes(KEY, working_ion="Li", download_if_missing=False)
    assert project.calls == []


@pytest.mark.parametrize("note", ["{", "3", json.dumps({"retrieved": "then"}), None])
def test_fetch_electrodes__facts_lost__table_is_still_read(project, note):
    path = fetch_electrodes(KEY).path
    about = path.with_name(path.name + ".about")
    about.unlink() if note is None else about.write_text(note)
    bunch = fetch_electrodes()
    assert bunch.database_version == "unknown"
    assert len(bunch.data) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"working_ion": "Xx"}, InvalidValueError, "element symbols such as 'Li'"),
        ({"working_ion": [3]}, InvalidValueError, "element symbols such as 'Li'"),
        ({"working_ion": 3}, InvalidTypeError, "symbol or a sequence"),
        ({"api_key": 3}, InvalidTypeError, "api_key must be a str; got int"),
    ],
)
def test_fetch_electrodes__wrong_arguments__are_named(
    project, arguments, error, message
):
    with pytest.raises(error, match=message):
        fetch_electrodes(**arguments)
