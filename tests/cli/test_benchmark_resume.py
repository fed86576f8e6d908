"""A benchmark that was stopped goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from skmatgnn.cli import _fits, main

FAST = ["--n-estimators", "5", "--bootstrap", "20", "--quiet"]


def arguments(path, out, *more):
    return ["benchmark", str(path), "--target", "gap", "--out", str(out), *FAST, *more]


@pytest.fixture
def counted(monkeypatch):
    """Count the fits, and raise an error in one of them on demand."""

    class Counter:
        n, stop_at, error = 0, None, None

    real = _fits._fit_predict

    def fit_predict(*args, **kwargs):
        if Counter.n == Counter.stop_at:
            raise Counter.error
        Counter.n += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(_fits, "_fit_predict", fit_predict)
    return Counter


def predictions(out):
    return (out / "predictions.csv").read_text()


def test_benchmark__interrupted__goes_on_and_gives_the_same(
    oxides, tmp_path, counted, capsys
):
    whole = tmp_path / "whole"
    assert main(arguments(oxides, whole)) == 0
    n_fits = counted.n
    counted.n, counted.stop_at, counted.error = 0, 12, KeyboardInterrupt()
    out = tmp_path / "out"
    assert main(arguments(oxides, out)) == 130
    assert not out.exists()
    assert len(list((tmp_path / "out.partial").iterdir())) == 12
    counted.n, counted.stop_at = 0, None
    assert main(arguments(oxides, out)) == 0
    assert counted.n == n_fits - 12
    assert f"12 of {n_fits} fits were done before" in capsys.readouterr().err
    assert predictions(out) == predictions(whole)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["out", "oxides.csv", "whole"]


def test_benchmark__killed__goes_on_and_gives_the_same(oxides, tmp_path):
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    slow = arguments(oxides, out, "--models", "control,rf_magpie,crabnet")
    slow += ["--max-epochs", "30", "--device", "cpu"]
    command = [sys.executable, "-m", "skmatgnn", *slow]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment)  # noqa: S603
    deadline = time.monotonic() + 600
    while not partial.exists() or len(list(partial.glob("*.npz"))) < 27:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {p.name: p.stat().st_mtime_ns for p in partial.glob("*.npz")}
    assert not out.exists()
    fewer = [
        a if a != "control,rf_magpie,crabnet" else "control,rf_magpie" for a in slow
    ]
    assert main(fewer) == 0
    results = json.loads((out / "results.json").read_text())
    assert any("fits were done before" in note for note in results["notes"])
    assert len(before) >= 27
    assert main(arguments(oxides, tmp_path / "other")) == 0
    assert predictions(out) == predictions(tmp_path / "other")


def test_benchmark__other_seed_or_data__takes_nothing_from_the_former_run(
    oxides, edited, tmp_path, counted
):
    out = tmp_path / "out"
    only = ["--models", "control", "--cv", "stratified"]
    for number, more in enumerate([[], ["--random-state", "1"], []]):
        path = oxides if number < 2 else edited(line5="Li-Ni,LiNiO2,1.7,19,LiNiO2")
        counted.n, counted.stop_at, counted.error = 0, 4, KeyboardInterrupt()
        assert main(arguments(path, out, *only, *more)) == 130
        assert counted.n == 4
    assert len(list((tmp_path / "out.partial").iterdir())) > 8


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_benchmark__damaged_fit__is_fitted_again(oxides, tmp_path, counted, damage):
    out = tmp_path / "out"
    counted.stop_at, counted.error = 3, KeyboardInterrupt()
    only = ["--models", "rf_magpie", "--cv", "stratified"]
    assert main(arguments(oxides, out, *only)) == 130
    victim = min((tmp_path / "out.partial").iterdir())
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) // 2] if damage is None else damage)
    counted.n, counted.stop_at = 0, None
    assert main(arguments(oxides, out, *only)) == 0
    assert counted.n == 3  # two were not done, one was damaged


def test_benchmark__several_jobs__same_predictions(oxides, tmp_path):
    more = ["--models", "control,rf_magpie,modnet", "--max-epochs", "2"]
    more += ["--cv", "stratified", "--n-splits", "2", "--device", "cpu"]
    for n_jobs in ("1", "2"):
        assert (
            main(arguments(oxides, tmp_path / n_jobs, *more, "--n-jobs", n_jobs)) == 0
        )
    assert predictions(tmp_path / "1") == predictions(tmp_path / "2")
