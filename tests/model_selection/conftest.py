from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

ELECTRODES = (
    Path(__file__).parents[2] / "../shared/data/electrodes_mp_2019.csv.gz"
).resolve()
FAMILIES = {
    "oxide": ["Fe2O3", "Al2O3", "Cr2O3", "V2O3", "TiO2", "MnO2", "SnO2", "ZrO2"],
    "halide": ["NaCl", "KCl", "KBr", "NaI", "RbCl", "CsI", "LiF", "NaBr"],
    "metal": ["CuAu", "Ni3Al", "FePt", "Cu3Au", "TiNi", "CoPt", "NiAl", "FeNi"],
}


@pytest.fixture
def formulas():
    return [formula for family in FAMILIES.values() for formula in family]


@pytest.fixture
def families():
    return np.repeat(list(FAMILIES), [len(family) for family in FAMILIES.values()])


@pytest.fixture
def rocksalts():
    return [
        Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(4.2 + 0.1 * i), [cation, anion], [[0] * 3, [0.5] * 3]
        )
        for i, (cation, anion) in enumerate(
            [("Mg", "O"), ("Ca", "O"), ("Na", "Cl"), ("K", "Cl"), ("Na", "Br")]
        )
    ]


@pytest.fixture
def electrodes():
    if not ELECTRODES.exists():
        pytest.skip(f"the electrode table {ELECTRODES.name} is not here")
    return pd.read_csv(ELECTRODES, keep_default_na=False)
