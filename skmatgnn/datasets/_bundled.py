"""Composition data sets that matminer and pymatgen ship."""

from __future__ import annotations

import gzip
import json
import tarfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import (
    bunch_of_frame,
    find_resource,
    without_pauling_warnings,
)
from skmatgnn.datasets._descriptions import FORMATION_ENERGIES, TRANSPORT

if TYPE_CHECKING:
    import pandas as pd

    from skmatgnn._typing import Dataset

__all__ = ["load_formation_energies", "load_transport"]

TRANSPORT_UNITS = {
    "sigma_p": "1e15 / (ohm m s)",
    "sigma_n": "1e15 / (ohm m s)",
    "S_p": "uV / K",
    "S_n": "uV / K",
    "kappa_p": "1e9 W / (m K s)",
    "kappa_n": "1e9 W / (m K s)",
    "PF_p": "1e9 W / (m K^2 s)",
    "PF_n": "1e9 W / (m K^2 s)",
    "m_p": "electron masses",
    "m_n": "electron masses",
}
_TRANSPORT_ARCHIVE = ("utils/data_files/mp_transport/transport_database.tar.xz",)
_EXPERIMENTAL = (
    "analysis/compatibility/exp_compounds.json.gz",
    "entries/exp_compounds.json.gz",
)


def load_transport(*, as_frame: bool = False, return_X_y: bool = False) -> Dataset:
    """Load computed electronic transport properties of 47,737 compounds.

    Read from the copy of the table that matminer installs; no network is used. The
    properties were computed by Ricci et al. [1]_ from the Materials Project's band
    structures with BoltzTraP in the constant relaxation time approximation: averages
    over the eigenvalues of the tensors, at 300 K and 1e18 carriers per cm^3.

    ==================  =====================================================
    Tasks               regression, ten targets
    Samples             47,737 materials of 34,630 formulas
    Input               formula (string)
    Unknown values      none (they would be NaN)
    Groups              reduced formula
    Source              matminer, ``mp_transport`` [2]_
    Terms               matminer: BSD-type licence; data: Dryad deposit, CC0
    Recommended split   ``GroupKFold`` by ``groups``
    Recommended metric  MAE; of log10 for sigma, kappa, PF and m
    ==================  =====================================================

    Parameters
    ----------
    as_frame : bool, default=False
        Return pandas objects: ``data`` a one-column frame, ``target`` a frame, and
        the whole table with the Materials Project identifiers in ``frame``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch
        ``data`` (object array of formula strings), ``target`` ((47737, 10) float64),
        ``target_names``, ``units`` (by target), ``groups``, ``material_ids``,
        ``feature_names``, ``frame`` (None unless ``as_frame``), ``DESCR``. With
        ``return_X_y``, the tuple ``(data, target)``.

    Notes
    -----
    ``_p`` is hole doping, ``_n`` electron doping. sigma, kappa and PF are divided by
    the relaxation time; at the customary 1e-14 s they become 10 S/m, 1e-5 W/(m K)
    and 0.1 uW/(cm K^2) per unit of the table. m is the conductivity effective mass,
    and ``m * sigma = n e^2 / m_e = 28.18`` in these units wherever the tensor is
    isotropic: two such columns are one piece of information, so neither may be a
    feature for the other. Metals and insulators differ by orders of magnitude.

    References
    ----------
    .. [1] Ricci, F. et al. An ab initio electronic transport database for inorganic
       materials. Scientific Data 4, 170085 (2017). doi:10.1038/sdata.2017.85; data
       doi:10.5061/dryad.gn001
    .. [2] Ward, L. et al. Matminer: An open source toolkit for materials data mining.
       Computational Materials Science 152, 60-69 (2018).
       doi:10.1016/j.commatsci.2018.05.018

    Examples
    --------
    >>> from skmatgnn.datasets import load_transport
    >>> transport = load_transport()
    >>> transport.data[3], transport.target.shape
    ('BaTe', (47737, 10))
    >>> transport.target_names[2], transport.units["S_p"]
    ('S_p', 'uV / K')
    """
    frame = _transport_table().copy()
    groups = frame.pop("reduced_formula")
    return bunch_of_frame(
        frame,
        data_column="formula",
        target_columns=list(TRANSPORT_UNITS),
        groups=groups,
        descr=TRANSPORT,
        as_frame=as_frame,
        return_X_y=return_X_y,
        units=TRANSPORT_UNITS,
        material_ids=frame["material_id"].to_numpy(),
    )


@lru_cache(maxsize=1)
def _transport_table() -> pd.DataFrame:
    import pandas as pd
    from pymatgen.core import Composition

    archive = find_resource("matminer", _TRANSPORT_ARCHIVE)
    # matminer itself unpacks into its own folder, which need not be writable.
    with tarfile.open(archive, mode="r:xz") as tar:
        # A formula column with the default missing-value words would lose NaN,
        # which is sodium nitride.
        frame = pd.read_csv(
            tar.extractfile("transport_database.csv"),
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in TRANSPORT_UNITS},
        )
    frame = frame.rename(columns={"mp_id": "material_id", "pretty_formula": "formula"})
    with without_pauling_warnings():
        frame["reduced_formula"] = [
            Composition(formula).reduced_formula for formula in frame["formula"]
        ]
    return frame


