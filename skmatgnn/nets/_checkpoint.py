"""The file format of trained models: JSON and arrays in one file, without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.packed_file import read_arrays, read_metadata, write_arrays

__all__ = [
    "UPGRADES",
    "VERSION",
    "is_checkpoint",
    "read_checkpoint",
    "read_sealed",
    "upgrade",
    "write_checkpoint",
    "write_sealed",
]

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]

FORMAT = "skmatgnn.checkpoint"
VERSION = 2


def _split_fraction_waves(config: Config, arrays: Arrays) -> tuple[Config, Arrays]:
    """Give cosines waves of their own: in version 1, CrabNet's had those of sines."""
    for name, array in arrays.items():
        if name.endswith("fraction_encoding.frequencies"):
            arrays[name] = np.stack([array, array])
    return config, arrays


#: What turns the content of a version into that of the next one.
UPGRADES: dict[int, Callable[[Config, Arrays], tuple[Config, Arrays]]] = {
    1: _split_fraction_waves
}


def write_checkpoint(path: str | Path, config: Config, arrays: Arrays) -> None:
    """Write a checkpoint; an old file is replaced only by a complete new one.

    Parameters
    ----------
    path : str or Path
    config : dict
        Anything that JSON can hold.
    arrays : dict of str to ndarray

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_sealed(path, config, arrays, kind=FORMAT, version=VERSION)


def write_sealed(
    path: str | Path, config: Config, arrays: Arrays, *, kind: str, version: int
) -> None:
    """Write JSON and arrays with a checksum; an old file is replaced when all is there.

    Parameters
    ----------
    path : str or Path
    config : dict
        Anything that JSON can hold.
    arrays : dict of str to ndarray
    kind : str
        Name of the format.
    version : int
        Of the format.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    text = json.dumps(config, allow_nan=False)
    metadata = {
        "format": kind,
        "version": str(version),
        "config": text,
        "sha256": _digest(version, text, arrays),
    }
    write_arrays(path, arrays, metadata)


def is_checkpoint(path: str | Path) -> bool:
    """Tell a checkpoint, of whatever version, by its header.

    Parameters
    ----------
    path : str or Path
        A file.

    Returns
    -------
    bool
    """
    try:
        return read_metadata(path).get("format") == FORMAT
    except InvalidValueError:
        return False


def read_checkpoint(path: str | Path) -> tuple[Config, Arrays]:
    """Read a checkpoint of this or any earlier version; no code in it is run.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    config : dict
    arrays : dict of str to ndarray

    Raises
    ------
    InvalidValueError
        If there is no such file, or it is none of ours, damaged, changed, or of a
        later version.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is no file" if path.exists() else "does not exist"
        raise InvalidValueError(f"{path} {kind}; expected a checkpoint made by save.")
    other = "Make one by the save method of an estimator."
    config, arrays, version = read_sealed(
        path, kind=FORMAT, newest=VERSION, what="checkpoint", other=other
    )
    return upgrade(config, arrays, version)


def read_sealed(
    path: Path, *, kind: str, newest: int, what: str, other: str
) -> tuple[Config, Arrays, int]:
    """Read what `write_sealed` has written; no code in it is run.

    Parameters
    ----------
    path : Path
        A file.
    kind : str
        Name of the format.
    newest : int
        Latest version of it that is known.
    what : str
        What the format is called in errors.
    other : str
        What to do where the file is of another format.

    Returns
    -------
    config : dict
    arrays : dict of str to ndarray
    version : int

    Raises
    ------
    InvalidValueError
        If it is none of ours, damaged, changed, or of a later version.
    """
    arrays, metadata = read_arrays(path, memory_map=False)
    if metadata.get("format") != kind:
        raise InvalidValueError(
            f"{path} is a safetensors file, but no {what} of skmatgnn. {other}"
        )
    version = _known_version(path, metadata.get("version"), newest)
    text = metadata.get("config", "")
    if metadata.get("sha256") != _digest(version, text, arrays):
        raise InvalidValueError(
            f"{path} is damaged or was changed: its content does not fit its checksum. "
            "Save or download it again."
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"{path} has no readable settings: {error}.") from error
    return config, arrays, version


def upgrade(config: Config, arrays: Arrays, version: int) -> tuple[Config, Arrays]:
    """Bring the content of an earlier version to the present one, step by step.

    Parameters
    ----------
    config : dict
    arrays : dict of str to ndarray
    version : int
        That of the content.

    Returns
    -------
    config : dict
    arrays : dict of str to ndarray
    """
    for step in range(version, VERSION):
        config, arrays = UPGRADES[step](config, arrays)
    return config, arrays


def _known_version(path: Path, version: str | None, newest: int) -> int:
    try:
        number = int(version or 0)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise InvalidValueError(f"{path} has the unknown format version {version!r}.")
    if number > newest:
        raise InvalidValueError(
            f"{path} was made by a later version of skmatgnn (its format is {number}; "
            f"this version reads up to {newest}). Update skmatgnn."
        )
    return number


def _digest(version: int, text: str, arrays: Arrays) -> str:
    digest = sha256(f"{version}\n{text}".encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
