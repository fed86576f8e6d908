"""Downloaded tables as Bunches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import bunch_of_frame, without_pauling_warnings
from skmatgnn.datasets._json_rows import json_rows
from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._structure_files import parse_structure_cell
from skmatgnn.datasets._tables import Table
from skmatgnn.errors import InvalidValueError
from skmatgnn.utils.validation import to_object_array

if TYPE_CHECKING:
    from sklearn.utils import Bunch

__all__ = ["RemoteTable", "is_structure", "read_remote_table"]

_SHOWN = 5
_STRUCTURE_TEXTS = ("cif", "poscar")


@dataclass(frozen=True)
class RemoteTable:
    """What a downloaded table is made into.

    Parameters
    ----------
    path : Path
    descr : str
    data_columns : sequence of str
        The first that exists has the samples.
    target_columns : sequence of str
        Of one, rows without a known value are left out; of several it is NaN.
    n_rows : int or None, default=None
        How many there must be, if it is known.
    units : dict
        Of the targets.
    extra : dict
        Further entries of the Bunch.
    """

    path: Path
    descr: str
    data_columns: Sequence[str]
    target_columns: Sequence[str] = ()
    n_rows: int | None = None
    units: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


def is_structure(cell: Any) -> bool:
    """Tell whether a cell is a structure, as pymatgen or as ALIGNN writes it.

    Parameters
    ----------
    cell : object

    Returns
    -------
    bool
    """
    return isinstance(cell, dict) and (
        {"lattice", "sites"} <= set(cell) or {"lattice_mat", "elements"} <= set(cell)
    )


def read_remote_table(
    spec: RemoteTable,
    *,
    as_frame: bool,
    return_X_y: bool,
    n_jobs: int | None,
    verbose: bool,
) -> Bunch | tuple[Any, Any]:
    """Read a downloaded table.

    Parameters
    ----------
    spec : RemoteTable
    as_frame, return_X_y : bool
    n_jobs : int or None
        Processes that read structures.
    verbose : bool
        Whether to show a progress bar.

    Returns
    -------
    Bunch or tuple

    Raises
    ------
    InvalidValueError
        If it cannot be read, or lacks a column.
    """
    table, samples, name = _columns(spec, n_jobs, verbose)
    if spec.n_rows is not None and len(samples) != spec.n_rows:
        raise InvalidValueError(
            f"{spec.path} has {len(samples)} rows, not {spec.n_rows}. Delete it, so "
            "that it is downloaded again."
        )
    targets = list(spec.target_columns)
    table.require(targets)
    values = _targets(table, targets)
    keep = _known(values) if len(targets) == 1 else np.arange(len(samples))
    if len(keep) == 0:
        raise InvalidValueError(f"{spec.path} has no known value of {targets[0]!r}.")
    frame = table.to_frame({**values, name: samples})
    if name not in frame:
        frame.insert(0, name, samples)
    frame = frame.iloc[keep].reset_index(drop=True)
    samples = samples[keep]
    return bunch_of_frame(
        frame,
        data_column=name,
        target_columns=targets,
        groups=_groups(samples),
        descr=spec.descr,
        as_frame=as_frame,
        return_X_y=return_X_y,
        units=spec.units,
        keep_frame=True,
        **spec.extra,
    )


def _columns(
    spec: RemoteTable, n_jobs: int | None, verbose: bool
) -> tuple[Table, np.ndarray, str]:
    """Read samples and all columns of plain values."""
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    rows = _peeked(json_rows(spec.path), spec)
    first = next(rows)
    name = next((c for c in spec.data_columns if c in first), None)
    if name is None:
        raise InvalidValueError(
            f"{spec.path} has none of the columns {list(spec.data_columns)}; it has "
            f"{sorted(first)[:30]}."
        )
    read = _read_structure if is_structure(first[name]) else _read_formula
    parsed = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(read)(row.get(name), _plain(row, name)) for row in chain([first], rows)
    )
    bar = tqdm(parsed, total=spec.n_rows, desc=spec.path.name, disable=not verbose)
    problems = Problems(str(spec.path), "The file is not what it should be.")
    samples, cells, remarked = [], [], []
    for index, (sample, plain, remarks) in enumerate(bar):
        if sample is None:
            problems.add(f"row {index}", f"cannot read {name}: {' '.join(remarks)}.")
        elif remarks:
            remarked.append(f"row {index}: {' '.join(remarks)}")
        samples.append(sample)
        cells.append(plain)
    problems.raise_if_any()
    _warn(remarked, spec.path)
    names = list(dict.fromkeys(key for plain in cells for key in plain))
    table = Table(
        str(spec.path),
        names,
        [[plain.get(key) for key in names] for plain in cells],
        [f"row {index}" for index in range(len(cells))],
    )
    return table, to_object_array(samples), name


def _peeked(rows: Iterator[dict], spec: RemoteTable) -> Iterator[dict[str, Any]]:
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise InvalidValueError(f"{spec.path} has no rows.")


def _plain(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        key: value
        for key, value in row.items()
        if not isinstance(value, dict | list)
        and key != name
        and key.lower() not in _STRUCTURE_TEXTS
    }


def _read_structure(
    cell: Any, plain: dict[str, Any]
) -> tuple[Any, dict[str, Any], Sequence[str]]:
    if not is_structure(cell):  # a text could be the name of a file
        return None, plain, ("it is no structure",)
    structure, remarks = parse_structure_cell(cell, Path())
    return structure, plain, remarks


def _read_formula(
    cell: Any, plain: dict[str, Any]
) -> tuple[Any, dict[str, Any], Sequence[str]]:
    if isinstance(cell, dict) and cell.get("@class") == "Composition":
        # as many digits as a float has, and no exponent
        cell = "".join(
            f"{key}{np.format_float_positional(amount, trim='-')}"
            for key, amount in cell.items()
            if not key.startswith("@")
        )
    if isinstance(cell, str) and cell:
        return cell, plain, ()
    return None, plain, ("it is neither a structure nor a formula",)


def _warn(remarked: list[str], path: Path) -> None:
    if remarked:
        shown = "\n  ".join(remarked[:_SHOWN])
        warnings.warn(
            f"pymatgen had remarks on {len(remarked)} structures of {path}, for "
            f"example\n  {shown}",
            UserWarning,
            stacklevel=5,
        )


def _targets(table: Table, names: Sequence[str]) -> dict[str, np.ndarray]:
    problems = Problems(table.source, "The file is not what it should be.")
    values = {}
    for name in names:
        cells = table.column(name)
        if all(isinstance(cell, bool) for cell in cells):
            values[name] = np.array(cells, dtype=bool)
        else:
            values[name] = table.numbers(name, problems, missing_allowed=True)
    problems.raise_if_any()
    return values


def _known(values: dict[str, np.ndarray]) -> np.ndarray:
    (column,) = values.values()
    if column.dtype == bool:
        return np.arange(len(column))
    return np.flatnonzero(~np.isnan(column))


def _groups(samples: np.ndarray) -> list[str]:
    """Chemical systems of structures, reduced formulas of formulas."""
    if not isinstance(samples[0], str):
        return [sample.composition.chemical_system for sample in samples]
    from pymatgen.core import Composition

    groups = []
    with without_pauling_warnings():
        for formula in samples:
            try:
                groups.append(Composition(formula).reduced_formula)
            except ValueError:  # of a formula that pymatgen cannot read
                groups.append(formula)
    return groups
