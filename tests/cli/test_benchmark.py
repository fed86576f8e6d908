import csv
import json
import math
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import mean_absolute_error, r2_score

from skmatgnn.cli import main

FAST = ["--n-estimators", "10", "--bootstrap", "50", "--quiet"]


def run(path, out, *more):
    columns = ["--target", "gap"] if "--target" not in more else []
    return main(["benchmark", str(path), *columns, "--out", str(out), *FAST, *more])


def read(out):
    results = json.loads((out / "results.json").read_text())
    with (out / "predictions.csv").open(newline="") as file:
        return results, list(csv.DictReader(file))


@pytest.fixture
def grouped(oxides, tmp_path):
    out = tmp_path / "out"
    assert run(oxides, out, "--group-column", "host") == 0
    return read(out)


def of(rows, **wanted):
    return [r for r in rows if all(r[k] == v for k, v in wanted.items())]


def test_benchmark__table__scores_are_those_of_the_written_predictions(grouped):
    results, rows = grouped
    assert len(results["scores"]) == 4
    for score in results["scores"]:
        part = of(rows, scheme=score["scheme"])
        y = np.array([float(row["y_true"]) for row in part])
        p = np.array([float(row[f"y_pred_{score['model']}"]) for row in part])
        control = np.array([float(row["y_pred_control"]) for row in part])
        assert len(y) == 60
        assert score["mae"] == pytest.approx(mean_absolute_error(y, p))
        assert score["r2"] == pytest.approx(r2_score(y, p))
        smae = mean_absolute_error(y, p) / mean_absolute_error(y, control)
        assert score["smae"] == pytest.approx(smae)
        low, high = score["intervals_95"]["mae"]
        assert low < score["mae"] < high


def test_benchmark__control__predicts_the_mean_of_the_training_rows(grouped):
    _, rows = grouped
    for scheme in ("stratified", "loco"):
        part = of(rows, scheme=scheme)
        for row in part:
            others = [float(r["y_true"]) for r in part if r["fold"] != row["fold"]]
            assert float(row["y_pred_control"]) == pytest.approx(np.mean(others))


def test_benchmark__forest__beats_the_control(grouped):
    results, _ = grouped
    smae = {(s["scheme"], s["model"]): s["smae"] for s in results["scores"]}
    for scheme in ("stratified", "loco"):
        assert smae[scheme, "control"] == pytest.approx(1)
        assert smae[scheme, "rf_magpie"] < 0.6


def test_benchmark__group_column__no_group_is_on_both_sides(grouped):
    _, rows = grouped
    for scheme in ("stratified", "loco"):
        folds = defaultdict(set)
        for row in of(rows, scheme=scheme):
            folds[row["group"]].add(row["fold"])
        assert len(folds) == 30
        assert all(len(found) == 1 for found in folds.values())


def test_benchmark__group_over_several_clusters__goes_to_one_of_them(
    oxides, tmp_path, capsys
):
    # "name" pairs rows of one composition; one group over all alkali metals does not
    text = oxides.read_text().replace("LiAlO2\n", "CsAlO2\n")
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(text)
    out = tmp_path / "out"
    assert run(mixed, out, "--group-column", "host", "--cv", "loco") == 0
    results, rows = read(out)
    assert len({row["fold"] for row in of(rows, group="CsAlO2")}) == 1
    moved = results["clusters"]["rows_moved_by_groups"]
    assert moved == 2
    assert f"{moved} of 60 rows were moved" in capsys.readouterr().err


def test_benchmark__loco__reports_the_clusters_that_it_tests(grouped):
    results, rows = grouped
    clusters = results["clusters"]["clusters"]
    sizes = [cluster["size"] for cluster in clusters]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 60
    for cluster in clusters:
        tested = of(rows, scheme="loco", fold=str(cluster["cluster"]))
        assert len(tested) == cluster["size"]
        assert cluster["central_formula"] in {row["formula"] for row in tested}
    (score,) = [
        s
        for s in results["scores"]
        if (s["scheme"], s["model"]) == ("loco", "rf_magpie")
    ]
    weighted = sum(fold["mae"] * fold["n_test"] for fold in score["folds"]) / 60
    assert weighted == pytest.approx(score["mae"])


def test_benchmark__ids__are_the_lines_of_the_table(grouped, oxides):
    _, rows = grouped
    lines = oxides.read_text().splitlines()
    for row in rows:
        cells = lines[int(row["id"]) - 1].split(",")
        assert (cells[1], float(cells[2])) == (row["formula"], float(row["y_true"]))


def test_benchmark__stdout__has_the_table_and_stderr_the_notes(
    oxides, tmp_path, capsys
):
    assert run(oxides, tmp_path / "out") == 0
    captured = capsys.readouterr()
    table = [line.split() for line in captured.out.splitlines()]
    assert ["scheme", "model", "MAE", "SMAE", "R2", "seconds"] in table
    for scheme in ("stratified", "loco"):
        for model in ("control", "rf_magpie"):
            assert [scheme, model] in [row[:2] for row in table]
    assert "60 rows have only 30 compositions" in captured.err


