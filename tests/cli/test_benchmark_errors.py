import json

import pytest

from skmatgnn.cli import _fits, _report, main

FAST = ["--n-estimators", "5", "--bootstrap", "20", "--quiet"]


@pytest.fixture
def refused(tmp_path, capsys):
    """Run; demand exit code 2, one message, and an untouched folder."""

    def run(*arguments, out=None):
        before = sorted(p.name for p in tmp_path.iterdir())
        target = tmp_path / "out" if out is None else out
        code = main(["benchmark", *map(str, arguments), "--out", str(target), *FAST])
        captured = capsys.readouterr()
        assert code == 2
        assert captured.out == ""
        assert captured.err.count("skmatgnn: error: ") == 1
        assert "Traceback" not in captured.err
        assert sorted(p.name for p in tmp_path.iterdir()) == before
        return captured.err

    return run


def test_benchmark__unknown_model__lists_those_that_exist(refused, oxides):
    message = refused(oxides, "--target", "gap", "--models", "control,svm")
    assert "no model 'svm'" in message
    assert "rf_magpie, modnet, crabnet, cgcnn, alignn" in message


def test_benchmark__unknown_scheme__lists_those_that_exist(refused, oxides):
    message = refused(oxides, "--target", "gap", "--cv", "random")
    assert "no scheme 'random'. The schemes are: stratified, formula, chem" in message


def test_benchmark__structure_model_on_a_table__says_what_it_needs(refused, oxides):
    message = refused(oxides, "--target", "gap", "--models", "alignn")
    assert "'alignn' needs structures: give a folder with id_prop.csv" in message


def test_benchmark__unparsable_formulas__are_listed_with_their_lines(refused, edited):
    path = edited(
        line3="Li-Fe,Xx2O,1.0,20,a", line5="Li-Co,Li(,1.3,19,a", line8=",,1,2,a"
    )
    message = refused(path, "--target", "gap")
    assert "3 problems" in message
    assert "line 3: formula 'Xx2O' is no formula: unknown element 'Xx'" in message
    assert "line 5: formula 'Li('" in message
    assert "line 8: formula is empty" in message


def test_benchmark__bad_targets_and_formulas__come_in_one_message(refused, edited):
    path = edited(line3="Li-Fe,Xx2O,1,2,a", line4="Li-Co,LiCoO2,big,19,a")
    message = refused(path, "--target", "gap")
    assert "line 3: formula 'Xx2O'" in message
    assert "line 4: gap must be a finite number; got str ('big')" in message


def test_benchmark__single_target_missing__has_its_line(refused, edited):
    path = edited(line7="Li-Ni,LiNiO2,,18,a")
    assert "line 7: gap is missing" in refused(path, "--target", "gap")


def test_benchmark__infinite_target__has_its_line(refused, edited):
    path = edited(line7="Li-Ni,LiNiO2,inf,18,a")
    assert "line 7: gap must be a finite number" in refused(path, "--target", "gap")


def test_benchmark__missing_group_label__has_its_line(refused, edited):
    path = edited(line9="Li-Mn,LiMnO2,1,18,")
    message = refused(path, "--target", "gap", "--group-column", "host")
    assert "line 9: host is empty" in message


def test_benchmark__ragged_line__is_named(refused, edited):
    path = edited(line9="Li-Mn,LiMnO2,1")
    message = refused(path, "--target", "gap")
    assert "line 9: expected 5 cells; got 3" in message


@pytest.mark.parametrize(
    ("option", "value"),
    [("--formula-column", "nope"), ("--target", "nope"), ("--group-column", "nope")],
)
def test_benchmark__missing_column__lists_those_that_exist(
    refused, oxides, option, value
):
    target = [] if option == "--target" else ["--target", "gap"]
    message = refused(oxides, *target, option, value)
    assert "no column 'nope'" in message
    assert "'name', 'formula', 'gap', 'volume', 'host'" in message


def test_benchmark__default_formula_column_absent__names_the_option(refused, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("composition,y\nNaCl,1\n")
    message = refused(path, "--target", "y")
    assert "no column 'formula'" in message
    assert "--formula-column" in message


def test_benchmark__no_target__lists_the_numeric_columns(refused, oxides):
    message = refused(oxides)
    assert "--target COLUMN" in message
    assert "are: 'gap', 'volume'." in message


def test_benchmark__target_twice_or_the_formula__is_refused(refused, oxides):
    assert "column twice" in refused(oxides, "--target", "gap", "gap")
    assert "cannot be both" in refused(oxides, "--target", "formula", "gap")


def test_benchmark__constant_target__says_so(refused, tmp_path):
    path = tmp_path / "t.csv"
    rows = "".join(f"{f},2.5\n" for f in ("NaCl", "KCl", "MgO", "FeO", "CoO", "NiO"))
    path.write_text("formula,y\n" + rows)
    message = refused(path, "--target", "y")
    assert "'y' has the same value, 2.5, in all 6 rows" in message


def test_benchmark__fewer_rows_than_folds__says_how_many(refused, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("formula,y\nNaCl,1\nKCl,2\nMgO,3\nFeO,4\n")
    message = refused(path, "--target", "y", "--n-splits", "5")
    assert "at least 5 rows with a known value of 'y'; got 4" in message


def test_benchmark__fewer_groups_than_folds__says_how_many(refused, tmp_path):
    path = tmp_path / "t.csv"
    rows = "".join(
        f"{f},{i},g{i % 3}\n"
        for i, f in enumerate(("NaCl", "KCl", "MgO", "FeO", "CoO", "NiO"))
    )
    path.write_text("formula,y,g\n" + rows)
    message = refused(
        path, "--target", "y", "--group-column", "g", "--cv", "stratified"
    )
    assert "5 folds need at least 5 groups; g has 3" in message


def test_benchmark__one_group__loco_has_no_two_clusters(refused, oxides, tmp_path):
    path = tmp_path / "t.csv"
    lines = oxides.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",g", *(x + ",1" for x in lines[1:])]))
    message = refused(path, "--target", "gap", "--group-column", "g", "--cv", "loco")
    assert "loco needs at least two clusters" in message


