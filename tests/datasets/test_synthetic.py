"""Synthetic crystals."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Structure
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score

from skmatgnn.datasets import load_prototypes, make_crystals
from skmatgnn.errors import InvalidTypeError, InvalidValueError

NAMES = (
    *("fcc", "bcc", "diamond", "rocksalt"),
    *("cscl", "zincblende", "fluorite", "perovskite"),
)


def reference_target(structure):
    """Evaluate the documented formula on pymatgen's neighbours."""
    chi = np.array([site.specie.X for site in structure])
    i, j, _, r = structure.get_neighbor_list(6.0, exclude_self=True)
    term = 10 * (1 + (chi[i] - chi[j]) ** 2) * np.exp(-r)
    term *= 0.5 * (1 + np.cos(np.pi * r / 6.0))
    return np.sqrt(np.bincount(i, term, len(structure))).mean()


@pytest.mark.parametrize("strain", [0.0, 0.1])
@pytest.mark.parametrize("rattle", [0.0, 0.3])
def test_crystals__target__is_the_documented_function(strain, rattle):
    bunch = make_crystals(60, strain=strain, rattle=rattle, random_state=0)
    expected = [reference_target(structure) for structure in bunch.data]
    np.testing.assert_allclose(bunch.target, expected, rtol=1e-9)


def test_crystals__supercell__has_the_same_target():
    bunch = make_crystals(8, random_state=1)
    for structure, value in zip(bunch.data, bunch.target, strict=True):
        structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 2]])
        assert reference_target(structure) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("fcc", "A_cF4_225_a"),
        ("bcc", "A_cI2_229_a"),
        ("diamond", "A_cF8_227_a"),
        ("rocksalt", "AB_cF8_225_a_b"),
        ("cscl", "AB_cP2_221_b_a"),
        ("zincblende", "AB_cF8_216_c_a"),
        ("fluorite", "AB2_cF12_225_a_c"),
        ("perovskite", "AB3C_cP5_221_a_c_b"),
    ],
)
def test_crystals__unstrained_prototype__matches_the_aflow_library(name, label):
    prototypes = load_prototypes()
    reference = prototypes.data[list(prototypes.prototypes).index(label)]
    crystal = make_crystals(
        1, prototypes=[name], strain=0, rattle=0, random_state=0
    ).data[0]
    assert StructureMatcher().fit_anonymous(crystal, reference)


def test_crystals__ideal__have_touching_spheres_and_realistic_volumes():
    salt = make_crystals(
        1, prototypes=["rocksalt"], elements=["Cl", "Na"], strain=0, rattle=0
    ).data[0]
    assert salt.volume / 2 == pytest.approx(22.4, rel=0.05)
    bunch = make_crystals(100, strain=0, rattle=0, random_state=2)
    for structure in bunch.data:
        radius = np.array([float(site.specie.atomic_radius) for site in structure])
        i, j, _, r = structure.get_neighbor_list(8.0, exclude_self=True)
        assert (r / (radius[i] + radius[j])).min() == pytest.approx(1.0, abs=1e-6)


def test_crystals__ordered_sites__hold_the_electropositive_element_first():
    for structure in make_crystals(40, random_state=3).data:
        chi = [site.specie.X for site in structure]
        assert chi == sorted(chi)


def test_crystals__strongest_disorder__stay_valid():
    bunch = make_crystals(300, strain=0.1, rattle=0.3, random_state=4)
    assert all(structure.is_valid(tol=0.3) for structure in bunch.data)
    assert set(bunch.groups) == set(NAMES)


def test_crystals__same_seed__are_identical():
    first, second = (make_crystals(50, noise=0.1, random_state=7) for _ in range(2))
    other = make_crystals(50, noise=0.1, random_state=8)
    np.testing.assert_array_equal(first.target, second.target)
    assert list(first.data) == list(second.data)
    assert list(first.data) != list(other.data)


