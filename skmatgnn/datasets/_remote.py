"""Files of the network: which there are, where they are kept, how they are checked."""

from __future__ import annotations

import json
import os
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from skmatgnn.datasets._data_home import get_data_home
from skmatgnn.datasets._download import Download, sha256_of
from skmatgnn.errors import DownloadError, InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe
from skmatgnn.utils.whole_file import write_whole

__all__ = ["Access", "RemoteFile", "catalogue", "fetch_file", "find_remote"]

_MIRROR = "SKMATGNN_MIRROR"
_PIN = re.compile(r"([0-9a-f]{64})\b")


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Parameters
    ----------
    name : str
        Of the dataset.
    family : str
        Folder of the data home.
    url : str
    file : str
        Name of the file.
    sha256 : str or None
        None if nobody published it: the first download fixes it.
    n_bytes : int or None
        Size of the file, if it is known.
    rows : int or None
        Number of samples, if it is known.
    facts : dict
        Whatever else is known.
    """

    name: str
    family: str
    url: str
    file: str
    sha256: str | None = None
    n_bytes: int | None = None
    rows: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """How files are to be had: the parameters that all ``fetch_*`` share.

    Parameters
    ----------
    data_home : str or path or None
    download_if_missing : bool
    n_retries : int
    delay : float
    base_url : str or None
    verbose : bool
    """

    data_home: str | os.PathLike[str] | None = None
    download_if_missing: bool = True
    n_retries: int = 3
    delay: float = 1.0
    base_url: str | None = None
    verbose: bool = False


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, RemoteFile]]:
    """List what can be downloaded, by family and name.

    Returns
    -------
    dict of str to dict of str to RemoteFile
    """
    path = Path(__file__).with_name("remote_files.json")
    families = json.loads(path.read_text(encoding="utf-8"))
    return {
        family: {
            name: RemoteFile(
                name,
                family,
                url=entry.pop("url"),
                file=entry.pop("file"),
                sha256=entry.pop("sha256", None),
                n_bytes=entry.pop("bytes", None),
                rows=entry.pop("rows", None),
                facts=entry,
            )
            for name, entry in entries.items()
        }
        for family, entries in families.items()
    }


def find_remote(family: str, name: Any, *, prefix: str = "") -> RemoteFile:
    """Find a file by the name of its dataset.

    Parameters
    ----------
    family : str
    name : str
        With or without the prefix.
    prefix : str, default=""
        That all names of interest begin with.

    Returns
    -------
    RemoteFile

    Raises
    ------
    InvalidTypeError
        If the name is no string.
    InvalidValueError
        If there is none of that name; the message lists all.
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"name must be a str; got {describe(name)}.")
    files = {k: v for k, v in catalogue()[family].items() if k.startswith(prefix)}
    found = files.get(name) or files.get(prefix + name)
    if found is None:
        known = ", ".join(key.removeprefix(prefix) for key in files)
        raise InvalidValueError(f"There is no dataset {name!r}. There are: {known}.")
    return found


def fetch_file(remote: RemoteFile, access: Access) -> tuple[Path, str]:
    """Return a file of the data home, downloaded if need be, and its checksum.

    Parameters
    ----------
    remote : RemoteFile
    access : Access

    Returns
    -------
    path : Path
    sha256 : str

    Raises
    ------
    DownloadError
        If it is not there and cannot be had.
    """
    path = get_data_home(access.data_home) / remote.family / remote.file
    pin = path.with_name(path.name + ".sha256")
    expected = remote.sha256 or _read_pin(pin)
    if path.is_file():
        found = sha256_of(path)
        if expected in (None, found):
            _write_pin(pin, found, path, known=remote.sha256)
            return path, found
        _complain(path, found, expected, pin if remote.sha256 is None else None, access)
    url = _url(remote, access.base_url)
    if not access.download_if_missing:
        raise DownloadError(
            f"{remote.name} is not in {path.parent}, and download_if_missing is "
            f"False. {_by_hand(url, path, expected)}"
        )
    download = Download(
        url,
        path,
        sha256=expected,
        n_bytes=remote.n_bytes,
        n_retries=access.n_retries,
        delay=access.delay,
        verbose=access.verbose,
    )
    try:
        found = download.run()
    except DownloadError as error:
        text = f"{error} {_by_hand(url, path, expected)}"
        if expected and remote.sha256 is None:
            text += f" If the change is meant, delete {pin}."
        raise DownloadError(text) from error.__cause__
    _write_pin(pin, found, path, known=remote.sha256)
    return path, found


def _url(remote: RemoteFile, base_url: str | None) -> str:
    base = base_url or os.environ.get(_MIRROR)
    if not base:
        return remote.url
    if not isinstance(base, str) or not base.startswith(("https://", "http://")):
        raise InvalidValueError(
            f"base_url, or the variable {_MIRROR}, must begin with https:// or "
            f"http://; got {describe(base)}."
        )
    return f"{base.rstrip('/')}/{remote.file}"


def _by_hand(url: str, path: Path, expected: str | None) -> str:
    check = f" (SHA-256 {expected})" if expected else ""
    return (
        f"Without a network, download {url} elsewhere{check} and put it, as it is, at "
        f"{path}."
    )


def _complain(
    path: Path, found: str, expected: str, pin: Path | None, access: Access
) -> None:
    text = f"{path} has the SHA-256 {found}, not {expected}"
    if not access.download_if_missing:
        hint = f", or, if the change is meant, {pin}" if pin else ""
        raise DownloadError(f"{text}. Delete it{hint}.")
    warnings.warn(f"{text}; it is downloaded again.", stacklevel=5)


def _read_pin(pin: Path) -> str | None:
    try:
        found = _PIN.match(pin.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return found[1] if found else None


def _write_pin(pin: Path, found: str, path: Path, *, known: str | None) -> None:
    """Fix the checksum of a file that nobody published one of, as sha256sum does."""
    if known is not None or _read_pin(pin) == found:
        return
    try:
        write_whole(pin, f"{found}  {path.name}\n".encode())
    except OSError as error:
        raise DownloadError(f"{pin} could not be written ({error}).") from error
