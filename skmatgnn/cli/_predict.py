"""``skmatgnn predict``: apply a model file to formulas or structures."""

from __future__ import annotations

import csv
import io
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._files import replaced_file
from skmatgnn.cli._load import (
    note_unusable_formulas,
    read_formula_table,
    require_formula_column,
)
from skmatgnn.cli._model_file import ModelInfo, read_model
from skmatgnn.cli._models import make_graphs, require_device
from skmatgnn.cli._samples import (
    Samples,
    holds_structures,
    objects,
    structure_samples,
)
from skmatgnn.datasets._problems import Problems
from skmatgnn.datasets._structure_files import (
    is_structure_file,
    list_structure_files,
    parse_structure_file,
)
from skmatgnn.datasets._structure_tables import (
    find_structure_column,
    parse_structure_table,
)
from skmatgnn.datasets._table_parts import is_readable_twice, table_parts
from skmatgnn.datasets._tables import read_table
from skmatgnn.errors import InvalidValueError, SkmatgnnError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from skmatgnn._typing import FloatArray
    from skmatgnn.cli._notes import Notes
    from skmatgnn.datasets._tables import Table

__all__ = ["read_structure_files", "run"]

_HEADER = "id,formula,predicted_"
ROWS_AT_ONCE = 2**16  # of a table, which is neither read nor written as a whole


def run(options: argparse.Namespace, notes: Notes) -> int:
    """Run the command.

    Parameters
    ----------
    options : Namespace
        Arguments.
    notes : Notes
        Where remarks go.

    Returns
    -------
    int
        Exit code.
    """
    with replaced_file(
        options.out, is_former=_is_former, what="CSV of predictions"
    ) as file:
        require_device(options.device)
        estimator, info = read_model(options.model_file, device=options.device)
        _require_predictor(estimator, options.model_file)
        if options.std:
            _require_std(estimator, info)
        count = 0
        for samples in _load(options, info, notes):
            predicted = _predict(estimator, info, samples, options, count)
            if notes.interrupted:
                raise KeyboardInterrupt
            if count == 0:
                _write_rows(file, [_header(info, predicted.shape[1], options)])
            columns = zip(
                samples.ids, samples.formulas, predicted.tolist(), strict=True
            )
            _write_rows(file, ([name, text, *row] for name, text, row in columns))
            count += len(samples)
    print(f"{count:,} predictions of {info.model} in {options.out}")
    return 0


def _require_predictor(estimator: Any, path: Path) -> None:
    if not hasattr(estimator, "predict"):
        raise InvalidValueError(
            f"{path} holds {type(estimator).__name__}, which predicts nothing. Its "
            "features are to be had in Python: load_estimator(path).transform(X)."
        )


def _require_std(estimator: Any, info: ModelInfo) -> None:
    from skmatgnn.estimators._wrapper import gives_std

    if not gives_std(estimator):
        raise InvalidValueError(
            f"--std: this {info.model} predicts no standard deviation. Those of "
            "crabnet and modnet do, with their default loss and ensemble, and any "
            "network of `skmatgnn fit --ensemble 5` that has two members or more."
        )


