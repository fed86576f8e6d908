"""Files of trained models: checkpoints of networks, archives of skops of all else.

An archive follows a line that says what it is, and a line of JSON; so does a pickle,
which stands for it where skops is not installed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from zipfile import ZIP_DEFLATED

import joblib

from skmatgnn.cli._versions import package_versions
from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    from skmatgnn.cli._samples import Samples

__all__ = [
    "ModelInfo",
    "is_checkpoint",
    "is_model_file",
    "is_pickle",
    "is_shipped",
    "read_model",
    "write_checkpoint",
    "write_model",
]

MAGIC = b"skmatgnn-model 1\n"
SKOPS_MAGIC = b"skmatgnn-model 2\n"
#: Beside what skops trusts, all that a forest on Magpie features consists of.
_TRUSTED = [
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "skmatgnn.estimators.composition.RFMagpie",
    "skmatgnn.featurizers._magpie.MagpieFeatures",
]
_PREFIX = b"skmatgnn-model "
_COMPRESS = ("zlib", 1)  # a third of the size in half a second; more gains little
_MAX_HEADER = 1_000_000


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model without opening its pickle.

    Parameters
    ----------
    model : str
        Name, as in ``--model``, or the estimator's class.
    target_names : list of str
        What it predicts; empty if that is not known.
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

    @classmethod
    def of(cls, model: str, samples: Samples, *, uses_graphs: bool) -> Self:
        """Describe a model that has just been trained.

        Parameters
        ----------
        model : str
            Name.
        samples : Samples
            What it was trained on.
        uses_graphs : bool
            Whether it needs structures.

        Returns
        -------
        ModelInfo
        """
        return cls(
            model=model,
            target_names=samples.target_names,
            uses_graphs=uses_graphs,
            formula_column=samples.formula_column,
            n_samples=len(samples),
            versions=package_versions(),
        )


def is_model_file(path: Path) -> bool:
    """Tell a model file by its beginning; nothing is unpickled.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
    """
    return _first_line(path).startswith(_PREFIX) or is_checkpoint(path)


def is_pickle(path: Path) -> bool:
    """Tell a model file that only pickle can open.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
    """
    return _first_line(path) == MAGIC


def is_checkpoint(path: Path) -> bool:
    """Tell a checkpoint by its header.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
    """
    from skmatgnn.nets import _checkpoint  # torch, which forests do without

    return _checkpoint.is_checkpoint(path)


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(len(MAGIC))


def write_checkpoint(
    path: Path, estimator: Any, info: ModelInfo, **further: Any
) -> None:
    """Write a fitted network without pickle.

    Parameters
    ----------
    path : Path
        Where.
    estimator : estimator
        Fitted.
    info : ModelInfo
        What it is.
    **further : object
        What else should be known of it; anything that JSON can hold.
    """
    from skmatgnn.estimators._checkpoint import save_estimator

    save_estimator(estimator, path, {"model": asdict(info), **further})


def write_model(file: IO[bytes], estimator: Any, info: ModelInfo) -> None:
    """Write a fitted estimator without pickle where skops is installed.

    Parameters
    ----------
    file : binary file
        Open for writing.
    estimator : estimator
        Fitted.
    info : ModelInfo
        What it is.
    """
    about = json.dumps(asdict(info)).encode() + b"\n"
    if find_spec("skops") is None:
        file.write(MAGIC + about)
        joblib.dump(estimator, file, compress=_COMPRESS)
        return
    from skops.io import dumps

    file.write(SKOPS_MAGIC + about)
    file.write(dumps(estimator, compression=ZIP_DEFLATED, compresslevel=1))


def read_model(path: Path, *, device: str = "auto") -> tuple[Any, ModelInfo]:
    """Read a fitted estimator. A pickle runs its code: only open files you trust.

    Parameters
    ----------
    path : Path
        The file, or the name of a checkpoint that comes with the package.
    device : str, default="auto"
        What a network predicts on.

    Returns
    -------
    estimator : estimator
    info : ModelInfo

    Raises
    ------
    InvalidValueError
        If it is no model file, of another format version, or damaged.
    """
    if is_shipped(path) or (path.is_file() and is_checkpoint(path)):
        return _read_checkpoint(path, device)
    if not path.is_file():
        raise InvalidValueError(
            f"There is no model file {path}. Make one by fit or finetune."
        )
    if not _first_line(path).startswith(_PREFIX):
        raise InvalidValueError(
            f"{path} is no model file of `skmatgnn fit`, and no checkpoint; it is not "
            "opened."
        )
    return _read_other(path)


def is_shipped(path: Path | str) -> bool:
    """Tell the name of a checkpoint that comes with the package from a path.

    Parameters
    ----------
    path : Path or str
        Such as ``"skmatgnn/mpt"``.

    Returns
    -------
    bool
    """
    return Path(path).parts[:1] == ("skmatgnn",) and not Path(path).exists()


def _read_checkpoint(path: Path, device: str) -> tuple[Any, ModelInfo]:
    from skmatgnn.estimators import load_estimator
    from skmatgnn.estimators._base import BaseGraphEstimator
    from skmatgnn.estimators._checkpoint import read_about
    from skmatgnn.estimators._wrapper import innermost

    estimator = load_estimator(path.as_posix(), device=device)
    about = {} if is_shipped(path) else read_about(path)
    try:
        info = ModelInfo(**about["model"])
    except (KeyError, TypeError):  # saved by the estimator itself
        model = innermost(estimator)
        properties = getattr(model, "property_names_", ())
        info = ModelInfo(
            model=type(estimator).__name__,
            target_names=[str(name) for name in properties],
            uses_graphs=isinstance(model, BaseGraphEstimator),
            formula_column=None,
            n_samples=0,
        )
    return estimator, info


def _read_other(path: Path) -> tuple[Any, ModelInfo]:
    with path.open("rb") as file:
        magic = file.readline(len(MAGIC))
        openers = {MAGIC: joblib.load, SKOPS_MAGIC: _load_skops}
        if magic not in openers:
            raise InvalidValueError(
                f"{path} has the format {magic.decode(errors='replace').strip()!r}, "
                f"which this version of skmatgnn cannot read. Train the model again."
            )
        if magic == SKOPS_MAGIC and find_spec("skops") is None:
            raise InvalidValueError(
                f"{path} holds an archive of skops, which is not installed. Install it "
                "with: pip install 'skmatgnn[skops]'"
            )
        try:
            info = ModelInfo(**json.loads(file.readline(_MAX_HEADER)))
            return openers[magic](file), info
        except Exception as error:
            # Both raise whatever a damaged file or a renamed class leads to.
            cause = " ".join(str(error).split())[:200] or type(error).__name__
            raise InvalidValueError(
                f"{path} cannot be opened: it is damaged, or was written with other "
                f"versions of the packages ({cause}). Train the model again."
            ) from error


def _load_skops(file: IO[bytes]) -> Any:
    from skops.io import loads

    return loads(file.read(), trusted=_TRUSTED)
