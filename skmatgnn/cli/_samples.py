"""The rows of a data set, with what the commands need to know about each."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.datasets import (
    load_formation_energies,
    load_id_prop,
    read_electrodes,
    theoretical_capacity,
)
from skmatgnn.datasets._tables import (
    Problems,
    Table,
    is_missing,
    parse_number,
    read_table,
)
from skmatgnn.errors import InvalidValueError, SkmatgnnError
from skmatgnn.preprocessing._formula import find_unusable_compositions

if TYPE_CHECKING:
    from pathlib import Path

    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.cli._notes import Notes

__all__ = [
    "Samples",
    "holds_structures",
    "load_samples",
    "note_unusable_formulas",
    "read_formula_table",
    "require_formula_column",
    "require_learnable",
]

DEFAULT_FORMULA_COLUMN = "formula"


@dataclass(frozen=True)
class Samples:
    """Samples and targets.

    Parameters
    ----------
    source : str
        Where they came from.
    X : ndarray of shape (n,), dtype object
        Formulas, or structures.
    has_structures : bool
        Which of the two.
    ids : list of str
        Line of a table, or identifier of a structure.
    id_name : str
        What an identifier is, for messages: ``"line"`` or ``"structure"``.
    formulas : list of str
        Formula of each sample.
    targets : ndarray of shape (n, t)
        NaN where unknown.
    target_names : list of str
        Their names.
    units : dict of str to str
        Unit of each target, if known.
    groups : ndarray of shape (n,) of str, or None
        Samples that must stay together.
    group_name : str or None
        What the groups are.
    strata : ndarray of shape (n,) of str, or None
        Labels that all stratified folds have in equal shares.
    stratum_name : str or None
        What the labels are.
    theory : dict of str to ndarray of shape (n,)
        What physics says of a target without learning, by its name.
    formula_column : str or None
        Column of the formulas, for a table.
    n_read : int
        Rows of the source, before ``--max-rows``.
    sha256 : str or None
        Of the file.
    """

    source: str
    X: np.ndarray
    has_structures: bool
    ids: list[str]
    id_name: str
    formulas: list[str]
    targets: FloatArray
    target_names: list[str]
    units: dict[str, str] = field(default_factory=dict)
    groups: np.ndarray | None = None
    group_name: str | None = None
    strata: np.ndarray | None = None
    stratum_name: str | None = None
    theory: dict[str, FloatArray] = field(default_factory=dict)
    formula_column: str | None = None
    n_read: int = 0
    sha256: str | None = None

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.X)

    def take(self, rows: IntArray) -> Samples:
        """Select samples.

        Parameters
        ----------
        rows : ndarray of int
            Which.

        Returns
        -------
        Samples
        """
        return replace(
            self,
            X=self.X[rows],
            ids=[self.ids[row] for row in rows],
            formulas=[self.formulas[row] for row in rows],
            targets=self.targets[rows],
            groups=None if self.groups is None else self.groups[rows],
            strata=None if self.strata is None else self.strata[rows],
            theory={name: values[rows] for name, values in self.theory.items()},
        )

    def place(self, row: int) -> str:
        """Name a sample in a message.

        Parameters
        ----------
        row : int
            Which.

        Returns
        -------
        str
        """
        name = self.ids[row]
        return name if name.startswith(self.id_name) else f"{self.id_name} {name}"


def holds_structures(data: Path | None) -> bool:
    """Tell a folder of structures from a table.

    Parameters
    ----------
    data : Path or None
        What the user gave; None is the table that comes with pymatgen.

    Returns
    -------
    bool

    Raises
    ------
    InvalidValueError
        If there is nothing of that name.
    """
    if data is not None and not data.exists():
        raise InvalidValueError(
            f"{data} does not exist. Check the path; it is relative to the current "
            "working directory unless absolute."
        )
    return data is not None and data.is_dir()


def load_samples(options: argparse.Namespace, notes: Notes) -> Samples:
    """Read the data that the arguments name.

    Parameters
    ----------
    options : Namespace
        Arguments of ``benchmark`` or ``fit``.
    notes : Notes
        Gets a remark where the data have a trap.

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
    else:
        samples = _table(data, options)
    if options.max_rows is not None and options.max_rows < len(samples):
        rng = np.random.default_rng(options.random_state)
        chosen = rng.choice(len(samples), options.max_rows, replace=False)
        samples = samples.take(np.sort(chosen))
        notes.add(f"a random sample of {len(samples)} of {samples.n_read} rows is used")
    return samples


def require_learnable(samples: Samples, n_least: int, needed_by: str) -> None:
    """Reject targets from which nothing can be learnt.

    Parameters
    ----------
    samples : Samples
        The data.
    n_least : int
        Rows with a known value that are needed.
    needed_by : str
        What needs them, for the message.

    Raises
    ------
    InvalidValueError
        If a target has too few known values, or always the same.
    """
    for name, values in zip(samples.target_names, samples.targets.T, strict=True):
        known = values[~np.isnan(values)]
        if len(known) < n_least:
            raise InvalidValueError(
                f"{samples.source}: {needed_by} needs at least {n_least} rows with a "
                f"known value of {name!r}; got {len(known)}."
            )
        if np.ptp(known) == 0:
            raise InvalidValueError(
                f"{samples.source}: {name!r} has the same value, {known[0]:g}, in all "
                f"{len(known)} rows, so that there is nothing to learn. Choose another "
                "--target."
            )


def _refuse_columns(
    options: argparse.Namespace, meant_for: str, *, target: bool = True
) -> None:
    names = ["formula_column", "group_column", "stratify_column"]
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
    return Samples(
        source=str(path),
        X=bunch.data,
        has_structures=True,
        ids=[str(name) for name in bunch.ids],
        id_name="structure",
        formulas=[item.composition.reduced_formula for item in bunch.data],
        targets=bunch.target.reshape(len(bunch.data), -1),
        target_names=list(bunch.target_names),
        n_read=len(bunch.data),
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
    targets = options.target
    if not targets:
        raise InvalidValueError(_which_target(read_table(path)))
    if len(set(targets)) != len(targets):
        raise InvalidValueError(f"--target names a column twice: {targets}.")
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
        X=_objects(formulas),
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
    numeric = []
    for name in dict.fromkeys(table.columns):
        cells = table.column(name)
        known = [cell for cell in cells if not is_missing(cell)]
        if known and all(parse_number(cell) is not None for cell in known):
            numeric.append(repr(name))
    return (
        f"Say what to predict: --target COLUMN. The numeric columns of {table.source} "
        f"are: {', '.join(numeric[:30]) or 'none'}."
    )


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
