"""``skmatgnn fit``: train one model on all rows and write it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._files import replaced_path
from skmatgnn.cli._load import load_samples
from skmatgnn.cli._model_file import (
    ModelInfo,
    is_model_file,
    is_pickle,
    write_checkpoint,
    write_model,
)
from skmatgnn.cli._models import (
    MODELS,
    THEORY,
    Model,
    choose_models,
    make_network,
    prepare,
)
from skmatgnn.cli._samples import (
    Samples,
    holds_structures,
    require_learnable,
)
from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse

    from skmatgnn.cli._notes import Notes

__all__ = ["INTERRUPTED", "MIN_ROWS", "print_summary", "run"]

MIN_ROWS = 2
INTERRUPTED = 130


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
        Exit code; 130 where Ctrl-C ended the training and the best model was kept.
    """
    _require_trainable(options)
    in_table = _expects_structures(options)
    structures = holds_structures(options.data) or in_table
    (model,) = choose_models([options.model], options, structures=structures)
    estimator = _make(model, options)
    with replaced_path(options.out, is_former=is_model_file, what="model file") as path:
        samples = load_samples(options, notes, structures=in_table)
        require_learnable(samples, MIN_ROWS, "training")
        if not model.is_network:
            _require_known_targets(samples)
        estimator, seconds = _train(model, estimator, samples, options.ensemble)
        info = ModelInfo.of(model.name, samples, uses_graphs=model.uses_graphs)
        if model.is_network:
            write_checkpoint(path, estimator, info)
        else:
            with path.open("wb") as file:
                write_model(file, estimator, info)
    print_summary(estimator, info, seconds, options)
    return INTERRUPTED if notes.interrupted else 0


def _require_trainable(options: argparse.Namespace) -> None:
    name, untrained = options.model, ("control", THEORY)
    trainable = {key: model for key, model in MODELS.items() if key not in untrained}
    if name not in trainable:
        known = name in untrained or name == "all"
        raise InvalidValueError(
            (f"{name!r} is not trained." if known else f"There is no model {name!r}.")
            + f" Models to fit: {', '.join(trainable)}."
        )
    if options.ensemble > 1 and not trainable[name].is_network:
        raise InvalidValueError(
            f"--ensemble is of networks, and {name} is none; a forest is an ensemble "
            "by itself, of --n-estimators trees."
        )
    if options.parameters and not trainable[name].is_network:
        raise InvalidValueError(
            f"--param sets parameters of networks, and {name} is none. Its trees are "
            "set by --n-estimators."
        )


def _expects_structures(options: argparse.Namespace) -> bool:
    known = MODELS.get(options.model)
    needs = known is not None and known.uses_graphs
    return needs or options.structure_column is not None


def _require_known_targets(samples: Samples) -> None:
    from skmatgnn.datasets._problems import Problems

    problems = Problems(
        samples.source, "rf_magpie cannot learn from them: remove these rows."
    )
    for row, column in np.argwhere(np.isnan(samples.targets)):
        problems.add(
            samples.place(row), f"{samples.target_names[column]} is not known."
        )
    problems.raise_if_any()


def _make(model: Model, options: argparse.Namespace) -> Any:
    estimator = model.make(options)
    return make_network(type(estimator), options) if model.is_network else estimator


def _train(
    model: Model, estimator: Any, samples: Samples, n_models: int
) -> tuple[Any, float]:
    X = prepare(model, estimator, samples)
    y = samples.targets
    if n_models > 1:
        from skmatgnn.estimators import DeepEnsembleRegressor

        seed = estimator.random_state
        estimator = DeepEnsembleRegressor(
            estimator, n_models=n_models, random_state=seed
        )
    start = perf_counter()
    estimator.fit(X, y[:, 0] if y.shape[1] == 1 else y)
    return estimator, perf_counter() - start


def print_summary(
    estimator: Any, info: ModelInfo, seconds: float, options: argparse.Namespace
) -> None:
    """Say what was trained and where it is.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    info : ModelInfo
        What it is.
    seconds : float
        Of training.
    options : Namespace
        The command's arguments.
    """
    is_network = hasattr(estimator, "n_epochs_")
    print(f"{info.model} for {', '.join(info.target_names)}")
    print(f"trained on {info.n_samples:,} rows in {seconds:.1f} s")
    if is_network:
        print(
            f"{estimator.n_epochs_} epochs on {estimator.device_}; kept epoch "
            f"{estimator.best_epoch_}, training loss "
            f"{estimator.history_[estimator.best_epoch_ - 1]['train_loss']:.4g} "
            "(of scaled targets)"
        )
    elif hasattr(estimator, "n_models"):
        n_members = len(estimator.estimators_)  # fewer than asked for after Ctrl-C
        print(f"an ensemble of {n_members} network{'s' * (n_members > 1)}")
    size = options.out.expanduser().stat().st_size / 1e6
    pickled = is_pickle(options.out.expanduser())
    remark = "; a pickle, open only those you trust" if pickled else ""
    print(f"model file: {options.out} ({size:.1f} MB{remark})")
