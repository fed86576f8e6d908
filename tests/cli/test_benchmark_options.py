"""Options of a benchmark that go together, or do not."""

import json

import numpy as np
import pytest

from skmatgnn.cli import _figures, main
from skmatgnn.inspection import ClusterErrorDisplay

FAST = ["--n-estimators", "5", "--quiet", "--models", "control,rf_magpie"]


@pytest.fixture
def run(tmp_path, capsys):
    """Run a benchmark in a folder of its own; give the results and all that it said."""

    def run(path, *more, out=tmp_path / "out"):
        arguments = [str(path), "--target", "gap", "--out", str(out), *FAST, *more]
        code = main(["benchmark", *arguments])
        said = capsys.readouterr()
        assert code == 0, said.err
        return json.loads((out / "results.json").read_text()), said.err + said.out

    return run


@pytest.fixture
def halves(tmp_path):
    """A table of two groups, each with half of the rows, whose gaps are far apart."""
    first = [f"Li{i}Fe{j}O{k}" for i in (1, 2) for j in (1, 2) for k in (2, 3, 4)]
    second = [f"Cs{i}I{j}Pb{k}" for i in (1, 2) for j in (1, 3) for k in (1, 2, 3)]
    rng = np.random.default_rng(0)
    lines = ["formula,gap,half,one"]
    for number, formulas in enumerate((first, second)):
        for formula in formulas:
            gap = 100 * number + rng.normal(0, 0.1)
            lines.append(f"{formula},{gap:.4f},h{number},all")
    path = tmp_path / "halves.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_out__with_a_tilde__is_in_the_home_folder(oxides, tmp_path, monkeypatch, run):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    arguments = [str(oxides), "--target", "gap", "--cv", "formula", *FAST]
    assert main(["benchmark", *arguments, "--out=~/mine"]) == 0
    found = {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")}
    assert found == {"mine", "oxides.csv"}


@pytest.mark.parametrize("place", [".", "..", "../here"])
def test_out__that_holds_the_current_folder__is_refused(
    place, refused, oxides, tmp_path, monkeypatch
):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    options = ["--target", "gap", "--models", "control", "--out", place]
    message = refused("benchmark", oxides, *options)
    assert "is the current folder or holds it" in message
    assert list(here.iterdir()) == []


def test_two_sigma__with_no_row_inside__says_so_and_leaves_these_scores_out(
    halves, run, tmp_path
):
    results, said = run(halves, "--cv", "loco", "--two-sigma")
    assert [cluster["size"] for cluster in results["clusters"]["clusters"]] == [12, 12]
    assert "gap, loco: no row that is tested is within two standard dev" in said
    assert all(score["two_sigma"] is None for score in results["scores"])
    tables = (tmp_path / "out" / "tables.md").read_text()
    assert "two standard deviations" not in tables
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Within two standard deviations" not in page


def test_two_sigma__inside_for_some_schemes__shows_these(halves, run, tmp_path):
    results, _ = run(halves, "--cv", "loco,formula", "--two-sigma")
    found = {s["scheme"]: s["two_sigma"] for s in results["scores"]}
    assert found["loco"] is None
    assert found["formula"]["scores"]["mae"] > 0
    tables = (tmp_path / "out" / "tables.md").read_text()
    assert tables.partition("within two standard")[2].count("| formula |") == 2


def test_bootstrap_scheme__of_two_groups__always_leaves_one_to_test_on(halves, run):
    options = ["--cv", "bootstrap", "--group-column", "half", "--n-resamples", "12"]
    results, _ = run(halves, *options)
    folds = results["scores"][0]["folds"]
    assert [(fold["n_train"], fold["n_test"]) for fold in folds] == [(24, 12)] * 12


def test_bootstrap_scheme__of_one_group__says_how_many_it_needs(refused, halves):
    options = ["--target", "gap", "--cv", "bootstrap", "--group-column", "one"]
    message = refused("benchmark", halves, *options, "--models", "control")
    assert "bootstrap draws from two groups at least; one has 1" in message


@pytest.mark.parametrize(
    ("schemes", "named"),
    [
        ("stratified", "the scheme stratified some"),
        ("bootstrap", "the scheme bootstrap some"),
        ("bootstrap,formula,stratified", "the schemes stratified and bootstrap some"),
    ],
)
def test_repeated_compositions__in_schemes_by_row__are_remarked_on(
    oxides, run, schemes, named
):
    _, said = run(oxides, "--cv", schemes)
    assert f"60 rows have only 30 compositions, and in {named} are both" in said
    _, said = run(oxides, "--cv", schemes, "--group-column", "host")
    assert " compositions" not in said
    _, said = run(oxides, "--cv", "formula")
    assert " compositions" not in said


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--joint"], "--joint is for networks"),
        (["--n-resamples", "9"], "--n-resamples is for the scheme bootstrap"),
        (["--stratify-column", "host"], "--stratify-column is for the scheme strat"),
    ],
)
def test_options__that_would_have_no_effect__are_refused(
    options, named, refused, oxides, tmp_path
):
    fixed = ["--target", "gap", "volume", "--models", "control", "--cv", "formula"]
    out = ["--out", tmp_path / "out"]
    assert named in refused("benchmark", oxides, *fixed, *options, *out)


def test_intervals__of_the_figures__are_drawn_as_those_of_the_table(
    oxides, run, monkeypatch, tmp_path
):
    displays, bars = [], []
    plot = _figures._plot_errors

    def record(*args, **options):
        display = from_predictions(*args, **options)
        displays.append(display)
        return display

    def plot_errors(figure, evaluations):
        plot(figure, evaluations)
        bars.append(figure.axes[0].containers)

    from_predictions = ClusterErrorDisplay.from_predictions
    monkeypatch.setattr(ClusterErrorDisplay, "from_predictions", record)
    monkeypatch.setattr(_figures, "_plot_errors", plot_errors)
    run(oxides, "--cv", "loco", "--bootstrap", "0")
    page = (tmp_path / "out" / "report.html").read_text()
    assert " interval" not in page.partition("<details><summary>Settings")[0]
    run(oxides, "--cv", "loco", "--bootstrap", "30", "--group-column", "host")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "95 % bootstrap intervals" in page
    without, grouped = displays
    assert np.isnan(without.low_).all()
    assert len({*grouped.drawn_together}) == 30
    assert np.isfinite(grouped.low_).any()
    drawn = [
        any(bar.has_yerr for bar in found if hasattr(bar, "has_yerr")) for found in bars
    ]
    assert drawn == [False, True]
