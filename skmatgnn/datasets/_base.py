"""What every loader shares: installed data files and the Bunch that is returned."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import Bunch

from skmatgnn.errors import InvalidTypeError, InvalidValueError, SkmatgnnError
from skmatgnn.utils.validation import describe, to_object_array
from skmatgnn.utils.warning_filters import without_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from skmatgnn._typing import Dataset

__all__ = [
    "bunch_of_frame",
    "ensure_path",
    "find_resource",
    "object_series",
    "require_number",
    "without_pauling_warnings",
]


def find_resource(package: str, candidates: Sequence[str]) -> Path:
    """Find a data file inside an installed package without importing the package.

    Parameters
    ----------
    package : str
        Top-level package that ships the file.
    candidates : sequence of str
        Where the package's versions keep it, relative to the package folder.

    Returns
    -------
    Path

    Raises
    ------
    SkmatgnnError
        If the installed version has the file in none of these places.
    """
    spec = find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    for root in roots:
        for candidate in candidates:
            path = Path(root) / candidate
            if path.is_file():
                return path
    raise SkmatgnnError(
        f"The installed {package} does not contain the data file; looked for "
        f"{', '.join(candidates)} under {', '.join(roots) or 'no folder'}. "
        f"Reinstall {package}, or report its version."
    )


def ensure_path(path: Any, *, name: str) -> Path:
    """Convert a user's path, rejecting what is none.

    Parameters
    ----------
    path : str or os.PathLike
        What the user gave.
    name : str
        The parameter, for the message.

    Returns
    -------
    Path
        With ``~`` expanded.

    Raises
    ------
    InvalidTypeError
        If it is neither a string nor path-like.
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise InvalidTypeError(f"{name} must be a str or a path; got {describe(path)}.")
    return Path(path).expanduser()


@contextmanager
def without_pauling_warnings() -> Iterator[None]:
    """Silence pymatgen's note that noble gases have no Pauling electronegativity.

    Formatting or parsing a formula raises it, where the value is not used.
    """
    with without_warnings(pattern="No Pauling electronegativity"):
        yield


def object_series(items: Sequence[Any], name: str) -> pd.Series:
    """Put structures or other objects into a Series without unpacking them.

    Parameters
    ----------
    items : sequence
        The objects.
    name : str
        Name of the Series.

    Returns
    -------
    Series of dtype object
    """
    import pandas as pd

    return pd.Series(to_object_array(items), name=name, dtype=object)


def bunch_of_frame(
    frame: pd.DataFrame,
    *,
    data_column: str,
    target_columns: Sequence[str],
    groups: Sequence[Any] | None,
    descr: str,
    as_frame: bool,
    return_X_y: bool,
    units: Mapping[str, str] | None = None,
    keep_frame: bool = False,
    **extra: Any,
) -> Dataset:
    """Make the Bunch, or the pair (data, target), out of a table.

    Parameters
    ----------
    frame : DataFrame
        The whole table; handed to the user, so it must be the caller's own copy.
    data_column : str
        Column with the samples.
    target_columns : sequence of str
        One column gives a 1-D target, several a 2-D one, none gives None.
    groups : sequence or None
        Group label of each row.
    descr : str
        The description.
    as_frame, return_X_y : bool
        As in scikit-learn's loaders.
    units : mapping or None
        Unit of each target.
    keep_frame : bool
        Keep ``frame`` even where ``as_frame`` is False.
    **extra : object
        Further entries of the Bunch.

    Returns
    -------
    Bunch or tuple
    """
    names = list(target_columns)
    selected = names[0] if len(names) == 1 else names
    data: Any = frame[[data_column]]
    target: Any = frame[selected] if names else None
    if not as_frame:
        data = to_object_array(list(frame[data_column]))
        target = None if target is None else target.to_numpy()
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=names,
        feature_names=[data_column],
        groups=None if groups is None else to_object_array(list(groups)),
        frame=frame if as_frame or keep_frame else None,
        units={name: (units or {}).get(name, "") for name in names},
        DESCR=descr,
        **extra,
    )


def require_number(
    value: Any,
    *,
    name: str,
    low: float,
    high: float = np.inf,
    integer: bool = False,
) -> None:
    """Reject a value that is not a finite number of the closed interval.

    Parameters
    ----------
    value : object
        What the user gave.
    name : str
        The parameter.
    low, high : float
        The interval.
    integer : bool
        Whether a whole number is required.

    Raises
    ------
    InvalidTypeError
        If it is not a number (or not a whole one).
    InvalidValueError
        If it is outside the interval, or not finite.
    """
    kinds = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "an integer" if integer else "a number"
        raise InvalidTypeError(f"{name} must be {kind}; got {describe(value)}.")
    if not (np.isfinite(value) and low <= value <= high):
        raise InvalidValueError(
            f"{name} must be a finite number in [{low}, {high}]; got {value}."
        )
