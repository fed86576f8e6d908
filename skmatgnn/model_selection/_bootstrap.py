"""Bootstrap: scores of refitted models, and intervals of the scores of a fitted one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm
from sklearn.base import is_classifier
from sklearn.utils import check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics import get_scorer
from skmatgnn.model_selection._fixed_responses import FixedResponses
from skmatgnn.utils._seeds import MAX_SEED, seeded_clone
from skmatgnn.utils._sklearn import num_samples, safe_indexing
from skmatgnn.utils.fit_arguments import arguments_for_fit
from skmatgnn.utils.interrupts import fit_or_stop
from skmatgnn.utils.lost_workers import explain_lost_workers
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    require_consistent_length,
    require_count,
    require_fraction,
    require_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skmatgnn._typing import ArrayLike, FloatArray, IntArray, RandomState

__all__ = ["BootstrapScores", "bootstrap_score"]

_METHODS = ("refit", "fixed")
_INTERVALS = ("percentile", "bca")
_MAX_REDRAWS = 1000


@dataclass(frozen=True)
class BootstrapScores:
    """Scores of a bootstrap, with their mean and interval.

    Quantities "per size" are plain numbers, or lose their first axis, unless
    ``train_sizes`` was given.

    Parameters
    ----------
    scores : ndarray of shape (n_sizes, n_resamples)
        Score of each resample, per size; NaN where it is not defined.
    mean, std, low, high : float or ndarray of shape (n_sizes,)
        Mean and standard deviation of the scores, and the ends of their interval;
        without those that are NaN.
    observed : float
        Score of the fixed predictions on all samples; NaN for ``method="refit"``.
    train_sizes : ndarray of shape (n_sizes,) or None
        Fractions of the data that were asked for.
    n_train : ndarray of shape (n_sizes, n_resamples), int
        Rows that were trained on, repeated ones counted; 0 for ``method="fixed"``.
    n_test : ndarray of shape (n_resamples,), int
        Rows that were scored.
    confidence_level : float
        Level of the interval.
    method, interval : str
        As asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.model_selection import bootstrap_score
    >>> y = np.arange(8.0)
    >>> result = bootstrap_score(y + 1.0, None, y, method="fixed",
    ...     scoring="neg_mean_absolute_error", n_resamples=10, random_state=0)
    >>> result.observed, result.low, result.high
    (-1.0, -1.0, -1.0)
    """

    scores: FloatArray
    mean: float | FloatArray
    std: float | FloatArray
    low: float | FloatArray
    high: float | FloatArray
    observed: float
    train_sizes: FloatArray | None
    n_train: IntArray
    n_test: IntArray
    confidence_level: float
    method: str
    interval: str


@explain_lost_workers()
def bootstrap_score(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: ArrayLike | None = None,
    scoring: str | Callable[..., float] | None = None,
    method: str = "refit",
    n_resamples: int | None = None,
    train_sizes: Sequence[float] | None = None,
    interval: str = "percentile",
    confidence_level: float = 0.95,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    verbose: int = 0,
) -> BootstrapScores:
    """Score with an interval, by resampling with replacement.

    There are two questions. ``method="refit"``: how well does this *method* do on
    data of this kind? Each resample is fitted anew and scored on the samples that it
    missed (out of bag); optionally for several sizes of training set, which gives a
    learning curve. ``method="fixed"``: how sure is the score of these *predictions*,
    given how few samples they were scored on? Nothing is fitted.

    Parameters
    ----------
    estimator : estimator, or array-like of predictions
        For "refit" it is cloned. For "fixed" it is fitted, and ``X`` are samples that
        it was not trained on; or it is the predictions for ``y``, with ``X=None``.
    X : sequence of length n_samples, or None
        Whatever ``estimator`` takes: structures, formulas, a matrix, a frame.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    groups : array-like of shape (n_samples,), default=None
        Samples of one group are drawn together, so that none is on both sides and
        the interval is as wide as the number of groups warrants.
    scoring : str or callable, default=None
        A name of this package or of scikit-learn, or ``scorer(estimator, X, y)``. None
        is the score of the estimator, which for "fixed" means R2 or accuracy.
    method : {"refit", "fixed"}, default="refit"
        Which of the two.
    n_resamples : int, default=None
        Number of resamples; None is 100 for "refit" and 1,000 for "fixed".
    train_sizes : sequence of float, default=None
        Fractions in (0, 1] of the number of samples (or groups) to draw for
        training, only for "refit". The draws of a resample are nested, and all its
        sizes are scored on the same samples, those that the whole draw missed.
    interval : {"percentile", "bca"}, default="percentile"
        Quantiles of the scores, or bias-corrected and accelerated quantiles [1]_ (only
        for "fixed"; needs a further score for each sample or group).
    confidence_level : float, default=0.95
        Level of the two-sided interval.
    n_jobs : int, default=None
        Number of workers; the result does not depend on it.
    random_state : int, RandomState or None, default=None
        Seed of the draws, and of every ``random_state`` of the estimator that is None.
    verbose : int, default=0
        Verbosity of joblib.

    Returns
    -------
    BootstrapScores
        Scores, mean, interval and sizes.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a parameter cannot be used, lengths differ or there is one group only.
    sklearn.exceptions.NotFittedError
        If ``method="fixed"`` and the estimator is not fitted.

    Notes
    -----
    The interval of "refit" spans what single resamples score: it holds the variation
    of the training sets and that of the test sets, which have 37 % of the samples. A
    resample has 63 % distinct samples, hence its mean score is somewhat pessimistic.

    A score that is not defined, such as R2 where a resample of few samples missed one
    only, is NaN in ``scores``; a warning says how many are, and mean, standard
    deviation and interval are of the others.

    A resample holds samples more than once. If the estimator's ``fit`` takes
    ``groups``, also inside a Pipeline or an ensemble, it gets them (the sample's own
    number where there are none), lest its internal validation split has copies of a
    sample on both sides.

    References
    ----------
    .. [1] B. Efron, "Better bootstrap confidence intervals", J. Am. Stat. Assoc. 82,
       171 (1987).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from skmatgnn.model_selection import bootstrap_score
    >>> X, y = load_diabetes(return_X_y=True)
    >>> result = bootstrap_score(
    ...     Ridge(), X, y, scoring="neg_mean_absolute_error", random_state=0
    ... )
    >>> print(f"{-result.mean:.1f} ({-result.high:.1f} to {-result.low:.1f})")
    48.3 (44.1 to 52.7)
    """
    _check_options(method, interval, n_resamples, train_sizes, confidence_level)
    n_resamples = n_resamples or (100 if method == "refit" else 1000)
    n_samples = _count_samples(X, y)
    units = np.arange(n_samples) if groups is None else ensure_groups(groups, n_samples)
    if units.max() == 0:
        raise InvalidValueError(
            f"A bootstrap draws from two samples or groups at least; got {n_samples} "
            "sample(s) in one group."
        )
    X, y = indexable(X, y)
    seeds = check_random_state(random_state).randint(MAX_SEED, size=n_resamples)
    parallel = Parallel(n_jobs=n_jobs, verbose=verbose)
    shared: dict[str, Any] = {
        "confidence_level": confidence_level,
        "interval": interval,
    }
    if method == "fixed":
        model, samples = _fixed_model(estimator, X, n_samples)
        scorer = _scorer_of(model, scoring, method)
        result = _fixed(parallel, scorer, model, samples, y, units, seeds, **shared)
        _warn_undefined(result)
        return result
    if not hasattr(estimator, "fit") or X is None:
        raise InvalidTypeError(
            "method='refit' needs an estimator with fit, and X; got "
            f"{describe(estimator)}, X is {describe(X)}. For predictions use "
            "method='fixed'."
        )
    scorer = _scorer_of(estimator, scoring, method)
    fractions = np.array([1.0] if train_sizes is None else train_sizes, dtype=float)
    results = parallel(
        delayed(_refit_one)(estimator, scorer, X, y, units, fractions, seed)
        for seed in seeds
    )
    scores, n_train, n_test = (np.array(part) for part in zip(*results, strict=True))
    result = _summary(
        scores.T,
        n_train.T,
        n_test,
        sizes=None if train_sizes is None else fractions,
        method="refit",
        **shared,
    )
    _warn_undefined(result)
    return result


def _check_options(
    method: str,
    interval: str,
    n_resamples: int | None,
    train_sizes: Sequence[float] | None,
    confidence_level: float,
) -> None:
    require_option("method", method, _METHODS)
    require_option("interval", interval, _INTERVALS)
    if n_resamples is not None:
        require_count("n_resamples", n_resamples)
    require_fraction("confidence_level", confidence_level)
    if method == "refit" and interval == "bca":
        raise InvalidValueError(
            "interval='bca' corrects the interval of one observed score, which "
            "method='refit' has not; use 'percentile', or method='fixed'."
        )
    if train_sizes is not None:
        _check_train_sizes(train_sizes, method)


def _check_train_sizes(train_sizes: Any, method: str) -> None:
    if method == "fixed":
        raise InvalidValueError(
            "train_sizes needs method='refit': fixed predictions are not trained."
        )
    sizes = np.asarray(train_sizes)
    if (
        sizes.ndim != 1
        or not len(sizes)
        or sizes.dtype.kind not in "if"
        or not ((sizes > 0) & (sizes <= 1)).all()
    ):
        raise InvalidValueError(
            "train_sizes must be fractions of the data above 0 and up to 1, such as "
            f"[0.1, 0.5, 1.0]; got {train_sizes!r}."
        )


def _count_samples(X: Any, y: Any) -> int:
    if y is None:
        raise InvalidValueError("y is None: there is nothing to score against.")
    n_samples = num_samples(y)
    if X is not None and num_samples(X) != n_samples:
        raise InvalidValueError(
            f"Found input variables with inconsistent numbers of samples: X has "
            f"{num_samples(X)}, y has {n_samples}. Each sample needs one target."
        )
    return n_samples


def _refit_one(
    estimator: Any,
    scorer: Callable[..., float],
    X: Any,
    y: Any,
    units: IntArray,
    fractions: FloatArray,
    seed: int,
) -> tuple[list[float], list[int], int]:
    """Scores and numbers of training rows by size, and number of rows scored."""
    rng = np.random.RandomState(seed)
    n_units = units.max() + 1
    rows_of = _rows_by_unit(units)
    drawn = _draw_with_rest(rng, n_units)
    out = np.flatnonzero(~np.isin(units, drawn))
    X_out, y_out = safe_indexing(X, out), safe_indexing(y, out)
    model_seed = int(rng.randint(MAX_SEED))
    scores, n_train = [], []
    for fraction in fractions:
        n_drawn = max(1, round(fraction * n_units))
        rows = np.concatenate([rows_of[unit] for unit in drawn[:n_drawn]])
        model = seeded_clone(estimator, model_seed)
        extra = arguments_for_fit(model, groups=units[rows])
        fit_or_stop(model, safe_indexing(X, rows), safe_indexing(y, rows), **extra)
        scores.append(float(scorer(model, X_out, y_out)))
        n_train.append(len(rows))
    return scores, n_train, len(out)


def _draw_with_rest(rng: np.random.RandomState, n_units: int) -> IntArray:
    """Draw until something is left to score, which with few groups is not sure."""
    for _ in range(_MAX_REDRAWS):
        drawn = rng.randint(n_units, size=n_units)
        if len(np.unique(drawn)) < n_units:
            return drawn
    raise InvalidValueError(f"No draw of {n_units} groups left one out of bag.")


def _rows_by_unit(units: IntArray) -> list[IntArray]:
    order = np.argsort(units, kind="stable")
    return np.split(order, np.cumsum(np.bincount(units))[:-1])


def _fixed(
    parallel: Parallel,
    scorer: Callable[..., float],
    model: FixedResponses,
    samples: IntArray,
    y: Any,
    units: IntArray,
    seeds: IntArray,
    *,
    interval: str,
    confidence_level: float,
) -> BootstrapScores:
    observed = float(scorer(model, samples, y))  # also fills the cache of responses
    rows_of = _rows_by_unit(units)
    draws = [
        np.concatenate([rows_of[unit] for unit in _draw(seed, len(rows_of))])
        for seed in seeds
    ]
    scores = parallel(delayed(_score_rows)(scorer, model, y, rows) for rows in draws)
    jackknife = None
    if interval == "bca":
        left = [np.flatnonzero(units != unit) for unit in range(len(rows_of))]
        jackknife = np.array(
            parallel(delayed(_score_rows)(scorer, model, y, rows) for rows in left)
        )
    return _summary(
        np.array([scores]),
        np.zeros((1, len(scores)), dtype=np.int64),
        np.array([len(rows) for rows in draws]),
        sizes=None,
        method="fixed",
        interval=interval,
        confidence_level=confidence_level,
        observed=observed,
        jackknife=jackknife,
    )


def _draw(seed: int, n_units: int) -> IntArray:
    return np.random.RandomState(seed).randint(n_units, size=n_units)


def _score_rows(
    scorer: Callable[..., float], model: FixedResponses, y: Any, rows: IntArray
) -> float:
    return float(scorer(model, rows, safe_indexing(y, rows)))


def _summary(
    scores: FloatArray,
    n_train: IntArray,
    n_test: IntArray,
    *,
    sizes: FloatArray | None,
    method: str,
    interval: str,
    confidence_level: float,
    observed: float = np.nan,
    jackknife: FloatArray | None = None,
) -> BootstrapScores:
    tails = np.array([(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    if jackknife is not None:
        tails = _bca_levels(scores[0], observed, jackknife, tails)
    found = [row[~np.isnan(row)] for row in scores]
    found = [row if len(row) else np.array([np.nan]) for row in found]
    mean, std = (np.array([f(row) for row in found]) for f in (np.mean, np.std))
    low, high = np.array([np.quantile(row, tails) for row in found]).T
    per_size = (scores, mean, std, low, high, n_train)
    if sizes is None:
        per_size = (per_size[0][0], *(float(v[0]) for v in per_size[1:5]), n_train[0])
    scores, mean, std, low, high, n_train = per_size
    return BootstrapScores(
        scores=scores,
        mean=mean,
        std=std,
        low=low,
        high=high,
        observed=observed,
        train_sizes=sizes,
        n_train=n_train,
        n_test=n_test,
        confidence_level=confidence_level,
        method=method,
        interval=interval,
    )


def _warn_undefined(result: BootstrapScores) -> None:
    undefined = np.isnan(np.atleast_2d(result.scores))
    if undefined.any():
        fewest = int(result.n_test[undefined.any(axis=0)].min())
        warnings.warn(
            f"{int(undefined.sum())} of {undefined.size} scores are NaN, and left out "
            "of the mean and the interval: the score is not defined for what these "
            f"resamples are tested on ({fewest} sample(s) at least), as R2 is not for "
            "one sample. Give more samples, or a scoring such as "
            "'neg_mean_absolute_error'.",
            stacklevel=4,
        )


def _bca_levels(
    scores: FloatArray, observed: float, jackknife: FloatArray, tails: FloatArray
) -> FloatArray:
    """Quantile levels after correction of bias and skewness (Efron 1987, eq. 2.3)."""
    scores, jackknife = scores[~np.isnan(scores)], jackknife[~np.isnan(jackknife)]
    if not len(scores) or not len(jackknife):
        return tails
    below = (np.mean(scores < observed) + np.mean(scores <= observed)) / 2
    if below in (0.0, 1.0) or np.ptp(jackknife) == 0:
        return tails  # all scores on one side, or all alike: nothing to correct by
    deviation = jackknife.mean() - jackknife
    acceleration = (deviation**3).sum() / (6 * (deviation**2).sum() ** 1.5)
    bias = norm.ppf(below)
    shifted = bias + norm.ppf(tails)
    return norm.cdf(bias + shifted / (1 - acceleration * shifted))


def _fixed_model(
    estimator: Any, X: Any, n_samples: int
) -> tuple[FixedResponses, IntArray]:
    if hasattr(estimator, "predict"):
        if X is None:
            raise InvalidValueError(
                "X is None, so that there is nothing to predict; give the samples, or "
                "the predictions in the place of the estimator."
            )
        check_is_fitted(estimator)
        return FixedResponses(estimator, X), np.arange(n_samples)
    if isinstance(estimator, str) or not hasattr(estimator, "__len__"):
        raise InvalidTypeError(
            "method='fixed' needs a fitted estimator or an array of predictions; got "
            f"{describe(estimator)}."
        )
    predictions = np.asarray(estimator)
    require_consistent_length(y=range(n_samples), predictions=predictions)
    return FixedResponses.from_predictions(predictions), np.arange(n_samples)


def _scorer_of(
    estimator: Any, scoring: str | Callable[..., float] | None, method: str
) -> Callable[..., float]:
    if scoring is not None:
        return get_scorer(scoring)
    if method == "fixed":
        return get_scorer("accuracy" if is_classifier(estimator) else "masked_r2")
    if not hasattr(estimator, "score"):
        raise InvalidTypeError(
            f"{describe(estimator)} has no score method; give scoring=, for example "
            "'neg_mean_absolute_error'."
        )
    return _own_score


def _own_score(estimator: Any, X: Any, y: Any) -> float:
    return estimator.score(X, y)
