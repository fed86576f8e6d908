"""Results of single fits, kept on disk for a run that may be stopped."""

from __future__ import annotations

import io
import re
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from skmatgnn.utils.whole_file import write_whole

__all__ = ["KeptResults"]

_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error)
_OURS = re.compile(r"[0-9a-f]+\.npz|\.[0-9a-f]+(\.npz)?\.[0-9a-f]+\.tmp")


class KeptResults:
    """Folder with one file for each result, named by a hash of what it follows from.

    The folder is made with the first file. A file appears complete or not at all.

    Parameters
    ----------
    folder : Path
        The folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skmatgnn.utils.kept_results import KeptResults
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept = KeptResults(Path(folder) / "fits")
    ...     kept.put("a1", y_pred=[1.0, 2.0])
    ...     len(kept), kept.get("a1", "y_pred")[0].tolist(), kept.get("b2", "y_pred")
    (1, [1.0, 2.0], None)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"

    def get(self, key: str, *names: str) -> tuple[np.ndarray, ...] | None:
        """Read a result.

        Parameters
        ----------
        key : str
            Hash of what it follows from.
        *names : str
            Arrays to read.

        Returns
        -------
        tuple of ndarray, or None
            None if it is not there, or damaged.
        """
        try:
            # NumPy leaves a damaged file open
            content = io.BytesIO(self._path(key).read_bytes())
            with np.load(content, allow_pickle=False) as file:
                return tuple(file[name] for name in names)
        except _DAMAGED:
            return None

    def put(self, key: str, **arrays: object) -> None:
        """Keep a result.

        Parameters
        ----------
        key : str
            Hash of what it follows from.
        **arrays : array-like
            Numbers or strings.
        """
        buffer = io.BytesIO()
        named: dict[str, Any] = {k: np.asarray(value) for k, value in arrays.items()}
        np.savez(buffer, **named)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(key), buffer.getvalue())

    def clear(self) -> None:
        """Remove the results, and the folder if it holds nothing else."""
        if not self.folder.is_dir():
            return
        for path in list(self.folder.iterdir()):
            if _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def __len__(self) -> int:
        """Count the results."""
        return len(list(self.folder.glob("*.npz")))
