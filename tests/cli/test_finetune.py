"""Fine-tuning by the command."""

import csv
import json

import numpy as np
import pytest
import torch

from skmatgnn import (
    ALIGNNRegressor,
    CGCNNRegressor,
    ConformalRegressor,
    CrabNetRegressor,
    DeepEnsembleRegressor,
    GraphEmbedding,
    MODNetRegressor,
    MPTRegressor,
    load_estimator,
)
from skmatgnn.cli import _finetune, main
from skmatgnn.cli._transfer_arguments import STRATEGIES
from skmatgnn.datasets import load_id_prop
from skmatgnn.nets._fine_tuning import STRATEGIES as OF_NETS

SMALL = {"hidden_dim": 8, "embedding_dim": 8, "n_alignn_layers": 1, "n_gcn_layers": 1}


@pytest.fixture(scope="module")
def pretrained(crystal_folder, tmp_path_factory):
    """An MPTRegressor on graphs with settings of its own."""
    crystals = load_id_prop(crystal_folder)
    Y = np.column_stack([crystals.target, [x.density for x in crystals.data]])
    model = MPTRegressor(**SMALL, cutoff=6.0, max_neighbors=8, max_epochs=1)
    model.set_params(random_state=0, device="cpu", three_body_cutoff=3.5)
    path = tmp_path_factory.mktemp("pretrained") / "mpt.safetensors"
    model.fit(crystals.data, Y).save(path)
    return path


def finetune(data, pretrained, out, *further):
    arguments = ["finetune", data, "--pretrained", pretrained, "--out", out, *further]
    fixed = ["--max-epochs", "2", "--device", "cpu", "--quiet"]
    return main([*map(str, arguments), *fixed])


def test_strategies__are_those_of_the_nets():
    assert set(STRATEGIES) == set(OF_NETS)


def test_finetune__folder__equals_the_estimator_in_python(
    crystal_folder, pretrained, tmp_path, capsys
):
    out = tmp_path / "m.safetensors"
    lr = ["--param", "lr=0.002"]
    further = ["--fine-tuning", "two_body", "--head", "new", *lr]
    assert finetune(crystal_folder, pretrained, out, *further) == 0
    printed = capsys.readouterr().out
    assert "alignn for volume" in printed
    assert "two_body, head new" in printed
    found = load_estimator(out)
    assert (found.fine_tuning, found.head, found.lr) == ("two_body", "new", 0.002)

    crystals = load_id_prop(crystal_folder)
    model = ALIGNNRegressor(
        pretrained=pretrained, fine_tuning="two_body", head="new", lr=0.002
    ).set_params(max_epochs=2, random_state=0, device="cpu")
    expected = model.fit(crystals.data, crystals.target).predict(crystals.data)
    np.testing.assert_allclose(found.predict(crystals.data), expected, rtol=1e-4)

    table = tmp_path / "p.csv"
    assert main(["predict", str(out), str(crystal_folder), "--out", str(table)]) == 0
    with table.open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    got = [float(rows[f"{name}.cif"]["predicted_volume"]) for name in crystals.ids]
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_finetune__head_only__leaves_the_trunk_as_it_was(
    crystal_table, pretrained, tmp_path
):
    out = tmp_path / "m"
    further = ["--target", "volume", "--fine-tuning", "head"]
    assert finetune(crystal_table, pretrained, out, *further) == 0
    before = load_estimator(pretrained).net_.module_.state_dict()
    after = load_estimator(out).net_.module_.state_dict()
    trunk = [name for name in after if not name.startswith("head.")]
    assert len(trunk) > 10
    assert all(torch.equal(before[name], after[name]) for name in trunk)


def test_finetune__two_targets_of_a_table__copes_with_unknown_ones(
    crystal_table, pretrained, tmp_path
):
    out = tmp_path / "m"
    further = ["--target", "volume", "density"]
    assert finetune(crystal_table, pretrained, out, *further) == 0
    assert load_estimator(out).n_outputs_ == 2


def test_finetune__crabnet_checkpoint__reads_formulas(oxides, tmp_path):
    formulas = ["NaCl", "KCl", "MgO", "CaO", "TiO2"]
    source = CrabNetRegressor(d_model=8, n_heads=2, n_layers=1, max_epochs=1)
    source.set_params(random_state=0, device="cpu")
    path, out = tmp_path / "crabnet", tmp_path / "m"
    source.fit(formulas, [8.5, 8.4, 7.8, 6.9, 3.2]).save(path)
    assert finetune(oxides, path, out, "--target", "gap") == 0
    assert isinstance(load_estimator(out), CrabNetRegressor)
    predicted = tmp_path / "p.csv"
    assert main(["predict", str(out), str(oxides), "--out", str(predicted)]) == 0
    assert predicted.read_text().startswith("id,formula,predicted_gap\n2,LiFeO2,")


def test_finetune__own_checkpoint_of_the_same_kind__can_keep_its_head(
    crystal_folder, tmp_path
):
    crystals = load_id_prop(crystal_folder)
    source = CGCNNRegressor(max_epochs=1, random_state=0, device="cpu")
    path, out = tmp_path / "cgcnn", tmp_path / "m"
    source.fit(crystals.data, crystals.target).save(path)
    assert finetune(crystal_folder, path, out, "--head", "keep") == 0
    assert isinstance(load_estimator(out), CGCNNRegressor)


