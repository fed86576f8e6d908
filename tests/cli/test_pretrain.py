"""Pre-training by the command: what is merged, left out, refused and written."""

import json

import numpy as np
import pytest

from skmatgnn import MPTRegressor, load_estimator
from skmatgnn.cli import _fit, _pretrain, main
from skmatgnn.datasets import load_id_prop
from skmatgnn.estimators._checkpoint import read_about

TINY = [
    *("--param", "hidden_dim=8", "--param", "embedding_dim=8"),
    *("--param", "n_alignn_layers=1", "--param", "n_gcn_layers=1"),
    *("--max-epochs", "2", "--device", "cpu", "--quiet"),
]


def pretrain(*properties, out, further=()):
    named = [text for given in properties for text in ("--property", given)]
    return main(["pretrain", *named, "--out", str(out), *map(str, further), *TINY])


def test_pretrain__folder_and_table__gives_what_python_gives(
    crystal_folder, crystal_table, tmp_path, capsys
):
    out = tmp_path / "mpt.safetensors"
    properties = (f"volume={crystal_folder}", f"rho={crystal_table}:density")
    assert pretrain(*properties, out=out) == 0
    printed = capsys.readouterr().out
    assert "24 materials, 2 properties" in printed
    assert "mpt (alignn) for volume, rho" in printed
    found = load_estimator(out)
    assert isinstance(found, MPTRegressor)
    assert found.property_names_.tolist() == ["volume", "rho"]

    crystals = load_id_prop(crystal_folder)
    density = [x.density if i % 2 else np.nan for i, x in enumerate(crystals.data)]
    parameters = {"hidden_dim": 8, "embedding_dim": 8, "n_alignn_layers": 1}
    model = MPTRegressor(
        **parameters, n_gcn_layers=1, max_epochs=2, device="cpu", random_state=0
    ).fit(crystals.data, np.column_stack([crystals.target, density]))
    np.testing.assert_allclose(
        found.predict(crystals.data), model.predict(crystals.data), rtol=1e-4
    )


def test_pretrain__two_properties_of_one_file__are_of_the_same_materials(
    crystal_table, tmp_path, capsys
):
    out = tmp_path / "mpt"
    properties = (f"volume={crystal_table}", f"density={crystal_table}")
    assert pretrain(*properties, out=out, further=["--model", "cgcnn"]) == 0
    printed = capsys.readouterr()
    assert "24 materials, 2 properties" in printed.out
    assert "materials of its own" not in printed.err
    about = read_about(out)
    assert about["merged"]["rows"][1]["unknown"] == 12
    assert about["model"]["model"] == "mpt (cgcnn)"
    assert str(tmp_path) not in json.dumps(about)


def test_pretrain__no_match__says_that_rows_of_one_file_are_apart(
    crystal_table, tmp_path, capsys
):
    properties = (f"volume={crystal_table}", f"density={crystal_table}")
    further = ["--match", "none"]
    assert pretrain(*properties, out=tmp_path / "m", further=further) == 0
    printed = capsys.readouterr()
    assert "36 materials" in printed.out
    assert "counts its rows as materials of its own" in printed.err


@pytest.mark.parametrize("kind", ["formulas", "structures", "folder"])
def test_pretrain__exclude__drops_every_row_of_the_test_set(
    kind, crystal_folder, crystal_table, tmp_path, monkeypatch, capsys
):
    crystals = load_id_prop(crystal_folder).data
    held_out = {crystals[i].composition.reduced_formula for i in (0, 5)}
    test = tmp_path / "test.json"
    if kind == "formulas":
        test.write_text(json.dumps([{"formula": name} for name in held_out]))
    elif kind == "structures":
        rows = [{"structure": crystals[i].as_dict()} for i in (0, 5)]
        test.write_text(json.dumps(rows))
    else:
        test = tmp_path / "test"
        test.mkdir()
        for name in ("c0.cif", "c5.cif"):
            (test / name).write_bytes((crystal_folder / name).read_bytes())
    trained_on = []
    make_graphs = _pretrain.make_graphs

    def watch(estimator, samples):
        trained_on.extend(samples.formulas)
        return make_graphs(estimator, samples)

    monkeypatch.setattr(_pretrain, "make_graphs", watch)
    properties = (f"volume={crystal_table}", f"rho={crystal_table}:density")
    further = ["--exclude", test]
    assert pretrain(*properties, out=tmp_path / "m", further=further) == 0
    everything = [x.composition.reduced_formula for x in crystals]
    assert trained_on == [name for name in everything if name not in held_out]
    assert read_about(tmp_path / "m")["merged"]["excluded"] == [test.name]


def test_pretrain__max_rows__takes_a_sample_of_the_materials(
    crystal_table, tmp_path, capsys
):
    further = ["--max-rows", "10"]
    out = tmp_path / "m"
    assert pretrain(f"volume={crystal_table}", out=out, further=further) == 0
    printed = capsys.readouterr().out
    assert "trained on 10 rows" in printed
    assert "10 of 24 materials, 1 properties" in printed


