"""Element symbols and the element tables that ship with matminer.

The tables are read from matminer's data files without importing matminer, whose
import costs more than all parsing and featurizing of a thousand formulas.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from skmatgnn._typing import FloatArray

__all__ = [
    "ATOMIC_NUMBERS",
    "ELEMENT_SYMBOLS",
    "MAGPIE_PROPERTIES",
    "N_ELEMENTS",
    "cgcnn_element_features",
    "magpie_element_table",
    "matscholar_element_features",
]

N_ELEMENTS = 118

_PERIODIC_TABLE = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge
As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm
Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th
Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

ELEMENT_SYMBOLS: tuple[str, ...] = ("", *_PERIODIC_TABLE.split())
"""Symbol of each element, indexed by atomic number; entry 0 is empty."""

ATOMIC_NUMBERS: Mapping[str, int] = MappingProxyType(
    {symbol: z for z, symbol in enumerate(ELEMENT_SYMBOLS) if symbol}
    | {"D": 1, "T": 1},
)
"""Atomic number of each symbol; deuterium and tritium count as hydrogen."""

MAGPIE_PROPERTIES: tuple[str, ...] = (
    "Number",
    "MendeleevNumber",
    "AtomicWeight",
    "MeltingT",
    "Column",
    "Row",
    "CovalentRadius",
    "Electronegativity",
    "NsValence",
    "NpValence",
    "NdValence",
    "NfValence",
    "NValence",
    "NsUnfilled",
    "NpUnfilled",
    "NdUnfilled",
    "NfUnfilled",
    "NUnfilled",
    "GSvolume_pa",
    "GSbandgap",
    "GSmagmom",
    "SpaceGroupNumber",
)
"""The 22 element properties of the Magpie preset, in matminer's order."""


@lru_cache(maxsize=2)
def magpie_element_table(*, impute_nan: bool = False) -> FloatArray:
    """Magpie's 22 element properties as one table.

    Parameters
    ----------
    impute_nan : bool, default=False
        Replace unknown values by the property's mean over the elements that have
        it. False leaves them NaN.

    Returns
    -------
    ndarray of shape (119, 22)
        Row ``Z`` belongs to the element of atomic number ``Z``; row 0 is NaN. The
        columns are those of `MAGPIE_PROPERTIES`. Read-only, shared between calls.

    References
    ----------
    .. [1] L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, "A general-purpose
       machine learning framework for predicting properties of inorganic
       materials", npj Comput. Mater. 2, 16028 (2016).

    Examples
    --------
    >>> from skmatgnn.utils.elements import MAGPIE_PROPERTIES, magpie_element_table
    >>> table = magpie_element_table()
    >>> float(table[26, MAGPIE_PROPERTIES.index("AtomicWeight")])
    55.845
    """
    folder = _matminer_data("magpie_elementdata")
    table = np.full((N_ELEMENTS + 1, len(MAGPIE_PROPERTIES)), np.nan)
    for column, name in enumerate(MAGPIE_PROPERTIES):
        lines = (folder / f"{name}.table").read_text(encoding="utf-8").splitlines()
        values = [_float_or_nan(line) for line in lines[:N_ELEMENTS]]
        table[1 : 1 + len(values), column] = values
    if impute_nan:
        known = table[1:]
        table[1:] = np.where(np.isnan(known), np.nanmean(known, axis=0), known)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1)
def cgcnn_element_features() -> FloatArray:
    """CGCNN's 92 binary element features as one table.

    One-hot group, period, binned electronegativity, covalent radius, valence
    electrons, first ionization energy, electron affinity, block and atomic volume.

    Returns
    -------
    ndarray of shape (119, 92)
        Row ``Z`` belongs to the element of atomic number ``Z``; rows of elements
        without data (0 and beyond 100) are NaN. Read-only, shared between calls.

    References
    ----------
    .. [1] T. Xie, J. C. Grossman, "Crystal graph convolutional neural networks for
       an accurate and interpretable prediction of material properties", Phys. Rev.
       Lett. 120, 145301 (2018), supplementary table of atom features.

    Examples
    --------
    >>> from skmatgnn.utils.elements import cgcnn_element_features
    >>> cgcnn_element_features().shape
    (119, 92)
    """
    return _table_of_rows("cgcnn_atom_feature.json", int)


@lru_cache(maxsize=1)
def matscholar_element_features() -> FloatArray:
    """Matscholar's 200-dimensional element vectors as one table.

    They were learnt from the words of materials science abstracts.

    Returns
    -------
    ndarray of shape (119, 200)
        Row ``Z`` belongs to the element of atomic number ``Z``; rows of elements
        without data (0 and beyond 103) are NaN. Read-only, shared between calls.

    References
    ----------
    .. [1] L. Weston, V. Tshitoyan, J. Dagdelen, O. Kononova, A. Trewartha,
       K. A. Persson, G. Ceder, A. Jain, "Named entity recognition and normalization
       applied to large-scale information extraction from the materials science
       literature", J. Chem. Inf. Model. 59, 3692 (2019).

    Examples
    --------
    >>> from skmatgnn.utils.elements import matscholar_element_features
    >>> matscholar_element_features().shape
    (119, 200)
    """
    return _table_of_rows("matscholar_els.json", ATOMIC_NUMBERS.__getitem__)


def _table_of_rows(name: str, number_of: Callable[[str], int]) -> FloatArray:
    """Read a JSON object of one list for each element, named as number_of knows."""
    rows = json.loads(_matminer_data(name).read_text(encoding="utf-8"))
    table = np.full((N_ELEMENTS + 1, len(next(iter(rows.values())))), np.nan)
    for element, row in rows.items():
        table[number_of(element)] = row
    table.flags.writeable = False
    return table


def _matminer_data(name: str) -> Path:
    spec = find_spec("matminer")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "The element tables come with matminer, which is not installed. "
            "Install it with: pip install matminer"
        )
    path = Path(spec.submodule_search_locations[0]) / "utils" / "data_files" / name
    if not path.exists():
        raise ImportError(
            f"The installed matminer has no data file {name!r}; expected it at {path}. "
            "Install a matminer from 0.9.3 on."
        )
    return path


def _float_or_nan(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # Magpie writes unknown values as words such as "Missing[...]"
        return np.nan
