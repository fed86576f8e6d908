"""Data sets that matminer and pymatgen ship."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Composition, Element
from scipy import constants
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import GroupKFold, cross_val_score

from skmatgnn.datasets import load_formation_energies, load_transport
from skmatgnn.datasets._base import find_resource
from skmatgnn.datasets._bundled import _without_repeats
from skmatgnn.errors import SkmatgnnError


@pytest.fixture(scope="module")
def transport():
    return load_transport(as_frame=True)


@pytest.fixture(scope="module")
def energies():
    return load_formation_energies(as_frame=True)


def test_transport__loaded__has_the_documented_shape(transport):
    bunch = load_transport()
    assert bunch.data.shape == (47737,)
    assert bunch.data.dtype == object
    assert bunch.target.shape == (47737, 10)
    assert bunch.target.dtype == np.float64
    assert not np.isnan(bunch.target).any()
    assert len(set(bunch.groups)) == 34630
    assert len(set(bunch.material_ids)) == 47737
    assert list(bunch.units) == bunch.target_names
    assert bunch.frame is None
    assert "10.1038/sdata.2017.85" in bunch.DESCR
    assert list(transport.frame.columns[:2]) == ["material_id", "formula"]


def test_transport__effective_mass_and_conductivity__meet_in_the_stated_units(
    transport,
):
    """m sigma / tau = n e^2, an identity of isotropic crystals, fixes both units."""
    density = 1e24
    expected = density * constants.e**2 / constants.m_e / 1e15
    for carrier in "pn":
        product = (
            transport.target[f"m_{carrier}"] * transport.target[f"sigma_{carrier}"]
        )
        # The mean of 1/x exceeds 1/mean: anisotropy only ever raises the product.
        assert product.min() > 0.995 * expected
        assert np.isclose(product, expected, rtol=1e-3).mean() > 0.3


def test_transport__conductivities_of_metals__obey_wiedemann_franz(transport):
    target = transport.target
    metals = target[target["sigma_p"] > 1e5]
    lorenz = metals["kappa_p"] * 1e9 / (metals["sigma_p"] * 1e15 * 300.0)
    assert len(metals) > 5000
    assert np.isclose(lorenz.median(), 2.44e-8, rtol=0.02)


def test_transport__power_factor__is_seebeck_squared_times_conductivity(transport):
    target = transport.target
    power = (target["S_n"] * 1e-6) ** 2 * target["sigma_n"] * 1e15 / 1e9
    assert np.isclose((power / target["PF_n"]).median(), 1.0, rtol=0.01)


def test_transport__groups__join_different_spellings_of_a_formula(transport):
    spellings = pd.Series(transport.data["formula"].to_numpy()).groupby(
        transport.groups
    )
    several = spellings.nunique()
    assert several.max() == 2
    name = several.idxmax()
    reduced = {Composition(f).reduced_formula for f in spellings.get_group(name)}
    assert reduced == {name}


def test_transport__return_x_y__equals_the_bunch(transport):
    X, y = load_transport(return_X_y=True)
    assert X[3] == "BaTe"
    np.testing.assert_array_equal(y, transport.target.to_numpy())


def test_transport__changed_by_the_caller__is_whole_on_the_next_call():
    first = load_transport(as_frame=True)
    first.frame.loc[:, "S_p"] = 0.0
    assert load_transport(as_frame=True).frame["S_p"].abs().max() > 1000


def test_formation_energies__loaded__has_the_documented_shape(energies):
    bunch = load_formation_energies()
    assert bunch.data.shape == bunch.target.shape == (2135,)
    assert len(set(bunch.groups)) == 1319
    assert np.isnan(bunch.uncertainty).sum() == 301
    assert sum(not isinstance(entry, str) for entry in bunch.material_ids) == 555
    assert round(bunch.target.min(), 2) == -4.49
    assert round(bunch.target.max(), 2) == 0.33
    keys = {Composition(formula).reduced_formula for formula in bunch.data}
    assert len(keys) == 2135
    assert isinstance(energies.target, pd.Series)
    assert list(energies.data.columns) == ["formula"]


@pytest.mark.parametrize(
    ("formula", "kilojoule_per_mole", "n_atoms"),
    [("NaCl", -411.2, 2), ("Al2O3", -1675.7, 5), ("TiO2", -944.0, 3)],
)
def test_formation_energies__handbook_value__agrees_per_atom(
    energies, formula, kilojoule_per_mole, n_atoms
):
    row = energies.frame.set_index("formula").loc[formula]
    expected = kilojoule_per_mole * 1e3 / constants.N_A / constants.e / n_atoms
    assert row["formation_energy_per_atom"] == pytest.approx(expected, rel=0.01)


def test_formation_energies__groups__are_chemical_systems(energies):
    groups = pd.Series(energies.groups, index=energies.data["formula"])
    assert groups["Al2O3"] == "Al-O"
    assert groups["Fe877S1000"] == groups["FeS"] == "Fe-S"


def test_formation_energies__repeated_formula__keeps_the_most_certain_row():
    frame = pd.DataFrame(
        {
            "formula": ["FeS", "Fe2S2", "NaCl", "Fe3S3"],
            "uncertainty_per_atom": [np.nan, 0.2, np.nan, 0.1],
        }
    )
    kept = _without_repeats(frame, ["FeS", "FeS", "NaCl", "FeS"])
    assert kept["formula"].tolist() == ["NaCl", "Fe3S3"]


def test_formation_energies__grouped_folds__are_learnable(energies):
    """Element fractions must explain most of the energy across chemical systems."""
    X = np.zeros((len(energies.data), 100))
    for row, formula in enumerate(energies.data["formula"]):
        for element, share in Composition(formula).fractional_composition.items():
            X[row, Element(element.symbol).Z] = share
    scores = cross_val_score(
        RandomForestRegressor(40, min_samples_leaf=2, random_state=0),
        X,
        energies.target,
        groups=energies.groups,
        cv=GroupKFold(3),
    )
    assert scores.mean() > 0.7


def test_find_resource__file_in_no_version__names_the_places():
    with pytest.raises(SkmatgnnError, match=r"nowhere.json.*Reinstall matminer"):
        find_resource("matminer", ["nowhere.json"])
    with pytest.raises(SkmatgnnError, match="no folder"):
        find_resource("no_such_package_here", ["nowhere.json"])


def test_datasets__imported__leaves_the_heavy_packages_alone():
    code = (
        "import sys, skmatgnn.datasets\n"
        "print([m for m in ('pymatgen.core', 'matminer', 'torch', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
