"""Search for the parameters of a MODNet estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from sklearn.model_selection import ParameterGrid
from sklearn.utils import Tags, check_random_state, get_tags

from skmatgnn._typing import RandomState
from skmatgnn.errors import InvalidValueError
from skmatgnn.nets import TrainingInterruptedWarning
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import BaseSearchCV, Interval, StrOptions
from skmatgnn.utils.interrupts import count_interrupt, ends_all
from skmatgnn.utils.lost_workers import explain_lost_workers
from skmatgnn.utils.targets import require_given

__all__ = ["MODNetSearchCV"]

# Pseudo-parameters of the genome, of which n_neurons is made.
_WIDTHS = ("first_width", "second_fraction", "third_fraction")
_TOURNAMENT = 3
_ELITE = 2
_AHEAD = 2  # settings for each process, before the slowest of them is waited for

QUICK: dict[str, list] = {
    "n_features": [64, 128, None],
    "n_neurons": [
        ((128,), (64,), (16,), ()),
        ((256,), (128,), (64,), ()),
        ((512,), (256,), (64,), ()),
    ],
    "lr": [2e-3, 5e-3],
}

GENES: dict[str, list] = {
    "n_features": [32, 64, 96, 128, 160, 192, None],
    "feature_scaling": ["standard", "minmax"],
    "activation": ["elu", "relu", "silu"],
    "first_width": [32 * i for i in range(1, 17)],
    "second_fraction": [1.0, 0.75, 0.5, 0.25],
    "third_fraction": [1.0, 0.75, 0.5, 0.25],
    "lr": [1e-3, 2e-3, 5e-3, 1e-2],
    "batch_size": [32, 64, 128, 256],
    "weight_decay": [1e-5, 1e-3, 1e-1],
}


class MODNetSearchCV(DocLinkMixin, BaseSearchCV):
    """Search for the parameters of a MODNet estimator by cross-validation.

    A small grid, or a genetic algorithm as MODNet has it [1]_: the first generation is
    drawn at random; of each later one the two best are kept, and the others are
    children of parents that won a tournament of three, have each gene from one of
    them, and mutate.

    Parameters
    ----------
    estimator : MODNetRegressor or MODNetClassifier
        What is not searched for stays as it is there.
    preset : {"quick", "genetic"}, default="quick"
        A grid of 18 settings, or the genetic search.
    space : dict of str to list, optional
        Values to choose from that replace those of the preset, by parameter. The
        genetic search has ``first_width``, ``second_fraction`` and ``third_fraction``
        (of the block before) in place of ``n_neurons``.
    population_size : int, default=20
        Settings in a generation.
    n_generations : int, default=10
        Generations, at most.
    n_iter_no_change : int, default=4
        The search ends when so many generations in a row have found nothing better.
    mutation_rate : float, default=0.1
        Probability that a gene of a child is drawn anew.
    scoring : str, callable or None, default=None
        As in :class:`sklearn.model_selection.GridSearchCV`, but a single one.
    n_jobs : int or None, default=None
        Processes that fit.
    refit : bool, default=True
        Whether to fit the best settings on all the data.
    cv : int, splitter or iterable, optional
        5 folds by default. Give a splitter a seed.
    verbose : int, default=0
        Messages of scikit-learn.
    pre_dispatch : int or str, default="2*n_jobs"
        Fits that are sent to processes ahead.
    error_score : "raise" or float, default="raise"
        Score of a setting that fails. With a number, Ctrl-C loses a whole generation,
        or the grid.
    return_train_score : bool, default=False
        Whether ``cv_results_`` has training scores.
    random_state : int, RandomState instance or None, default=None
        Seed of the genetic search.

    Attributes
    ----------
    best_estimator_, best_params_, best_score_, best_index_, cv_results_
        As in :class:`sklearn.model_selection.GridSearchCV`.
    generations_ : list of list of int
        Rows of ``cv_results_`` that each generation consists of. A setting that comes
        back is not evaluated again.

    References
    ----------
    .. [1] P.-P. De Breuck, M. L. Evans, G.-M. Rignanese, "Robust model benchmarking
       and bias-imbalance in data-driven materials science: a case study on MODNet",
       J. Phys.: Condens. Matter 33, 404002 (2021).

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from skmatgnn import MODNetRegressor, MODNetSearchCV
    >>> X, y = make_regression(40, 5, random_state=0)
    >>> model = MODNetRegressor(featurizer=None, max_epochs=5, random_state=0)
    >>> space = {"n_features": [2, 5], "n_neurons": [((16,), (), (), ())], "lr": [0.01]}
    >>> search = MODNetSearchCV(model, space=space, cv=2).fit(X, y)
    >>> len(search.cv_results_["params"]), search.predict(X).shape
    (2, (40,))
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseSearchCV._parameter_constraints,  # noqa: SLF001 - as its own subclasses
        "preset": [StrOptions({"quick", "genetic"})],
        "space": [dict, None],
        "population_size": [Interval(Integral, _ELITE + 1, None, closed="left")],
        "n_generations": [Interval(Integral, 1, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "mutation_rate": [Interval(Real, 0, 1, closed="both")],
        "refit": ["boolean"],
        "scoring": [str, callable, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        preset: str = "quick",
        space: dict[str, list] | None = None,
        population_size: int = 20,
        n_generations: int = 10,
        n_iter_no_change: int = 4,
        mutation_rate: float = 0.1,
        scoring: str | Callable | None = None,
        n_jobs: int | None = None,
        refit: bool = True,
        cv: int | Iterable | None = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: float | str = "raise",
        return_train_score: bool = False,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.preset = preset
        self.space = space
        self.population_size = population_size
        self.n_generations = n_generations
        self.n_iter_no_change = n_iter_no_change
        self.mutation_rate = mutation_rate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # of a search scikit-learn takes over less
        if hasattr(self.estimator, "__sklearn_tags__"):
            inner = get_tags(self.estimator)
            tags.input_tags, tags.target_tags = inner.input_tags, inner.target_tags
        return tags

    @explain_lost_workers()
    def fit(self, X: Any, y: Any, **params: Any) -> Self:
        """Search, and fit the best.

        Parameters
        ----------
        X : sequence of n materials
            As the estimator takes them.
        y : array-like of shape (n,) or (n, t)
        **params : object
            For the estimator's ``fit`` and the splitter, such as ``groups``.

        Returns
        -------
        self
            After Ctrl-C, with a warning, of the settings that were evaluated by then.

        Raises
        ------
        KeyboardInterrupt
            If none was.
        InvalidValueError
            If y is None, or a parameter cannot be used.
        """
        require_given(y, self)
        return super().fit(X, y, **params)

    def _run_search(self, evaluate_candidates: Callable) -> None:
        genetic = self.preset == "genetic"
        values = {**(GENES if genetic else QUICK), **(self.space or {})}
        self._require_known(values, genetic=genetic)
        self.generations_: list[list[int]] = []
        evaluate = _Evaluation(evaluate_candidates, self)
        try:
            with ends_all():
                search = self._evolve if genetic else self._try_all
                search(values, evaluate)
        except KeyboardInterrupt:
            if not evaluate.n_done:
                raise
            count_interrupt()
            what = "fitted to all data" if self.refit else "kept"
            warnings.warn(
                f"The search was interrupted after {evaluate.n_done} settings; the "
                f"best of these is {what}.",
                TrainingInterruptedWarning,
                stacklevel=2,
            )

    def _try_all(self, values: dict[str, list], evaluate: _Evaluation) -> None:
        try:
            evaluate(list(ParameterGrid(values)))
        finally:
            self.generations_ = [list(range(evaluate.n_done))]

    def _require_known(self, values: dict[str, list], *, genetic: bool) -> None:
        known = {*self.estimator.get_params(), *(_WIDTHS if genetic else ())}
        if genetic:
            known.discard("n_neurons")
        for name, choices in values.items():
            if name not in known:
                raise InvalidValueError(
                    f"space has {name!r}, which is nothing to search for with "
                    f"preset={self.preset!r}. Known are {sorted(known)}."
                )
            if not isinstance(choices, list | tuple) or not len(choices):
                raise InvalidValueError(
                    f"space[{name!r}] must be a list of values; got {choices!r}."
                )

    def _evolve(self, values: dict[str, list], evaluate: _Evaluation) -> None:
        rng = check_random_state(self.random_state)
        sizes = np.array([len(choices) for choices in values.values()])
        rows: dict[tuple[int, ...], int] = {}
        population = rng.randint(sizes, size=(self.population_size, len(sizes)))
        best, best_generation = -np.inf, 0
        for generation in range(self.n_generations):
            genomes = [tuple(genome.tolist()) for genome in population]
            new = [g for g in dict.fromkeys(genomes) if g not in rows]
            try:
                evaluate([_decode(g, values) for g in new])
            finally:  # after Ctrl-C, some
                done = range(len(rows), evaluate.n_done)
                rows.update(zip(new, done, strict=False))
                self.generations_.append([rows[g] for g in genomes if g in rows])
            score = evaluate.results["mean_test_score"]
            score = np.nan_to_num(score, nan=-np.inf)
            fitness = score[self.generations_[-1]]
            if fitness.max() > best:
                best, best_generation = fitness.max(), generation
            elif generation - best_generation >= self.n_iter_no_change:
                break
            population = _next_generation(
                population, fitness, sizes, self.mutation_rate, rng
            )


class _Evaluation:
    """Evaluates settings in parts, so that Ctrl-C leaves those that are finished."""

    def __init__(self, evaluate_candidates: Callable, search: MODNetSearchCV) -> None:
        self.evaluate_candidates = evaluate_candidates
        self.search = search
        self.results: dict[str, Any] = {}

    @property
    def n_done(self) -> int:
        return len(self.results.get("params", ()))

    def __call__(self, settings: list[dict[str, Any]]) -> None:
        cv = self.search.cv
        splits = _SameSplits(cv) if hasattr(cv, "split") else None
        size = self._part_size() or len(settings)
        for start in range(0, len(settings), size):
            part = settings[start : start + size]
            self.results = self.evaluate_candidates(part, cv=splits)

    def _part_size(self) -> int | None:
        if self.search.error_score != "raise":
            return None  # scikit-learn raises where all fits of a part fail
        n_jobs = effective_n_jobs(self.search.n_jobs)
        return 1 if n_jobs == 1 else _AHEAD * n_jobs


class _SameSplits:
    """Gives the splits of the first call again, also where they have no seed."""

    def __init__(self, cv: Any) -> None:
        self.cv = cv
        self.splits: list | None = None

    def split(self, X: Any, y: Any = None, **params: Any) -> list:
        if self.splits is None:
            self.splits = list(self.cv.split(X, y, **params))
        return self.splits


def _decode(genome: tuple[int, ...], values: dict[str, list]) -> dict[str, Any]:
    """Turn the numbers of the chosen values into parameters of the estimator."""
    params = {
        name: choices[gene]
        for gene, (name, choices) in zip(genome, values.items(), strict=True)
    }
    first, second, third = (params.pop(name) for name in _WIDTHS)
    middle = max(1, round(first * second))
    last = max(1, round(middle * third))
    return {**params, "n_neurons": ((first,), (middle,), (last,), ())}


def _next_generation(
    population: np.ndarray,
    fitness: np.ndarray,
    sizes: np.ndarray,
    mutation_rate: float,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Keep the two best, and breed the rest from winners of tournaments."""
    _, first = np.unique(population, axis=0, return_index=True)
    elite = first[np.argsort(-fitness[first], kind="stable")][:_ELITE]
    n_children = len(population) - len(elite)
    entrants = rng.randint(len(population), size=(2, n_children, _TOURNAMENT))
    winners = np.take_along_axis(
        entrants, fitness[entrants].argmax(axis=2)[..., None], axis=2
    )[..., 0]
    mothers, fathers = population[winners]
    children = np.where(rng.random_sample(mothers.shape) < 0.5, mothers, fathers)
    mutants = rng.randint(sizes, size=children.shape)
    mutates = rng.random_sample(children.shape) < mutation_rate
    return np.concatenate([population[elite], np.where(mutates, mutants, children)])
