"""``skmatgnn predict --std``."""

import csv
import signal

import numpy as np
import pytest

from skmatgnn import ALIGNNRegressor, DeepEnsembleRegressor, load_estimator
from skmatgnn.cli import main
from skmatgnn.datasets import read_structures
from skmatgnn.nets import GraphNet


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


def test_ensemble__of_structures__predicts_in_the_shell_as_in_python(
    crystal_folder, tmp_path, capsys
):
    model, out = tmp_path / "m.safetensors", tmp_path / "p.csv"
    network = {
        "hidden_dim": 8, "embedding_dim": 8, "n_alignn_layers": 1, "n_gcn_layers": 1,
    }  # fmt: skip
    arguments = ["--model", "alignn", "--ensemble", "2", "--quiet", "--out", str(model)]
    arguments += ["--max-epochs", "1", "--device", "cpu"]
    for name, value in network.items():
        arguments += ["--param", f"{name}={value}"]
    assert main(["fit", str(crystal_folder), *arguments]) == 0
    assert "an ensemble of 2 networks" in capsys.readouterr().out
    loaded = load_estimator(model)
    assert isinstance(loaded, DeepEnsembleRegressor)
    first, second = loaded.estimators_
    assert isinstance(first, ALIGNNRegressor)
    assert first.random_state != second.random_state
    predict = ["predict", str(model), str(crystal_folder), "--quiet", "--out", str(out)]
    assert main([*predict, "--std"]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    read = read_structures(crystal_folder)
    assert [row["id"] for row in rows] == read.frame["file"].tolist()
    expected = np.stack(loaded.predict(read.data, return_std=True), axis=1)
    name = next(column for column in rows[0] if column.startswith("std_"))[4:]
    found = [
        [float(row[f"{kind}_{name}"]) for kind in ("predicted", "std")] for row in rows
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (expected[:, 1] > 0).all()
    assert main(predict) == 0
    assert "std" not in out.read_text().splitlines()[0]


@pytest.mark.parametrize(("member", "n_kept"), [(1, 1), (2, 2), (3, 2)])
def test_ensemble__ctrl_c__is_written_with_what_there_is(
    member, n_kept, crystal_folder, tmp_path, monkeypatch, capsys
):
    step, nets = GraphNet.train_step, {}

    def pressed(self, *arguments, **parameters):
        nets.setdefault(id(self), self)
        if len(nets) == member and len(self.history) == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *arguments, **parameters)

    monkeypatch.setattr(GraphNet, "train_step", pressed)
    model, out = tmp_path / "m.safetensors", tmp_path / "p.csv"
    arguments = ["--model", "cgcnn", "--max-epochs", "4", "--device", "cpu", "--quiet"]
    arguments += ["--ensemble", "4", "--out", str(model)]
    assert main(["fit", str(crystal_folder), *arguments]) == 130
    assert len(nets) == member
    said = capsys.readouterr()
    assert f"an ensemble of {n_kept} network" in said.out
    assert f"{n_kept} of 4 members are kept" in said.err
    assert len(load_estimator(model).estimators_) == n_kept
    predict = ["predict", str(model), str(crystal_folder), "--quiet", "--out", str(out)]
    assert main(predict) == 0
    assert main([*predict, "--std"]) == (0 if n_kept > 1 else 2)


def test_ensemble__of_forests__is_refused(refused, oxides, tmp_path):
    arguments = ["--target", "gap", "--model", "rf_magpie", "--ensemble", "2"]
    message = refused("fit", oxides, *arguments, "--out", tmp_path / "m")
    assert "--ensemble is of networks, and rf_magpie is none" in message
