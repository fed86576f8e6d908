"""What a transfer matrix is made of: pre-trainings, fits, and the rows of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from skmatgnn._typing import BoolArray, FloatArray, IntArray
from skmatgnn.errors import InvalidTypeError, InvalidValueError, SkmatgnnError
from skmatgnn.metrics import scaled_mean_absolute_error
from skmatgnn.model_selection._transfer_data import Dataset, hold_out, join
from skmatgnn.utils._seeds import derived_seed, seeded_clone
from skmatgnn.utils.digest import digest
from skmatgnn.utils.fit_arguments import arguments_for_fit
from skmatgnn.utils.interrupts import fit_or_stop

__all__ = [
    "DESIGNS",
    "Fit",
    "Pretraining",
    "TransferPlan",
    "default_mpt",
    "fit_and_predict",
    "fit_and_save",
]

DESIGNS = ("scratch", "pair", "mpt", "mpt_without_target")
_OF_A_START = ("pretrained", "fine_tuning", "head", "warm_start")


class Pretraining(NamedTuple):
    """A model to start from.

    Parameters
    ----------
    names : tuple of str
        Datasets that it learns.
    joint : bool
        Whether it is an MPTRegressor.
    spared : str or None
        The target whose test rows it does not see; None spares those of all targets,
        and every sample of their formulas.
    """

    names: tuple[str, ...]
    joint: bool
    spared: str | None


class Fit(NamedTuple):
    """A model to score.

    Parameters
    ----------
    target : str
        What it predicts.
    design : str
        One of ``DESIGNS``.
    source : str or None
        What a pair starts from.
    size, trial : int
        Which rows it is trained on.
    """

    target: str
    design: str
    source: str | None
    size: int
    trial: int


@dataclass(frozen=True, eq=False)
class TransferPlan:
    """All fits of a transfer matrix, before any is made.

    Parameters
    ----------
    datasets : dict of str to Dataset
        Targets and sources.
    targets, sources : tuple of str
        What is predicted, and what is learnt before.
    estimator, source_estimator, mpt_estimator : estimator
        From scratch and fine-tuned, pre-trained on one dataset, and on many.
    designs : tuple of str
        Some of ``DESIGNS``.
    sizes : tuple of int
        Numbers of rows to train on.
    trials : int
        Draws of these.
    seed : int
        Of everything.
    test_size : float, default=0.1
        Share of the rows that is held out.
    exclude_test : bool, default=True
        Whether pre-training sees no formula of a test set.
    fine_tuning_params : dict, default={}
        Parameters of ``estimator`` where it starts from another.
    """

    datasets: dict[str, Dataset]
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    estimator: Any
    source_estimator: Any
    mpt_estimator: Any
    designs: tuple[str, ...]
    sizes: tuple[int, ...]
    trials: int
    seed: int
    test_size: float = 0.1
    exclude_test: bool = True
    fine_tuning_params: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def test(self) -> dict[str, BoolArray]:
        """Hold-out of each target."""
        return {
            name: hold_out(self.datasets[name], self.test_size, self.seed)
            for name in self.targets
        }

    @cached_property
    def _test_formulas(self) -> np.ndarray:
        held = [self.datasets[name].formulas[test] for name, test in self.test.items()]
        return np.unique(np.concatenate(held))

    @cached_property
    def _keys(self) -> dict[Pretraining, str]:
        return {}

    def fits(self) -> list[Fit]:
        """List the fits.

        Returns
        -------
        list of Fit
        """
        return [
            Fit(target, design, source, size, trial)
            for target in self.targets
            for design in self.designs
            for source in self._sources_of(target, design)
            for size in self.sizes
            for trial in range(self.trials)
        ]

    def _sources_of(self, target: str, design: str) -> Sequence[str | None]:
        if design != "pair":
            return [None]
        return [name for name in self.sources if name != target]

    def pretraining(self, fit: Fit) -> Pretraining | None:
        """Tell what a fit starts from.

        Parameters
        ----------
        fit : Fit

        Returns
        -------
        Pretraining or None
        """
        if fit.design == "scratch":
            return None
        spared = None if self.exclude_test else fit.target
        if fit.design == "pair" and fit.source is not None:
            return Pretraining((fit.source,), joint=False, spared=spared)
        chosen = set(self.sources)
        chosen.add(fit.target)
        if fit.design == "mpt_without_target":
            chosen.remove(fit.target)
        names = tuple(name for name in self.datasets if name in chosen)
        return Pretraining(names, joint=True, spared=spared)

    def pretraining_rows(self, pretraining: Pretraining) -> dict[str, IntArray]:
        """Choose the rows that a pre-training sees.

        Parameters
        ----------
        pretraining : Pretraining

        Returns
        -------
        dict of str to ndarray of int
            Of each of its datasets.

        Raises
        ------
        InvalidValueError
            If nothing of a dataset is left.
        """
        found: dict[str, IntArray] = {}
        for name in pretraining.names:
            dataset = self.datasets[name]
            seen = np.ones(len(dataset), dtype=bool)
            if pretraining.spared is None:
                seen = ~np.isin(dataset.formulas, self._test_formulas)
            if name in self.test and pretraining.spared in (None, name):
                seen &= ~self.test[name]
            found[name] = np.flatnonzero(seen)
            if not seen.any():
                raise InvalidValueError(
                    f"Dataset {name!r}: nothing is left to pre-train on, since all of "
                    "its formulas are in the test sets. Leave it out of the sources, "
                    "or lower test_size."
                )
        return found

    def train_rows(self, fit: Fit) -> IntArray:
        """Draw the rows to train on: the first of a trial's order, so sizes nest.

        Parameters
        ----------
        fit : Fit

        Returns
        -------
        ndarray of int
        """
        rng = np.random.RandomState(
            derived_seed(self.seed, "draw", fit.target, fit.trial)
        )
        return rng.permutation(np.flatnonzero(~self.test[fit.target]))[: fit.size]

    def _pretrainer(self, pretraining: Pretraining) -> Any:
        model = self.mpt_estimator if pretraining.joint else self.source_estimator
        return seeded_clone(model, derived_seed(self.seed, "start", *pretraining.names))

    def pretraining_task(self, pretraining: Pretraining) -> tuple[Any, ...]:
        """Collect the arguments of `fit_and_save` but for the path.

        Parameters
        ----------
        pretraining : Pretraining

        Returns
        -------
        estimator, X, y, groups
        """
        rows = self.pretraining_rows(pretraining)
        model = self._pretrainer(pretraining)
        if pretraining.joint:
            parts = [(self.datasets[name], chosen) for name, chosen in rows.items()]
            return (model, *join(parts))
        ((name, chosen),) = rows.items()
        dataset = self.datasets[name]
        groups = dataset.units[chosen]
        return model, dataset.X[chosen], dataset.y[chosen], groups

    def pretraining_key(self, pretraining: Pretraining) -> str:
        """Hash all that a pre-trained model follows from.

        Parameters
        ----------
        pretraining : Pretraining

        Returns
        -------
        str
        """
        if pretraining not in self._keys:
            rows = self.pretraining_rows(pretraining)
            used = [(name, self.datasets[name].digest, rows[name]) for name in rows]
            self._keys[pretraining] = digest(self._pretrainer(pretraining), used)
        return self._keys[pretraining]

    def _model(self, fit: Fit) -> Any:
        model = clone(self.estimator)
        if fit.design != "scratch":
            model.set_params(**self.fine_tuning_params)
        seed = derived_seed(self.seed, "model", fit.target, fit.trial)
        return seeded_clone(model, seed)

    def fit_task(self, fit: Fit, start: Path | None) -> tuple[Any, ...]:
        """Collect the arguments of `fit_and_predict`.

        Parameters
        ----------
        fit : Fit
        start : Path or None
            Where the pre-trained model is.

        Returns
        -------
        estimator, X, y, groups, X_test
        """
        dataset, test = self.datasets[fit.target], self.test[fit.target]
        rows, held = self.train_rows(fit), np.flatnonzero(test)
        model = self._model(fit)
        if start is not None:
            model.set_params(pretrained=str(start))
        X, y, groups = dataset.X[rows], dataset.y[rows], dataset.units[rows]
        return model, X, y, groups, dataset.X[held]

    def fit_key(self, fit: Fit) -> str:
        """Hash all that a fit follows from.

        Parameters
        ----------
        fit : Fit

        Returns
        -------
        str
        """
        pretraining = self.pretraining(fit)
        return digest(
            self._model(fit),
            self.datasets[fit.target].digest,
            self.train_rows(fit),
            self.test[fit.target],
            None if pretraining is None else self.pretraining_key(pretraining),
        )

    def row(self, fit: Fit, y_pred: FloatArray, seconds: float) -> dict[str, Any]:
        """Score predictions for the hold-out.

        Parameters
        ----------
        fit : Fit
        y_pred : ndarray of shape (n_test,)
        seconds : float

        Returns
        -------
        dict

        Raises
        ------
        SkmatgnnError
            If a prediction is not finite.
        """
        if not np.isfinite(y_pred).all():
            raise SkmatgnnError(
                f"{type(self.estimator).__name__} predicts values that are not finite "
                f"in {fit}. Look for outliers in y, or lower the learning rate."
            )
        y = self.datasets[fit.target].y[self.test[fit.target]]
        error, spread = y_pred - y, y - y.mean()
        total = float(spread @ spread)
        constant = total == 0
        return {
            **fit._asdict(),
            "n_train": fit.size,
            "n_test": len(y),
            "mae": float(np.abs(error).mean()),
            "smae": np.nan if constant else scaled_mean_absolute_error(y, y_pred),
            "r2": np.nan if constant else 1 - float(error @ error) / total,
            "seconds": seconds,
        }

    def with_fine_tuning(self, **parameters: Any) -> TransferPlan:
        """Plan the same with other parameters of the fine-tuning.

        Parameters
        ----------
        **parameters : dict
            Of ``estimator``.

        Returns
        -------
        TransferPlan
        """
        changed = {**self.fine_tuning_params, **parameters}
        return replace(self, fine_tuning_params=changed)


def fit_and_predict(
    estimator: Any, X: Any, y: Any, groups: IntArray, X_test: Any
) -> tuple[FloatArray, float]:
    """Train a model and predict.

    Parameters
    ----------
    estimator : estimator
        Fitted in place.
    X, y : sequence, array-like
        To train on.
    groups : ndarray of int
        For the estimator's own validation split.
    X_test : sequence
        To predict.

    Returns
    -------
    y_pred : ndarray of shape (n_test,)
    seconds : float
        Of the training.
    """
    seconds = _train(estimator, X, y, groups)
    y_pred = np.asarray(estimator.predict(X_test), dtype=np.float64)
    return y_pred.reshape(len(X_test)), seconds


def fit_and_save(estimator: Any, X: Any, y: Any, groups: IntArray, path: Path) -> float:
    """Train a model to start from, and save it.

    Parameters
    ----------
    estimator : estimator
        Fitted in place.
    X, y : sequence, array-like
        To train on.
    groups : ndarray of int
        For the estimator's own validation split.
    path : Path
        Where.

    Returns
    -------
    float
        Seconds of the training.
    """
    seconds = _train(estimator, X, y, groups)
    if "callbacks" in estimator.get_params(deep=False):
        estimator.set_params(callbacks=None)  # only pickle could save them
    estimator.save(path)
    return seconds


def _train(estimator: Any, X: Any, y: Any, groups: IntArray) -> float:
    start = perf_counter()
    fit_or_stop(estimator, X, y, **arguments_for_fit(estimator, groups=groups))
    return perf_counter() - start


def default_mpt(estimator: Any) -> Any:
    """Make an MPTRegressor of the architecture and parameters of an estimator.

    Parameters
    ----------
    estimator : estimator
        Of one property.

    Returns
    -------
    MPTRegressor

    Raises
    ------
    InvalidTypeError
        If MPTRegressor does not have that architecture.
    """
    from skmatgnn.estimators import MPTRegressor
    from skmatgnn.estimators.multi_property import NETWORKS

    for architecture, networks in NETWORKS.items():
        if isinstance(estimator, networks[0]):
            model: Any = MPTRegressor(architecture=architecture)
            known = model.get_params(deep=False)
            shared = {
                name: value
                for name, value in estimator.get_params(deep=False).items()
                if name in known and name not in _OF_A_START
            }
            return model.set_params(**shared)
    raise InvalidTypeError(
        f"There is no MPTRegressor for {type(estimator).__name__}. Give mpt_estimator, "
        "or designs=('scratch', 'pair')."
    )
