"""The models that the commands can train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from skmatgnn.errors import InvalidValueError, SkmatgnnError
from skmatgnn.utils._sklearn import InvalidParameterError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from skmatgnn._typing import FloatArray
    from skmatgnn.cli._samples import Samples

__all__ = [
    "MODELS",
    "THEORY",
    "Model",
    "choose_models",
    "find_problems",
    "make_graphs",
    "make_network",
    "prepare",
    "require_device",
]


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
    is_network : bool
        Whether it trains in epochs on a device, and copes with unknown targets.
    """

    name: str
    make: Callable[[argparse.Namespace], Any]
    uses_graphs: bool = False
    is_network: bool = False


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


def _make_modnet(options: argparse.Namespace) -> Any:
    from skmatgnn.estimators import MODNetRegressor

    return MODNetRegressor(**_network_options(options))


def _make_crabnet(options: argparse.Namespace) -> Any:
    from skmatgnn.estimators import CrabNetRegressor

    chosen = _network_options(options)
    del chosen["n_jobs"]
    return CrabNetRegressor(**chosen)


class _Theory(BaseEstimator):
    """Predict what was known before; ``X`` are the predictions."""

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        del X, y
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        return X


def _make_theory(options: argparse.Namespace) -> Any:
    del options
    return _Theory()


def _network_options(options: argparse.Namespace) -> dict[str, Any]:
    chosen = {
        "random_state": options.random_state,
        "device": options.device,
        "n_jobs": options.n_jobs,
    }
    if options.max_epochs is not None:
        chosen["max_epochs"] = options.max_epochs
    return chosen


def make_network(
    estimator_class: Any, options: argparse.Namespace, **fixed: Any
) -> Any:
    """Make an estimator of what the options say, ``--param`` included.

    Parameters
    ----------
    estimator_class : type
        Of a network.
    options : Namespace
        The command's arguments.
    **fixed : object
        Parameters that the command itself sets.

    Returns
    -------
    estimator
        Unfitted; its parameters are checked.

    Raises
    ------
    InvalidValueError
        If a parameter does not exist, has an option of its own, or a wrong value.
    """
    fixed = {**_network_options(options), "verbose": not options.quiet, **fixed}
    known = estimator_class._get_param_names()  # noqa: SLF001
    fixed = {name: value for name, value in fixed.items() if name in known}
    own = {*fixed, "max_epochs", "warm_start"}
    for name, _ in options.parameters:
        if name not in known or name in own:
            free = ", ".join(sorted(set(known) - own))
            raise InvalidValueError(
                f"--param {name}: {estimator_class.__name__} has no such parameter, or "
                f"another option sets it. Those that can be set: {free}."
            )
    estimator = estimator_class(**{**dict(options.parameters), **fixed})
    try:
        estimator._validate_params()  # noqa: SLF001
    except InvalidParameterError as error:
        raise InvalidValueError(str(error)) from error
    return estimator


THEORY = "theoretical"
_ALWAYS = ("control", "rf_magpie")  # by default; the networks take minutes

MODELS = {
    model.name: model
    for model in (
        Model("control", _make_control),
        Model(THEORY, _make_theory),
        Model("rf_magpie", _make_forest),
        Model("modnet", _make_modnet, is_network=True),
        Model("crabnet", _make_crabnet, is_network=True),
        Model("cgcnn", _make_cgcnn, uses_graphs=True, is_network=True),
        Model("alignn", _make_alignn, uses_graphs=True, is_network=True),
    )
}


