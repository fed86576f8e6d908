"""Matbench and matminer's datasets from the network."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import find_resource
from skmatgnn.datasets._readers import ensure_column_names
from skmatgnn.datasets._remote import Access, RemoteFile, fetch_file, find_remote
from skmatgnn.datasets._remote_tables import RemoteTable, read_remote_table

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["DATA_COLUMNS", "fetch_matbench", "fetch_matminer", "matminer_table"]

DATA_COLUMNS = ("structure", "final_structure", "composition", "formula")
_METADATA = ("datasets/dataset_metadata.json",)
_UNITS = {
    "e_form": "eV / atom",
    "exfoliation_en": "meV / atom",
    "expt_gap": "eV",
    "gap expt": "eV",
    "gap pbe": "eV",
    "last phdos peak": "1 / cm",
    "log10(G_VRH)": "log10(GPa)",
    "log10(K_VRH)": "log10(GPa)",
    "yield strength": "MPa",
}
_CLASSES = ("matbench_expt_is_metal", "matbench_glass", "matbench_mp_is_metal")
_OTHER_UNITS = {"matbench_perovskites": {"e_form": "eV / cell of five atoms"}}
# of the published benchmark; both kinds of folds have it
_FOLDS_SEED = 18012019


def fetch_matbench(
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
    """Load a task of Matbench, downloaded if need be.

    ==================  =====================================================
    Tasks               13: ``dielectric``, ``expt_gap``, ``expt_is_metal``,
                        ``glass``, ``jdft2d``, ``log_gvrh``, ``log_kvrh``,
                        ``mp_e_form``, ``mp_gap``, ``mp_is_metal``,
                        ``perovskites``, ``phonons``, ``steels``
    Samples             312 (steels) to 132,752 (mp_e_form)
    Input               ``Structure``, or formula (expt_gap, expt_is_metal,
                        glass, steels)
    Unknown values      none
    Groups              chemical system, or reduced formula
    Source              Matbench v0.1 [1]_, with the checksums of matminer
    Terms               those of the sources; the Materials Project's data
                        are CC BY 4.0
    Recommended split   ``folds``, the official ones
    Recommended metric  MAE; ROC AUC for classes
    ==================  =====================================================

    Parameters
    ----------
    name : str
        Task, with or without ``matbench_`` before it.
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
        Address of a mirror, where the file has the same name. None takes the
        environment variable ``SKMATGNN_MIRROR``, or else the source itself.
    n_jobs : int or None, default=None
        Processes that read the structures (joblib).
    verbose : bool, default=False
        Show progress bars.

    Returns
    -------
    Bunch
        ``data`` (object array of ``Structure`` or str), ``target`` (float64, or bool),
        ``folds`` (the number of the official test fold of each sample),
        ``target_names``, ``units``, ``groups``, ``frame``, ``feature_names``,
        ``citation`` (BibTeX), ``licence``, ``url``, ``sha256``, ``path``, ``DESCR``.
        With ``return_X_y``, the tuple ``(data, target)``.

    Raises
    ------
    InvalidValueError
        If there is no such task, or the file is not what it should be.
    DownloadError
        If it cannot be had; the message says where to put it by hand.

    Notes
    -----
    A download that was interrupted goes on at the next call. Each file is checked
    against its SHA-256, which the package holds. The folds are computed as the
    benchmark defines them, and equal those that it publishes.

    References
    ----------
    .. [1] Dunn, A. et al. Benchmarking materials property prediction methods: the
       Matbench test set and Automatminer reference algorithm. npj Computational
       Materials 6, 138 (2020). doi:10.1038/s41524-020-00406-3

    Examples
    --------
    >>> from skmatgnn.datasets import fetch_matbench
    >>> phonons = fetch_matbench("phonons")  # doctest: +SKIP
    >>> phonons.data[phonons.folds != 0].shape  # doctest: +SKIP
    (1012,)
    """
    remote = find_remote("matminer", name, prefix="matbench_")
    access = Access(data_home, download_if_missing, n_retries, delay, base_url, verbose)
    columns = _metadata(remote.name)["columns"]
    (target,) = [column for column in columns if column not in DATA_COLUMNS]
    bunch: Any = read_remote_table(
        matminer_table(remote, access, [target]),
        as_frame=as_frame,
        return_X_y=False,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    if remote.name in _CLASSES:  # some files have 0 and 1
        bunch.target = bunch.target.astype(bool)
        bunch.frame[target] = bunch.frame[target].astype(bool)
    bunch.folds = _folds(np.asarray(bunch.target))
    return (bunch.data, bunch.target) if return_X_y else bunch


def fetch_matminer(
    name: str,
    *,
    target_columns: str | Sequence[str] | None = None,
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
    """Load one of matminer's 45 datasets, downloaded if need be.

    Parameters
    ----------
    name : str
        As matminer's ``get_available_datasets`` has it, for example
        ``"piezoelectric_tensor"``; a wrong name lists all.
    target_columns : str, sequence of str or None, default=None
        Columns to predict. With one, rows in which it is unknown are left out; with
        several it is NaN. None: ``target`` is None.
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
        Address of a mirror, where the file has the same name. None takes the
        environment variable ``SKMATGNN_MIRROR``, or else the source itself.
    n_jobs : int or None, default=None
        Processes that read the structures (joblib).
    verbose : bool, default=False
        Show progress bars.

    Returns
    -------
    Bunch
        ``data`` (object array of ``Structure``, or of formulas where the dataset has
        no structures), ``target``, ``target_names``, ``units``, ``groups`` (chemical
        system, or reduced formula), ``frame`` (with all columns of plain values),
        ``feature_names``, ``citation`` (BibTeX), ``licence``, ``url``, ``sha256``,
        ``path``, ``DESCR`` (with what each column means). With ``return_X_y``, the
        tuple ``(data, target)``.

    Raises
    ------
    InvalidValueError
        If there is no such dataset or column, or the file is not what it should be.
    DownloadError
        If it cannot be had; the message says where to put it by hand.

    Notes
    -----
    The files are those that matminer downloads, with the checksums that it lists.
    Unlike it, nothing that a file names is imported to read it. Columns of tensors
    and further structures are left out.

    References
    ----------
    .. [1] Ward, L. et al. Matminer: An open source toolkit for materials data mining.
       Computational Materials Science 152, 60-69 (2018).
       doi:10.1016/j.commatsci.2018.05.018

    Examples
    --------
    >>> from skmatgnn.datasets import fetch_matminer
    >>> piezo = fetch_matminer(  # doctest: +SKIP
    ...     "piezoelectric_tensor", target_columns="eij_max"
    ... )
    >>> piezo.target.shape  # doctest: +SKIP
    (941,)
    """
    remote = find_remote("matminer", name)
    access = Access(data_home, download_if_missing, n_retries, delay, base_url, verbose)
    targets = ensure_column_names(target_columns)
    return read_remote_table(
        matminer_table(remote, access, targets),
        as_frame=as_frame,
        return_X_y=return_X_y,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def matminer_table(
    remote: RemoteFile, access: Access, targets: Sequence[str]
) -> RemoteTable:
    """Get a file of matminer's list and say how it is read.

    Parameters
    ----------
    remote : RemoteFile
    access : Access
    targets : sequence of str

    Returns
    -------
    RemoteTable
    """
    path, found = fetch_file(remote, access)
    known = _metadata(remote.name)
    units = _UNITS | _OTHER_UNITS.get(remote.name, {})
    return RemoteTable(
        path,
        _descr(remote, known),
        DATA_COLUMNS,
        targets,
        remote.rows,
        {name: units[name] for name in targets if name in units},
        {
            "citation": "\n\n".join(known["bibtex_refs"]),
            "licence": _LICENCE,
            "url": remote.url,
            "sha256": found,
            "path": path,
        },
    )


_LICENCE = (
    "Not stated with the file; that of the source (see the references). Data of the "
    "Materials Project are CC BY 4.0."
)


@lru_cache(maxsize=1)
def _all_metadata() -> dict[str, Any]:
    path = find_resource("matminer", _METADATA)
    return json.loads(path.read_text(encoding="utf-8"))


def _metadata(name: str) -> dict[str, Any]:
    """Return what the installed matminer says of a dataset."""
    empty = {"columns": {}, "description": "", "reference": "", "bibtex_refs": []}
    return empty | _all_metadata().get(name, {})


def _descr(remote: RemoteFile, known: dict[str, Any]) -> str:
    def filled(text: str, indent: str = "") -> str:
        return textwrap.fill(
            " ".join(text.split()), 78, subsequent_indent=indent, break_long_words=False
        )

    columns = [filled(f"{k}: {v}", "    ") for k, v in known["columns"].items()]
    return "\n".join(
        [
            remote.name,
            "-" * len(remote.name),
            "",
            filled(known["description"]),
            "",
            f"Rows: {remote.rows}",
            *columns,
            "",
            filled(f"Licence: {_LICENCE}"),
            f"Source: {remote.url}",
            filled(f"Reference: {known['reference']}"),
            "",
        ]
    )


def _folds(target: np.ndarray) -> np.ndarray:
    """Find the number of the test fold of each sample."""
    from sklearn.model_selection import KFold, StratifiedKFold

    kind = StratifiedKFold if target.dtype == bool else KFold
    splitter = kind(n_splits=5, shuffle=True, random_state=_FOLDS_SEED)
    folds = np.empty(len(target), dtype=np.int64)
    for number, (_, test) in enumerate(splitter.split(target, target)):
        folds[test] = number
    return folds
