"""Output that appears complete or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["replaced_file", "replaced_folder", "replaced_path"]


@contextmanager
def replaced_file(
    path: Path, *, is_former: Callable[[Path], bool], what: str
) -> Iterator[IO[bytes]]:
    """Open a temporary sibling that becomes ``path`` if the block succeeds.

    Parameters
    ----------
    path : Path
        File to write.
    is_former : callable
        Tells whether an existing file may be replaced.
    what : str
        What such a file is, for the message.

    Yields
    ------
    binary file

    Raises
    ------
    InvalidValueError
        If something else is there, or the folder does not exist.
    """
    with (
        replaced_path(path, is_former=is_former, what=what) as temporary,
        temporary.open("wb") as file,
    ):
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replaced_path(
    path: Path, *, is_former: Callable[[Path], bool], what: str
) -> Iterator[Path]:
    """Make an empty temporary sibling that becomes ``path`` if the block succeeds.

    Parameters
    ----------
    path : Path
        File to write.
    is_former : callable
        Tells whether an existing file may be replaced.
    what : str
        What such a file is, for the message.

    Yields
    ------
    Path
        The temporary file.

    Raises
    ------
    InvalidValueError
        If something else is there, or the folder does not exist.
    """
    path = _resolved(path)
    if path.exists() and not (path.is_file() and is_former(path)):
        raise InvalidValueError(
            f"{path} exists and is no {what}. Choose another --out, or remove it."
        )
    temporary = _sibling(path)
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced_folder(
    path: Path, *, foreign_entry: Callable[[Path], str | None], what: str
) -> Iterator[Path]:
    """Make a temporary sibling that becomes ``path`` if the block succeeds.

    Parameters
    ----------
    path : Path
        Folder to write.
    foreign_entry : callable
        Gives, for an existing folder that is not empty, why it must be kept, or None
        where it may be replaced.
    what : str
        What such a folder is, for the message.

    Yields
    ------
    Path
        The temporary folder.

    Raises
    ------
    InvalidValueError
        If something else is there, the current folder is in it, or the parent folder
        does not exist.
    """
    path = _resolved(path)
    _require_apart(path)
    _require_replaceable(path, foreign_entry, what)
    temporary = _sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        _require_replaceable(path, foreign_entry, what)
        _publish(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_apart(path: Path) -> None:
    """Keep the folder that the user is in, which a replacement would take away."""
    here = Path.cwd()
    if path == here or path in here.parents:
        raise InvalidValueError(
            f"{path} is the current folder or holds it, and would be replaced as a "
            "whole. Name a folder in it, such as --out results."
        )


def _require_replaceable(
    path: Path, foreign_entry: Callable[[Path], str | None], what: str
) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        reason: str | None = "is a file"
    else:
        reason = foreign_entry(path) if any(path.iterdir()) else None
    if reason is not None:
        raise InvalidValueError(
            f"{path} exists and {reason}, so it is not replaced by {what}. Choose "
            "another --out, or move it away."
        )


def _publish(temporary: Path, path: Path) -> None:
    if not path.exists():
        temporary.rename(path)
        return
    former = _sibling(path)
    path.rename(former)
    try:
        temporary.rename(path)
    except BaseException:
        former.rename(path)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _resolved(path: Path) -> Path:
    path = path.expanduser().resolve()
    if not path.parent.is_dir():
        raise InvalidValueError(
            f"The folder {path.parent} does not exist. Make it first, or choose "
            "another --out."
        )
    return path


def _sibling(path: Path) -> Path:
    return path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}.tmp"
