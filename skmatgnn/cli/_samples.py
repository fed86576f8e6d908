"""The rows of a data set, with what the commands need to know about each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.cli._notes import Notes

__all__ = [
    "Samples",
    "holds_structures",
    "limited",
    "objects",
    "require_learnable",
    "structure_samples",
]


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


def limited(samples: Samples, options: argparse.Namespace, notes: Notes) -> Samples:
    """Draw the rows that ``--max-rows`` asks for.

    Parameters
    ----------
    samples : Samples
        All rows.
    options : Namespace
        Arguments.
    notes : Notes
        Gets a remark if rows are left out.

    Returns
    -------
    Samples
    """
    if options.max_rows is None or options.max_rows >= len(samples):
        return samples
    rng = np.random.default_rng(options.random_state)
    chosen = rng.choice(len(samples), options.max_rows, replace=False)
    notes.add(f"a random sample of {len(chosen)} of {samples.n_read} rows is used")
    return samples.take(np.sort(chosen))


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


def structure_samples(
    source: str, structures: Any, *, ids: list[str], id_name: str, **known: Any
) -> Samples:
    """Describe structures.

    Parameters
    ----------
    source : str
        Where they came from.
    structures : sequence of Structure
    ids : list of str
    id_name : str
        What an identifier is; empty if each says it itself.
    **known : object
        Targets and their names, if there are any.

    Returns
    -------
    Samples
    """
    nothing = {"targets": np.empty((len(structures), 0)), "target_names": []}
    return Samples(
        source=source,
        X=objects(list(structures)),
        has_structures=True,
        ids=ids,
        id_name=id_name,
        formulas=[item.composition.reduced_formula for item in structures],
        n_read=len(structures),
        **{**nothing, **known},
    )


def objects(items: list[Any]) -> np.ndarray:
    """Put samples into an array without unpacking them.

    Parameters
    ----------
    items : list

    Returns
    -------
    ndarray of shape (n,), dtype object
    """
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
