"""Files of forests: archives of skops, or pickles where it is not installed."""

from __future__ import annotations

import csv
import os
import subprocess

import pytest

from skmatgnn.cli import _model_file, main
from skmatgnn.cli._model_file import MAGIC, SKOPS_MAGIC, read_model

FIT = ["--target", "gap", "--model", "rf_magpie", "--n-estimators", "5"]


@pytest.fixture
def without_skops(monkeypatch):
    monkeypatch.setattr(_model_file, "find_spec", lambda name: None)


@pytest.fixture
def fit(oxides, tmp_path, capsys):
    def run(name):
        out = tmp_path / name
        assert main(["fit", str(oxides), *FIT, "--out", str(out), "--quiet"]) == 0
        return out, capsys.readouterr().out

    return run


def predicted(model, oxides, tmp_path):
    out = tmp_path / "p.csv"
    assert main(["predict", str(model), str(oxides), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        return list(csv.reader(file))


def test_fit__forest_with_skops__is_no_pickle_and_predicts_the_same(
    fit, oxides, tmp_path, monkeypatch
):
    pytest.importorskip("skops")
    archive, printed = fit("archive")
    assert archive.read_bytes().startswith(SKOPS_MAGIC)
    assert "pickle" not in printed
    monkeypatch.setattr(_model_file, "find_spec", lambda name: None)
    pickled, printed = fit("pickled")
    monkeypatch.undo()
    assert pickled.read_bytes().startswith(MAGIC)
    assert "a pickle, open only those you trust" in printed
    found = [predicted(path, oxides, tmp_path) for path in (archive, pickled)]
    assert found[0] == found[1]


def test_predict__archive_with_another_type__is_refused_and_runs_nothing(
    fit, oxides, refused, tmp_path
):
    skops_io = pytest.importorskip("skops.io")
    whole = fit("archive")[0].read_bytes()
    head = whole[: whole.index(b"\n", len(SKOPS_MAGIC)) + 1]
    forged = tmp_path / "forged"
    forged.write_bytes(head + skops_io.dumps([os.system, subprocess.Popen]))
    message = refused("predict", forged, oxides, "--out", tmp_path / "p.csv")
    assert "cannot be opened" in message
    assert "Untrusted types found" in message


def test_predict__archive_without_skops__says_what_to_install(
    fit, oxides, refused, tmp_path, monkeypatch
):
    pytest.importorskip("skops")
    archive, _ = fit("archive")
    monkeypatch.setattr(_model_file, "find_spec", lambda name: None)
    message = refused("predict", archive, oxides, "--out", tmp_path / "p.csv")
    assert "pip install 'skmatgnn[skops]'" in message


@pytest.mark.usefixtures("without_skops")
def test_fit__forest_without_skops__is_a_pickle_that_is_told_from_others(fit):
    pickled, _ = fit("pickled")
    assert _model_file.is_pickle(pickled)
    assert read_model(pickled)[1].model == "rf_magpie"