def _header(info: ModelInfo, n_columns: int, options: argparse.Namespace) -> list[str]:
    kinds = ["predicted", "std"] if options.std else ["predicted"]
    names = info.target_names or _default_names(n_columns // len(kinds))
    columns = [f"{kind}_{name}" for kind in kinds for name in names]
    return ["id", "formula", *columns]


def _write_rows(file: IO[bytes], rows: Iterable[list[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    file.write(text.getvalue().encode())


def _default_names(count: int) -> list[str]:
    return ["target"] if count == 1 else [f"target_{i}" for i in range(count)]


def _is_former(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(10_000).startswith(_HEADER.encode())


def _load(
    options: argparse.Namespace, info: ModelInfo, notes: Notes
) -> Iterator[Samples]:
    data = options.data
    if holds_structures(data) or is_structure_file(data):
        if options.formula_column is not None:
            raise InvalidValueError("--formula-column is for tables, not structures.")
        yield read_structure_files(data, options, notes)
        return
    if info.uses_graphs or options.structure_column is not None:
        yield _structure_table(options, info)
        return
    column = options.formula_column or info.formula_column
    if is_readable_twice(data):
        yield from _parts_of(data, column, quiet=options.quiet)
        return
    table, problems, column = read_formula_table(data, column, [])
    problems.raise_if_any()
    yield _samples_of(table, column)


def _parts_of(path: Path, column: str | None, *, quiet: bool) -> Iterator[Samples]:
    """Read a table twice: no row is predicted before all are known to be usable."""
    from tqdm import tqdm

    problems, n_rows = Problems(str(path)), 0
    for table in table_parts(path, ROWS_AT_ONCE):
        column = require_formula_column(table, column)
        note_unusable_formulas(table, column, problems)
        n_rows += len(table.rows)
    problems.raise_if_any()
    hidden = quiet or n_rows <= ROWS_AT_ONCE
    with tqdm(total=n_rows, desc="predictions", unit="row", disable=hidden) as bar:
        for table in table_parts(path, ROWS_AT_ONCE):
            yield _samples_of(table, require_formula_column(table, column))
            bar.update(len(table.rows))


def _samples_of(table: Table, column: str) -> Samples:
    formulas = table.column(column)
    ids = [place.split()[-1] for place in table.places]
    return Samples(
        source=table.source,
        X=objects(formulas),
        has_structures=False,
        ids=ids,
        id_name=table.places[0].split()[0],
        formulas=formulas,
        targets=np.empty((len(formulas), 0)),
        target_names=[],
    )


def _structure_table(options: argparse.Namespace, info: ModelInfo) -> Samples:
    if options.formula_column is not None:
        raise InvalidValueError("--formula-column is for formulas, not structures.")
    table = read_table(options.data)
    try:
        find_structure_column(table, options.structure_column)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"The model {info.model!r} needs structures: give a folder of CIF or "
            f"POSCAR files, or a table of structures. {error}"
        ) from error
    parsed = parse_structure_table(
        options.data,
        options.structure_column,
        [],
        missing_allowed=True,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
        table=table,
    )
    ids = [place.split()[-1] for place in table.places]
    id_name = table.places[0].split()[0]
    return structure_samples(
        str(options.data), parsed.structures, ids=ids, id_name=id_name
    )


def read_structure_files(
    data: Path, options: argparse.Namespace, notes: Notes
) -> Samples:
    """Read a structure file, or all of a folder.

    Parameters
    ----------
    data : Path
        The file or the folder.
    options : Namespace
        Arguments.
    notes : Notes
        Gets what pymatgen remarks.

    Returns
    -------
    Samples

    Raises
    ------
    InvalidValueError
        If there are none, or some cannot be read.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    paths = list_structure_files(data)
    parallel = Parallel(n_jobs=options.n_jobs, return_as="generator")
    parsed = parallel(delayed(parse_structure_file)(path) for path in paths)
    problems = Problems(str(data), "Correct these files, or remove them.")
    structures = []
    with tqdm(
        parsed, total=len(paths), desc="structures", disable=options.quiet
    ) as bar:
        for path, (structure, remarks) in zip(paths, bar, strict=True):
            if structure is None:
                problems.add(path.name, f"cannot be read: {' '.join(remarks)}")
                continue
            if remarks:
                notes.add(f"{path.name}: {' '.join(remarks)}")
            structures.append(structure)
    problems.raise_if_any()
    ids = [path.name for path in paths]
    return structure_samples(str(data), structures, ids=ids, id_name="file")


def _predict(
    estimator: Any,
    info: ModelInfo,
    samples: Samples,
    options: argparse.Namespace,
    n_before: int,
) -> FloatArray:
    if not info.uses_graphs:
        predicted = _predict_formulas(estimator, samples, options, n_before)
    else:
        predicted = _predict_structures(estimator, samples, options)
    predicted = predicted.reshape(len(samples), -1)
    if predicted.dtype.kind != "f":  # labels
        return predicted
    lost = np.flatnonzero(~np.isfinite(predicted).all(axis=1))
    if len(lost):
        raise SkmatgnnError(
            f"The prediction for {samples.place(lost[0])} is not finite."
        )
    return predicted


def _predict_structures(
    estimator: Any, samples: Samples, options: argparse.Namespace
) -> FloatArray:
    from skmatgnn.estimators._wrapper import innermost

    model = innermost(estimator)
    model.set_params(n_jobs=options.n_jobs)
    graphs = make_graphs(model, samples)
    if not options.std:
        return estimator.predict(graphs)
    return np.column_stack(estimator.predict(graphs, return_std=True))


def _predict_formulas(
    estimator: Any, samples: Samples, options: argparse.Namespace, n_before: int
) -> FloatArray:
    from skmatgnn.estimators import predict_in_chunks

    try:
        if not options.std:
            return predict_in_chunks(estimator, samples.X)
        parts = predict_in_chunks(estimator, samples.X, return_std=True)
        return np.column_stack(parts)
    except SkmatgnnError as error:
        if n_before == 0:
            raise
        raise type(error)(
            f"In the rows of {samples.source} from {samples.place(0)} on, counted "
            f"from 0: {error}"
        ) from error
