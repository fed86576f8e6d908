"""Floors, pins and what the code imports agree with each other."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.metadata import requires as requirements_of
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import skmatgnn

ROOT = Path(skmatgnn.__file__).parents[1]
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
EXTRAS = {
    name: [Requirement(line) for line in text.strip().split("\n")]
    for name, text in CONFIG["options.extras_require"].items()
}
CORE = [Requirement(line) for line in CONFIG["options"]["install_requires"].split()]

NOT_PINNED = {
    "triton",  # the CUDA builds of torch pin it, each its own version
    "mp-api",  # pip finds no versions of its many dependencies that go with our pins
}
# no build of an old torch without CUDA can be had from the package index
NOT_TESTED_OLD = {"torch"}


def read_pins(name):
    lines = (ROOT / name).read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [pin.name.lower() for pin in pins] == sorted(p.name.lower() for p in pins)
    found = {}
    for pin in pins:
        [specifier] = pin.specifier
        assert specifier.operator == "==", pin
        found[canonicalize_name(pin.name)] = Version(specifier.version)
    assert len(found) == len(pins)
    return found


PINS = read_pins("constraints.txt")
OLDEST = read_pins("constraints-oldest.txt")


def floor_of(requirement):
    """The version after >= or ==, which each requirement names."""
    [floor] = [s for s in requirement.specifier if s.operator in {">=", "=="}]
    return Version(floor.version)


def all_requirements():
    for requirement in CORE:
        yield pytest.param(requirement, id=f"core-{requirement.name}")
    for extra, requirements in EXTRAS.items():
        for requirement in requirements:
            yield pytest.param(requirement, id=f"{extra}-{requirement.name}")


@pytest.mark.parametrize("requirement", list(all_requirements()))
def test_requirement__newest__is_pinned_and_allowed(requirement):
    name = canonicalize_name(requirement.name)
    assert floor_of(requirement)
    if name not in NOT_PINNED:
        assert name in PINS, f"pin {name} in constraints.txt"
        assert PINS[name] in requirement.specifier


@pytest.mark.parametrize("requirement", CORE, ids=lambda found: found.name)
def test_core_requirement__oldest__is_what_the_script_installs(requirement):
    name = canonicalize_name(requirement.name)
    if name in NOT_TESTED_OLD:
        assert name not in OLDEST
    else:
        assert OLDEST[name] == floor_of(requirement)


def test_oldest__pins_of_the_tests__are_their_floors():
    tools = {canonicalize_name(r.name): r for r in EXTRAS["test"]}
    core = {canonicalize_name(requirement.name) for requirement in CORE}
    for name in OLDEST.keys() - core:
        assert OLDEST[name] == floor_of(tools[name])
    assert {"ase", "hypothesis", "pytest"} <= OLDEST.keys()


def installed_needs(names):
    """Names of what the named packages need, and what these need in turn."""
    environment = {**default_environment(), "extra": ""}
    found, open_names = set(), list(names)
    while open_names:
        name = canonicalize_name(open_names.pop())
        if name in found:
            continue
        try:
            lines = requirements_of(name) or []
        except PackageNotFoundError:  # of an extra that is not installed
            continue
        found.add(name)
        open_names += [
            requirement.name
            for requirement in map(Requirement, lines)
            if requirement.marker is None or requirement.marker.evaluate(environment)
        ]
    return found


def test_pins__of_all_that_the_requirements_need__are_there():
    if Version(version("pymatgen")) != PINS["pymatgen"]:
        pytest.skip("other versions are installed, which may need other packages")
    names = [r.name for r in CORE] + [r.name for rs in EXTRAS.values() for r in rs]
    needed = installed_needs(names)
    assert len(needed) > 30
    cuda = {name for name in needed if name.startswith(("nvidia-", "cuda-"))}
    assert needed - cuda - NOT_PINNED - PINS.keys() == set()


def imported_packages(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


def distributions_of(folder):
    names = {
        name
        for path in (ROOT / folder).rglob("*.py")
        for name in imported_packages(path)
    }
    providers = packages_distributions()
    for name in sorted(names - sys.stdlib_module_names - {"skmatgnn"}):
        yield name, {canonicalize_name(d) for d in providers.get(name, [name])}


def test_package__what_it_imports__is_required():
    required = {canonicalize_name(r.name) for r in CORE}
    for extra in EXTRAS.values():
        required |= {canonicalize_name(r.name) for r in extra}
    required |= {"pymatgen-core"}  # a part of pymatgen
    missing = {
        name: found
        for name, found in distributions_of("skmatgnn")
        if not found & required
    }
    assert missing == {}


def test_requirement__each_of_the_core__is_used():
    used = set().union(*(found for _, found in distributions_of("skmatgnn")))
    if "pymatgen-core" in used:
        used.add("pymatgen")
    core = {canonicalize_name(requirement.name) for requirement in CORE}
    assert core - used == set()


@pytest.mark.parametrize("requirement", CORE, ids=lambda found: found.name)
def test_requirement__installed_version__is_allowed(requirement):
    found = version(requirement.name)
    assert requirement.specifier.contains(found, prereleases=True)


def test_scripts_of_ci__options_of_pip__name_the_files_that_exist():
    for script in (ROOT / ".ci").iterdir():
        for name in re.findall(r"-c (\S+\.txt)", script.read_text()):
            assert (ROOT / name).exists(), f"{script.name} needs {name}"
