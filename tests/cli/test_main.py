import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import skmatgnn
from skmatgnn.cli import _fits, main

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "skmatgnn"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def test_version__is_the_package_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"skmatgnn {skmatgnn.__version__}\n"


@pytest.mark.parametrize(
    "command", ["benchmark", "fit", "predict", "pretrain", "finetune"]
)
def test_help__has_examples_and_exits_with_0(command, capsys):
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert f"skmatgnn {command}" in shown
    if command in ("fit", "predict"):
        assert "A forest (rf_magpie) is an archive of skops" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["bench"], "invalid choice: 'bench'"),
        (["benchmark", "--n-splits", "1"], "integer of 2 or more; got '1'"),
        (["benchmark", "--bootstrap", "x"], "integer of 0 or more; got 'x'"),
        (["benchmark", "--models", "control,control"], "none twice"),
        (["benchmark", "--cv", ","], "separated by commas"),
        (["benchmark", "--max-epochs", "0"], "integer of 1 or more"),
        (["benchmark", "--n-jobs", "0"], "number of cores, or -1"),
        (["benchmark", "--random-state", "4294967296"], "from 0 to 4294967295"),
        (["fit", "x.csv"], "required: --model, --out"),
        (["pretrain", "--out", "x"], "required: --property"),
        (["pretrain", "--property", "gap"], "NAME=PATH or NAME=PATH:COLUMN"),
        (["pretrain", "--property", "gap="], "NAME=PATH or NAME=PATH:COLUMN"),
        (["pretrain", "--match", "x"], "invalid choice: 'x'"),
        (["finetune", "x", "--out", "y"], "required: --pretrained"),
        (["finetune", "x", "--param", "lr"], "expected NAME=VALUE; got 'lr'"),
        (["finetune", "x", "--fine-tuning", "all"], "invalid choice: 'all'"),
    ],
)
def test_bad_arguments__one_message_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("skmatgnn: error: ")
    assert message in captured.err
    assert captured.out == ""


def test_bug__is_not_disguised_as_bad_input(oxides, tmp_path, monkeypatch):
    def buggy(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(_fits, "_fit_predict", buggy)
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["benchmark", str(oxides), "--target", "gap", "--out", str(out)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["oxides.csv"]


def test_module__in_a_process_of_its_own__runs_and_shows_progress(oxides, tmp_path):
    arguments = ["benchmark", str(oxides), "--target", "gap", "--n-estimators", "5"]
    done = subprocess.run(  # noqa: S603
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0
    assert "rf_magpie" in done.stdout
    assert "fit/s]" in done.stderr
    assert "Warning" not in done.stderr
    results = tmp_path / "skmatgnn-benchmark" / "results.json"
    assert json.loads(results.read_text())["format"] == "skmatgnn-benchmark"


def test_ctrl_c__while_a_network_is_trained__leaves_nothing(crystal_folder, tmp_path):
    arguments = ["--models", "cgcnn", "--max-epochs", "100000", "--device", "cpu"]
    with subprocess.Popen(  # noqa: S603
        [*COMMAND, "benchmark", str(crystal_folder), *arguments],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        seen = b""
        deadline = time.monotonic() + 300
        while b"epoch 3" not in seen and time.monotonic() < deadline:
            seen += process.stderr.read1(4096)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=300)
    assert process.returncode == 130
    assert b"skmatgnn: interrupted" in rest
    assert b"Traceback" not in rest
    assert list(tmp_path.iterdir()) == []
