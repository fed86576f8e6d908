"""Users' tables with a structure in each row."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import bunch_of_frame, ensure_path
from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._readers import ensure_column_names
from skmatgnn.datasets._structure_files import (
    is_structure_file,
    list_structure_files,
    parse_structure_cell,
)
from skmatgnn.datasets._tables import Table, read_table
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe, to_object_array

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from skmatgnn._typing import Dataset, FloatArray

__all__ = [
    "ARRAY_COLUMNS",
    "STRUCTURE_COLUMNS",
    "StructureTable",
    "find_structure_column",
    "parse_structure_table",
    "read_structures",
]

#: Columns that are taken for the structures where none is named, in this order.
STRUCTURE_COLUMNS = ("structure", "atoms", "cif", "poscar", "file", "path")
#: What describes a structure where there is none of them.
ARRAY_COLUMNS = ("lattice", "species", "frac_coords")
_WARNED = 5


def read_structures(
    path: str | os.PathLike[str],
    *,
    structure_column: str | None = None,
    target_columns: str | Sequence[str] | None = None,
    as_frame: bool = False,
    return_X_y: bool = False,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Dataset:
    r"""Read crystal structures: a table with properties, or a folder of files.

    A cell with a structure holds the text of a CIF or POSCAR file, the name of such a
    file in the folder of the table, or, in JSON, pymatgen's ``Structure.as_dict`` or
    ALIGNN's ``lattice_mat``, ``elements`` and ``coords``.

    A folder gives all its structure files (``*.cif``, ``*.vasp``, ``*.poscar``,
    ``POSCAR*``, ``CONTCAR*``) in the order of their names, without targets: what there
    is to predict. Where an ``id_prop.csv`` has the targets, see `load_id_prop`.

    Parameters
    ----------
    path : str or path
        JSON (a list of records, a mapping of columns, or ``columns`` and ``data`` as
        in the files of Matbench), or CSV (``.tsv`` for tabs) with a header; plain,
        ``.gz``, ``.bz2`` or ``.xz``; UTF-8. Or a folder, or one structure file.
    structure_column : str or None, default=None
        Column with the structures. None takes the first that exists of ``structure``,
        ``atoms``, ``cif``, ``poscar``, ``file`` and ``path``, or else the three
        columns ``lattice`` (3x3, Angstrom), ``species`` and ``frac_coords``.
    target_columns : str, sequence of str or None, default=None
        Columns to predict. One column gives a 1-D ``target``, in which no value may
        be missing; several give a 2-D one in which an empty cell, ``na``, ``nan``,
        ``n/a``, ``null`` or ``none`` is NaN. None: ``target`` is None.
    as_frame : bool, default=False
        Return ``data`` and ``target`` as pandas objects.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    n_jobs : int or None, default=None
        Processes that read the structures (joblib).
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    Bunch
        ``data`` (object array of ``Structure``), ``target``, ``target_names``,
        ``groups`` (chemical system), ``frame`` (the whole table, with the structures
        in the column ``structure``, always; of a folder, that and the names in the
        column ``file``), ``feature_names``, ``units``, ``DESCR``.
        With ``return_X_y``, the tuple ``(data, target)``.

    Raises
    ------
    InvalidTypeError
        If ``path`` or a column name is not of the right type.
    InvalidValueError
        If the file cannot be read or is empty, a column is missing (the message lists
        those that exist), or cells are bad (up to five, with their lines).

    Warns
    -----
    UserWarning
        Where a structure was read only after corrections, for example of occupancies.

    See Also
    --------
    load_id_prop : Reads a folder of structure files with their targets.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from skmatgnn.datasets import make_crystals, read_structures
    >>> X, y = make_crystals(2, random_state=0, return_X_y=True)
    >>> rows = [{"structure": x.as_dict(), "energy": e} for x, e in zip(X, y)]
    >>> table = pathlib.Path(tempfile.mkdtemp()) / "crystals.json"
    >>> _ = table.write_text(json.dumps(rows))
    >>> crystals = read_structures(table, target_columns="energy")
    >>> crystals.data[0] == X[0], bool(crystals.target[1] == y[1])
    (True, True)

    New structures to predict for, with the names of their files:

    >>> for number, structure in enumerate(X):
    ...     _ = structure.to(filename=str(table.parent / f"new-{number}.cif"))
    >>> new = read_structures(table.parent)
    >>> list(new.frame["file"]), new.target is None
    (['new-0.cif', 'new-1.cif'], True)
    """
    source = ensure_path(path, name="path")
    targets = ensure_column_names(target_columns)
    if structure_column is not None and not isinstance(structure_column, str):
        raise InvalidTypeError(
            f"structure_column must be a str or None; got {describe(structure_column)}."
        )
    name = "structure"
    if name in targets and structure_column not in (None, name):
        raise InvalidValueError(
            f"The target column {name!r} of {source} has the name that the structures "
            f"get, which are in {structure_column!r}. Rename it."
        )
    parsed = parse_structure_table(
        source,
        structure_column,
        targets,
        missing_allowed=len(targets) > 1,
        n_jobs=n_jobs,
        verbose=verbose,
        table=_table_of_files(source, structure_column, targets),
    )
    kept = {**parsed.targets, name: parsed.structures}
    frame = parsed.table.to_frame(kept).drop(columns=name, errors="ignore")
    frame.insert(0, name, parsed.structures)
    return bunch_of_frame(
        frame,
        data_column=name,
        target_columns=targets,
        groups=[item.composition.chemical_system for item in parsed.structures],
        descr=f"Structures and properties of {source.name}.\n",
        as_frame=as_frame,
        return_X_y=return_X_y,
        keep_frame=True,
    )


def _table_of_files(
    source: Path, structure_column: str | None, targets: Sequence[str]
) -> Table | None:
    """List structure files as a table with the column ``file``; None for tables."""
    if not (source.is_dir() or is_structure_file(source)):
        return None
    if targets or structure_column not in (None, "file"):
        raise InvalidValueError(
            f"{source} is no table, and has no columns. Leave structure_column and "
            "target_columns out to read its structures; targets in an id_prop.csv are "
            "read by load_id_prop."
        )
    files = list_structure_files(source)
    return Table(
        source=str(source),
        columns=["file"],
        rows=[[file.name] for file in files],
        places=[file.name for file in files],
    )


@dataclass
class StructureTable:
    """A table, its structures, and the targets by name (NaN where unknown)."""

    table: Table
    structures: np.ndarray
    targets: dict[str, FloatArray]


def find_structure_column(table: Table, column: str | None) -> str | None:
    """Find where the structures of a table are.

    Parameters
    ----------
    table : Table
        The table.
    column : str or None
        What the user named.

    Returns
    -------
    str or None
        A column; None for the three of `ARRAY_COLUMNS`.

    Raises
    ------
    InvalidValueError
        If they are nowhere.
    """
    if column is not None:
        table.require([column])
        return column
    found = next((name for name in STRUCTURE_COLUMNS if name in table.columns), None)
    if found is None and not set(ARRAY_COLUMNS) <= set(table.columns):
        shown = ", ".join(repr(name) for name in table.columns[:30])
        raise InvalidValueError(
            f"{table.source} has no column of structures; looked for "
            f"{', '.join(STRUCTURE_COLUMNS)}, or {', '.join(ARRAY_COLUMNS)} together. "
            f"Its columns are: {shown}. Name the one with the structures."
        )
    table.require(ARRAY_COLUMNS if found is None else [found])
    return found


def parse_structure_table(
    path: Path,
    structure_column: str | None,
    target_columns: Sequence[str],
    *,
    missing_allowed: bool,
    n_jobs: int | None = None,
    verbose: bool = False,
    table: Table | None = None,
) -> StructureTable:
    """Read a table of structures; its numbers are checked first.

    Parameters
    ----------
    path : Path
        The file.
    structure_column : str or None
        As for `read_structures`.
    target_columns : sequence of str
        Columns of numbers.
    missing_allowed : bool
        Whether an unknown value is NaN rather than a problem.
    n_jobs : int or None
        Processes.
    verbose : bool
        Show a progress bar.
    table : Table or None
        The content, if it was read before.

    Returns
    -------
    StructureTable

    Raises
    ------
    InvalidValueError
        With the places of all that is wrong.
    """
    table = read_table(path) if table is None else table
    column = find_structure_column(table, structure_column)
    if column in target_columns:
        raise InvalidValueError(
            f"The column {column!r} cannot be both the structure and a target."
        )
    table.require(target_columns)
    problems = Problems(table.source)
    targets = {
        name: table.numbers(name, problems, missing_allowed=missing_allowed)
        for name in target_columns
    }
    problems.raise_if_any()
    cells = _cells_of_arrays(table) if column is None else table.column(column)
    folder = path if path.is_dir() else path.parent
    structures = _parse(table, cells, folder, n_jobs=n_jobs, verbose=verbose)
    return StructureTable(table, to_object_array(structures), targets)


def _cells_of_arrays(table: Table) -> list[Any]:
    lattices, species, coords = (table.column(name) for name in ARRAY_COLUMNS)
    return [
        {"lattice_mat": a, "elements": s, "coords": c}
        for a, s, c in zip(lattices, species, coords, strict=True)
    ]


def _parse(
    table: Table, cells: list[Any], folder: Path, *, n_jobs: int | None, verbose: bool
) -> list[Any]:
    from joblib import Parallel, delayed
    from tqdm.auto import tqdm

    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    parsed = parallel(delayed(parse_structure_cell)(cell, folder) for cell in cells)
    bar = tqdm(parsed, total=len(cells), desc="structures", disable=not verbose)
    problems = Problems(table.source, "Correct these structures, or remove the rows.")
    structures, remarked = [], []
    for place, (structure, remarks) in zip(table.places, bar, strict=True):
        if structure is None:
            problems.add(place, f"cannot read the structure: {' '.join(remarks)}.")
        elif remarks:
            remarked.append(f"{place}: {' '.join(remarks)}")
        structures.append(structure)
    problems.raise_if_any()
    if remarked:
        shown = "\n  ".join(remarked[:_WARNED])
        warnings.warn(
            f"pymatgen had remarks on {len(remarked)} of {len(structures)} structures "
            f"of {table.source}, for example\n  {shown}\nCheck that they are right.",
            UserWarning,
            stacklevel=4,
        )
    return structures
