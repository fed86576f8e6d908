"""Training that is killed at any moment, in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="processes are forked, so that many can be killed"
)

RUNNER = Path(__file__).with_name("run_killed.py")
ONE = ("one:cgcnn:0", "one:crabnet:0", "one:modnet:1", "one:mpt:0")
ENSEMBLE = "many:cgcnn:0"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of fits that were killed ten times each."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(RUNNER.parents[2]), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, RUNNER, folder, *ONE, ENSEMBLE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("task", ONE)
def test_fit__killed_at_random_moments__comes_to_the_same_bits(found, task):
    assert found[task]["different"] == []
    assert found[task]["n_killed"] >= 2
    assert found[task]["n_recalled"] >= 2  # else all kills came before the first state
    assert found[task]["n_files"] == 1  # the finished state, and nothing half-written


def test_cross_validation_of_an_ensemble__killed__comes_to_the_same_bits(found):
    assert found[ENSEMBLE]["different"] == []
    assert found[ENSEMBLE]["n_killed"] >= 2
    assert found[ENSEMBLE]["n_files"] == 3 * 2  # folds times members