def test_finetune__unusable_checkpoint__says_why(
    refused, crystal_folder, oxides, pretrained, tmp_path
):
    out = ["--out", tmp_path / "m"]

    def message(given, data=crystal_folder, *further):
        return refused("finetune", data, "--pretrained", given, *out, *further)

    assert "nope does not exist" in message(tmp_path / "nope")
    assert "there are skmatgnn/mpt-mp-small" in message("skmatgnn/none")
    assert "not in the safetensors format" in message(oxides)
    MODNetRegressor(n_models=1, max_epochs=1, device="cpu").fit(
        ["NaCl", "KCl", "MgO"], [8.5, 8.4, 7.8]
    ).save(tmp_path / "modnet")
    text = message(tmp_path / "modnet")
    assert "MODNetRegressor, which has no network to start from" in text
    assert "head='keep' cannot keep the head" in message(
        pretrained, crystal_folder, "--head", "keep"
    )
    assert "has other settings than were asked for" in message(
        pretrained, crystal_folder, "--param", "hidden_dim=16"
    )


@pytest.fixture(scope="module")
def wrapped(crystal_folder, tmp_path_factory):
    """Files of estimators around a network."""
    crystals = load_id_prop(crystal_folder)
    one = CGCNNRegressor(node_dim=4, hidden_dim=4, max_epochs=1)
    one.set_params(random_state=0, device="cpu")
    models = {
        "ensemble": DeepEnsembleRegressor(one, n_models=2, random_state=0),
        "conformal": ConformalRegressor(one, confidence_level=0.5, random_state=0),
        "embedding": GraphEmbedding(one),
    }
    folder = tmp_path_factory.mktemp("wrapped")
    for name, model in models.items():
        model.fit(crystals.data, crystals.target).save(folder / name)
    return folder


@pytest.mark.parametrize("name", ["ensemble", "conformal", "embedding"])
def test_finetune__of_an_estimator_around_a_network__says_how_to_get_at_it(
    name, refused, crystal_folder, wrapped, tmp_path
):
    file, out = wrapped / name, ["--out", tmp_path / "m"]
    text = refused("finetune", crystal_folder, "--pretrained", file, *out)
    assert "which has no network to start from" in text
    path = "estimator_" if name == "embedding" else "estimators_[0]"
    assert f"load_estimator(file).{path}.save(another)" in text
    inner = load_estimator(file)
    inner = inner.estimator_ if name == "embedding" else inner.estimators_[0]
    inner.save(tmp_path / "inner")
    assert finetune(crystal_folder, tmp_path / "inner", tmp_path / "m") == 0


def test_predict__of_an_estimator_around_a_network__works_if_it_predicts(
    refused, crystal_folder, wrapped, tmp_path
):
    out = ["--out", tmp_path / "p.csv"]
    text = refused("predict", wrapped / "embedding", crystal_folder, *out)
    assert "GraphEmbedding, which predicts nothing" in text
    text = refused("predict", wrapped / "conformal", crystal_folder, "--std", *out)
    assert "predicts no standard deviation" in text
    crystals = load_id_prop(crystal_folder)
    for name in ("ensemble", "conformal"):
        arguments = ["predict", wrapped / name, crystal_folder, *out, "--quiet"]
        assert main([*map(str, arguments)]) == 0
        with (tmp_path / "p.csv").open(newline="") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}
        got = [float(rows[f"{i}.cif"]["predicted_target"]) for i in crystals.ids]
        expected = load_estimator(wrapped / name).predict(crystals.data)
        np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_finetune__bad_data__is_named(refused, crystal_table, pretrained, tmp_path):
    fixed = ["--pretrained", pretrained, "--out", tmp_path / "m"]
    assert "nope does not exist" in refused("finetune", tmp_path / "nope", *fixed)
    text = refused("finetune", crystal_table, *fixed)
    assert "--target COLUMN. The numeric columns" in text
    text = refused("finetune", crystal_table, "--target", "density", *fixed)
    assert "record 1: density is missing" in text
    text = refused("finetune", crystal_table, "--target", "gap", *fixed)
    assert "has no column 'gap'" in text
    table = tmp_path / "formulas.csv"
    table.write_text("formula,gap\nNaCl,8\nKCl,7\n")
    text = refused("finetune", table, "--target", "gap", *fixed)
    assert "has no column of structures" in text
    rows = json.loads(crystal_table.read_text())
    rows[4]["structure"]["sites"][0]["abc"] = [0, 0, "x"]
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(rows))
    text = refused("finetune", bad, "--target", "volume", *fixed)
    assert "record 5: cannot read the structure: sites.abc is not numeric" in text


def test_finetune__failure__leaves_nothing(
    crystal_folder, pretrained, tmp_path, monkeypatch
):
    def broken(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_finetune, "write_checkpoint", broken)
    assert finetune(crystal_folder, pretrained, tmp_path / "m") == 2
    assert list(tmp_path.iterdir()) == []
