"""Crystals that the tests share.

Fixtures named by formula give one pymatgen Structure; ``crystal`` runs a test on each
of them. Most have degenerate neighbour shells, which a careless search cuts at random.
"""

from __future__ import annotations

import os
import random
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import settings
from pymatgen.core import Lattice, Structure
from pymatgen.core.operations import SymmOp

# The same examples in every run, so that no run fails by chance. New ones are sought
# with `pytest --hypothesis-profile=search`.
settings.register_profile("search", derandomize=False)
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_configure(config):
    """Let processes side by side have one thread each: together they have the cores."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Let what takes no seed draw the same in every run, fixtures included."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def rocksalt():
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )


def perovskite():
    return Structure.from_spacegroup(
        "Pm-3m",
        Lattice.cubic(3.905),
        ["Sr", "Ti", "O"],
        [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]],
    )


def caesium_chloride():
    return Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0] * 3, [0.5] * 3])


def copper():
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0] * 3])


def tungsten():
    """Primitive cell: one atom."""
    matrix = 3.165 / 2 * (np.ones((3, 3)) - 2 * np.eye(3))
    return Structure(matrix, ["W"], [[0] * 3])


def zincblende():
    return Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0] * 3, [0.25] * 3]
    )


def magnesium():
    """Hexagonal close packing off its ideal c/a."""
    return Structure(
        Lattice.hexagonal(3.21, 5.21),
        ["Mg", "Mg"],
        [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]],
    )


def triclinic():
    return make_random_crystal(
        np.random.default_rng(7), n_atoms=6, species=("Li", "Fe", "O")
    )


def slab():
    """Two layers of rock salt and vacuum, not repeated along c."""
    lattice = Lattice.from_parameters(
        3.99, 3.99, 25, 90, 90, 90, pbc=(True, True, False)
    )
    coords = [[0, 0, 0.1], [0.5, 0.5, 0.1], [0.5, 0.5, 0.2128], [0, 0, 0.2128]]
    return Structure(lattice, ["Na", "Cl", "Na", "Cl"], coords)


CRYSTALS = {
    "NaCl": rocksalt,
    "SrTiO3": perovskite,
    "CsCl": caesium_chloride,
    "fcc_Cu": copper,
    "bcc_W": tungsten,
    "ZnS": zincblende,
    "hcp_Mg": magnesium,
    "triclinic": triclinic,
    "slab": slab,
}


def make_random_crystal(
    rng,
    *,
    n_atoms=None,
    lengths=(3.0, 9.0),
    pbc=(True, True, True),
    species=("Na", "Cl", "O"),
    min_distance=1.0,
):
    """Draw a triclinic cell and atoms that do not overlap."""
    n_atoms = int(rng.integers(1, 9)) if n_atoms is None else n_atoms
    while True:
        a, b, c = rng.uniform(*lengths, size=3)
        angles = rng.uniform(55, 125, size=3)
        cosines = np.cos(np.radians(angles))
        squared = 1 - (cosines**2).sum() + 2 * cosines.prod()
        if squared < 0.1 or a * b * c * squared**0.5 < 5 * n_atoms:
            continue
        lattice = Lattice.from_parameters(a, b, c, *angles, pbc=pbc)
        coords = rng.random((n_atoms, 3))
        distance = lattice.get_all_distances(coords, coords) + 99 * np.eye(n_atoms)
        if distance.min() > min_distance:
            return Structure(lattice, rng.choice(species, n_atoms).tolist(), coords)


def random_rotation(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def make_equivalents(structure, rng):
    """Describe the same crystal in other ways; periodic in all directions."""
    periodic = all(structure.lattice.pbc)
    order = rng.permutation(len(structure))
    permuted = Structure.from_sites([structure[i] for i in order])
    shift = rng.random(3) * np.array(structure.lattice.pbc)
    translated = structure.copy()
    translated.translate_sites(range(len(structure)), shift, to_unit_cell=periodic)
    rotated = structure.copy()
    operation = SymmOp.from_rotation_and_translation(random_rotation(rng), [0] * 3)
    rotated.apply_operation(operation)
    doubled = structure * (2, 1, 1)
    same = {
        "permuted": permuted,
        "translated": translated,
        "rotated": rotated,
        "doubled": doubled,
    }
    if periodic:
        same["supercell"] = structure * (1, 2, 3)
        same["skewed"] = structure * [[1, 1, 0], [0, 1, 0], [-1, 1, 1]]
        same["niggli"] = structure.get_reduced_structure()
        same["outside"] = Structure(
            structure.lattice,
            structure.species,
            structure.frac_coords + rng.integers(-3, 4, size=(len(structure), 3)),
        )
    return same


@cache
def _build(name):
    return CRYSTALS[name]()


@pytest.fixture
def crystals():
    return {name: _build(name).copy() for name in CRYSTALS}


@pytest.fixture(params=CRYSTALS)
def crystal(request):
    return _build(request.param).copy()


@pytest.fixture
def salt():
    return _build("NaCl").copy()


@pytest.fixture
def make():
    """Builders, for tests that need many or varied crystals."""
    return SimpleNamespace(
        random_crystal=make_random_crystal,
        equivalents=make_equivalents,
        rotation=random_rotation,
    )
