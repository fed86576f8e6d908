"""Readers of users' files take any bytes: they read them, or raise one of our errors.

The hypothesis tests here try some hundred inputs. Longer runs, with the same targets,
are made by ``run_random.py`` and, guided by coverage, ``run_atheris.py``; what they
tried is written in ``README.md`` beside them.
"""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skmatgnn.errors import InvalidValueError

MOST_SECONDS = 30


def load(name):
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzzed = load("targets")
NAMES = (
    *("id_prop_csv", "id_prop_json", "cif_file", "poscar_file", "electrodes_csv"),
    *("checkpoint", "checkpoint_config", "state_config"),
)
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]


@contextmanager
def limited_time():
    """Fail where an input takes long, as one that hangs."""

    def stop(*_):
        raise TimeoutError

    if sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_targets__seeds__are_read():
    assert set(fuzzed.targets()) == set(NAMES)
    for name, (target, seeds) in fuzzed.targets().items():
        assert fuzzed.attempt(target, seeds[0]), name


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=CHECKS)
@given(seed=st.integers(0, 2**63), which=st.integers(0, 2))
def test_reader__changed_file__is_read_or_refused(name, seed, which):
    target, seeds = fuzzed.targets()[name]
    data = fuzzed.mutated(seeds[which % len(seeds)], random.Random(seed))
    with limited_time():
        fuzzed.attempt(target, data)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=CHECKS)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_reader__any_bytes__are_read_or_refused(name, data):
    with limited_time():
        fuzzed.attempt(fuzzed.targets()[name][0], data)


def test_poscar__billions_of_atoms__are_refused_before_memory_is_taken():
    target, seeds = fuzzed.targets()["poscar_file"]
    lines = seeds[0].split(b"\n")
    for number in (b"99999999999", b"1_000_000_000", b"1 2147483648\n2147483648"):
        lines[6] = number
        with pytest.raises(InvalidValueError, match=r"announces \d+ atoms, but has"):
            target(b"\n".join(lines))


def test_state__without_a_part__says_what_to_delete():
    target, seeds = fuzzed.targets()["state_config"]
    target(seeds[0])
    for name in json.loads(seeds[0]):
        config = {k: v for k, v in json.loads(seeds[0]).items() if k != name}
        if name in ("fingerprint", "torch"):  # the target puts the former in
            target(json.dumps(config).encode())
            continue
        with pytest.raises(InvalidValueError, match="Delete this file to train"):
            target(json.dumps(config).encode())
