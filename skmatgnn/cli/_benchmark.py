"""``skmatgnn benchmark``: train and score every model under every scheme."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from skmatgnn.cli._files import replaced_folder
from skmatgnn.cli._fits import Fit, FitResult, FitStore, run_fits
from skmatgnn.cli._load import load_samples
from skmatgnn.cli._models import THEORY, Model, choose_models, prepare
from skmatgnn.cli._report import foreign_entry, print_report, write_report
from skmatgnn.cli._result import Evaluation, Result
from skmatgnn.cli._samples import (
    Samples,
    holds_structures,
    require_learnable,
)
from skmatgnn.cli._schemes import codes_of, find_clusters, make_folds, require_schemes
from skmatgnn.cli._scores import bootstrap_intervals, score
from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from skmatgnn.cli._notes import Notes

__all__ = ["run"]

DEFAULT_RESAMPLES = 5


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
    _refuse_idle(options, models)
    options.n_resamples = options.n_resamples or DEFAULT_RESAMPLES
    with replaced_folder(
        options.out, foreign_entry=foreign_entry, what="results"
    ) as folder:
        samples = load_samples(options, notes)
        needed_by = f"a benchmark with --n-splits {options.n_splits}"
        require_learnable(samples, max(options.n_splits, 4), needed_by)
        _remark_on_repeats(samples, options.cv, notes)
        result = Result(samples, options, [model.name for model in models], notes)
        store = FitStore(_partial(options.out), samples, options)
        try:
            _evaluate_all(result, models, store)
        except KeyboardInterrupt:
            _say_what_is_kept(store, options)
            raise
        result.seconds = perf_counter() - start
        write_report(result, folder)
    store.clear()
    print_report(result)
    return 0


def _refuse_idle(options: argparse.Namespace, models: list[Model]) -> None:
    """Refuse what would have no effect, before hours of fits without it."""
    idle = []
    if options.joint and not any(model.is_network for model in models):
        idle.append("--joint is for networks, and --models has none")
    if options.n_resamples is not None and "bootstrap" not in options.cv:
        idle.append("--n-resamples is for the scheme bootstrap, which --cv has not")
    if options.stratify_column is not None and "stratified" not in options.cv:
        idle.append(
            "--stratify-column is for the scheme stratified, which --cv has not"
        )
    if idle:
        raise InvalidValueError(f"{'; '.join(idle)}. Add it there, or leave this out.")


def _partial(out: Path) -> Path:
    out = out.expanduser().resolve()  # as the folder itself
    return out.with_name(f"{out.name}.partial")


def _say_what_is_kept(store: FitStore, options: argparse.Namespace) -> None:
    if len(store) and not options.quiet:
        tqdm.write(
            f"\nskmatgnn: {len(store)} fits are kept in {store.folder}; the same "
            "command goes on from there",
            file=sys.stderr,
        )


def _remark_on_repeats(samples: Samples, schemes: list[str], notes: Notes) -> None:
    """Say of the schemes by row that they may test on what they train on."""
    from skmatgnn.model_selection import formula_groups

    by_row = [scheme for scheme in ("stratified", "bootstrap") if scheme in schemes]
    if not by_row:
        return
    named = (
        f"scheme {by_row[0]}" if len(by_row) == 1 else f"schemes {' and '.join(by_row)}"
    )
    compositions = np.unique(formula_groups(samples.X), return_inverse=True)[1]
    n_distinct = int(compositions.max()) + 1
    if samples.groups is None:
        if n_distinct < len(samples):
            notes.add(
                f"{len(samples)} rows have only {n_distinct} compositions, and in the "
                f"{named} some are both trained and tested on; in the scheme formula "
                "(--cv formula) none is"
            )
        return
    pairs = np.unique(np.column_stack([compositions, codes_of(samples.groups)]), axis=0)
    n_shared = int((np.bincount(pairs[:, 0]) > 1).sum())
    if n_shared:
        notes.add(
            f"{n_shared} of {n_distinct} compositions occur in several groups of "
            f"{samples.group_name}, so in the {named} some can be both trained and "
            "tested on; a --group-column of formulas would keep them together"
        )


def _evaluate_all(result: Result, models: list[Model], store: FitStore) -> None:
    samples, options = result.samples, result.options
    if "loco" in options.cv:
        result.clusters = find_clusters(samples, options.random_state, result.notes)
    inputs = {}
    for model in models:
        start = perf_counter()
        inputs[model.name] = prepare(model, model.make(options), samples)
        result.prepare_seconds[model.name] = perf_counter() - start
    fits = _plan(result, models)
    with tqdm(total=len(fits), unit="fit", disable=options.quiet) as bar:
        done = run_fits(fits, inputs, samples, options, store, result.notes, bar)
    for target in range(len(samples.target_names)):
        for scheme in options.cv:
            for model in models:
                found = [
                    fit
                    for fit in fits
                    if (fit.scheme, fit.model) == (scheme, model)
                    and target in fit.targets
                ]
                if found:
                    result.evaluations.append(_evaluate(found, target, done, result))
    _remark_on_outliers(result)


def _remark_on_outliers(result: Result) -> None:
    for evaluation in result.evaluations if result.options.two_sigma else []:
        if evaluation.two_sigma is None:
            result.notes.add(
                f"{evaluation.target}, {evaluation.scheme}: no row that is tested is "
                "within two standard deviations of the mean of those trained on, so "
                "there are no such scores"
            )


def _plan(result: Result, models: list[Model]) -> list[Fit]:
    """List the fits, those of the fast models first."""
    samples, options = result.samples, result.options
    every = tuple(range(len(samples.target_names)))
    folds = {
        (scheme, target): make_folds(
            scheme,
            samples,
            every if options.joint else [target],
            result.clusters,
            options,
        )
        for scheme in options.cv
        for target in every
    }
    fits = []
    for model in models:
        joint = options.joint and model.is_network
        for scheme in options.cv:
            for targets in [every] if joint else [(target,) for target in every]:
                if model.name == THEORY and (
                    samples.target_names[targets[0]] not in samples.theory
                ):
                    continue
                columns = samples.targets[:, list(targets)]
                known = np.asarray(~np.isnan(columns).all(axis=1))
                parts = [fold.where(known) for fold in folds[scheme, targets[0]]]
                fits += [
                    Fit(model, targets, scheme, fold)
                    for fold in parts
                    if len(fold.train) and len(fold.test)
                ]
    return fits


def _evaluate(
    fits: list[Fit], target: int, done: dict[Fit, FitResult], result: Result
) -> Evaluation:
    """Pool what the folds of one model and scheme predicted."""
    samples, options = result.samples, result.options
    y = samples.targets[:, target]
    folds: list[dict[str, Any]] = []
    parts = []
    for fit in fits:
        found = done[fit]
        known = ~np.isnan(y[fit.fold.test])
        rows = fit.fold.test[known]
        y_train = y[fit.fold.train]
        y_train = y_train[~np.isnan(y_train)]
        if not len(rows) or not len(y_train):
            continue
        y_pred = found.y_pred[known, fit.targets.index(target)]
        control = np.full(len(rows), y_train.mean())
        usual = np.abs(y[rows] - y_train.mean()) <= 2 * y_train.std()
        folds.append(
            {"fold": fit.fold.label, "n_train": len(y_train), "n_test": len(rows)}
            | score(y[rows], y_pred, control)
            | {
                "fit_seconds": found.fit_seconds,
                "predict_seconds": found.predict_seconds,
            }
        )
        parts.append((rows, y_pred, control, np.full(len(rows), fit.fold.label), usual))
    rows, y_pred, control, fold_of, usual = map(
        np.concatenate, zip(*parts, strict=True)
    )
    order = np.argsort(rows, kind="stable")
    rows, y_pred, control = rows[order], y_pred[order], control[order]
    usual = usual[order]
    units = rows if samples.groups is None else samples.groups[rows]

    def of(part: Any) -> dict[str, Any]:
        values = y[rows[part]], y_pred[part], control[part]
        return {
            "scores": score(*values),
            "intervals": bootstrap_intervals(
                *values,
                groups=units[part],
                n_resamples=options.bootstrap,
                random_state=options.random_state,
            ),
        }

    return Evaluation(
        target=samples.target_names[target],
        scheme=fits[0].scheme,
        model=fits[0].model.name,
        joint=len(fits[0].targets) > 1,
        rows=rows,
        y_pred=y_pred,
        fold_of=fold_of[order],
        **of(slice(None)),
        two_sigma=of(usual) if options.two_sigma and usual.any() else None,
        folds=folds,
        fit_seconds=sum(fold["fit_seconds"] for fold in folds),
        predict_seconds=sum(fold["predict_seconds"] for fold in folds),
    )
