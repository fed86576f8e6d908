"""Datasets of NIST's JARVIS from the network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skmatgnn.datasets._readers import ensure_column_names
from skmatgnn.datasets._remote import Access, RemoteFile, fetch_file, find_remote
from skmatgnn.datasets._remote_tables import RemoteTable, read_remote_table

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["fetch_jarvis", "jarvis_table"]

_UNITS = {
    "formation_energy_peratom": "eV / atom",
    "optb88vdw_bandgap": "eV",
    "mbj_bandgap": "eV",
    "ehull": "eV / atom",
    "bulk_modulus_kv": "GPa",
    "shear_modulus_gv": "GPa",
    "exfoliation_energy": "meV / atom",
}
_LICENCE = "CC BY 4.0 (JARVIS-DFT); of the others that of their Figshare page."
_CITATION = (
    "Choudhary, K. et al. The joint automated repository for various integrated "
    "simulations (JARVIS) for data-driven materials design. npj Computational "
    "Materials 6, 173 (2020). doi:10.1038/s41524-020-00440-1"
)


def fetch_jarvis(
    name: str = "dft_3d",
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
    """Load a dataset of JARVIS, downloaded if need be.

    ==================  =====================================================
    Datasets            ``dft_3d`` (93,902 bulk materials, 2025),
                        ``dft_3d_2022`` (75,993), ``dft_3d_2021``, ``dft_2d``
                        (1,103 two-dimensional materials, 2022),
                        ``dft_2d_2021``; of others, as JARVIS offers them,
                        ``megnet``, ``megnet2``, ``oqmd_3d_no_cfid``,
                        ``twod_matpd``, ``c2db``, ``snumat``, ``qmof``,
                        ``hmof``, ``omdb``
    Input               ``Structure``
    Targets             any column of numbers, in ``dft_*`` for example
                        ``formation_energy_peratom`` (eV/atom),
                        ``optb88vdw_bandgap`` (eV), ``bulk_modulus_kv`` (GPa)
    Groups              chemical system
    Source              Figshare, by the addresses of jarvis-tools [1]_
    Terms               JARVIS-DFT: CC BY 4.0; others: on their pages
    Recommended metric  MAE
    ==================  =====================================================

    Parameters
    ----------
    name : str, default="dft_3d"
        Dataset.
    target_columns : str, sequence of str or None, default=None
        Columns to predict. With one, rows in which it is unknown ("na") are left out;
        with several it is NaN. None: ``target`` is None.
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
        ``data`` (object array of ``Structure``), ``target``, ``target_names``,
        ``units``, ``groups``, ``frame`` (with all columns of plain values),
        ``feature_names``, ``citation``, ``licence``, ``url``, ``sha256``, ``path``,
        ``DESCR``. With ``return_X_y``, the tuple ``(data, target)``.

    Raises
    ------
    InvalidValueError
        If there is no such dataset or column, or the file is not what it should be.
    DownloadError
        If it cannot be had; the message says where to put it by hand.

    Notes
    -----
    JARVIS publishes no SHA-256. Those of ``dft_3d`` and ``dft_3d_2022`` are what
    several others report who downloaded them, and the package holds them. Of the rest,
    the first download fixes it: it is kept beside the file, and another content is an
    error from then on.

    References
    ----------
    .. [1] Choudhary, K. et al. The joint automated repository for various integrated
       simulations (JARVIS) for data-driven materials design. npj Computational
       Materials 6, 173 (2020). doi:10.1038/s41524-020-00440-1

    Examples
    --------
    >>> from skmatgnn.datasets import fetch_jarvis
    >>> layers = fetch_jarvis(  # doctest: +SKIP
    ...     "dft_2d", target_columns="optb88vdw_bandgap"
    ... )
    >>> layers.target.shape  # doctest: +SKIP
    (1103,)
    """
    remote = find_remote("jarvis", name)
    access = Access(data_home, download_if_missing, n_retries, delay, base_url, verbose)
    return read_remote_table(
        jarvis_table(remote, access, ensure_column_names(target_columns)),
        as_frame=as_frame,
        return_X_y=return_X_y,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def jarvis_table(
    remote: RemoteFile, access: Access, targets: Sequence[str]
) -> RemoteTable:
    """Get a file of JARVIS and say how it is read.

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
    title = f"JARVIS {remote.name}"
    descr = (
        f"{title}\n{'-' * len(title)}\n\n"
        f"{remote.facts['about'].capitalize()}.\nUnknown values are 'na' in it.\n\n"
        f"Licence: {_LICENCE}\nSource: {remote.url}\n"
        f"Page: {remote.facts['reference']}\nCitation: {_CITATION}\n"
    )
    return RemoteTable(
        path,
        descr,
        ("atoms",),
        targets,
        remote.rows,
        {name: _UNITS[name] for name in targets if name in _UNITS},
        {
            "citation": _CITATION,
            "licence": _LICENCE,
            "url": remote.url,
            "sha256": found,
            "path": path,
        },
    )