def load_formation_energies(
    *, as_frame: bool = False, return_X_y: bool = False
) -> Dataset:
    """Load measured formation energies of 2,135 solid compounds.

    Read from pymatgen's ``exp_compounds.json.gz``, the experimental side of the
    Materials Project's energy corrections [1]_; no network is used. The file holds
    standard enthalpies of formation at 298 K in eV per formula unit. They are divided
    here by the number of atoms of the formula, uncertainties as well.

    ==================  =====================================================
    Task                regression
    Samples             2,135 compounds, each reduced formula once
    Input               formula (string)
    Target              formation energy, eV/atom, -4.49 to 0.33
    Unknown values      none in the target; 301 uncertainties, 555 identifiers
    Groups              chemical system (1,319)
    Source              pymatgen [2]_; Kim et al. [3]_, Kubaschewski, NIST-JANAF
    Terms               MIT (pymatgen)
    Recommended split   ``GroupKFold`` by ``groups``
    Recommended metric  MAE
    ==================  =====================================================

    Parameters
    ----------
    as_frame : bool, default=False
        Return pandas objects; ``frame`` then also has the uncertainty and the
        identifier of the matching Materials Project entry.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch
        ``data`` (object array of formula strings), ``target`` ((2135,) float64,
        eV/atom), ``target_names``, ``units``, ``groups``, ``uncertainty`` (eV/atom,
        NaN where not reported), ``material_ids`` (None where unmatched),
        ``feature_names``, ``frame`` (None unless ``as_frame``), ``DESCR``. With
        ``return_X_y``, the tuple ``(data, target)``.

    Notes
    -----
    Duplicates: the installed file repeats no reduced formula; were a later version to
    do so, the row with the smallest reported uncertainty is kept. Near-duplicates such
    as FeS and Fe877S1000 are separate compounds here, which is why the groups are
    chemical systems and not formulas.

    References
    ----------
    .. [1] Wang, A. et al. A framework for quantifying uncertainty in DFT energy
       corrections. Scientific Reports 11, 15496 (2021).
       doi:10.1038/s41598-021-94550-5
    .. [2] Ong, S. P. et al. Python Materials Genomics (pymatgen). Computational
       Materials Science 68, 314-319 (2013). doi:10.1016/j.commatsci.2012.10.028
    .. [3] Kim, G. et al. Experimental formation enthalpies for intermetallic phases
       and other inorganic compounds. Scientific Data 4, 170162 (2017).
       doi:10.1038/sdata.2017.162

    Examples
    --------
    >>> from skmatgnn.datasets import load_formation_energies
    >>> energies = load_formation_energies()
    >>> index = list(energies.data).index("NaCl")
    >>> round(float(energies.target[index]), 2)
    -2.13
    """
    frame = _formation_table().copy()
    groups = frame.pop("chemical_system")
    return bunch_of_frame(
        frame,
        data_column="formula",
        target_columns=["formation_energy_per_atom"],
        groups=groups,
        descr=FORMATION_ENERGIES,
        as_frame=as_frame,
        return_X_y=return_X_y,
        units={"formation_energy_per_atom": "eV / atom"},
        uncertainty=frame["uncertainty_per_atom"].to_numpy(),
        material_ids=frame["material_id"].to_numpy(),
    )


@lru_cache(maxsize=1)
def _formation_table() -> pd.DataFrame:
    import pandas as pd
    from pymatgen.core import Composition

    with gzip.open(find_resource("pymatgen", _EXPERIMENTAL), "rt") as file:
        records = json.load(file)
    with without_pauling_warnings():
        compositions = [Composition(record["formula"]) for record in records]
        keys = [composition.reduced_formula for composition in compositions]
        systems = [composition.chemical_system for composition in compositions]
    n_atoms = np.array([composition.num_atoms for composition in compositions])
    frame = pd.DataFrame(
        {
            "formula": [record["formula"] for record in records],
            "formation_energy_per_atom": _column(records, "exp energy") / n_atoms,
            "uncertainty_per_atom": _column(records, "uncertainty") / n_atoms,
            "material_id": [record["mpid"] for record in records],
            "chemical_system": systems,
        }
    )
    return _without_repeats(frame, keys)


def _column(records: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([record[name] for record in records], dtype=np.float64)


def _without_repeats(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Keep the most certain row of each reduced formula, in the file's order."""
    order = frame.assign(key=keys).sort_values(
        "uncertainty_per_atom", kind="stable", na_position="last"
    )
    kept = order.drop_duplicates("key").index.sort_values()
    return frame.loc[kept].reset_index(drop=True)
