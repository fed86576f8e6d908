"""The models that the commands can train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError, SkmatgnnError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from skmatgnn.cli._samples import Samples

__all__ = ["MODELS", "Model", "choose_models", "make_graphs", "prepare"]


@dataclass(frozen=True)
class Model:
    """A model by name.

    Parameters
    ----------
    name : str
        As in ``--models``.
    make : callable
        Makes the unfitted estimator from the command's arguments.
    uses_graphs : bool
        Whether it needs structures.
    """

    name: str
    make: Callable[[argparse.Namespace], Any]
    uses_graphs: bool = False


def _make_control(options: argparse.Namespace) -> Any:
    from sklearn.dummy import DummyRegressor

    del options
    return DummyRegressor()


def _make_forest(options: argparse.Namespace) -> Any:
    from skmatgnn.estimators.composition import make_rf_magpie

    return make_rf_magpie(
        n_estimators=options.n_estimators,
        n_jobs=options.n_jobs,
        random_state=options.random_state,
    )


def _make_cgcnn(options: argparse.Namespace) -> Any:
    from skmatgnn.estimators import CGCNNRegressor

    return CGCNNRegressor(**_network_options(options))


def _make_alignn(options: argparse.Namespace) -> Any:
    from skmatgnn.estimators import ALIGNNRegressor

    return ALIGNNRegressor(**_network_options(options))


def _network_options(options: argparse.Namespace) -> dict[str, Any]:
    chosen = {
        "random_state": options.random_state,
        "device": options.device,
        "n_jobs": options.n_jobs,
    }
    if options.max_epochs is not None:
        chosen["max_epochs"] = options.max_epochs
    return chosen


MODELS = {
    model.name: model
    for model in (
        Model("control", _make_control),
        Model("rf_magpie", _make_forest),
        Model("cgcnn", _make_cgcnn, uses_graphs=True),
        Model("alignn", _make_alignn, uses_graphs=True),
    )
}


def choose_models(
    names: Sequence[str] | None, options: argparse.Namespace, *, structures: bool
) -> list[Model]:
    """Look models up, rejecting what does not exist or cannot be trained here.

    Parameters
    ----------
    names : sequence of str or None
        The names; None is every model that the data allow.
    options : Namespace
        The command's arguments; the device is checked.
    structures : bool
        Whether the data are structures.

    Returns
    -------
    list of Model

    Raises
    ------
    InvalidValueError
        With the names that exist.
    """
    if names is None:
        names = [m.name for m in MODELS.values() if structures or not m.uses_graphs]
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise InvalidValueError(
            f"There is no model {unknown[0]!r}. The models are: "
            f"{', '.join(MODELS)} (cgcnn and alignn for folders of structures)."
        )
    chosen = [MODELS[name] for name in names]
    blind = [model.name for model in chosen if model.uses_graphs and not structures]
    if blind:
        raise InvalidValueError(
            f"The model {blind[0]!r} needs structures: give a folder with id_prop.csv. "
            f"For formulas there are: "
            f"{', '.join(m.name for m in MODELS.values() if not m.uses_graphs)}."
        )
    if any(model.uses_graphs for model in chosen):
        _require_device(options.device)
    return chosen


def prepare(model: Model, estimator: Any, samples: Samples) -> Any:
    """Compute what depends on the samples only, once for all folds.

    Parameters
    ----------
    model : Model
        The model.
    estimator : estimator
        One of its kind, for the graphs' settings.
    samples : Samples
        The data.

    Returns
    -------
    GraphArray or ndarray
        What ``estimator.fit`` takes; can be indexed by row.

    Raises
    ------
    InvalidValueError
        If a structure cannot be used, with its identifier.
    """
    return make_graphs(estimator, samples) if model.uses_graphs else samples.X


def make_graphs(estimator: Any, samples: Samples) -> Any:
    """Build the graphs of all samples.

    Parameters
    ----------
    estimator : estimator
        Graph estimator, fitted or not.
    samples : Samples
        The structures.

    Returns
    -------
    GraphArray

    Raises
    ------
    InvalidValueError
        If structures cannot be used, with their identifiers.
    """
    from skmatgnn.graphs import StructureToGraph

    transformer = StructureToGraph(
        cutoff=estimator.cutoff,
        max_neighbors=estimator.max_neighbors,
        three_body_cutoff=getattr(estimator, "three_body_cutoff", None),
        n_jobs=estimator.n_jobs,
    )
    try:
        graphs = transformer.transform(samples.X)
    except SkmatgnnError as error:
        raise _structure_problems(transformer, samples) or error from error
    _require_known_elements(graphs, samples)
    return graphs


def _structure_problems(transformer: Any, samples: Samples) -> SkmatgnnError | None:
    """Find every structure at fault, which the transformer's first error does not."""
    from skmatgnn.datasets._tables import Problems

    problems = Problems(samples.source, "Correct these structures, or remove them.")
    for row, structure in enumerate(samples.X):
        try:
            transformer.transform([structure])
        except SkmatgnnError as error:
            text = str(error).replace("The structure at index 0", "it")
            problems.add(samples.place(row), text)
    try:
        problems.raise_if_any()
    except SkmatgnnError as error:
        return error
    return None


def _require_known_elements(graphs: Any, samples: Samples) -> None:
    from skmatgnn.datasets._tables import Problems
    from skmatgnn.utils.elements import ELEMENT_SYMBOLS, cgcnn_element_features

    unknown = np.isnan(cgcnn_element_features()).any(axis=1)[graphs.atomic_numbers]
    if not unknown.any():
        return
    problems = Problems(samples.source, "Remove these structures.")
    atoms = np.flatnonzero(unknown)
    rows = np.searchsorted(graphs.node_ptr, atoms, side="right") - 1
    for row, first in zip(*np.unique(rows, return_index=True), strict=True):
        symbol = ELEMENT_SYMBOLS[graphs.atomic_numbers[atoms[first]]]
        problems.add(samples.place(row), f"there are no element features for {symbol}.")
    problems.raise_if_any()


def _require_device(device: str) -> None:
    import torch

    if device == "auto":
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        available = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        reason = str(error).splitlines()[0]
        raise InvalidValueError(
            f"--device {device} cannot be used ({reason}). Available: auto, "
            f"{available}."
        ) from error
