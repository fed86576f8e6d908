import csv
import json
import pickle

import numpy as np
import pytest

from skmatgnn import CGCNNClassifier, CGCNNRegressor, load_estimator
from skmatgnn.cli import _fit, _predict, main
from skmatgnn.cli._model_file import MAGIC, read_model
from skmatgnn.datasets import load_id_prop
from skmatgnn.estimators.composition import make_rf_magpie

FAST = ["--n-estimators", "10", "--quiet"]


@pytest.fixture
def model_file(oxides, tmp_path, capsys):
    out = tmp_path / "gap.model"
    arguments = ["--target", "gap", "--model", "rf_magpie", "--out", str(out)]
    assert main(["fit", str(oxides), *arguments, *FAST]) == 0
    capsys.readouterr()
    return out


@pytest.fixture(scope="module")
def network_file(crystal_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "volume.model"
    arguments = ["--model", "alignn", "--max-epochs", "2", "--device", "cpu"]
    assert (
        main(["fit", str(crystal_folder), *arguments, "--out", str(out), "--quiet"])
        == 0
    )
    return out


def predictions(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fit__table__prints_what_was_trained_and_where_it_is(oxides, tmp_path, capsys):
    out = tmp_path / "gap.model"
    arguments = ["--target", "gap", "--model", "rf_magpie", "--out", str(out)]
    assert main(["fit", str(oxides), *arguments, *FAST]) == 0
    printed = capsys.readouterr().out
    assert "rf_magpie for gap" in printed
    assert "trained on 60 rows in" in printed
    assert str(out) in printed


def test_predict__table__equals_the_estimator_in_python(model_file, oxides, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("formula\nLiFeO2\n\nRbAlO2\n")
    out = tmp_path / "p.csv"
    assert main(["predict", str(model_file), str(table), "--out", str(out)]) == 0
    rows = predictions(out)
    assert [row["id"] for row in rows] == ["2", "4"]
    cells = [line.split(",") for line in oxides.read_text().splitlines()[1:]]
    reference = make_rf_magpie(n_estimators=10, random_state=0)
    reference.fit([c[1] for c in cells], [float(c[2]) for c in cells])
    expected = reference.predict(["LiFeO2", "RbAlO2"])
    got = [float(row["predicted_gap"]) for row in rows]
    np.testing.assert_array_equal(got, expected)


def test_predict__table__takes_the_formula_column_of_the_training_table(
    tmp_path, capsys
):
    train = tmp_path / "train.csv"
    train.write_text("composition,y\nNaCl,1\nKCl,2\nMgO,3\n")
    model = tmp_path / "m"
    columns = ["--formula-column", "composition", "--target", "y"]
    arguments = ["--model", "rf_magpie", "--out", str(model)]
    assert main(["fit", str(train), *columns, *arguments, *FAST]) == 0
    out = tmp_path / "p.csv"
    assert main(["predict", str(model), str(train), "--out", str(out)]) == 0
    assert [row["formula"] for row in predictions(out)] == ["NaCl", "KCl", "MgO"]


def test_fit__two_targets__both_are_predicted(oxides, tmp_path):
    model, out = tmp_path / "m", tmp_path / "p.csv"
    arguments = ["--target", "gap", "volume", "--model", "rf_magpie"]
    assert main(["fit", str(oxides), *arguments, "--out", str(model), *FAST]) == 0
    assert main(["predict", str(model), str(oxides), "--out", str(out)]) == 0
    rows = predictions(out)
    gap, volume = (
        np.array([float(row[f"predicted_{name}"]) for row in rows])
        for name in ("gap", "volume")
    )
    assert gap.max() < 10 < volume.min()


def test_fit__network__predicts_structure_files_without_a_table(
    network_file, crystal_folder, tmp_path
):
    folder = tmp_path / "new"
    folder.mkdir()
    for name in ("c0.cif", "c7.cif"):
        (folder / name).write_bytes((crystal_folder / name).read_bytes())
    (folder / "readme.txt").write_text("no structure")
    many, one = tmp_path / "many.csv", tmp_path / "one.csv"
    arguments = ["predict", str(network_file), "--quiet"]
    assert main([*arguments, str(folder), "--out", str(many)]) == 0
    assert main([*arguments, str(folder / "c7.cif"), "--out", str(one)]) == 0
    rows = predictions(many)
    assert [row["id"] for row in rows] == ["c0.cif", "c7.cif"]
    alone = float(predictions(one)[0]["predicted_volume"])
    assert alone == pytest.approx(float(rows[1]["predicted_volume"]), rel=1e-5)
    estimator, info = read_model(network_file)
    assert (info.model, info.uses_graphs, info.n_samples) == ("alignn", True, 24)
    assert estimator.n_epochs_ == 2


@pytest.mark.parametrize("name", ["modnet", "crabnet"])
def test_fit__network_for_formulas__predicts_and_copes_with_unknown_targets(
    name, edited, tmp_path, capsys
):
    table = edited(line3="Li-Fe,LiFeO2,,20,LiFeO2")
    model, out = tmp_path / "m", tmp_path / "p.csv"
    arguments = ["--target", "gap", "volume", "--model", name, "--max-epochs", "3"]
    arguments += ["--device", "cpu", "--out", str(model), "--quiet"]
    assert main(["fit", str(table), *arguments]) == 0
    assert "3 epochs on cpu" in capsys.readouterr().out
    assert main(["predict", str(model), str(table), "--out", str(out)]) == 0
    values = [float(row["predicted_gap"]) for row in predictions(out)]
    assert len(values) == 60
    assert len(set(values)) > 20


def test_fit__network__writes_a_checkpoint_that_python_loads_without_pickle(
    network_file, crystal_folder, tmp_path
):
    out = tmp_path / "p.csv"
    arguments = ["predict", str(network_file), str(crystal_folder / "c3.cif")]
    assert main([*arguments, "--out", str(out), "--quiet"]) == 0
    loaded = load_estimator(network_file)
    crystal = load_id_prop(crystal_folder).data[3]
    expected = loaded.predict([crystal])[0]
    assert float(predictions(out)[0]["predicted_volume"]) == pytest.approx(expected)
    assert network_file.read_bytes()[8:9] == b"{"


def test_predict__checkpoint_of_save__has_names_of_its_own(crystal_folder, tmp_path):
    crystals = load_id_prop(crystal_folder)
    model = CGCNNRegressor(max_epochs=1, random_state=0, device="cpu")
    model.fit(crystals.data, np.column_stack([crystals.target, crystals.target]))
    path, out = tmp_path / "m.safetensors", tmp_path / "p.csv"
    model.save(path)
    assert main(["predict", str(path), str(crystal_folder), "--out", str(out)]) == 0
    header = ["id", "formula", "predicted_target_0", "predicted_target_1"]
    assert list(predictions(out)[0]) == header


def test_predict__checkpoint_of_a_classifier__gives_labels(crystal_folder, tmp_path):
    crystals = load_id_prop(crystal_folder)
    labels = np.where(crystals.target > np.median(crystals.target), "large", "small")
    model = CGCNNClassifier(max_epochs=1, random_state=0, device="cpu")
    path, out = tmp_path / "m.safetensors", tmp_path / "p.csv"
    model.fit(crystals.data, labels).save(path)
    assert main(["predict", str(path), str(crystal_folder), "--out", str(out)]) == 0
    got = {row["id"]: row["predicted_target"] for row in predictions(out)}
    expected = dict(zip(crystals.ids, model.predict(crystals.data), strict=True))
    assert got == {f"{name}.cif": label for name, label in expected.items()}


def test_fit__table_of_structures__equals_the_folder(
    crystal_folder, crystal_table, tmp_path
):
    arguments = ["--model", "cgcnn", "--max-epochs", "1", "--device", "cpu", "--quiet"]
    found = []
    for number, data in enumerate((crystal_folder, crystal_table)):
        model, out = tmp_path / f"m{number}", tmp_path / f"{number}.csv"
        target = ["--target", "volume", "--out", str(model)]
        assert main(["fit", str(data), *target, *arguments]) == 0
        assert main(["predict", str(model), str(crystal_table), "--out", str(out)]) == 0
        found.append(predictions(out))
    assert [row["id"] for row in found[1]] == [str(i) for i in range(1, 25)]
    volumes = [[float(row["predicted_volume"]) for row in rows] for rows in found]
    np.testing.assert_allclose(*volumes, rtol=1e-4)


def test_predict__poscar__is_read_too(network_file, crystal_folder, tmp_path):
    from pymatgen.core import Structure

    folder = tmp_path / "poscars"
    folder.mkdir()
    crystal = Structure.from_file(str(crystal_folder / "c0.cif"))
    (folder / "POSCAR").write_text(crystal.to(fmt="poscar"))
    out = tmp_path / "p.csv"
    assert (
        main(["predict", str(network_file), str(folder), "--out", str(out), "--quiet"])
        == 0
    )
    (row,) = predictions(out)
    assert (row["id"], row["formula"]) == (
        "POSCAR",
        crystal.composition.reduced_formula,
    )


def test_fit__forest_on_a_folder__uses_the_compositions(crystal_folder, tmp_path):
    model, out = tmp_path / "m", tmp_path / "p.csv"
    arguments = ["--model", "rf_magpie", "--out", str(model)]
    assert main(["fit", str(crystal_folder), *arguments, *FAST]) == 0
    table = tmp_path / "t.csv"
    table.write_text("formula\nNaCl\n")
    assert main(["predict", str(model), str(table), "--out", str(out)]) == 0
    assert np.isfinite(float(predictions(out)[0]["predicted_volume"]))


def test_fit__interrupted_training__writes_the_best_model_and_exits_130(
    crystal_folder, tmp_path, monkeypatch, capsys
):
    train = _fit._train

    def interrupted(*arguments):
        notes.interrupted = True
        return train(*arguments)

    notes = None
    run = _fit.run

    def keep(options, given):
        nonlocal notes
        notes = given
        return run(options, given)

    monkeypatch.setattr(_fit, "run", keep)
    monkeypatch.setattr(_fit, "_train", interrupted)
    model = tmp_path / "m"
    arguments = ["--model", "cgcnn", "--max-epochs", "1", "--out", str(model)]
    code = main(["fit", str(crystal_folder), *arguments, "--device", "cpu", "--quiet"])
    assert code == 130
    assert read_model(model)[1].model == "cgcnn"


def fit_arguments(data, out, model="rf_magpie"):
    return ["fit", data, "--model", model, "--out", out, "--target", "gap"]


def test_fit__unknown_model_or_control__lists_those_that_exist(
    refused, oxides, tmp_path
):
    message = refused(*fit_arguments(oxides, tmp_path / "m", "forest"))
    models = "Models to fit: rf_magpie, modnet, crabnet, cgcnn, alignn."
    assert f"There is no model 'forest'. {models}" in message
    message = refused(*fit_arguments(oxides, tmp_path / "m", "control"))
    assert f"'control' is not trained. {models}" in message


def test_fit__param__reaches_the_network(crystal_folder, tmp_path):
    out = tmp_path / "m"
    arguments = ["--model", "cgcnn", "--max-epochs", "1", "--quiet", "--out", str(out)]
    parameters = ["--param", "lr=0.02", "--param", f"checkpoint_dir={tmp_path / 's'}"]
    assert main(["fit", str(crystal_folder), *arguments, *parameters]) == 0
    assert load_estimator(out).lr == 0.02
    assert list((tmp_path / "s").iterdir())


def test_fit__wrong_param__is_refused_before_data_are_read(refused, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    fit = ["fit", empty, "--model", "alignn", "--out", tmp_path / "m"]
    message = refused(*fit, "--param", "epochs=3")
    assert "--param epochs: ALIGNNRegressor has no such parameter" in message
    assert "lr, lr_schedule" in message
    assert "'lr' parameter of ALIGNNRegressor" in refused(*fit, "--param", "lr=-1")


def test_fit__param_of_a_forest__names_the_option_that_it_has(
    refused, oxides, tmp_path
):
    arguments = fit_arguments(oxides, tmp_path / "m")
    message = refused(*arguments, "--param", "max_depth=3")
    assert "parameters of networks, and rf_magpie is none" in message
    assert "--n-estimators" in message


def test_fit__bad_rows__are_named_by_line(refused, edited, tmp_path):
    path = edited(line4="Li-Co,Qq,1,19,a", line6="Li-Co,LiCoO2,x,19,a")
    message = refused(*fit_arguments(path, tmp_path / "m"))
    assert "line 4: formula 'Qq'" in message
    assert "line 6: gap must be a finite number" in message


def test_fit__forest_with_unknown_targets__names_their_lines(refused, edited, tmp_path):
    path = edited(line4="Li-Co,LiCoO2,1,,a")
    message = refused(*fit_arguments(path, tmp_path / "m"), "volume")
    assert "line 4: volume is not known" in message


def test_fit__data_file_as_out__is_not_overwritten(refused, oxides):
    message = refused(*fit_arguments(oxides, oxides))
    assert "exists and is no model file" in message


def test_fit__missing_data_or_folder_for_out__is_refused(refused, oxides, tmp_path):
    assert "nope.csv does not exist" in refused(
        *fit_arguments(tmp_path / "nope.csv", tmp_path / "m")
    )
    assert "Make it first" in refused(*fit_arguments(oxides, tmp_path / "a" / "m"))


def test_fit__failure__keeps_the_former_model(
    model_file, oxides, tmp_path, monkeypatch, capsys
):
    before = model_file.read_bytes()

    def full(file, *_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_fit, "write_model", full)
    assert main([*map(str, fit_arguments(oxides, model_file)), *FAST]) == 2
    assert "No space left" in capsys.readouterr().err
    assert model_file.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["gap.model", "oxides.csv"]


def test_predict__bad_formulas__are_named_by_line(refused, model_file, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("formula\nNaCl\nXx2O\n\nFe2O3-\n")
    message = refused("predict", model_file, table, "--out", tmp_path / "p.csv")
    assert "line 3: formula 'Xx2O' is no formula" in message
    assert "line 5: formula 'Fe2O3-'" in message


def test_predict__no_model_file__is_never_unpickled(refused, oxides, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    bomb = tmp_path / "bomb.pkl"
    bomb.write_bytes(pickle.dumps(Bomb()))
    message = refused("predict", bomb, oxides, "--out", tmp_path / "p.csv")
    assert "is no model file of `skmatgnn fit`, and no checkpoint; it is not" in message
    assert "no model file" in refused("predict", tmp_path / "nope", oxides)


def test_predict__damaged_model__says_so(refused, model_file, oxides, tmp_path):
    whole = model_file.read_bytes()
    broken = tmp_path / "broken"
    for content in (whole[: len(whole) // 2], MAGIC, MAGIC + b"{}\n", whole[:-20]):
        broken.write_bytes(content)
        message = refused("predict", broken, oxides, "--out", tmp_path / "p.csv")
        assert "cannot be opened" in message
    broken.write_bytes(b"skmatgnn-model 9\n" + whole[len(MAGIC) :])
    message = refused("predict", broken, oxides, "--out", tmp_path / "p.csv")
    assert "format 'skmatgnn-model 9'" in message


def test_predict__table_for_a_structure_model__says_what_it_needs(
    refused, network_file, oxides, tmp_path
):
    message = refused("predict", network_file, oxides, "--out", tmp_path / "p.csv")
    assert "'alignn' needs structures" in message


def test_predict__bad_structure_files__are_named(
    refused, network_file, crystal_folder, tmp_path
):
    folder = tmp_path / "new"
    folder.mkdir()
    out = ["--out", tmp_path / "p.csv"]
    assert "holds no structure files" in refused("predict", network_file, folder, *out)
    (folder / "good.cif").write_bytes((crystal_folder / "c0.cif").read_bytes())
    (folder / "bad.cif").write_text("data_x\n_cell_length_a 3\n")
    (folder / "empty.vasp").write_text("")
    message = refused("predict", network_file, folder, *out)
    assert "2 problems" in message
    assert "bad.cif: cannot be read" in message
    assert "empty.vasp: cannot be read: the file is empty" in message


def test_predict__heavy_element__is_named(network_file, refused, tmp_path):
    from pymatgen.core import Lattice, Structure

    folder = tmp_path / "new"
    folder.mkdir()
    rare = Structure(Lattice.cubic(5), ["Lr", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    rare.to(filename=str(folder / "rare.cif"))
    message = refused("predict", network_file, folder, "--out", tmp_path / "p.csv")
    assert "file rare.cif: there are no element features for Lr" in message


def test_predict__other_file_as_out__is_not_overwritten(refused, model_file, oxides):
    message = refused("predict", model_file, oxides, "--out", oxides)
    assert "exists and is no CSV of predictions" in message


def test_predict__former_predictions__are_replaced(model_file, oxides, tmp_path):
    out = tmp_path / "p.csv"
    table = tmp_path / "t.csv"
    arguments = ["predict", str(model_file), str(table), "--out", str(out)]
    table.write_text("formula\nNaCl\nKCl\n")
    assert main(arguments) == 0
    table.write_text("formula\nMgO\n")
    assert main(arguments) == 0
    assert [row["formula"] for row in predictions(out)] == ["MgO"]


@pytest.fixture
def long_table(tmp_path):
    """Twenty formulas, for parts of seven."""
    path = tmp_path / "long.csv"
    cations = ["Li", "Na", "K", "Rb", "Cs"]
    anions = ["F", "Cl", "Br", "I"]
    path.write_text("\n".join(["formula", *(c + a for c in cations for a in anions)]))
    return path


@pytest.mark.parametrize("quiet", [["--quiet"], []])
def test_predict__table_in_parts__is_that_of_one_go(
    model_file, long_table, tmp_path, monkeypatch, capsys, quiet
):
    whole, parts = tmp_path / "whole.csv", tmp_path / "parts.csv"
    command = ["predict", str(model_file), str(long_table)]
    assert main([*command, "--out", str(whole), "--quiet"]) == 0
    monkeypatch.setattr(_predict, "ROWS_AT_ONCE", 7)
    sizes, original = [], _predict._predict

    def note(estimator, info, samples, *args):
        sizes.append(len(samples))
        return original(estimator, info, samples, *args)

    monkeypatch.setattr(_predict, "_predict", note)
    capsys.readouterr()
    assert main([*command, "--out", str(parts), *quiet]) == 0
    assert sizes == [7, 7, 6]
    assert parts.read_bytes() == whole.read_bytes()
    assert [row["id"] for row in predictions(parts)] == [str(i) for i in range(2, 22)]
    printed = capsys.readouterr()
    assert "20 predictions of rf_magpie" in printed.out
    assert ("20/20" in printed.err) is not bool(quiet)


def test_predict__bad_rows_of_a_later_part__are_named_before_anything_is_predicted(
    refused, model_file, long_table, tmp_path, monkeypatch
):
    monkeypatch.setattr(_predict, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(_predict, "_predict", lambda *_: pytest.fail("predicted"))
    lines = long_table.read_text().splitlines()
    lines[18] = "Xx2O"
    lines[3] = "Fe2O3-"
    long_table.write_text("\n".join(lines))
    out = tmp_path / "p.csv"
    message = refused("predict", model_file, long_table, "--out", out)
    assert "2 problems" in message
    assert "line 4: formula 'Fe2O3-'" in message
    assert "line 19: formula 'Xx2O'" in message
    assert not out.exists()


def test_predict__element_that_a_network_does_not_know__is_found_in_its_part(
    refused, oxides, long_table, tmp_path, monkeypatch, capsys
):
    model, out = tmp_path / "m", tmp_path / "p.csv"
    arguments = ["--target", "gap", "--model", "crabnet", "--max-epochs", "1"]
    arguments += ["--device", "cpu", "--out", str(model), "--quiet"]
    assert main(["fit", str(oxides), *arguments]) == 0
    capsys.readouterr()
    lines = long_table.read_text().splitlines()
    lines[10] = "OgF2"
    long_table.write_text("\n".join(lines))
    message = refused("predict", model, long_table, "--out", out)
    assert "The composition at index 9 has the element Og" in message
    monkeypatch.setattr(_predict, "ROWS_AT_ONCE", 7)
    message = refused("predict", model, long_table, "--out", out)
    assert "from line 9 on, counted from 0: The composition at index 2" in message
    assert not out.exists()


def test_predict__json_table__is_read_too(model_file, long_table, tmp_path):
    formulas = long_table.read_text().splitlines()[1:]
    table, out = tmp_path / "t.json", tmp_path / "p.csv"
    table.write_text(json.dumps([{"formula": formula} for formula in formulas]))
    assert main(["predict", str(model_file), str(table), "--out", str(out)]) == 0
    assert [row["formula"] for row in predictions(out)] == formulas
