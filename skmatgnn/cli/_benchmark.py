"""``skmatgnn benchmark``: train and score every model under every scheme."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from skmatgnn.cli._files import replaced_folder
from skmatgnn.cli._models import Model, choose_models, prepare
from skmatgnn.cli._report import foreign_entry, print_report, write_report
from skmatgnn.cli._samples import (
    Samples,
    holds_structures,
    load_samples,
    require_learnable,
)
from skmatgnn.cli._schemes import (
    Clusters,
    Fold,
    find_clusters,
    make_folds,
    require_schemes,
)
from skmatgnn.cli._scores import bootstrap_intervals, score
from skmatgnn.errors import SkmatgnnError

if TYPE_CHECKING:
    import argparse

    from skmatgnn._typing import FloatArray
    from skmatgnn.cli._notes import Notes

__all__ = ["Evaluation", "Result", "run"]


@dataclass(frozen=True)
class Evaluation:
    """One model under one scheme on one target.

    Parameters
    ----------
    target, scheme, model : str
        What was evaluated.
    y_pred : ndarray of shape (n_samples,)
        Prediction for each sample when it was tested; NaN where it never was.
    fold_of : ndarray of shape (n_samples,), dtype object
        Label of the fold that tested each sample, or None.
    scores : dict of str to float
        Of the pooled predictions.
    intervals : dict of str to [low, high]
        Their 95 % bootstrap intervals.
    folds : list of dict
        Sizes, scores and seconds of each fold.
    fit_seconds, predict_seconds : float
        Summed over the folds.
    """

    target: str
    scheme: str
    model: str
    y_pred: FloatArray
    fold_of: np.ndarray
    scores: dict[str, float]
    intervals: dict[str, list[float]]
    folds: list[dict[str, Any]]
    fit_seconds: float
    predict_seconds: float


@dataclass
class Result:
    """Everything that a benchmark found.

    Parameters
    ----------
    samples : Samples
        The data.
    options : Namespace
        The arguments.
    models : list of str
        Models, as trained.
    notes : Notes
        Remarks that were made.
    clusters : Clusters or None
        Of the loco scheme.
    evaluations : list of Evaluation
        In the order of the table.
    prepare_seconds : dict of str to float
        Seconds for graphs, by model.
    seconds : float
        Of the whole run.
    """

    samples: Samples
    options: argparse.Namespace
    models: list[str]
    notes: Notes
    clusters: Clusters | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    prepare_seconds: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


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
    start = perf_counter()
    require_schemes(options.cv)
    structures = holds_structures(options.data)
    models = choose_models(options.models, options, structures=structures)
    with replaced_folder(
        options.out, foreign_entry=foreign_entry, what="results"
    ) as folder:
        samples = load_samples(options, notes)
        needed_by = f"a benchmark with --n-splits {options.n_splits}"
        require_learnable(samples, max(options.n_splits, 4), needed_by)
        _remark_on_repeats(samples, notes)
        result = Result(samples, options, [model.name for model in models], notes)
        _evaluate_all(result, models)
        result.seconds = perf_counter() - start
        write_report(result, folder)
    print_report(result)
    return 0


def _remark_on_repeats(samples: Samples, notes: Notes) -> None:
    from skmatgnn.model_selection import formula_groups

    compositions = np.unique(formula_groups(samples.X), return_inverse=True)[1]
    n_distinct = int(compositions.max()) + 1
    if samples.groups is None:
        if n_distinct < len(samples):
            notes.add(
                f"{len(samples)} rows have only {n_distinct} compositions, and the "
                "stratified scheme tests on compositions that it trains on"
                + ("" if samples.has_structures else "; --group-column prevents that")
            )
        return
    pairs = np.unique(np.column_stack([compositions, _codes(samples.groups)]), axis=0)
    n_shared = int((np.bincount(pairs[:, 0]) > 1).sum())
    if n_shared:
        notes.add(
            f"{n_shared} of {n_distinct} compositions occur in several groups of "
            f"{samples.group_name}, so the stratified scheme can test on compositions "
            "that it trains on; a --group-column of formulas would keep them together"
        )


def _codes(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]


def _evaluate_all(result: Result, models: list[Model]) -> None:
    samples, options = result.samples, result.options
    if "loco" in options.cv:
        result.clusters = find_clusters(samples, options.random_state, result.notes)
    plan = [
        (target, scheme, make_folds(scheme, samples, target, result.clusters, options))
        for target in range(len(samples.target_names))
        for scheme in options.cv
    ]
    prepared = {}
    for model in models:
        start = perf_counter()
        prepared[model.name] = prepare(model, model.make(options), samples)
        result.prepare_seconds[model.name] = perf_counter() - start
    total = len(models) * sum(len(folds) for *_, folds in plan)
    with tqdm(total=total, unit="fit", disable=options.quiet) as bar:
        for target, scheme, folds in plan:
            for model in models:
                result.evaluations.append(
                    _evaluate(
                        model, prepared[model.name], target, scheme, folds, result, bar
                    )
                )


def _evaluate(
    model: Model,
    X: Any,
    target: int,
    scheme: str,
    folds: list[Fold],
    result: Result,
    bar: tqdm,
) -> Evaluation:
    samples, options = result.samples, result.options
    y = samples.targets[:, target]
    y_pred, control = np.full(len(y), np.nan), np.full(len(y), np.nan)
    fold_of = np.full(len(y), None, dtype=object)
    rows_of_folds = []
    bar.set_description(f"{samples.target_names[target]} {scheme} {model.name}")
    for fold in folds:
        control[fold.test] = y[fold.train].mean()
        y_pred[fold.test], seconds = _fit_predict(model, X, y, fold, options, bar)
        if result.notes.interrupted:  # a network ends its training and carries on
            raise KeyboardInterrupt
        fold_of[fold.test] = fold.label
        scores = score(y[fold.test], y_pred[fold.test], control[fold.test])
        rows_of_folds.append(
            {"fold": fold.label, "n_train": len(fold.train), "n_test": len(fold.test)}
            | scores
            | {"fit_seconds": seconds[0], "predict_seconds": seconds[1]}
        )
        bar.update()
    tested = ~np.isnan(y_pred)
    pooled = y[tested], y_pred[tested], control[tested]
    return Evaluation(
        target=samples.target_names[target],
        scheme=scheme,
        model=model.name,
        y_pred=y_pred,
        fold_of=fold_of,
        scores=score(*pooled),
        intervals=bootstrap_intervals(
            *pooled,
            groups=None if samples.groups is None else samples.groups[tested],
            n_resamples=options.bootstrap,
            random_state=options.random_state,
        ),
        folds=rows_of_folds,
        fit_seconds=sum(row["fit_seconds"] for row in rows_of_folds),
        predict_seconds=sum(row["predict_seconds"] for row in rows_of_folds),
    )


def _fit_predict(
    model: Model,
    X: Any,
    y: FloatArray,
    fold: Fold,
    options: argparse.Namespace,
    bar: tqdm,
) -> tuple[FloatArray, tuple[float, float]]:
    estimator = model.make(options)
    if model.uses_graphs:
        estimator.set_params(callbacks=[_epoch_counter(bar)])
    start = perf_counter()
    estimator.fit(X[fold.train], y[fold.train])
    middle = perf_counter()
    predicted = estimator.predict(X[fold.test])
    end = perf_counter()
    if not np.isfinite(predicted).all():
        raise SkmatgnnError(
            f"{model.name} predicts values that are not finite in fold {fold.label}. "
            "Look for outliers in the target, or leave this model out by --models."
        )
    bar.set_postfix_str("")
    return predicted, (middle - start, end - middle)


def _epoch_counter(bar: tqdm) -> Any:
    from skorch.callbacks import Callback

    class EpochCounter(Callback):
        """Show the epoch behind the bar of the folds."""

        def on_epoch_end(self, net: Any, **_: Any) -> None:
            bar.set_postfix_str(f"epoch {len(net.history)}/{net.planned_epochs_}")

    return EpochCounter()
