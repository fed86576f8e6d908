"""Readers of users' tables of formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skmatgnn.datasets._base import bunch_of_frame, ensure_path
from skmatgnn.datasets._descriptions import ELECTRODES
from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._tables import Table, read_table
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from skmatgnn._typing import Dataset


__all__ = ["ensure_column_names", "read_electrodes", "read_formulas"]

_ELECTRODE_UNITS = {
    "average_voltage": "V",
    "capacity_grav": "mAh / g",
    "capacity_vol": "mAh / cm^3",
}
_ELECTRODE_TEXTS = ("formula_discharge", "formula_charge", "working_ion")


def read_formulas(
    path: str | os.PathLike[str],
    *,
    formula_column: str = "formula",
    target_columns: str | Sequence[str] | None = None,
    group_column: str | None = None,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> Dataset:
    r"""Read a table of formulas and properties.

    Parameters
    ----------
    path : str or path
        CSV (``.tsv`` for tabs) with a header, or JSON (a list of records, or a
        mapping of columns); plain, ``.gz``, ``.bz2`` or ``.xz``; UTF-8.
    formula_column : str, default="formula"
        Column with the formulas. They are not parsed here.
    target_columns : str, sequence of str or None, default=None
        Columns to predict. One column gives a 1-D ``target``, in which no value may
        be missing; several give a 2-D one in which an empty cell, ``na``, ``nan``,
        ``n/a``, ``null`` or ``none`` is NaN. None: ``target`` is None.
    group_column : str or None, default=None
        Column with the groups of group-wise splits.
    as_frame : bool, default=False
        Return ``data`` and ``target`` as pandas objects.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch
        ``data`` (object array of str), ``target``, ``target_names``, ``groups`` (None
        without ``group_column``), ``frame`` (the whole table, always),
        ``feature_names``, ``units``, ``DESCR``. With ``return_X_y``, the tuple
        ``(data, target)``.

    Raises
    ------
    InvalidTypeError
        If ``path`` or a column name is not of the right type.
    InvalidValueError
        If the file cannot be read or is empty, a column is missing (the message lists
        those that exist), or cells are bad (up to five, with their lines).

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skmatgnn.datasets import read_formulas
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> table = folder / "gaps.csv"
    >>> _ = table.write_text("formula,gap,host\nNaCl,8.5,NaCl\nGaAs,1.42,GaAs\n")
    >>> gaps = read_formulas(table, target_columns="gap", group_column="host")
    >>> gaps.data.tolist(), gaps.target.tolist()
    (['NaCl', 'GaAs'], [8.5, 1.42])
    """
    source = ensure_path(path, name="path")
    targets = ensure_column_names(target_columns)
    for name in (formula_column, group_column or ""):
        if not isinstance(name, str):
            raise InvalidTypeError(f"Column names must be str; got {describe(name)}.")
    if formula_column in targets:
        raise InvalidValueError(
            f"The column {formula_column!r} cannot be both the formula and a target."
        )
    table = read_table(source)
    groups = [] if group_column is None else [group_column]
    table.require([formula_column, *groups, *targets])
    return _bunch_of_table(
        table,
        texts=[formula_column],
        targets=targets,
        group_column=group_column,
        descr=f"Formulas and properties of {source.name}.\n",
        as_frame=as_frame,
        return_X_y=return_X_y,
    )


def read_electrodes(
    path: str | os.PathLike[str], *, as_frame: bool = False, return_X_y: bool = False
) -> Dataset:
    r"""Read a table of battery electrodes in the layout of the Materials Project.

    ==================  =====================================================
    Task                regression, three targets
    Input               ``formula_discharge`` (string)
    Targets             ``average_voltage`` (V), ``capacity_grav`` (mAh/g),
                        ``capacity_vol`` (mAh/cm^3)
    Other columns       ``formula_charge``, ``working_ion``, ``battery_id``
                        (required); any others are kept in the frame
    Unknown values      an empty target cell is NaN
    Groups              ``battery_id``: rows of one battery are not independent
    Source              Materials Project Battery Explorer [1]_, CC BY 4.0
    Recommended split   ``GroupKFold`` by ``groups``
    Recommended metric  MAE, or MAE over that of predicting the mean
    ==================  =====================================================

    Parameters
    ----------
    path : str or path
        CSV with a header, or JSON; plain or compressed, as in ``read_formulas``.
    as_frame : bool, default=False
        Return ``data`` and ``target`` as pandas objects.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch
        ``data`` (object array of str), ``target`` ((n, 3) float64), ``target_names``,
        ``units``, ``groups``, ``frame`` (the whole table, always),
        ``feature_names``, ``DESCR``. With ``return_X_y``, the tuple
        ``(data, target)``.

    Raises
    ------
    InvalidTypeError
        If ``path`` is not a path.
    InvalidValueError
        If the file cannot be read, required columns are missing (all are named) or
        cells are bad (up to five, with their lines).

    References
    ----------
    .. [1] Jain, A. et al. The Materials Project: A materials genome approach to
       accelerating materials innovation. APL Materials 1, 011002 (2013).
       doi:10.1063/1.4812323

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from skmatgnn.datasets import read_electrodes
    >>> table = pathlib.Path(tempfile.mkdtemp()) / "electrodes.csv"
    >>> _ = table.write_text(
    ...     "battery_id,formula_charge,formula_discharge,working_ion,"
    ...     "average_voltage,capacity_grav,capacity_vol\n"
    ...     "b1,CoO2,LiCoO2,Li,3.9,273.8,1390.0\n"
    ... )
    >>> electrodes = read_electrodes(table)
    >>> electrodes.data[0], electrodes.target.shape
    ('LiCoO2', (1, 3))
    """
    table = read_table(ensure_path(path, name="path"))
    table.require([*_ELECTRODE_TEXTS, "battery_id", *_ELECTRODE_UNITS])
    return _bunch_of_table(
        table,
        texts=list(_ELECTRODE_TEXTS),
        targets=list(_ELECTRODE_UNITS),
        group_column="battery_id",
        descr=ELECTRODES,
        as_frame=as_frame,
        return_X_y=return_X_y,
        units=_ELECTRODE_UNITS,
    )


def ensure_column_names(columns: Any) -> list[str]:
    """List column names, rejecting what are none.

    Parameters
    ----------
    columns : str, sequence of str or None
        What the user gave.

    Returns
    -------
    list of str

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If a name is no string, or comes twice.
    """
    if columns is None:
        return []
    if isinstance(columns, str):
        return [columns]
    if not hasattr(columns, "__iter__"):
        raise InvalidTypeError(
            f"target_columns must be a str or a sequence of str; got "
            f"{describe(columns)}."
        )
    names = list(columns)
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise InvalidTypeError(
                f"target_columns must contain strings; got {describe(name)} at index "
                f"{index}."
            )
    if len(set(names)) != len(names):
        raise InvalidValueError(f"target_columns names a column twice: {names}.")
    return names


def _bunch_of_table(
    table: Table,
    *,
    texts: list[str],
    targets: list[str],
    group_column: str | None,
    descr: str,
    as_frame: bool,
    return_X_y: bool,
    units: dict[str, str] | None = None,
) -> Dataset:
    """Convert the columns, raise all problems together; ``texts[0]`` is the formula."""
    problems = Problems(table.source)
    converted: dict[str, Any] = {name: table.texts(name, problems) for name in texts}
    for name in targets:
        converted[name] = table.numbers(
            name, problems, missing_allowed=len(targets) > 1
        )
    groups = None if group_column is None else table.labels(group_column, problems)
    if group_column is not None and group_column not in converted:
        converted[group_column] = groups
    problems.raise_if_any()
    return bunch_of_frame(
        table.to_frame(converted),
        data_column=texts[0],
        target_columns=targets,
        groups=groups,
        descr=descr,
        as_frame=as_frame,
        return_X_y=return_X_y,
        units=units,
        keep_frame=True,
    )