def test_pretrain__interrupted__writes_the_best_network_and_exits_130(
    crystal_table, tmp_path, monkeypatch
):
    run = _pretrain.run

    def interrupted(options, notes):
        notes.interrupted = True
        return run(options, notes)

    monkeypatch.setattr(_pretrain, "run", interrupted)
    out = tmp_path / "m"
    assert pretrain(f"volume={crystal_table}", out=out) == _fit.INTERRUPTED
    assert load_estimator(out).n_epochs_ == 2


def test_pretrain__bad_file_or_column__says_what_there_is(
    refused, crystal_folder, crystal_table, tmp_path
):
    def message(given, *further):
        return refused(
            "pretrain", "--property", given, "--out", tmp_path / "m", *further
        )

    assert "nope.json does not exist" in message(f"a={tmp_path / 'nope.json'}")
    text = message(f"gap={crystal_table}")
    assert "has no column 'gap'. Its numeric columns are: 'volume', 'density'" in text
    assert f"--property gap={crystal_table}:COLUMN" in text
    text = message(f"gap={crystal_folder}:gap")
    assert "has no target column 'gap'" in text
    assert "['volume']" in text
    named = ["--structure-column", "cell"]
    text = message(f"volume={crystal_table}", *named)
    assert "has no column 'cell'" in text
    assert "Use --structure-column" in text


def test_pretrain__bad_rows__are_named_together(refused, crystal_table, tmp_path):
    rows = json.loads(crystal_table.read_text())
    rows[2]["volume"] = "large"
    rows[4]["volume"] = True
    path = tmp_path / "bad.json"
    out = ["--out", tmp_path / "m"]
    path.write_text(json.dumps(rows))
    text = refused("pretrain", "--property", f"volume={path}", *out)
    assert "record 3: volume must be a finite number; got" in text
    assert "record 5: volume must be a finite number" in text

    rows = json.loads(crystal_table.read_text())
    rows[1]["structure"]["sites"][0]["species"][0]["element"] = "Qq"
    del rows[6]["structure"]["lattice"]
    rows[7]["structure"] = "nowhere.cif"
    path.write_text(json.dumps(rows))
    text = refused("pretrain", "--property", f"volume={path}", *out)
    assert "record 2: cannot read the structure" in text
    assert "record 7: cannot read the structure" in text
    assert "record 8: cannot read the structure: there is no structure file" in text


def test_pretrain__disordered_structures__are_named(refused, crystal_table, tmp_path):
    rows = json.loads(crystal_table.read_text())
    for row in (3, 9):
        species = rows[row]["structure"]["sites"][0]["species"]
        rows[row]["structure"]["sites"][0]["species"] = [
            {**species[0], "occu": 0.5},
            {"element": "Ni", "occu": 0.5},
        ]
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(rows))
    text = refused(
        "pretrain", "--property", f"v={path}:volume", "--out", tmp_path / "m"
    )
    assert "2 problems" in text
    assert "record 4: " in text
    assert "record 10: " in text


def test_pretrain__nothing_left_or_nothing_to_learn__is_refused(
    refused, crystal_table, tmp_path
):
    out = ["--out", tmp_path / "m"]
    given = ["--property", f"volume={crystal_table}"]
    text = refused("pretrain", *given, "--exclude", crystal_table, *out)
    assert "No value of 'volume' is left" in text
    rows = [{**row, "volume": 1.0} for row in json.loads(crystal_table.read_text())]
    path = tmp_path / "same.json"
    path.write_text(json.dumps(rows))
    text = refused("pretrain", "--property", f"volume={path}", *out)
    assert "'volume' has the same value" in text


def test_pretrain__parameters__are_checked_before_anything_is_read(refused, tmp_path):
    path = tmp_path / "unread.json"
    path.write_text("not read")
    arguments = ["pretrain", "--property", f"v={path}", "--out", tmp_path / "m"]
    text = refused(*arguments, "--param", "depth=3")
    assert "MPTRegressor has no such parameter" in text
    assert "n_alignn_layers" in text
    assert "or another option sets it" in refused(*arguments, "--param", "device=cpu")
    assert "'lr' parameter of MPTRegressor" in refused(*arguments, "--param", "lr=-1")
    assert "cannot be used" in refused(*arguments, "--device", "nodevice")


def test_pretrain__out__replaces_only_a_checkpoint(refused, crystal_table, tmp_path):
    given = ["--property", f"volume={crystal_table}"]
    data = tmp_path / "data.csv"
    data.write_text("formula,gap\nNaCl,8\n")
    text = refused("pretrain", *given, "--out", data)
    assert "exists and is no checkpoint" in text
    text = refused("pretrain", *given, "--out", tmp_path / "a" / "m")
    assert "Make it first" in text


def test_pretrain__failure_while_writing__keeps_the_former_checkpoint(
    crystal_table, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "m"
    assert pretrain(f"volume={crystal_table}", out=out) == 0
    before = out.read_bytes()

    def full(path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_pretrain, "write_checkpoint", full)
    assert pretrain(f"volume={crystal_table}", out=out) == 2
    assert "No space left" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
