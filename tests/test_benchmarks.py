"""Scripts of ``benchmarks/`` that judge, and so have to be right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/accuracy_guard.py"
TASK = "expt_gap/MODNetRegressor"


def guard(out, *arguments):
    """Run accuracy_guard.py; its exit status and output."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, SCRIPT, "--quick", "--out", out, "--tasks", TASK, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Two fits of the reference path, on the CPU."""
    out = tmp_path_factory.mktemp("guard") / "guard.jsonl"
    arguments = ("--paths", "reference", "--seeds", "0", "1", "--device", "cpu",
                 "--jobs", "2")  # fmt: skip
    status, text = guard(out, *arguments)
    assert (status, text.count("float32")) == (0, 2)
    again = guard(out, *arguments)
    assert again[0] == 0
    assert "2 fits are done, 0 to do" in again[1]
    lines = out.read_text().splitlines()
    rows = sorted(map(json.loads, lines), key=lambda row: row["seed"])
    assert [row["seed"] for row in rows] == [0, 1]
    assert rows[0]["mae"] != rows[1]["mae"]
    return rows


FAST = {"SKMATGNN_KERNELS": None, "SKMATGNN_CUDA_GRAPHS": None}


@pytest.mark.parametrize(
    ("shift", "status"), [(0.0, 0), (0.99, 0), (-0.99, 0), (1.01, 1), (-1.01, 1)]
)
def test_accuracy_guard__other_errors__status_follows_the_rule(
    fits, shift, status, tmp_path
):
    errors = [row["mae"] for row in fits]
    spread = max(errors) - min(errors)
    lines = []
    for row in fits:
        parameters = {**row["parameters"], "precision": "auto"}
        fast = {"path": "fast", "parameters": parameters, "environment": FAST}
        fast["mae"] = row["mae"] + shift * spread
        lines += [json.dumps(row), json.dumps({**row, **fast})]
    out = tmp_path / "guard.jsonl"
    out.write_text("\n".join(lines))
    found, text = guard(out, "--seeds", "0", "1", "--print")
    assert found == status
    assert ("OUTSIDE" if status else "within") in text
    found, text = guard(out, "--seeds", "0", "1", "2", "--print")
    assert found == 2
    assert "fits are missing" in text


SEEN = """
import os, sys, torch
sys.path.insert(0, sys.argv[1])
from _study_workers import visible_gpu
torch.cuda.device_count = lambda: 2
for number in range(3):
    with visible_gpu(number):
        print(os.environ["CUDA_VISIBLE_DEVICES"], end=" ")
print(os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


@pytest.mark.parametrize(
    ("given", "seen"),
    [(None, "0 1 0 None"), ("3,5", "3 5 3 3,5"), ("GPU-a", "GPU-a GPU-a GPU-a GPU-a")],
)
def test_study__processes__are_dealt_out_to_the_gpus(given, seen):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    if given is not None:
        environment["CUDA_VISIBLE_DEVICES"] = given
    found = subprocess.check_output(  # noqa: S603 - our own script
        [sys.executable, "-c", SEEN, SCRIPT.parent], env=environment, text=True
    )
    assert found.strip() == seen
