"""The fits of a benchmark: each trains one model on one fold, and is kept on disk."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from skmatgnn.cli._models import MODELS, THEORY
from skmatgnn.cli._versions import package_versions
from skmatgnn.errors import SkmatgnnError
from skmatgnn.utils.digest import digest
from skmatgnn.utils.kept_results import KeptResults
from skmatgnn.utils.lost_workers import explain_lost_workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tqdm import tqdm

    from skmatgnn._typing import FloatArray
    from skmatgnn.cli._models import Model
    from skmatgnn.cli._notes import Notes
    from skmatgnn.cli._samples import Samples
    from skmatgnn.cli._schemes import Fold

__all__ = ["Fit", "FitResult", "FitStore", "run_fits"]

#: Options on which the outcome of a fit depends; the rows follow from the others.
_OPTIONS = ("random_state", "max_epochs", "n_estimators", "device")


@dataclass(frozen=True, eq=False)  # by identity, so that it can be a key
class Fit:
    """A model, what it learns, and on which rows.

    Parameters
    ----------
    model : Model
        The model.
    targets : tuple of int
        What it learns: one target, or several at once.
    scheme : str
        Where the fold comes from.
    fold : Fold
        Rows to train and test on.
    """

    model: Model
    targets: tuple[int, ...]
    scheme: str
    fold: Fold

    def describe(self, samples: Samples) -> str:
        """Name it for the progress bar.

        Parameters
        ----------
        samples : Samples
            For the names of the targets.

        Returns
        -------
        str
        """
        names = "+".join(samples.target_names[target] for target in self.targets)
        return f"{self.model.name} {self.scheme} {self.fold.label} {names}"


class FitResult(NamedTuple):
    """What a fit gave.

    Parameters
    ----------
    y_pred : ndarray of shape (n_test, n_targets)
        Predictions.
    fit_seconds, predict_seconds : float
        How long it took.
    notes : tuple of str
        Warnings.
    """

    y_pred: FloatArray
    fit_seconds: float
    predict_seconds: float
    notes: tuple[str, ...] = ()


class FitStore(KeptResults):
    """Folder with the results of the fits that are done, for a run that was stopped.

    Each is named by a hash of all that its result follows from, so that nothing is
    taken for what it is not.

    Parameters
    ----------
    folder : Path
        The folder.
    samples : Samples
        The data, part of every hash.
    options : Namespace
        Those that a result depends on are part of every hash, too.
    """

    def __init__(
        self, folder: Path, samples: Samples, options: argparse.Namespace
    ) -> None:
        super().__init__(folder)
        self._samples, self._options = samples, options

    @cached_property
    def _common(self) -> str:
        samples = self._samples
        if samples.has_structures:
            from skmatgnn.preprocessing import StructureArray

            X: Any = StructureArray.from_structures(samples.X)
        else:
            X = list(samples.formulas)
        options = {name: getattr(self._options, name) for name in _OPTIONS}
        return digest(package_versions(), options, X, samples.theory)

    def _key(self, fit: Fit) -> str:
        y = self._samples.targets[np.ix_(fit.fold.train, np.array(fit.targets))]
        rows = [np.asarray(r, np.int64) for r in (fit.fold.train, fit.fold.test)]
        return digest(self._common, fit.model.name, fit.targets, rows, y)

    def find(self, fit: Fit) -> FitResult | None:
        """Read a result.

        Parameters
        ----------
        fit : Fit
            Whose.

        Returns
        -------
        FitResult or None
            None if it is not there, or damaged.
        """
        found = self.get(self._key(fit), "y_pred", "seconds", "notes")
        if found is None or found[0].shape != (len(fit.fold.test), len(fit.targets)):
            return None
        y_pred, (fitting, predicting), notes = found
        texts = tuple(map(str, notes))
        return FitResult(y_pred, float(fitting), float(predicting), texts)

    def keep(self, fit: Fit, result: FitResult) -> None:
        """Keep a result.

        Parameters
        ----------
        fit : Fit
            Whose.
        result : FitResult
            What.
        """
        self.put(
            self._key(fit),
            y_pred=result.y_pred,
            seconds=[result.fit_seconds, result.predict_seconds],
            notes=np.array(result.notes, dtype=np.str_),
        )


@explain_lost_workers()
def run_fits(
    fits: Sequence[Fit],
    inputs: dict[str, Any],
    samples: Samples,
    options: argparse.Namespace,
    store: FitStore,
    notes: Notes,
    bar: tqdm,
) -> dict[Fit, FitResult]:
    """Do the fits that are not done yet, one by one or side by side.

    Parameters
    ----------
    fits : sequence of Fit
        All fits.
    inputs : dict of str to array-like
        What each model takes for all samples, by its name.
    samples : Samples
        The data.
    options : Namespace
        The command's arguments.
    store : FitStore
        Where results are kept.
    notes : Notes
        Gets the warnings.
    bar : tqdm
        Counts the fits.

    Returns
    -------
    dict of Fit to FitResult
        In the order of ``fits``.

    Raises
    ------
    SkmatgnnError
        If a model predicts values that are not finite.
    """
    found = {fit: store.find(fit) for fit in fits}
    results = {fit: result for fit, result in found.items() if result is not None}
    pending = [fit for fit in fits if fit not in results]
    n_done = len(fits) - len(pending)
    if n_done:
        notes.add(f"{n_done} of {len(fits)} fits were done before and are not repeated")
        bar.update(n_done)
    for fit, result in _results(pending, inputs, samples, options, notes, bar):
        if not np.isfinite(result.y_pred).all():
            raise SkmatgnnError(
                f"{fit.model.name} predicts values that are not finite in fold "
                f"{fit.fold.label}. Look for outliers in the target, or leave this "
                "model out by --models."
            )
        store.keep(fit, result)
        results[fit] = result
        bar.update()
        for text in result.notes:
            notes.add(text)
    return {fit: results[fit] for fit in fits}


def _results(
    fits: Sequence[Fit],
    inputs: dict[str, Any],
    samples: Samples,
    options: argparse.Namespace,
    notes: Notes,
    bar: tqdm,
) -> Iterator[tuple[Fit, FitResult]]:
    def arguments_of(fit: Fit) -> tuple[Any, ...]:
        X = inputs[fit.model.name]
        if fit.model.name == THEORY:
            X = samples.theory[samples.target_names[fit.targets[0]]]
        y = samples.targets[np.ix_(fit.fold.train, np.array(fit.targets))]
        return X[fit.fold.train], y, X[fit.fold.test]

    n_jobs = effective_n_jobs(options.n_jobs)
    if n_jobs == 1 or len(fits) < 2:
        for fit in fits:
            bar.set_description(fit.describe(samples))
            result = _fit_predict(fit.model.name, options, *arguments_of(fit), bar=bar)
            if notes.interrupted:  # a network ends its training and carries on
                raise KeyboardInterrupt
            yield fit, result
        return
    alone = argparse.Namespace(**{**vars(options), "n_jobs": 1})
    parallel = Parallel(n_jobs, batch_size=1, return_as="generator_unordered")
    calls = (
        delayed(_numbered)(number, fit.model.name, alone, *arguments_of(fit))
        for number, fit in enumerate(fits)
    )
    for number, result in parallel(calls):
        yield fits[number], result


def _numbered(number: int, *arguments: Any) -> tuple[int, FitResult]:
    return number, _fit_predict(*arguments)


def _fit_predict(
    model: str,
    options: argparse.Namespace,
    X_train: Any,
    y_train: FloatArray,
    X_test: Any,
    *,
    bar: tqdm | None = None,
) -> FitResult:
    estimator = MODELS[model].make(options)
    if MODELS[model].is_network and bar is not None:
        estimator.set_params(callbacks=[_epoch_counter(bar)])
    y = y_train[:, 0] if y_train.shape[1] == 1 else y_train
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning)
        start = perf_counter()
        estimator.fit(X_train, y)
        middle = perf_counter()
        predicted = estimator.predict(X_test)
        end = perf_counter()
    if bar is not None:
        bar.set_postfix_str("")
    return FitResult(
        np.asarray(predicted, dtype=np.float64).reshape(len(X_test), -1),
        middle - start,
        end - middle,
        tuple(dict.fromkeys(str(warning.message) for warning in caught)),
    )


def _epoch_counter(bar: tqdm) -> Any:
    from skorch.callbacks import Callback

    class EpochCounter(Callback):
        """Show the epoch behind the bar of the fits."""

        def on_epoch_end(self, net: Any, **_: Any) -> None:
            bar.set_postfix_str(f"epoch {len(net.history)}/{net.planned_epochs_}")

    return EpochCounter()