def test_benchmark__unreadable_files__are_named(refused, tmp_path):
    assert "does not exist" in refused(tmp_path / "nope.csv", "--target", "y")
    (tmp_path / "empty.csv").write_text("")
    assert "is empty" in refused(tmp_path / "empty.csv", "--target", "y")
    (tmp_path / "latin.csv").write_bytes(b"formula,y\nNaCl,\xff\n")
    assert "not UTF-8" in refused(tmp_path / "latin.csv", "--target", "y")
    (tmp_path / "bad.csv.gz").write_bytes(b"not gzip")
    assert "cannot be read" in refused(tmp_path / "bad.csv.gz", "--target", "y")


def test_benchmark__folder__bad_rows_and_files_are_named(refused, crystal_folder):
    assert "no target column 'x'" in refused(crystal_folder, "--target", "x")
    message = refused(crystal_folder, "--group-column", "host")
    assert "--group-column is for tables" in message


def test_benchmark__unusable_structures__are_named(refused, tmp_path, crystal_folder):
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in crystal_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    half = (folder / "c3.cif").read_text().splitlines()
    last = max(i for i, line in enumerate(half) if line.strip())
    half[last] = half[last].rstrip()[:-1].rstrip() + " 0.5"
    (folder / "c3.cif").write_text("\n".join(half) + "\n")
    message = refused(folder, "--models", "cgcnn", "--n-splits", "2")
    assert "structure c3: it" in message
    assert "disordered" in message


def test_benchmark__columns_for_embedded_data__are_refused(refused):
    assert "--target cannot be used" in refused("--target", "y")


def test_benchmark__unknown_device__is_refused_before_training(refused, crystal_folder):
    message = refused(crystal_folder, "--device", "abacus", "--models", "alignn")
    assert "--device abacus cannot be used" in message


def test_benchmark__folder_of_another_kind__is_left_alone(refused, oxides, tmp_path):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("text")
    message = refused(oxides, "--target", "gap", out=thesis)
    assert "holds no results.json of a former benchmark" in message
    assert [p.name for p in thesis.iterdir()] == ["chapter.tex"]


def test_benchmark__foreign_results_json__is_left_alone(refused, oxides, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "results.json").write_text(json.dumps({"format": "else", "files": []}))
    refused(oxides, "--target", "gap", out=other)
    (other / "results.json").write_text("{")
    refused(oxides, "--target", "gap", out=other)


def test_benchmark__notes_beside_former_results__are_kept(
    refused, oxides, tmp_path, capsys
):
    out = tmp_path / "out"
    arguments = ["--target", "gap", "--models", "control", "--out", str(out)]
    assert main(["benchmark", str(oxides), *arguments, *FAST]) == 0
    (out / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert "files of yours" in refused(oxides, "--target", "gap")
    assert (out / "notes.txt").read_text() == "mine"


def test_benchmark__file_or_missing_parent_as_out__is_refused(
    refused, oxides, tmp_path
):
    assert "is a file" in refused(oxides, "--target", "gap", out=oxides)
    message = refused(oxides, "--target", "gap", out=tmp_path / "a" / "b")
    assert "does not exist" in message


def test_benchmark__failure_while_writing__keeps_the_former_results(
    oxides, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    arguments = ["benchmark", str(oxides), "--target", "gap", "--models", "control"]
    assert main([*arguments, "--out", str(out), *FAST]) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_report, "_write_predictions", full)
    assert main([*arguments, "--out", str(out), *FAST]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["out", "out.partial", "oxides.csv"]  # the fits are not lost


def test_benchmark__ctrl_c__exits_with_130_and_leaves_nothing(
    oxides, tmp_path, monkeypatch, capsys
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(_fits, "_fit_predict", interrupt)
    out = tmp_path / "out"
    code = main(["benchmark", str(oxides), "--target", "gap", "--out", str(out), *FAST])
    assert code == 130
    assert "interrupted" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["oxides.csv"]


def test_benchmark__theory_without_electrodes__says_what_it_needs(refused, oxides):
    message = refused(oxides, "--target", "gap", "--models", "theoretical")
    assert "add --electrodes" in message


def test_benchmark__electrodes__need_their_table(refused, oxides):
    assert "name it as DATA" in refused("--electrodes")
    assert "no column 'formula_discharge'" in refused(oxides, "--electrodes")


def test_benchmark__formula_folds_of_few_formulas__says_how_many(refused, tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("formula,y\n" + "NaCl,1\nKCl,2\nNa2Cl2,3\nFe2O3,4\nKCl,5\n")
    message = refused(path, "--target", "y", "--cv", "formula")
    assert "5 folds by formula need as many different formulas; there are 3" in message


def test_benchmark__joint_folds__need_labels_to_stratify_by(refused, oxides):
    options = ["--target", "gap", "volume", "--joint", "--models", "modnet"]
    message = refused(oxides, *options)
    assert "--stratify-column" in message
