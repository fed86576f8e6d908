"""``skmatgnn fit``: train one model on all rows and write it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.cli._files import replaced_file
from skmatgnn.cli._model_file import ModelInfo, is_model_file, write_model
from skmatgnn.cli._models import MODELS, THEORY, Model, choose_models, prepare
from skmatgnn.cli._report import package_versions
from skmatgnn.cli._samples import (
    Samples,
    holds_structures,
    load_samples,
    require_learnable,
)
from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse

    from skmatgnn.cli._notes import Notes

__all__ = ["run"]

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
    untrained = ("control", THEORY, "all")
    if options.model in untrained:
        trainable = ", ".join(name for name in MODELS if name not in untrained)
        raise InvalidValueError(
            f"{options.model!r} is not trained. Models to fit: {trainable}."
        )
    structures = holds_structures(options.data)
    (model,) = choose_models([options.model], options, structures=structures)
    with replaced_file(options.out, is_former=is_model_file, what="model file") as file:
        samples = load_samples(options, notes)
        require_learnable(samples, MIN_ROWS, "training")
        if not model.is_network:
            _require_known_targets(samples)
        estimator, seconds = _train(model, samples, options)
        info = ModelInfo(
            model=model.name,
            target_names=samples.target_names,
            uses_graphs=model.uses_graphs,
            formula_column=samples.formula_column,
            n_samples=len(samples),
            versions=package_versions(),
        )
        write_model(file, estimator, info)
    _print_summary(estimator, info, seconds, options)
    return INTERRUPTED if notes.interrupted else 0


def _require_known_targets(samples: Samples) -> None:
    from skmatgnn.datasets._tables import Problems

    problems = Problems(
        samples.source, "rf_magpie cannot learn from them: remove these rows."
    )
    for row, column in np.argwhere(np.isnan(samples.targets)):
        problems.add(
            samples.place(row), f"{samples.target_names[column]} is not known."
        )
    problems.raise_if_any()


def _train(
    model: Model, samples: Samples, options: argparse.Namespace
) -> tuple[Any, float]:
    estimator = model.make(options)
    X = prepare(model, estimator, samples)
    y = samples.targets
    if model.is_network:
        estimator.set_params(verbose=not options.quiet)
    start = perf_counter()
    estimator.fit(X, y[:, 0] if y.shape[1] == 1 else y)
    return estimator, perf_counter() - start


def _print_summary(
    estimator: Any, info: ModelInfo, seconds: float, options: argparse.Namespace
) -> None:
    print(f"{info.model} for {', '.join(info.target_names)}")
    print(f"trained on {info.n_samples:,} rows in {seconds:.1f} s")
    if MODELS[info.model].is_network:
        print(
            f"{estimator.n_epochs_} epochs on {estimator.device_}; kept epoch "
            f"{estimator.best_epoch_}, training loss "
            f"{estimator.history_[estimator.best_epoch_ - 1]['train_loss']:.4g} "
            "(of scaled targets)"
        )
    size = options.out.expanduser().stat().st_size / 1e6
    print(f"model file: {options.out} ({size:.1f} MB; open only files you trust)")
