"""The sets of the transfer-learning study under one name."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import bunch_of_frame, object_series
from skmatgnn.datasets._fetch_jarvis import jarvis_table
from skmatgnn.datasets._fetch_matminer import matminer_table
from skmatgnn.datasets._json_rows import json_rows
from skmatgnn.datasets._remote import Access, fetch_file, find_remote
from skmatgnn.datasets._remote_tables import is_structure, read_remote_table
from skmatgnn.datasets._structure_files import parse_structure_cell
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["fetch_transfer_study"]


@dataclass(frozen=True)
class _Set:
    """One set of the study, and where it is."""

    property: str
    family: str
    file: str
    column: str
    unit: str
    scaling: str


_SETS = {
    "BG": _Set(
        *("band_gap", "matminer", "matbench_mp_gap", "gap pbe", "eV"),
        "0 ... 9.7212 eV to [-1, 1]",
    ),
    "DC": _Set(
        *("dielectric_constant", "matminer", "dielectric_constant", "poly_total", ""),
        "2.08 ... 277.78 to [-1, 1], without a logarithm",
    ),
    "EBG": _Set(
        *("experimental_band_gap", "matminer", "expt_gap_kingsbury", "expt_gap", "eV"),
        "0 ... 11.7 eV to [-1, 1]",
    ),
    "FE": _Set(
        *("formation_energy", "matminer", "matbench_mp_e_form", "e_form", "eV / atom"),
        "to [-1, 1]",
    ),
    "GV": _Set(
        *("shear_modulus", "matminer", "matbench_log_gvrh", "log10(G_VRH)"),
        *("log10(GPa)", "0 ... 2.7185 to [-1, 1]"),
    ),
    "PH": _Set(
        *("phonons", "matminer", "matbench_phonons", "last phdos peak", "1 / cm"),
        "to [-1, 1]",
    ),
    "PZ": _Set(
        *("piezoelectric_modulus", "matminer", "piezoelectric_tensor", "eij_max"),
        *("C / m^2", "0 ... 46.2 C/m^2 to [-1, 1], without a logarithm"),
    ),
    "2D": _Set(
        *("band_gap_2d", "jarvis", "dft_2d", "optb88vdw_bandgap", "eV"),
        "0 ... 7.314 eV to [-1, 1]",
    ),
}
_STRUCTURES = "mp_all_20181018"
_CITATION = (
    "Devi, R., Butler, K. T. & Sai Gautam, G. Optimal pre-train/fine-tune strategies "
    "for accurate material property predictions. npj Computational Materials 10, 300 "
    "(2024). arXiv:2406.13142"
)


def fetch_transfer_study(
    name: str,
    *,
    as_frame: bool = False,
    return_X_y: bool = False,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
    base_url: str | None = None,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load a set of the study of transfer learning, downloaded if need be.

    The seven sets on which Devi, Butler and Sai Gautam [1]_ pre-trained and fine-tuned
    ALIGNN, and the two-dimensional materials on which they tested it beyond them.

    =======  =====================================  =======  =========================
    Name     Property                               Samples  Source
    =======  =====================================  =======  =========================
    ``BG``   computed band gap, eV                  106,113  matbench_mp_gap
    ``FE``   formation energy, eV/atom              132,752  matbench_mp_e_form
    ``GV``   shear modulus, log10(GPa)               10,987  matbench_log_gvrh
    ``PH``   highest phonon peak, 1/cm                1,265  matbench_phonons
    ``DC``   total dielectric constant                1,056  dielectric_constant
    ``PZ``   piezoelectric modulus, C/m^2               941  piezoelectric_tensor
    ``EBG``  measured band gap, eV                       --  expt_gap_kingsbury
    ``2D``   band gap of layers (OptB88vdW), eV       1,103  JARVIS dft_2d
    =======  =====================================  =======  =========================

    Parameters
    ----------
    name : {"BG", "FE", "GV", "PH", "DC", "PZ", "EBG", "2D"}
        The study's abbreviation; or ``"band_gap"``, ``"formation_energy"``,
        ``"shear_modulus"``, ``"phonons"``, ``"dielectric_constant"``,
        ``"piezoelectric_modulus"``, ``"experimental_band_gap"``, ``"band_gap_2d"``.
    as_frame : bool, default=False
        Return ``data`` and ``target`` as pandas objects.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    data_home : str or path or None, default=None
        Folder for downloads; see `get_data_home`.
    download_if_missing : bool, default=True
        Whether to download what is not there; False raises an error.
    n_retries : int, default=3
        Attempts after one that failed without bringing anything.
    delay : float, default=1.0
        Seconds before the first of them; each is twice the one before.
    base_url : str or None, default=None
        Address of a mirror, where the files have the same names. None takes the
        environment variable ``SKMATGNN_MIRROR``, or else the sources themselves.
    n_jobs : int or None, default=None
        Processes that read the structures (joblib).
    verbose : bool, default=False
        Show progress bars.

    Returns
    -------
    Bunch
        As of `fetch_matminer`, and ``abbreviation`` and ``scaling``, which says to
        what the study scaled the target. ``target`` is in the unit above: estimators
        scale it themselves, on training rows only. With ``return_X_y``, the tuple
        ``(data, target)``.

    Raises
    ------
    InvalidValueError
        If there is no such set, or a file is not what it should be.
    DownloadError
        If a file cannot be had; the message says where to put it by hand.

    Notes
    -----
    The study names its sources in part only. By number of samples and values, BG, DC,
    GV, PH, PZ and 2D are these files. Its EBG has about 2,480 samples, of which the
    structures are not published: here it is the measurements for which
    expt_gap_kingsbury names an entry of the Materials Project, with the structure
    that this had in October 2018 (mp_all_20181018, a large file); entries that are not
    in it are left out. The same material occurs in several sets, so keep test
    materials out of pre-training (`preprocessing.merge_properties`,
    `model_selection.transfer_matrix`).

    References
    ----------
    .. [1] Devi, R., Butler, K. T., Sai Gautam, G. Optimal pre-train/fine-tune
       strategies for accurate material property predictions. npj Computational
       Materials 10, 300 (2024). arXiv:2406.13142

    Examples
    --------
    >>> from skmatgnn.datasets import fetch_transfer_study
    >>> X, y = fetch_transfer_study("PH", return_X_y=True)  # doctest: +SKIP
    >>> X.shape  # doctest: +SKIP
    (1265,)
    """
    key, found = _find(name)
    access = Access(data_home, download_if_missing, n_retries, delay, base_url, verbose)
    remote = find_remote(found.family, found.file)
    make = jarvis_table if found.family == "jarvis" else matminer_table
    spec = make(remote, access, [found.column])
    text = f"\nSet {key} of the transfer study, which scaled it: {found.scaling}.\n"
    spec = replace(
        spec,
        descr=f"{spec.descr}{text}Citation: {_CITATION}\n",
        units={found.column: found.unit},
        extra=spec.extra | {"abbreviation": key, "scaling": found.scaling},
    )
    bunch: Any
    if key == "EBG":
        bunch = _with_structures(spec, access, as_frame=as_frame, n_jobs=n_jobs)
    else:
        bunch = read_remote_table(
            spec, as_frame=as_frame, return_X_y=False, n_jobs=n_jobs, verbose=verbose
        )
    return (bunch.data, bunch.target) if return_X_y else bunch


