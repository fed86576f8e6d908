"""Reading of the data that a command's arguments name."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._samples import Samples, limited, objects, structure_samples
from skmatgnn.datasets import (
    load_formation_energies,
    load_id_prop,
    read_electrodes,
    theoretical_capacity,
)
from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._structure_tables import parse_structure_table
from skmatgnn.datasets._tables import (
    Table,
    is_unknown,
    parse_number,
    read_table,
)
from skmatgnn.errors import InvalidValueError, SkmatgnnError
from skmatgnn.preprocessing._formula import find_unusable_compositions

if TYPE_CHECKING:
    from pathlib import Path

    from skmatgnn.cli._notes import Notes

__all__ = [
    "load_samples",
    "note_unusable_formulas",
    "numeric_columns",
    "read_formula_table",
    "require_formula_column",
]

DEFAULT_FORMULA_COLUMN = "formula"


def load_samples(
    options: argparse.Namespace, notes: Notes, *, structures: bool = False
) -> Samples:
    """Read the data that the arguments name.

    Parameters
    ----------
    options : Namespace
        Arguments of ``benchmark``, ``fit`` or ``finetune``.
    notes : Notes
        Gets a remark where the data have a trap.
    structures : bool, default=False
        Whether a table has structures in place of formulas.

    Returns
    -------
    Samples

    Raises
    ------
    InvalidValueError
        If the data cannot be used, with lines or identifiers.
    """
    data = options.data
    if getattr(options, "electrodes", False):
        samples = _electrodes(options, notes)
    elif data is None:
        _refuse_columns(options, "the data that come with pymatgen; give DATA")
        samples = _embedded()
    elif data.is_dir():
        _refuse_columns(options, "tables, not for a folder of structures", target=False)
        samples = _folder(data, options)
    elif structures:
        if options.formula_column is not None:
            raise InvalidValueError("--formula-column is for formulas, not structures.")
        samples = _structure_table(data, options)
    else:
        samples = _table(data, options)
    return limited(samples, options, notes)


def _refuse_columns(
    options: argparse.Namespace, meant_for: str, *, target: bool = True
) -> None:
    names = ["formula_column", "structure_column", "group_column", "stratify_column"]
    names += ["target"] if target else []
    for name in names:
        if getattr(options, name, None) is not None:
            option = "--" + name.replace("_", "-")
            raise InvalidValueError(
                f"{option} is for {meant_for}."
                if not target
                else f"{option} cannot be used with {meant_for}."
            )


def _embedded() -> Samples:
    bunch = load_formation_energies()
    return Samples(
        source="formation energies (pymatgen's exp_compounds)",
        X=bunch.data,
        has_structures=False,
        ids=[str(row) for row in range(1, len(bunch.data) + 1)],
        id_name="row",
        formulas=list(bunch.data),
        targets=bunch.target.reshape(-1, 1),
        target_names=list(bunch.target_names),
        units=dict(bunch.units),
        groups=bunch.groups.astype(str),
        group_name="chemical system",
        n_read=len(bunch.data),
    )


def _folder(path: Path, options: argparse.Namespace) -> Samples:
    bunch = load_id_prop(
        path,
        target_columns=options.target,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
    )
    return structure_samples(
        str(path),
        bunch.data,
        ids=[str(name) for name in bunch.ids],
        id_name="structure",
        targets=bunch.target.reshape(len(bunch.data), -1),
        target_names=list(bunch.target_names),
    )


def read_formula_table(
    path: Path, column: str | None, others: list[str]
) -> tuple[Table, Problems, str]:
    """Read a table and note every formula that cannot be read.

    Parameters
    ----------
    path : Path
        The table.
    column : str or None
        Column of the formulas; None is ``"formula"``.
    others : list of str
        Further columns that must exist.

    Returns
    -------
    table : Table
    problems : Problems
        To be added to, and raised.
    column : str
        The formulas' column.
    """
    table = read_table(path)
    column = require_formula_column(table, column)
    table.require(others)
    problems = Problems(table.source)
    note_unusable_formulas(table, column, problems)
    return table, problems, column


def require_formula_column(table: Table, column: str | None) -> str:
    """Reject a table without a column of formulas.

    Parameters
    ----------
    table : Table
        The table.
    column : str or None
        Column of the formulas; None is ``"formula"``.

    Returns
    -------
    str
        The formulas' column.
    """
    column = column or DEFAULT_FORMULA_COLUMN
    try:
        table.require([column])
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{error} Name the one with the formulas by --formula-column."
        ) from error
    return column


def note_unusable_formulas(table: Table, column: str, problems: Problems) -> None:
    """Note every formula of a table that cannot be read.

    Parameters
    ----------
    table : Table
        The table.
    column : str
        Column of the formulas.
    problems : Problems
        Where to note.
    """
    cells = table.texts(column, problems)
    texts = [row for row, cell in enumerate(cells) if isinstance(cell, str) and cell]
    if texts:
        unusable = find_unusable_compositions([cells[row] for row in texts])
        for position, reason in unusable.items():
            row = texts[position]
            problems.add(
                table.places[row],
                f"{column} {cells[row]!r:.60} is no formula: {reason}.",
            )


def _table(path: Path, options: argparse.Namespace) -> Samples:
    targets = _targets(path, options)
    names = [getattr(options, f"{kind}_column", None) for kind in ("group", "stratify")]
    table, problems, column = read_formula_table(
        path, options.formula_column, [*targets, *filter(None, names)]
    )
    if column in targets:
        raise InvalidValueError(f"{column!r} cannot be both the formula and a target.")
    values = [
        table.numbers(name, problems, missing_allowed=len(targets) > 1)
        for name in targets
    ]
    groups, strata = (
        None if name is None else table.labels(name, problems) for name in names
    )
    problems.raise_if_any()
    formulas = table.column(column)
    return Samples(
        source=str(path),
        X=objects(formulas),
        has_structures=False,
        ids=[place.split()[-1] for place in table.places],
        id_name=table.places[0].split()[0],
        formulas=formulas,
        targets=np.column_stack(values),
        target_names=list(targets),
        groups=_as_texts(groups),
        group_name=names[0],
        strata=_as_texts(strata),
        stratum_name=names[1],
        formula_column=column,
        n_read=len(formulas),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _targets(path: Path, options: argparse.Namespace) -> list[str]:
    targets = options.target
    if not targets:
        raise InvalidValueError(_which_target(read_table(path)))
    if len(set(targets)) != len(targets):
        raise InvalidValueError(f"--target names a column twice: {targets}.")
    return list(targets)


def _structure_table(path: Path, options: argparse.Namespace) -> Samples:
    targets = _targets(path, options)
    parsed = parse_structure_table(
        path,
        options.structure_column,
        targets,
        missing_allowed=len(targets) > 1,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
    )
    return structure_samples(
        str(path),
        parsed.structures,
        ids=parsed.table.places,
        id_name="",
        targets=np.column_stack(list(parsed.targets.values())),
        target_names=targets,
    )


def _electrodes(options: argparse.Namespace, notes: Notes) -> Samples:
    """Read a table in the layout of the Materials Project's battery explorer."""
    if options.data is None or options.data.is_dir():
        raise InvalidValueError(
            "--electrodes is for a table of electrodes: name it as DATA. Its layout is "
            "that of skmatgnn.datasets.read_electrodes."
        )
    table = read_electrodes(options.data)
    columns = {
        "formula_column": "formula_discharge",
        "target": list(table.target_names),
        "group_column": "battery_id",
        "stratify_column": "working_ion",
    }
    chosen = {k: v for k, v in columns.items() if getattr(options, k, None) is None}
    samples = _table(options.data, argparse.Namespace(**{**vars(options), **chosen}))
    units = {k: v for k, v in table.units.items() if k in samples.target_names}
    theory = {}
    if "capacity_grav" in samples.target_names:
        members = ("formula_discharge", "formula_charge", "working_ion")
        try:
            theory["capacity_grav"] = theoretical_capacity(
                *(table.frame[name].to_numpy(object) for name in members)
            )
        except SkmatgnnError as error:
            notes.add(f"no theoretical capacity: {error}")
    return replace(samples, units=units, theory=theory)


def _as_texts(labels: list[Any] | None) -> np.ndarray | None:
    return None if labels is None else np.array([str(label) for label in labels])


def _which_target(table: Table) -> str:
    return (
        f"Say what to predict: --target COLUMN. The numeric columns of {table.source} "
        f"are: {numeric_columns(table)}."
    )


def numeric_columns(table: Table) -> str:
    """List the columns of numbers, for a message.

    Parameters
    ----------
    table : Table

    Returns
    -------
    str
    """
    numeric = []
    for name in dict.fromkeys(table.columns):
        cells = table.column(name)
        known = [cell for cell in cells if not is_unknown(cell)]
        if known and all(parse_number(cell) is not None for cell in known):
            numeric.append(repr(name))
    return ", ".join(numeric[:30]) or "none"
