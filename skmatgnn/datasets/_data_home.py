"""The folder in which downloaded data are kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from skmatgnn.datasets._base import ensure_path

__all__ = ["clear_data_home", "get_data_home"]

_VARIABLE = "SKMATGNN_DATA"
_DEFAULT = "~/skmatgnn_data"


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for downloaded data, and make it if it does not exist.

    Parameters
    ----------
    data_home : str or path or None, default=None
        The folder. None takes the environment variable ``SKMATGNN_DATA``, or else
        ``~/skmatgnn_data``.

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> from skmatgnn.datasets import get_data_home
    >>> get_data_home(tempfile.mkdtemp()).is_dir()
    True
    """
    if data_home is None:
        data_home = os.environ.get(_VARIABLE) or _DEFAULT
    folder = ensure_path(data_home, name="data_home").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear_data_home(data_home: str | os.PathLike[str] | None = None) -> None:
    """Delete all that was downloaded.

    Only what ``fetch_*`` writes is deleted; other files of the folder stay.

    Parameters
    ----------
    data_home : str or path or None, default=None
        As for `get_data_home`.

    Examples
    --------
    >>> import tempfile
    >>> from skmatgnn.datasets import clear_data_home
    >>> clear_data_home(tempfile.mkdtemp())
    """
    folder = get_data_home(data_home)
    for name in ("matminer", "jarvis", "materials_project"):
        shutil.rmtree(folder / name, ignore_errors=True)
