"""What the schemes, models and scores of a benchmark mean."""

import csv
import json
import math
import re

import numpy as np
import pytest

from skmatgnn.cli import main
from skmatgnn.datasets import theoretical_capacity

FAST = ["--n-estimators", "5", "--bootstrap", "20", "--quiet", "--max-epochs", "2"]
IONS = {"Li": 1, "Na": 1, "Mg": 2}
HOSTS = ["FePO4", "CoO2", "MnO2", "TiS2", "V2O5", "NiO2", "CrO2", "MoS2", "FeF3", "WO3"]


def run(path, out, *more):
    code = main(["benchmark", str(path), "--out", str(out), *FAST, *more])
    assert code == 0
    results = json.loads((out / "results.json").read_text())
    with (out / "predictions.csv").open(newline="") as file:
        return results, list(csv.DictReader(file))


@pytest.fixture
def electrodes(tmp_path):
    """Thirty electrodes in the layout of the Materials Project, one voltage unknown."""
    header = (
        "battery_id,formula_charge,formula_discharge,working_ion,"
        "average_voltage,capacity_grav,capacity_vol"
    )
    lines = [header]
    for number, host in enumerate(HOSTS):
        for ion, valence in IONS.items():
            (capacity,) = theoretical_capacity([ion + host], [host], [ion])
            voltage = "" if (number, ion) == (0, "Li") else 1.0 + number / 5 + valence
            lines.append(
                f"{ion}{number},{host},{ion}{host},{ion},{voltage},{capacity:.4f},"
                f"{3.5 * capacity + number:.4f}"
            )
    path = tmp_path / "electrodes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_benchmark__formula_scheme__no_formula_or_group_is_on_both_sides(
    oxides, tmp_path, capsys
):
    # the two rows of a formula are of different groups, and each group has two formulas
    lines = oxides.read_text().splitlines()
    pairs = [lines[0]]
    for number, line in enumerate(lines[1:]):
        pairs.append(line.rpartition(",")[0] + f",{(number + 1) // 2 % 30}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(pairs) + "\n")
    grouped = ["--target", "gap", "--cv", "formula", "--models", "control"]
    _, rows = run(path, tmp_path / "a", *grouped)
    folds = {}
    for row in rows:
        folds.setdefault(row["formula"], set()).add(row["fold"])
    assert len(folds) == 30
    assert all(len(found) == 1 for found in folds.values())
    assert len(set.union(*folds.values())) == 5

    # with these groups the chain of groups and formulas links all rows
    linked = ["benchmark", str(path), *grouped, "--group-column", "host"]
    assert main([*linked, "--out", str(tmp_path / "b"), *FAST]) == 2
    message = "as many sets of rows that share no formula and no host; there are 1."
    assert message in capsys.readouterr().err


def test_benchmark__bootstrap_scheme__tests_on_rows_that_were_not_drawn(
    oxides, tmp_path
):
    options = ["--target", "gap", "--cv", "bootstrap", "--n-resamples", "3"]
    results, rows = run(
        oxides, tmp_path / "out", *options, "--models", "control,rf_magpie"
    )
    (score,) = [s for s in results["scores"] if s["model"] == "rf_magpie"]
    assert [fold["n_train"] for fold in score["folds"]] == [60] * 3
    shares = [fold["n_test"] / 60 for fold in score["folds"]]
    assert all(0.2 < share < 0.55 for share in shares)  # about exp(-1)
    assert len(rows) == sum(fold["n_test"] for fold in score["folds"])
    errors = [abs(float(r["y_true"]) - float(r["y_pred_rf_magpie"])) for r in rows]
    assert score["mae"] == pytest.approx(np.mean(errors))
    assert len({row["id"] for row in rows}) < len(rows)


def test_benchmark__bootstrap_of_groups__draws_them_whole(oxides, tmp_path):
    options = ["--target", "gap", "--cv", "bootstrap", "--group-column", "host"]
    _, rows = run(oxides, tmp_path / "out", *options, "--models", "control")
    tested = {}
    for row in rows:
        tested.setdefault((row["fold"], row["group"]), []).append(row["id"])
    assert all(len(ids) == 2 for ids in tested.values())


def test_benchmark__chemical_system__no_set_of_elements_is_on_both_sides(
    tmp_path, capsys
):
    formulas = [f"{a}{b}{n}" for a in "CNSP" for b in ("O", "F") for n in (1, 2, 3)]
    path = tmp_path / "t.csv"
    rows = [f"{formula},{i}" for i, formula in enumerate(formulas)]
    path.write_text("\n".join(["formula,gap", *rows]) + "\n")
    options = ["--target", "gap", "--cv", "chemical_system", "--models", "control"]
    _, rows = run(path, tmp_path / "out", *options, "--n-splits", "4")
    assert "chemical_system: 4 folds" in capsys.readouterr().out
    folds = {}
    for row in rows:
        folds.setdefault(row["formula"].rstrip("123"), set()).add(row["fold"])
    assert len(rows) == 24
    assert len(folds) == 8
    assert all(len(found) == 1 for found in folds.values())
    arguments = [*options, "--n-splits", "9", "--out", str(tmp_path / "more")]
    assert main(["benchmark", str(path), *arguments]) == 2
    assert "9 folds by chemical system need as many" in capsys.readouterr().err


def test_benchmark__stratify_column__every_fold_has_its_share(oxides, tmp_path):
    lines = oxides.read_text().splitlines()
    path = tmp_path / "alkali.csv"
    alkali = ["alkali", *(line[:2].strip("-") for line in lines[1:])]
    path.write_text(
        "\n".join(f"{a},{b}" for a, b in zip(lines, alkali, strict=True)) + "\n"
    )
    options = ["--target", "gap", "--cv", "stratified", "--stratify-column", "alkali"]
    results, rows = run(path, tmp_path / "out", *options, "--models", "control")
    for fold in "01234":
        formulas = [row["formula"] for row in rows if row["fold"] == fold]
        counts = [sum(f.startswith(a) for f in formulas) for a in ("Li", "Na", "Rb")]
        assert max(counts) - min(counts) <= 1
    assert "strata.png" in results["files"]


def test_benchmark__networks__learn_formulas(oxides, tmp_path):
    options = ["--target", "gap", "--cv", "stratified", "--n-splits", "2"]
    results, rows = run(
        oxides, tmp_path / "out", *options, "--models", "modnet,crabnet"
    )
    assert [s["model"] for s in results["scores"]] == ["modnet", "crabnet"]
    for model in ("modnet", "crabnet"):
        assert len({row[f"y_pred_{model}"] for row in rows}) > 20


def test_benchmark__electrodes__theory_is_exact_and_for_the_capacity_only(
    electrodes, tmp_path, capsys
):
    out = tmp_path / "out"
    options = ["--electrodes", "--joint", "--two-sigma", "--n-splits", "2"]
    results, rows = run(
        electrodes, out, *options, "--models", "control,theoretical,modnet"
    )
    scores = {(s["target"], s["scheme"], s["model"]): s for s in results["scores"]}
    assert scores["capacity_grav", "stratified", "theoretical"]["mae"] < 1e-3
    assert not [key for key in scores if key[0] != "capacity_grav" and "theo" in key[2]]
    assert [s["joint"] for s in results["scores"] if s["model"] == "modnet"] == [
        True
    ] * 6
    assert not scores["capacity_vol", "loco", "control"]["joint"]
    voltages = [r for r in rows if r["target"] == "average_voltage"]
    assert len([r for r in voltages if r["scheme"] == "stratified"]) == 29
    assert all(r["y_pred_theoretical"] == "" for r in voltages)
    assert all(math.isfinite(float(r["y_pred_modnet"])) for r in voltages)
    assert results["data"]["targets"]["average_voltage"]["unit"] == "V"
    assert "within two standard deviations" in capsys.readouterr().out


def test_benchmark__theory_alone__leaves_no_empty_figures(electrodes, tmp_path):
    options = ["--electrodes", "--models", "theoretical", "--cv", "formula"]
    results, rows = run(electrodes, tmp_path / "out", *options, "--n-splits", "2")
    assert len(rows) == 30
    figures = [name for name in results["files"] if name.endswith(".png")]
    assert figures == ["strata.png", "parity_capacity_grav_formula_theoretical.png"]


def test_benchmark__two_sigma__leaves_the_outliers_out_of_the_scores(oxides, tmp_path):
    text = oxides.read_text().replace("LiFeO2,1.00", "LiFeO2,400")
    path = tmp_path / "outlier.csv"
    path.write_text(text)
    options = ["--target", "gap", "--cv", "stratified", "--models", "control"]
    results, rows = run(path, tmp_path / "out", *options, "--two-sigma")
    (score,) = results["scores"]
    y = np.array([float(row["y_true"]) for row in rows])
    error = np.abs(y - [float(row["y_pred_control"]) for row in rows])
    folds = np.array([row["fold"] for row in rows])
    usual = np.zeros(len(y), dtype=bool)
    for fold in np.unique(folds):
        train = y[folds != fold]
        test = folds == fold
        usual[test] = np.abs(y[test] - train.mean()) <= 2 * train.std()
    assert 0 < (~usual).sum() < 10
    assert score["two_sigma"]["scores"]["mae"] == pytest.approx(error[usual].mean())
    assert score["mae"] == pytest.approx(error.mean())


def test_benchmark__report__is_one_page_with_its_figures_inside(oxides, tmp_path):
    out = tmp_path / "out"
    results, _ = run(oxides, out, "--target", "gap", "volume")
    page = (out / "report.html").read_text()
    figures = [name for name in results["files"] if name.endswith(".png")]
    assert page.count("data:image/png;base64,") == len(figures) == 13
    assert not re.search(r'(src|href)="(?!data:)', page)
    for score in results["scores"]:
        assert f"{score['smae']:.3f}" in page
    assert page.count("<h2>") == 3
    assert "60 rows have only 30 compositions" in page
    tables = (out / "tables.md").read_text()
    rows = [line for line in tables.splitlines() if line.startswith("| loco |")]
    assert len(rows) == 4


def test_benchmark__formula_with_markup__is_escaped_in_the_report(oxides, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text(oxides.read_text().replace("gap", "<b>gap</b>", 1))
    out = tmp_path / "out"
    run(path, out, "--target", "<b>gap</b>", "--models", "control")
    page = (out / "report.html").read_text()
    assert "<b>" not in page
    assert "&lt;b&gt;gap&lt;/b&gt;" in page
