"""Prediction intervals that hold as often as they say, around any regressor."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, indexable
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from skmatgnn._typing import ArrayLike, FloatArray, IntArray, RandomState
from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._conformal_quantiles import (
    group_weights,
    highest_level,
    upper_quantiles,
)
from skmatgnn.estimators._conformal_splits import conformal_splits, require_enough
from skmatgnn.estimators._scoring import MaskedRegressorMixin
from skmatgnn.estimators._wrapper import WrapperMixin, gives_std
from skmatgnn.utils._seeds import MAX_SEED, seeded_clone
from skmatgnn.utils._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    check_method_params,
    fit_context,
    num_samples,
    safe_indexing,
)
from skmatgnn.utils.fit_arguments import arguments_for_fit
from skmatgnn.utils.interrupts import fit_or_stop
from skmatgnn.utils.lost_workers import explain_lost_workers
from skmatgnn.utils.targets import ensure_regression_targets
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    require_consistent_length,
    require_samples,
)

__all__ = ["ConformalRegressor"]

SMALLEST_STD = 1e-3


class Calibrated(NamedTuple):
    """A fitted model and how it does on the samples that it has not seen."""

    model: Any
    scores: FloatArray
    floor: FloatArray


class ConformalRegressor(WrapperMixin, MaskedRegressorMixin, BaseEstimator):
    """Give any regressor prediction intervals that hold as often as they say.

    The errors on samples that a model was not trained on tell how wide an interval has
    to be. As long as new materials are drawn as those were, it holds the true value
    with the probability asked for, whatever the model and however few the samples:
    quantiles are those of a finite sample. For materials unlike all that were
    calibrated with, nothing is promised; ``groups`` make the samples that are left out
    as new as the ones to come.

    Parameters
    ----------
    estimator : regressor, or FrozenEstimator of a fitted one
        What predicts: any regressor of this package or scikit-learn, a Pipeline, a
        search, with one target or several. It is cloned. One inside
        ``sklearn.frozen.FrozenEstimator`` is used as it is, and all samples of ``fit``,
        which it must not have seen, calibrate it.
    method : {"split", "cv+"}, default="split"
        ``"split"`` trains one model and sets ``calibration_fraction`` of the samples
        aside [1]_. ``"cv+"`` trains one for each fold of ``cv``, so that all samples
        train and calibrate; with ``cv=LeaveOneOut()`` it is the jackknife+ [2]_.
    confidence_level : float, default=0.9
        Probability that an interval of `predict_interval` holds.
    calibration_fraction : float, default=0.2
        Share of the samples, or of the groups, that ``"split"`` calibrates with.
    cv : int, splitter or iterable, default=5
        Folds of ``"cv+"``; a number is that of shuffled folds, which keep groups
        together. Samples that are in no test set do not calibrate.
    normalize : bool or "auto", default="auto"
        Whether intervals are as wide as the estimator is unsure, in that errors count
        in units of the standard deviation of ``predict(X, return_std=True)``. Without
        it all intervals of ``"split"`` have the same width. ``"auto"`` does so if the
        estimator has that.
    n_jobs : int or None, default=None
        Folds of ``"cv+"`` that are trained at the same time.
    random_state : int, RandomState instance or None, default=None
        Seed of the splits, and of every ``random_state`` of the estimator that is None.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted models, one for ``"split"``.
    conformity_scores_ : ndarray of shape (n_calibration, n_outputs)
        Absolute errors of the samples that calibrate, in units of the standard
        deviation where ``normalized_``; NaN where the target is unknown.
    calibration_indices_ : ndarray of shape (n_calibration,)
        Rows of X that these are.
    max_confidence_level_ : float
        Highest level for which they are enough.
    normalized_ : bool
        Whether the estimator's standard deviations are used.
    n_features_in_ : int
        Only where the estimator has it.
    feature_names_in_ : ndarray of str
        Only where the estimator has it.

    See Also
    --------
    DeepEnsembleRegressor : Has a standard deviation that tells materials apart.
    skmatgnn.inspection.UncertaintyCalibrationDisplay : Shows whether intervals hold.

    Notes
    -----
    ``"split"`` holds with at least the probability asked for, and with at most
    ``1 / (n + 1)`` more; it is an average over calibration sets, and for one of them
    the coverage has a standard deviation of about ``sqrt(0.09 / n)`` at a level of 0.9.
    ``"cv+"`` is proven only for ``1 - 2 * (1 - confidence_level)``, and comes close to
    ``confidence_level`` in practice.

    Samples of one group are no independent evidence. With ``groups`` they are split
    together and each group counts the same, which holds for a sample of a new group
    [3]_. Then what has to be many is the groups: 9 for a level of 0.9, 19 for 0.95.

    Targets are calibrated one by one: with several, each interval holds with the
    probability asked for, and all at once less often. A standard deviation below a
    thousandth of that of the training targets counts as that, lest an interval be of no
    width.

    References
    ----------
    .. [1] Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-Free Predictive
       Inference for Regression", J. Am. Stat. Assoc. 113, 1094 (2018), sections 2.2
       and 5.2.
    .. [2] Barber, Candes, Ramdas, Tibshirani, "Predictive inference with the
       jackknife+", Ann. Stat. 49, 486 (2021), section 3.
    .. [3] Lee, Barber, Willett, "Distribution-free inference with hierarchical data",
       arXiv:2306.06342, section 3.

    Examples
    --------
    >>> from skmatgnn import ConformalRegressor, make_rf_magpie
    >>> from skmatgnn.datasets import load_formation_energies
    >>> X, y = load_formation_energies(return_X_y=True)
    >>> model = ConformalRegressor(make_rf_magpie(n_estimators=10), random_state=0)
    >>> model = model.fit(X[:200], y[:200])
    >>> low, high = model.predict_interval(X[200:300], confidence_level=0.8)
    >>> bool(((low <= y[200:300]) & (y[200:300] <= high)).mean() > 0.6)
    True
    """

    _also_saved = ("_floors", "_folds", "_groups")
    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "method": [StrOptions({"split", "cv+"})],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "calibration_fraction": [Interval(Real, 0, 1, closed="neither")],
        "cv": ["cv_object"],
        "normalize": ["boolean", StrOptions({"auto"})],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        method: str = "split",
        confidence_level: float = 0.9,
        calibration_fraction: float = 0.2,
        cv: Any = 5,
        normalize: bool | str = "auto",
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.confidence_level = confidence_level
        self.calibration_fraction = calibration_fraction
        self.cv = cv
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    @explain_lost_workers()
    def fit(self, X: Any, y: Any, groups: Any = None, **fit_params: Any) -> Self:
        """Train and calibrate.

        Parameters
        ----------
        X : sequence of n materials
            Whatever ``estimator`` takes.
        y : array-like of shape (n,) or (n, t)
            NaN in a 2-D y means "not known".
        groups : array-like of shape (n,), optional
            Samples of a group are on one side of every split. The estimator's ``fit``
            gets them too, if it takes them, also inside a Pipeline or an ensemble.
        **fit_params : object
            For the estimator's ``fit``; what has a value for each sample is split as X
            is.

        Returns
        -------
        self

        Raises
        ------
        InvalidValueError
            If there are too few samples, or groups, to calibrate; the message says how
            many are needed. Nothing has been trained then.
        InvalidTypeError
            If ``estimator`` is no regressor.
        """
        self._require_kind(is_regressor, "regressor")
        require_samples(X)
        targets, _ = ensure_regression_targets(y, estimator=self)
        require_consistent_length(X=range(num_samples(X)), y=targets)
        codes = None if groups is None else ensure_groups(groups, len(targets))
        X, y = indexable(X, y)
        rng = check_random_state(self.random_state)
        splits = conformal_splits(self, X, y, codes, rng)
        tested = [rows for _, rows in splits]
        require_enough(self, targets, np.concatenate(tested), codes)
        params = self._params_of_fit(fit_params)
        params = {**arguments_for_fit(self.estimator, groups=codes), **params}
        seeds = rng.randint(MAX_SEED, size=len(splits)).tolist()
        found = Parallel(n_jobs=self.n_jobs)(
            delayed(_calibrate)(self, X, y, targets, split, params, seed)
            for split, seed in zip(splits, seeds, strict=True)
        )
        return self._finish(found, tested, codes)

    def _finish(
        self, found: list[Calibrated], tested: list[IntArray], codes: IntArray | None
    ) -> Self:
        self.estimators_ = [result.model for result in found]
        self._floors = [result.floor for result in found]
        self.conformity_scores_ = np.concatenate([result.scores for result in found])
        self.calibration_indices_ = np.concatenate(tested)
        self._folds = np.repeat(np.arange(len(tested)), [len(t) for t in tested])
        self._groups = None if codes is None else codes[self.calibration_indices_]
        self.normalized_ = self._normalizes(self.estimators_[0])
        columns = self.conformity_scores_.T
        counts = [
            np.isfinite(column).sum()
            if codes is None
            else len(np.unique(codes[self.calibration_indices_[np.isfinite(column)]]))
            for column in columns
        ]
        self.max_confidence_level_ = highest_level(int(min(counts)))
        self._take_names(self.estimators_[0])
        return self

    def _normalizes(self, fitted: Any) -> bool:
        if self.normalize is False:
            return False
        given = gives_std(fitted)
        if not given and self.normalize is True:
            raise InvalidValueError(
                f"normalize=True needs an estimator with a standard deviation, but "
                f"predict(X, return_std=True) of {type(fitted).__name__} gives none. "
                "Wrap it in DeepEnsembleRegressor, or set normalize='auto'."
            )
        return given

    def predict(self, X: Any) -> np.ndarray:
        """Predict.

        Parameters
        ----------
        X : sequence of n materials

        Returns
        -------
        ndarray of shape (n,) or (n, t)
            What the estimator predicts; for ``"cv+"``, the mean of the models.
        """
        check_is_fitted(self)
        return np.mean([model.predict(X) for model in self.estimators_], axis=0)

    def predict_interval(
        self, X: Any, confidence_level: float | ArrayLike | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict the ends of intervals that hold the true values.

        Parameters
        ----------
        X : sequence of n materials
        confidence_level : float or array-like of shape (m,), optional
            Probability that an interval holds; that of the constructor by default.
            Another one needs no new fit.

        Returns
        -------
        low, high : ndarray of shape (n,) or (n, t)
            In the shape of ``predict``. Of shape (m, n) or (m, n, t) for several
            levels.

        Raises
        ------
        InvalidValueError
            If a level is not between 0 and 1, or higher than
            ``max_confidence_level_``.
        """
        check_is_fitted(self)
        given = self.confidence_level if confidence_level is None else confidence_level
        levels = self._checked_levels(given)
        pairs = [self._spread(model, X) for model in self.estimators_]
        shape = np.shape(pairs[0][0])
        n_outputs = self.conformity_scores_.shape[1]
        centers = np.stack([np.reshape(c, (-1, n_outputs)) for c, _ in pairs], axis=1)
        scales = np.stack(
            [
                np.maximum(np.reshape(s, (-1, n_outputs)), floor)
                for (_, s), floor in zip(pairs, self._floors, strict=True)
            ],
            axis=1,
        )
        ends = [
            self._ends(centers[:, :, t], scales[:, :, t], t, levels)
            for t in range(n_outputs)
        ]
        low, high = (np.stack(end, axis=-1) for end in zip(*ends, strict=True))
        several = np.ndim(given) > 0
        shape = (len(levels), *shape) if several else shape
        return low.reshape(shape), high.reshape(shape)

    def _spread(self, model: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
        if self.normalized_:
            return model.predict(X, return_std=True)
        predicted = model.predict(X)
        return predicted, np.ones(np.shape(predicted))

    def _checked_levels(self, given: Any) -> FloatArray:
        try:
            levels = np.atleast_1d(np.asarray(given, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise InvalidValueError(
                f"confidence_level must be a number; got {describe(given)}."
            ) from error
        if levels.ndim != 1 or not ((levels > 0) & (levels < 1)).all():
            raise InvalidValueError(
                f"confidence_level must be between 0 and 1; got {given!r}."
            )
        if levels.max(initial=0.0) > self.max_confidence_level_ + 1e-9:
            raise InvalidValueError(
                f"confidence_level={levels.max():g} is more than "
                f"{len(self.conformity_scores_)} calibration samples allow, which is "
                f"max_confidence_level_={self.max_confidence_level_:.4g}. Calibrate "
                "with more samples, or groups."
            )
        return levels

    def _ends(
        self, centers: FloatArray, scales: FloatArray, output: int, levels: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        scores = self.conformity_scores_[:, output]
        known = np.isfinite(scores)
        groups = None if self._groups is None else self._groups[known]
        weights = group_weights(groups, int(known.sum()))
        samples = (scores[known], self._folds[known], weights, levels)
        if len(self.estimators_) == 1:
            width = upper_quantiles(np.zeros((1, 1)), np.ones((1, 1)), *samples)
            half = width * scales[:, 0]
            return centers[:, 0] - half, centers[:, 0] + half
        high = upper_quantiles(centers, scales, *samples)
        low = -upper_quantiles(-centers, scales, *samples)
        # below a level of a half there may be no such interval
        middle = (low + high) / 2
        empty = low > high
        return np.where(empty, middle, low), np.where(empty, middle, high)


def _calibrate(
    conformal: ConformalRegressor,
    X: Any,
    y: Any,
    targets: FloatArray,
    split: tuple[IntArray, IntArray],
    params: dict[str, Any],
    seed: int,
) -> Calibrated:
    train, test = split
    model = seeded_clone(conformal.estimator, seed)
    if not isinstance(model, FrozenEstimator):
        own = check_method_params(X, params=params, indices=train)
        known = safe_indexing(X, train), safe_indexing(y, train)
        if conformal.method == "split":
            model.fit(*known, **own)
        else:
            fit_or_stop(model, *known, **own)
    spread = np.nanstd(targets[train], axis=0)
    floor = np.where(spread > 0, SMALLEST_STD * spread, np.finfo(float).tiny)
    tested = safe_indexing(X, test)
    if conformal._normalizes(model):  # noqa: SLF001
        predicted, std = model.predict(tested, return_std=True)
    else:
        predicted, std = model.predict(tested), np.ones(targets[test].shape)
        floor = np.zeros_like(floor)
    shape = targets[test].shape
    if np.size(predicted) != targets[test].size or not np.isfinite(predicted).all():
        raise InvalidValueError(
            f"{type(model).__name__} must predict {shape[1]} finite number(s) for each "
            f"of {shape[0]} samples; got an array of shape {np.shape(predicted)}, or "
            "NaN."
        )
    error = np.abs(targets[test] - np.reshape(predicted, shape))
    return Calibrated(model, error / np.maximum(np.reshape(std, shape), floor), floor)