def test_benchmark__files__are_all_there_and_are_figures(grouped, tmp_path):
    results, _ = grouped
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == sorted(results["files"])
    figures = [name for name in results["files"] if name.endswith(".png")]
    assert sorted(figures) == [
        "clusters.png",
        "clusters_gap.png",
        "errors_gap.png",
        "parity_gap_loco_control.png",
        "parity_gap_loco_rf_magpie.png",
        "parity_gap_stratified_control.png",
        "parity_gap_stratified_rf_magpie.png",
    ]
    for name in figures:
        with Image.open(out / name) as image:
            assert np.asarray(image.convert("L")).std() > 5
    assert results["versions"]["skmatgnn"]
    assert results["parameters"]["random_state"] == 0
    assert results["data"]["sha256"]


def test_benchmark__several_targets_with_gaps__each_learns_from_its_known_rows(
    edited, tmp_path
):
    path = edited(line3="Li-Fe,LiFeO2,,20,LiFeO2", line4="Li-Co,LiCoO2,na,19,LiCoO2")
    out = tmp_path / "out"
    assert run(path, out, "--target", "gap", "volume") == 0
    results, rows = read(out)
    known = {name: data["known"] for name, data in results["data"]["targets"].items()}
    assert known == {"gap": 58, "volume": 60}
    assert len(of(rows, target="gap", scheme="loco")) == 58
    assert len(of(rows, target="volume", scheme="stratified")) == 60
    assert len(results["scores"]) == 8


def test_benchmark__same_seed__same_numbers(oxides, tmp_path):
    for name in ("a", "b"):
        assert run(oxides, tmp_path / name, "--random-state", "3") == 0
    first, second = (tmp_path / n / "predictions.csv" for n in ("a", "b"))
    assert first.read_text() == second.read_text()
    assert run(oxides, tmp_path / "c", "--random-state", "4") == 0
    assert first.read_text() != (tmp_path / "c" / "predictions.csv").read_text()


def test_benchmark__max_rows__takes_a_sample_and_says_so(oxides, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(oxides, out, "--max-rows", "25", "--cv", "stratified") == 0
    results, rows = read(out)
    assert (results["data"]["rows_read"], results["data"]["rows"]) == (60, 25)
    assert len({row["id"] for row in rows}) == 25
    assert "a random sample of 25 of 60 rows" in capsys.readouterr().err


def test_benchmark__no_intervals__are_neither_printed_nor_written(
    oxides, tmp_path, capsys
):
    out = tmp_path / "out"
    assert run(oxides, out, "--bootstrap", "0", "--models", "control") == 0
    assert all(s["intervals_95"] == {} for s in read(out)[0]["scores"])
    assert "[" not in capsys.readouterr().out


def test_benchmark__one_row_a_fold__undefined_scores_are_null(tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("formula,y\nNaCl,1\nKCl,2\nFe2O3,3\nAl2O3,4\nMgO,5\n")
    out = tmp_path / "out"
    assert run(path, out, "--target", "y", "--cv", "stratified") == 0
    folds = read(out)[0]["scores"][0]["folds"]
    assert [fold["r2"] for fold in folds] == [None] * 5
    assert all(math.isfinite(fold["mae"]) for fold in folds)


def test_benchmark__embedded_data__needs_no_arguments(tmp_path, capsys):
    arguments = ["--models", "control,rf_magpie", "--max-rows", "300"]
    out = tmp_path / "out"
    assert main(["benchmark", "--out", str(out), *FAST, *arguments]) == 0
    results, _ = read(out)
    assert results["data"]["rows_read"] > 2000
    assert results["data"]["group_name"] == "chemical system"
    smae = {(s["scheme"], s["model"]): s["smae"] for s in results["scores"]}
    assert smae["stratified", "rf_magpie"] < 0.5
    assert "eV / atom" in capsys.readouterr().out


def test_benchmark__folder__all_models_run_on_structures(crystal_folder, tmp_path):
    out = tmp_path / "out"
    arguments = ["--max-epochs", "2", "--n-splits", "2", "--device", "cpu"]
    assert (
        main(["benchmark", str(crystal_folder), "--out", str(out), *FAST, *arguments])
        == 0
    )
    results, rows = read(out)
    models = [s["model"] for s in results["scores"] if s["scheme"] == "stratified"]
    assert models == ["control", "rf_magpie", "cgcnn", "alignn"]
    assert {row["id"] for row in rows} == {f"c{i}" for i in range(24)}
    for model in models:
        assert all(math.isfinite(float(row[f"y_pred_{model}"])) for row in rows)
    epochs = {row["y_pred_alignn"] for row in rows}
    assert len(epochs) > 20


def test_benchmark__former_results__are_replaced_whole(oxides, tmp_path):
    out = tmp_path / "out"
    assert run(oxides, out) == 0
    assert run(oxides, out, "--models", "control", "--cv", "stratified") == 0
    results, _ = read(out)
    assert sorted(p.name for p in out.iterdir()) == sorted(results["files"])
    assert len(results["files"]) == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "oxides.csv"]


def test_benchmark__empty_folder__is_taken(oxides, tmp_path):
    (tmp_path / "out").mkdir()
    assert run(oxides, tmp_path / "out", "--models", "control") == 0
    assert (tmp_path / "out" / "results.json").exists()
