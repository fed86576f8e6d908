"""``skmatgnn predict --std``."""

import csv

import numpy as np

from skmatgnn import load_estimator
from skmatgnn.cli import main


def test_predict__std__equals_that_of_the_estimator(oxides, tmp_path):
    model, out = tmp_path / "m.safetensors", tmp_path / "p.csv"
    arguments = ["--target", "gap", "volume", "--model", "crabnet", "--quiet"]
    arguments += ["--max-epochs", "1", "--param", "d_model=16", "--out", str(model)]
    assert main(["fit", str(oxides), *arguments]) == 0
    table = tmp_path / "new.csv"
    table.write_text("formula\nLiFeO2\nRbAlO2\n")
    predict = ["predict", str(model), str(table), "--std", "--out", str(out)]
    assert main(predict) == 0
    columns = ["predicted_gap", "predicted_volume", "std_gap", "std_volume"]
    with out.open(newline="") as file:
        found = [[float(row[c]) for c in columns] for row in csv.DictReader(file)]
    expected = load_estimator(model).predict(["LiFeO2", "RbAlO2"], return_std=True)
    np.testing.assert_allclose(found, np.hstack(expected), rtol=1e-12)
    assert main(predict) == 0  # replaces its own CSV


def test_predict__std_of_a_model_without__names_those_that_have_it(
    refused, oxides, tmp_path, capsys
):
    model_file = tmp_path / "gap.model"
    arguments = ["--target", "gap", "--model", "rf_magpie", "--n-estimators", "5"]
    assert main(["fit", str(oxides), *arguments, "--out", str(model_file)]) == 0
    capsys.readouterr()
    message = refused("predict", model_file, oxides, "--std", "--out", tmp_path / "p")
    assert "--std: this rf_magpie predicts no standard deviation" in message
    assert "crabnet and modnet do, with" in message
    assert not (tmp_path / "p").exists()
