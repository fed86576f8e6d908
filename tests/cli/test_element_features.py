"""Graph models whose features of the elements are a table of numbers."""

import csv
import json

import numpy as np
import pytest

from skmatgnn import CGCNNRegressor, load_estimator
from skmatgnn.cli import _models, main
from skmatgnn.cli._models import Model
from skmatgnn.datasets import load_id_prop
from skmatgnn.utils.elements import cgcnn_element_features

TABLE = np.nan_to_num(cgcnn_element_features()[:, :10])
SMALL = {"node_dim": 4, "hidden_dim": 4, "max_epochs": 1, "device": "cpu"}


def make(_=None):
    return CGCNNRegressor(element_features=TABLE, random_state=0, **SMALL)


@pytest.fixture
def model_file(crystal_folder, tmp_path):
    crystals = load_id_prop(crystal_folder)
    path = tmp_path / "cgcnn"
    make().fit(crystals.data, crystals.target).save(path)
    return path


def run(*arguments):
    return main([*map(str, arguments), "--device", "cpu", "--quiet"])


def test_predict__model_of_a_table__predicts_as_in_python(
    model_file, crystal_folder, tmp_path
):
    out = tmp_path / "p.csv"
    assert run("predict", model_file, crystal_folder, "--out", out) == 0
    with out.open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    crystals = load_id_prop(crystal_folder)
    got = [float(rows[f"{name}.cif"]["predicted_target"]) for name in crystals.ids]
    expected = load_estimator(model_file).predict(crystals.data)
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_finetune__model_of_a_table__goes_on_with_it(
    model_file, crystal_folder, tmp_path
):
    out = tmp_path / "m"
    options = ["--pretrained", model_file, "--max-epochs", "1", "--out", out]
    assert run("finetune", crystal_folder, *options) == 0
    np.testing.assert_array_equal(load_estimator(out)._element_table, TABLE)


def test_fit__table_as_a_parameter__is_used(crystal_folder, tmp_path):
    out = tmp_path / "m"
    table = f"element_features={json.dumps(TABLE.tolist())}"
    options = ["--model", "cgcnn", "--max-epochs", "1", "--out", out]
    assert run("fit", crystal_folder, *options, "--param", table) == 0
    np.testing.assert_allclose(load_estimator(out)._element_table, TABLE)


def test_benchmark__model_of_a_table__is_scored(crystal_folder, tmp_path, monkeypatch):
    model = Model("cgcnn", make, uses_graphs=True, is_network=True)
    monkeypatch.setitem(_models.MODELS, "cgcnn", model)
    options = ["--models", "control,cgcnn", "--cv", "stratified", "--n-splits", "2"]
    out = tmp_path / "out"
    assert run("benchmark", crystal_folder, *options, "--out", out) == 0
    scores = json.loads((out / "results.json").read_text())["scores"]
    assert [score["model"] for score in scores] == ["control", "cgcnn"]
    assert np.isfinite(scores[1]["mae"])
