"""Model files: a line that says what it is, a line of JSON, and a joblib pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING, Any

import joblib

from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ModelInfo", "is_model_file", "read_model", "write_model"]

MAGIC = b"skmatgnn-model 1\n"
_PREFIX = b"skmatgnn-model "
_COMPRESS = ("zlib", 1)  # a third of the size in half a second; more gains little
_MAX_HEADER = 1_000_000


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model without opening its pickle.

    Parameters
    ----------
    model : str
        Name, as in ``--model``.
    target_names : list of str
        What it predicts.
    uses_graphs : bool
        Whether it needs structures.
    formula_column : str or None
        Column of the formulas that it was trained on.
    n_samples : int
        Rows that it was trained on.
    versions : dict of str to str
        Packages that trained it.
    """

    model: str
    target_names: list[str]
    uses_graphs: bool
    formula_column: str | None
    n_samples: int
    versions: dict[str, str] = field(default_factory=dict)


def is_model_file(path: Path) -> bool:
    """Tell a model file by its first line; nothing is unpickled.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
    """
    with path.open("rb") as file:
        return file.readline(len(MAGIC)).startswith(_PREFIX)


def write_model(file: IO[bytes], estimator: Any, info: ModelInfo) -> None:
    """Write a fitted estimator.

    Parameters
    ----------
    file : binary file
        Open for writing.
    estimator : estimator
        Fitted.
    info : ModelInfo
        What it is.
    """
    file.write(MAGIC)
    file.write(json.dumps(asdict(info)).encode() + b"\n")
    joblib.dump(estimator, file, compress=_COMPRESS)


def read_model(path: Path) -> tuple[Any, ModelInfo]:
    """Read a fitted estimator. Runs the code in the file: only open files you trust.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    estimator : estimator
    info : ModelInfo

    Raises
    ------
    InvalidValueError
        If it is no model file, of another format version, or damaged.
    """
    if not path.is_file():
        raise InvalidValueError(f"There is no model file {path}. Make one by fit.")
    if not is_model_file(path):
        raise InvalidValueError(
            f"{path} is no model file of `skmatgnn fit`; it is not opened."
        )
    with path.open("rb") as file:
        magic = file.readline(len(MAGIC))
        if magic != MAGIC:
            raise InvalidValueError(
                f"{path} has the format {magic.decode(errors='replace').strip()!r}, "
                f"which this version of skmatgnn cannot read. Train the model again."
            )
        try:
            info = ModelInfo(**json.loads(file.readline(_MAX_HEADER)))
            return joblib.load(file), info
        except Exception as error:
            # Unpickling raises whatever a damaged file or a renamed class leads to.
            cause = " ".join(str(error).split())[:200] or type(error).__name__
            raise InvalidValueError(
                f"{path} cannot be opened: it is damaged, or was written with other "
                f"versions of the packages ({cause}). Train the model again."
            ) from error