def test_crystals__noise__has_the_given_spread_and_leaves_the_structures():
    clean = make_crystals(2000, prototypes=["fcc"], random_state=0)
    noisy = make_crystals(2000, prototypes=["fcc"], noise=0.5, random_state=0)
    assert clean.data[5] == noisy.data[5]
    assert (noisy.target - clean.target).std() == pytest.approx(0.5, rel=0.1)


def test_crystals__forest__needs_both_composition_and_geometry():
    bunch = make_crystals(600, random_state=0)
    chi = [np.array([s.specie.X for s in structure]) for structure in bunch.data]
    mean_chi = [float(s.composition.average_electroneg) for s in bunch.data]
    composition = np.column_stack(
        [
            mean_chi,
            [values.std() for values in chi],
            [np.mean([site.specie.atomic_radius for site in s]) for s in bunch.data],
        ]
    )
    distances = [s.get_neighbor_list(6.0, exclude_self=True)[3] for s in bunch.data]
    geometry = np.column_stack(
        [
            [s.volume / len(s) for s in bunch.data],
            [
                np.exp(-r).sum() / len(s)
                for r, s in zip(distances, bunch.data, strict=True)
            ],
        ]
    )
    forest = RandomForestRegressor(60, random_state=0)
    y = np.log(bunch.target)
    alone = cross_val_score(forest, composition, y, cv=3).mean()
    bare = cross_val_score(forest, geometry, y, cv=3).mean()
    both = cross_val_score(forest, np.hstack([composition, geometry]), y, cv=3).mean()
    assert both > 0.93
    assert alone < both - 0.05
    assert bare < both - 0.02


def test_crystals__thousand__take_less_than_a_second_or_so():
    make_crystals(1, random_state=0)
    start = time.process_time()
    make_crystals(1000, random_state=0)
    # 0.2 s on one idle core; the margin is for a machine that is shared.
    assert time.process_time() - start < 2.0


def test_crystals__as_frame_and_return_x_y__give_the_same():
    bunch = make_crystals(12, random_state=0, as_frame=True)
    X, y = make_crystals(12, random_state=0, return_X_y=True)
    assert list(bunch.data["structure"]) == list(X)
    np.testing.assert_array_equal(bunch.target.to_numpy(), y)
    assert list(bunch.frame.columns) == ["structure", "prototype", "target"]
    assert all(isinstance(x, Structure) for x in X)


def test_crystals__given_elements__use_no_others():
    bunch = make_crystals(30, elements=["Na", "Cl", "Ti"], random_state=0)
    assert {e for s in bunch.data for e in s.composition} <= {
        Element("Na"),
        Element("Cl"),
        Element("Ti"),
    }


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"n_samples": 0}, InvalidValueError, "n_samples"),
        ({"n_samples": 2.5}, InvalidTypeError, "n_samples must be an integer"),
        ({"n_samples": True}, InvalidTypeError, "n_samples"),
        ({"strain": 0.5}, InvalidValueError, r"strain .* \[0.0, 0.1\]; got 0.5"),
        ({"rattle": -0.1}, InvalidValueError, "rattle"),
        ({"noise": float("nan")}, InvalidValueError, "noise"),
        ({"noise": "loud"}, InvalidTypeError, "noise must be a number"),
        ({"prototypes": ["spinel"]}, InvalidValueError, "got .'spinel'"),
        ({"prototypes": "fcc"}, InvalidTypeError, "into a list"),
        ({"prototypes": []}, InvalidValueError, "empty"),
        ({"prototypes": [1]}, InvalidTypeError, "index 0"),
        ({"elements": ["Xx", "Na", "Cl"]}, InvalidValueError, "'Xx'"),
        ({"elements": ["He", "Na", "Cl"]}, InvalidValueError, "'He'.*Leave it out"),
        ({"elements": ["Na", "Cl", "Na"]}, InvalidValueError, "needs 3 distinct"),
        ({"elements": 11}, InvalidTypeError, "elements"),
    ],
)
def test_crystals__bad_argument__is_named(arguments, error, match):
    with pytest.raises(error, match=match):
        make_crystals(**arguments)
