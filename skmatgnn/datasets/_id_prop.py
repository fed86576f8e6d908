"""Folders of structure files with an ``id_prop`` table (CGCNN, ALIGNN)."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets._base import bunch_of_frame, ensure_path, object_series
from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._structure_files import (
    find_structure_file,
    parse_structure_file,
    structure_of_atoms,
)
from skmatgnn.datasets._tables import (
    is_unknown,
    parse_number,
    read_json,
    read_rows,
)
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pymatgen.core import Structure

    from skmatgnn._typing import Dataset

__all__ = ["load_id_prop"]

_CSV = "id_prop.csv"
_JSON = "id_prop.json"
_ID_KEYS = ("jid", "id", "material_id")
_WARNED = 5


def load_id_prop(
    folder: str | os.PathLike[str],
    *,
    target_columns: str | int | Sequence[str | int] | None = None,
    as_frame: bool = False,
    return_X_y: bool = False,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Dataset:
    r"""Load a folder of crystal structures in the convention of CGCNN and ALIGNN.

    The folder contains ``id_prop.csv``, each row an identifier and one or more target
    values, without or with a header, and a structure file for each identifier:
    ``<id>``, ``<id>.cif``, ``<id>.vasp``, ``<id>.poscar`` or ``POSCAR-<id>.vasp``, the
    first of these that exists.
    Where there is no ``id_prop.csv``, ALIGNN's ``id_prop.json`` is read: a list of
    records with ``jid``, ``atoms`` and a target.

    Parameters
    ----------
    folder : str or path
        The folder.
    target_columns : str, int, sequence of these or None, default=None
        Which targets: 0-based positions among the target columns, or names (of the
        header, or the keys of the JSON records). None: all columns of the CSV, the
        key "target" of the JSON. One column gives a 1-D ``target``, in which no value
        may be missing; several give a 2-D one in which an empty cell, ``na``,
        ``nan``, ``n/a``, ``null`` or ``none`` is NaN.
    as_frame : bool, default=False
        Return pandas objects, and the whole table in ``frame``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.
    n_jobs : int or None, default=None
        Processes that read structure files (joblib).
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    Bunch
        ``data`` (object array of ``Structure``), ``target`` (float64),
        ``target_names``, ``groups`` (chemical system), ``ids``, ``feature_names``,
        ``units``, ``frame`` (None unless ``as_frame``), ``DESCR``. With
        ``return_X_y``, the tuple ``(data, target)``. Rows in the order of the table.

    Raises
    ------
    InvalidTypeError
        If ``folder`` is no path, or ``target_columns`` of a wrong type.
    InvalidValueError
        If there is no such folder or table, the table is empty, a target column does
        not exist, or rows or files are bad: up to five problems are listed, each with
        its line or record, and their total number. Table problems are raised before
        any structure is read.

    Warns
    -----
    UserWarning
        Where a file was read only after corrections, for example of occupancies.

    Notes
    -----
    The first row is a header if none of its target cells is a number or missing, and
    no structure file belongs to its first cell. Identifiers must be unique, and must
    be names of files inside the folder. Structures are not reduced to the primitive
    cell.

    References
    ----------
    .. [1] Xie, T. & Grossman, J. C. Crystal graph convolutional neural networks for
       an accurate and interpretable prediction of material properties. Physical
       Review Letters 120, 145301 (2018). doi:10.1103/PhysRevLett.120.145301
    .. [2] Choudhary, K. & DeCost, B. Atomistic line graph neural network for improved
       materials property predictions. npj Computational Materials 7, 185 (2021).
       doi:10.1038/s41524-021-00650-1

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from skmatgnn.datasets import load_id_prop, make_crystals
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for index, crystal in enumerate(make_crystals(2, random_state=0).data):
    ...     _ = crystal.to(filename=str(folder / f"c{index}.cif"))
    >>> _ = (folder / "id_prop.csv").write_text("c0,1.5\nc1,2.5\n")
    >>> crystals = load_id_prop(folder)
    >>> crystals.ids.tolist(), crystals.target.tolist()
    (['c0', 'c1'], [1.5, 2.5])
    """
    root = ensure_path(folder, name="folder")
    columns = _ensure_columns(target_columns)
    if not os.path.isdir(root):  # noqa: PTH112 (survives null bytes)
        raise InvalidValueError(
            f"The folder {root} does not exist (or is a file). Give the folder that "
            f"contains {_CSV} and the structure files."
        )
    if (root / _CSV).is_file():
        table = _read_csv(root, columns)
        structures = _read_structures(table, n_jobs=n_jobs, verbose=verbose)
    elif (root / _JSON).is_file():
        table = _read_records(root, columns)
        structures = _convert_structures(table, verbose=verbose)
    else:
        raise InvalidValueError(
            f"{root} contains neither {_CSV} nor {_JSON}. Each line of {_CSV} is an "
            "identifier and its target value(s), separated by commas. Structures "
            "without targets are read by read_structures."
        )
    return _bunch(table, structures, as_frame, return_X_y)


@dataclass
class _IdProp:
    """The table: ``sources`` are paths of structure files, or ``atoms`` records."""

    source: Path
    ids: list[str]
    places: list[str]
    sources: list[Any]
    names: list[str]
    values: np.ndarray


def _bunch(
    table: _IdProp,
    structures: list[Structure],
    as_frame: bool,
    return_X_y: bool,
) -> Dataset:
    import pandas as pd

    systems = [structure.composition.chemical_system for structure in structures]
    # Targets may be called anything; the structures' column must not collide.
    structure_name = _free_name("structure", table.names)
    frame = pd.DataFrame(table.values, columns=table.names)
    frame.insert(0, structure_name, object_series(structures, structure_name))
    frame.insert(0, _free_name("id", table.names), table.ids)
    return bunch_of_frame(
        frame,
        data_column=structure_name,
        target_columns=table.names,
        groups=systems,
        descr=f"{len(structures)} structures of {table.source}.\n",
        as_frame=as_frame,
        return_X_y=return_X_y,
        ids=frame.iloc[:, 0].to_numpy(),
    )


def _free_name(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _ensure_columns(columns: Any) -> list[str | int] | None:
    if columns is None:
        return None
    single = isinstance(columns, str | int | np.integer)
    if not single and not hasattr(columns, "__iter__"):
        raise InvalidTypeError(
            "target_columns must be a name, a position, a sequence of these or None; "
            f"got {describe(columns)}."
        )
    listed = [columns] if single else list(columns)
    for column in listed:
        if isinstance(column, bool) or not isinstance(column, str | int | np.integer):
            raise InvalidTypeError(
                "target_columns must contain names or positions; got "
                f"{describe(column)}."
            )
    if not listed or len(set(listed)) != len(listed):
        raise InvalidValueError(
            f"target_columns must name at least one column, and none twice; got "
            f"{listed}."
        )
    return listed


def _read_csv(root: Path, columns: list[str | int] | None) -> _IdProp:
    source = root / _CSV
    rows = read_rows(source)
    header: list[str] | None = None
    if rows and _is_header(root, rows[0][1]):
        header = rows.pop(0)[1][1:]
    if not rows:
        raise InvalidValueError(
            f"{source} has no rows of data. Each line is an identifier and its target "
            "value(s), separated by commas."
        )
    width = len(rows[0][1]) if header is None else len(header) + 1
    _require_cells(source, rows, width)
    names = header or _default_names(width - 1)
    positions = _positions(columns, names, source)
    return _csv_table(root, rows, names, positions)


def _is_header(root: Path, cells: list[str]) -> bool:
    return (
        len(cells) > 1
        and all(parse_number(cell) is None for cell in cells[1:])
        and len(set(cells[1:])) == len(cells) - 1
        and not cells[1].lstrip("+-").lower().startswith("inf")
        and find_structure_file(root, cells[0]) is None
    )


def _require_cells(source: Path, rows: list[tuple[int, list[str]]], width: int) -> None:
    first = rows[0][1]
    if width < 2:
        raise InvalidValueError(
            f"{source}, line {rows[0][0]}: expected an identifier and at least one "
            f"target, separated by commas; got {first[0]!r:.60}."
        )
    problems = Problems(str(source), "Each line needs the same number of cells.")
    for line, cells in rows:
        if len(cells) != width:
            problems.add(f"line {line}", f"expected {width} cells; got {len(cells)}.")
    problems.raise_if_any()


def _default_names(count: int) -> list[str]:
    return ["target"] if count == 1 else [f"target_{i}" for i in range(count)]


def _positions(
    columns: list[str | int] | None, names: list[str], source: Path
) -> list[int]:
    if columns is None:
        return list(range(len(names)))
    positions = []
    for column in columns:
        if isinstance(column, str) and column in names:
            positions.append(names.index(column))
        elif not isinstance(column, str) and 0 <= column < len(names):
            positions.append(int(column))
        else:
            raise InvalidValueError(
                f"{source} has no target column {column!r}. Its target columns are "
                f"{names[:30]}, at positions 0 to {len(names) - 1}."
            )
    if len(set(positions)) != len(positions):
        raise InvalidValueError(
            "target_columns must name each column once; got the same column by name "
            f"and by position in {columns}."
        )
    return positions


def _csv_table(
    root: Path,
    rows: list[tuple[int, list[str]]],
    names: list[str],
    positions: list[int],
) -> _IdProp:
    source = root / _CSV
    problems = Problems(str(source))
    seen: dict[str, str] = {}
    paths = []
    values = np.full((len(rows), len(positions)), np.nan)
    for index, (line, cells) in enumerate(rows):
        place, name = f"line {line}", cells[0]
        _note_repeat(name, place, seen, problems)
        paths.append(find_structure_file(root, name))
        if name and paths[-1] is None:
            problems.add(
                place,
                f"no structure file for {name!r:.60}; looked for it with and without "
                ".cif, .vasp, .poscar in the folder.",
            )
        picked = [(names[p], cells[p + 1]) for p in positions]
        values[index] = _numbers(picked, place, problems)
    problems.raise_if_any()
    return _IdProp(
        source,
        ids=list(seen),
        places=list(seen.values()),
        sources=paths,
        names=[names[p] for p in positions],
        values=values,
    )


def _note_repeat(
    name: str, place: str, seen: dict[str, str], problems: Problems
) -> None:
    if not name:
        problems.add(place, "the identifier is empty.")
    elif name in seen:
        problems.add(
            place, f"the identifier {name!r:.60} occurs already at {seen[name]}."
        )
    else:
        seen[name] = place


def _numbers(
    cells: Sequence[tuple[str, Any]], place: str, problems: Problems
) -> list[float]:
    numbers = []
    for name, cell in cells:
        number = parse_number(cell)
        if number is None:
            problems.add(
                place, f"{name} must be a finite number; got {describe(cell)}."
            )
        elif len(cells) == 1 and is_unknown(cell):
            problems.add(place, f"{name} is missing.")
        numbers.append(float("nan") if number is None else number)
    return numbers


def _read_structures(
    table: _IdProp, *, n_jobs: int | None, verbose: bool
) -> list[Structure]:
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    parsed = parallel(delayed(parse_structure_file)(path) for path in table.sources)
    problems = Problems(str(table.source), "Correct these files, or remove the rows.")
    structures, remarked = [], []
    for path, place, (structure, remarks) in zip(
        table.sources,
        table.places,
        _progress(parsed, len(table.ids), verbose=verbose),
        strict=True,
    ):
        text = f"{path.name}: {' '.join(remarks)}"
        if structure is None:
            problems.add(place, f"cannot read {text}")
        elif remarks:
            remarked.append(text)
        structures.append(structure)
    problems.raise_if_any()
    if remarked:
        shown = "\n  ".join(remarked[:_WARNED])
        warnings.warn(
            f"pymatgen had remarks on {len(remarked)} of {len(structures)} structure "
            f"files, for example\n  {shown}\nCheck that these structures are right.",
            UserWarning,
            stacklevel=3,
        )
    return structures


def _progress(items: Iterable[Any], total: int, *, verbose: bool) -> Iterable[Any]:
    from tqdm.auto import tqdm

    return tqdm(items, total=total, desc="structures", unit="file", disable=not verbose)


def _read_records(root: Path, columns: list[str | int] | None) -> _IdProp:
    source = root / _JSON
    records = read_json(source)
    if not isinstance(records, list) or not records:
        raise InvalidValueError(
            f"{source} must hold a list of at least one record with an identifier "
            f"({', '.join(_ID_KEYS)}), atoms and a target; got {describe(records)}."
        )
    names = ["target"] if columns is None else columns
    if any(not isinstance(name, str) for name in names):
        raise InvalidValueError(
            f"target_columns must be keys of the records of {source}; got {names}."
        )
    problems = Problems(str(source), "Correct or remove these records.")
    seen: dict[str, str] = {}
    atoms, values = [], []
    for index, record in enumerate(records, start=1):
        place = f"record {index}"
        if not isinstance(record, dict):
            problems.add(place, f"expected a JSON object; got {describe(record)}.")
            continue
        identifier = next((record[k] for k in _ID_KEYS if k in record), "")
        _note_repeat(str(identifier), place, seen, problems)
        atoms.append(record.get("atoms"))
        values.append(_record_numbers(record, names, place, problems))
    problems.raise_if_any()
    table, names = _stack(values, names, source)
    return _IdProp(source, list(seen), list(seen.values()), atoms, names, table)


def _record_numbers(
    record: dict[str, Any], names: list[Any], place: str, problems: Problems
) -> list[float]:
    absent = [name for name in names if name not in record]
    if absent:
        problems.add(
            place,
            f"no key {absent[0]!r}; its keys are {list(record)[:10]}. "
            "Choose one by target_columns.",
        )
        return []
    if len(names) == 1 and isinstance(record[names[0]], list):
        several = enumerate(record[names[0]])
        return _numbers([(f"{names[0]}_{i}", v) for i, v in several], place, problems)
    return _numbers([(name, record[name]) for name in names], place, problems)


def _stack(
    values: list[list[float]], names: list[Any], source: Path
) -> tuple[np.ndarray, list[str]]:
    """Make a table of the records' values; a list as target is several targets."""
    widths = {len(row) for row in values}
    if len(widths) > 1 or 0 in widths:
        raise InvalidValueError(
            f"{source}: the records' lists {names[0]!r} have the lengths "
            f"{sorted(widths)}. Each needs the same number of values, null for unknown."
        )
    width = widths.pop()
    if width != len(names):
        names = [f"{names[0]}_{i}" for i in range(width)]
    return np.array(values, dtype=np.float64), names


def _convert_structures(table: _IdProp, *, verbose: bool) -> list[Structure]:
    problems = Problems(str(table.source), "Correct or remove these records.")
    structures = []
    entries = zip(table.ids, table.places, table.sources, strict=True)
    for name, place, atoms in _progress(entries, len(table.ids), verbose=verbose):
        try:
            structures.append(structure_of_atoms(atoms))
        except InvalidValueError as error:
            problems.add(place, f"cannot use the atoms of {name!r:.60}: {error}.")
    problems.raise_if_any()
    return structures