def choose_models(
    names: Sequence[str] | None, options: argparse.Namespace, *, structures: bool
) -> list[Model]:
    """Look models up, rejecting what does not exist or cannot be trained here.

    Parameters
    ----------
    names : sequence of str or None
        The names, or ``"all"`` alone; None is every model for structures, and for
        formulas those that take seconds.
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
    electrodes = getattr(options, "electrodes", False)
    possible = [
        model
        for model in MODELS.values()
        if (structures or not model.uses_graphs)
        and (electrodes or model.name != THEORY)
    ]
    if names is None:
        chosen = [
            model
            for model in possible
            if model.name in (*_ALWAYS, THEORY) or model.uses_graphs
        ]
    elif list(names) == ["all"]:
        chosen = possible
    else:
        chosen = [_model_named(name) for name in names]
    for model in chosen:
        if model.uses_graphs and not structures:
            raise InvalidValueError(
                f"The model {model.name!r} needs structures: give a folder with "
                "id_prop.csv. For formulas there are: "
                f"{', '.join(model.name for model in possible)}."
            )
        if model.name == THEORY and not electrodes:
            raise InvalidValueError(
                "The theoretical capacity needs a table of electrodes: add "
                "--electrodes, or leave it out of --models."
            )
    if any(model.is_network for model in chosen):
        require_device(options.device)
    return chosen


def _model_named(name: str) -> Model:
    if name not in MODELS:
        raise InvalidValueError(
            f"There is no model {name!r}. The models are: {', '.join(MODELS)} (cgcnn "
            "and alignn for folders of structures, theoretical for --electrodes), or "
            "all."
        )
    return MODELS[name]


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
        Graph estimator; those that a fitted one was trained on are made.
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

    settings = getattr(estimator, "graph_settings_", estimator)
    transformer = StructureToGraph(
        cutoff=settings.cutoff,
        max_neighbors=settings.max_neighbors,
        # 0 says that a fitted network reads no angles
        three_body_cutoff=getattr(settings, "three_body_cutoff", None) or None,
        n_jobs=estimator.n_jobs,
    )
    try:
        graphs = transformer.transform(samples.X)
    except SkmatgnnError as error:
        raise find_problems(transformer.transform, samples) or error from error
    features = estimator._setting("element_features")  # noqa: SLF001
    if isinstance(features, str) and features == "cgcnn":
        _require_known_elements(graphs, samples)
    return graphs


def find_problems(
    check: Callable[[list], Any], samples: Samples
) -> SkmatgnnError | None:
    """Find every structure at fault, where the first error names but one.

    Parameters
    ----------
    check : callable
        Raises if a list of structures has one that cannot be used.
    samples : Samples
        The structures.

    Returns
    -------
    SkmatgnnError or None
        Names them; None if each alone passes.
    """
    from skmatgnn.datasets._problems import Problems

    problems = Problems(samples.source, "Correct these structures, or remove them.")
    for row, structure in enumerate(samples.X):
        try:
            check([structure])
        except SkmatgnnError as error:
            text = str(error).replace("The structure at index 0", "it")
            problems.add(samples.place(row), text)
    try:
        problems.raise_if_any()
    except SkmatgnnError as error:
        return error
    return None


def _require_known_elements(graphs: Any, samples: Samples) -> None:
    from skmatgnn.datasets._problems import Problems
    from skmatgnn.utils.elements import ELEMENT_SYMBOLS, cgcnn_element_features

    without = np.asarray(np.isnan(cgcnn_element_features()).any(axis=1))
    unknown = without[graphs.atomic_numbers]
    if not unknown.any():
        return
    problems = Problems(samples.source, "Remove these structures.")
    atoms = np.flatnonzero(unknown)
    rows = np.searchsorted(graphs.node_ptr, atoms, side="right") - 1
    for row, first in zip(*np.unique(rows, return_index=True), strict=True):
        symbol = ELEMENT_SYMBOLS[graphs.atomic_numbers[atoms[first]]]
        problems.add(samples.place(row), f"there are no element features for {symbol}.")
    problems.raise_if_any()


def require_device(device: str) -> None:
    """Reject a device that torch cannot use.

    Parameters
    ----------
    device : str
        As in ``--device``.

    Raises
    ------
    InvalidValueError
        With those that are available.
    """
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
