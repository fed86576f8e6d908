"""``skmatgnn predict``: apply a model file to formulas or structures."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._files import replaced_file
from skmatgnn.cli._load import read_formula_table
from skmatgnn.cli._model_file import ModelInfo, read_model
from skmatgnn.cli._models import make_graphs, require_device
from skmatgnn.cli._samples import (
    Samples,
    holds_structures,
    objects,
    structure_samples,
)
from skmatgnn.datasets._structure_tables import (
    find_structure_column,
    parse_structure_table,
)
from skmatgnn.datasets._tables import read_table
from skmatgnn.errors import InvalidValueError, SkmatgnnError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from skmatgnn._typing import FloatArray
    from skmatgnn.cli._notes import Notes

__all__ = ["read_structure_files", "run"]

_SUFFIXES = (".cif", ".vasp", ".poscar")
_NAMES = ("poscar", "contcar")
_HEADER = "id,formula,predicted_"


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
        samples = _load(options, info, notes)
        predicted = _predict(estimator, info, samples, options)
        if notes.interrupted:
            raise KeyboardInterrupt
        names = info.target_names or _default_names(predicted.shape[1])
        file.write(_as_csv(samples, predicted, names).encode())
    print(f"{len(samples):,} predictions of {info.model} in {options.out}")
    return 0


def _default_names(count: int) -> list[str]:
    return ["target"] if count == 1 else [f"target_{i}" for i in range(count)]


def _is_former(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(10_000).startswith(_HEADER.encode())


def _load(options: argparse.Namespace, info: ModelInfo, notes: Notes) -> Samples:
    data = options.data
    if holds_structures(data) or _is_structure_file(data):
        if options.formula_column is not None:
            raise InvalidValueError("--formula-column is for tables, not structures.")
        return read_structure_files(data, options, notes)
    if info.uses_graphs or options.structure_column is not None:
        return _structure_table(options, info)
    table, problems, column = read_formula_table(
        data, options.formula_column or info.formula_column, []
    )
    problems.raise_if_any()
    formulas = table.column(column)
    ids = [place.split()[-1] for place in table.places]
    return Samples(
        source=str(data),
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


def _is_structure_file(path: Path) -> bool:
    name = path.name.lower()
    return path.is_file() and (
        path.suffix.lower() in _SUFFIXES or name.startswith(_NAMES)
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

    from skmatgnn.datasets._structure_files import parse_structure_file
    from skmatgnn.datasets._tables import Problems

    paths = [data] if data.is_file() else sorted(filter(_is_structure_file, _in(data)))
    if not paths:
        raise InvalidValueError(
            f"{data} holds no structure files; looked for *{', *'.join(_SUFFIXES)}, "
            "POSCAR*, CONTCAR*."
        )
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


def _in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def _predict(
    estimator: Any, info: ModelInfo, samples: Samples, options: argparse.Namespace
) -> FloatArray:
    if not info.uses_graphs:
        predicted = estimator.predict(samples.X)
    else:
        estimator.set_params(n_jobs=options.n_jobs)
        predicted = estimator.predict(make_graphs(estimator, samples))
    predicted = predicted.reshape(len(samples), -1)
    if predicted.dtype.kind != "f":  # labels
        return predicted
    lost = np.flatnonzero(~np.isfinite(predicted).all(axis=1))
    if len(lost):
        raise SkmatgnnError(
            f"The prediction for {samples.place(lost[0])} is not finite "
            f"({len(lost)} in all)."
        )
    return predicted


def _as_csv(samples: Samples, predicted: FloatArray, names: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "formula", *(f"predicted_{name}" for name in names)])
    for name, formula, row in zip(
        samples.ids, samples.formulas, predicted.tolist(), strict=True
    ):
        writer.writerow([name, formula, *row])
    return text.getvalue()
