"""Several files of one property each, merged into the table of ``pretrain``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._load import numeric_columns, read_formula_table
from skmatgnn.cli._models import find_problems
from skmatgnn.cli._predict import read_structure_files
from skmatgnn.cli._samples import Samples, holds_structures, objects, structure_samples
from skmatgnn.datasets import load_id_prop
from skmatgnn.datasets._structure_tables import (
    find_structure_column,
    parse_structure_table,
)
from skmatgnn.datasets._tables import read_table
from skmatgnn.errors import InvalidValueError, SkmatgnnError
from skmatgnn.preprocessing import StructureArray, merge_properties

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    import pandas as pd

    from skmatgnn._typing import FloatArray
    from skmatgnn.cli._arguments import PropertySource
    from skmatgnn.cli._notes import Notes

__all__ = ["Merged", "merge_files"]

_ID_PROP = ("id_prop.csv", "id_prop.json")


@dataclass(frozen=True)
class Merged:
    """All properties in one table.

    Parameters
    ----------
    samples : Samples
        The materials, with NaN where a property is unknown.
    report : DataFrame
        What became of the rows of each file.
    overlaps : DataFrame
        Materials of which both properties are known.
    """

    samples: Samples
    report: pd.DataFrame
    overlaps: pd.DataFrame


def merge_files(options: argparse.Namespace, notes: Notes) -> Merged:
    """Read and merge the files that the arguments name.

    Parameters
    ----------
    options : Namespace
        Arguments of ``pretrain``.
    notes : Notes
        Where remarks go.

    Returns
    -------
    Merged

    Raises
    ------
    InvalidValueError
        If a file, a column or rows cannot be used, with all that is wrong in a file.
    """
    by_path: dict[Path, list[PropertySource]] = {}
    for source in options.properties:
        by_path.setdefault(source.path, []).append(source)
    read = {path: _read(path, asked, options) for path, asked in by_path.items()}
    if options.match == "none" and any(len(asked) > 1 for asked in by_path.values()):
        notes.add(
            "a file is named for several properties: with --match none each of them "
            "counts its rows as materials of its own"
        )
    position = {id(s): i for asked in by_path.values() for i, s in enumerate(asked)}
    datasets = [
        (read[s.path].X, read[s.path].targets[:, position[id(s)]], s.name)
        for s in options.properties
    ]
    excluded = _excluded(options, notes)
    merged = merge_properties(
        datasets,
        match=None if options.match == "none" else options.match,
        exclude=excluded,
        exclude_match=options.exclude_match,
    )
    files = [str(source.path) for source in options.properties]
    places = [
        f"{files[dataset]}, {read[options.properties[dataset].path].place(row)}"
        for dataset, row in merged.sources.itertuples(index=False)
    ]
    samples = structure_samples(
        "the merged properties",
        merged.data,
        ids=places,
        id_name="",
        targets=merged.target.to_numpy(),
        target_names=merged.target_names,
    )
    report = merged.report
    report.insert(1, "file", [source.path.name for source in options.properties])
    return Merged(samples, report, merged.overlaps)


def _read(
    path: Path, asked: list[PropertySource], options: argparse.Namespace
) -> Samples:
    """Read a file once for all of its properties; targets in the order asked for."""
    reader = _read_folder if holds_structures(path) else _read_table
    samples = reader(path, asked, options)
    try:
        StructureArray.from_structures(samples.X)
    except SkmatgnnError as error:
        raise find_problems(StructureArray.from_structures, samples) or error from error
    return samples


def _read_folder(
    path: Path, asked: list[PropertySource], options: argparse.Namespace
) -> Samples:
    # several columns may have unknown values, a single one may not
    columns = [source.column for source in asked if source.column is not None]
    everything = len(columns) < len(asked)
    bunch = load_id_prop(
        path,
        target_columns=None if everything else list(dict.fromkeys(columns)),
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
    )
    targets = bunch.target.reshape(len(bunch.data), -1)
    found = [_chosen(source, bunch.target_names) for source in asked]
    return structure_samples(
        str(path),
        bunch.data,
        ids=[str(name) for name in bunch.ids],
        id_name="structure",
        targets=targets[:, [bunch.target_names.index(name) for name in found]],
        target_names=found,
    )


def _chosen(source: PropertySource, names: list[str]) -> str:
    wanted = source.name if source.column is None else source.column
    if wanted in names:
        return wanted
    if source.column is None and len(names) == 1:
        return names[0]
    raise InvalidValueError(
        f"{source.path} has no target column {wanted!r}. Its target columns are: "
        f"{', '.join(names[:30])}. Name one: --property {source.name}="
        f"{source.path}:COLUMN."
    )


def _read_table(
    path: Path, asked: list[PropertySource], options: argparse.Namespace
) -> Samples:
    table = read_table(path)
    columns = [source.column or source.name for source in asked]
    for source, column in zip(asked, columns, strict=True):
        if column not in table.columns:
            raise InvalidValueError(
                f"{path} has no column {column!r}. Its numeric columns are: "
                f"{numeric_columns(table)}. Name one: --property {source.name}="
                f"{path}:COLUMN."
            )
    parsed = parse_structure_table(
        path,
        _structure_column(table, options),
        list(dict.fromkeys(columns)),
        missing_allowed=True,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
        table=table,
    )
    return structure_samples(
        str(path),
        parsed.structures,
        ids=table.places,
        id_name="",
        targets=np.column_stack([parsed.targets[name] for name in columns]),
        target_names=columns,
    )


def _structure_column(table: Any, options: argparse.Namespace) -> str | None:
    try:
        return find_structure_column(table, options.structure_column)
    except InvalidValueError as error:
        raise InvalidValueError(f"{error} Use --structure-column.") from error


def _excluded(options: argparse.Namespace, notes: Notes) -> np.ndarray | None:
    if not options.exclude:
        return None
    found: list[Any] = []
    for path in options.exclude:
        found.extend(_test_items(path.expanduser(), options, notes))
    return objects(found)


def _test_items(
    path: Path, options: argparse.Namespace, notes: Notes
) -> FloatArray | list[Any]:
    """Read a test set, whose targets do not matter."""
    if holds_structures(path):
        if not any((path / name).is_file() for name in _ID_PROP):
            return read_structure_files(path, options, notes).X
        return load_id_prop(path, n_jobs=options.n_jobs, verbose=not options.quiet).data
    table = read_table(path)
    try:
        find_structure_column(table, options.structure_column)
    except InvalidValueError as error:
        if options.exclude_match == "structure":
            raise InvalidValueError(
                f"--exclude-match structure needs structures. {error}"
            ) from error
        _, problems, column = read_formula_table(path, options.formula_column, [])
        problems.raise_if_any()
        return table.column(column)
    parsed = parse_structure_table(
        path,
        options.structure_column,
        [],
        missing_allowed=True,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
        table=table,
    )
    return parsed.structures