def _find(name: Any) -> tuple[str, _Set]:
    if not isinstance(name, str):
        raise InvalidTypeError(f"name must be a str; got {describe(name)}.")
    for key, found in _SETS.items():
        if name.upper() == key or name == found.property:
            return key, found
    known = ", ".join(f"{key} ({found.property})" for key, found in _SETS.items())
    raise InvalidValueError(f"There is no set {name!r}. There are: {known}.")


def _with_structures(
    spec: Any, access: Access, *, as_frame: bool, n_jobs: int | None
) -> Bunch:
    """Join measurements and the structures of the entries that they belong to."""
    table: Any = read_remote_table(
        spec, as_frame=True, return_X_y=False, n_jobs=None, verbose=False
    )
    measured = table.frame
    measured = measured[[isinstance(i, str) and bool(i) for i in measured.likely_mpid]]
    path, _ = fetch_file(find_remote("matminer", _STRUCTURES), access)
    structures = _structures(path, set(measured.likely_mpid), n_jobs)
    known = np.array([i in structures for i in measured.likely_mpid], dtype=bool)
    if not known.any():
        raise InvalidValueError(f"{path} has no structure of any entry of {spec.path}.")
    frame = measured[known].reset_index(drop=True)
    found = [structures[i].copy() for i in frame.likely_mpid]
    frame.insert(0, "structure", object_series(found, "structure"))
    return bunch_of_frame(
        frame,
        data_column="structure",
        target_columns=spec.target_columns,
        groups=[structure.composition.chemical_system for structure in found],
        descr=spec.descr,
        as_frame=as_frame,
        return_X_y=False,
        units=spec.units,
        keep_frame=True,
        **spec.extra,
    )


def _structures(path: Any, wanted: set[str], n_jobs: int | None) -> dict[str, Any]:
    from joblib import Parallel, delayed

    rows = (
        (str(row["mpid"]), row["structure"])
        for row in json_rows(path)
        if row.get("mpid") in wanted and is_structure(row.get("structure"))
    )
    parsed = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_parse)(key, cell) for key, cell in rows
    )
    return {key: structure for key, structure in parsed if structure is not None}


def _parse(key: str, cell: dict[str, Any]) -> tuple[str, Any]:
    from pathlib import Path

    return key, parse_structure_cell(cell, Path())[0]
