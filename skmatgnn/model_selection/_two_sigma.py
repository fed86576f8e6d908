"""Leaving out targets far from the mean, with thresholds of the training rows only."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.utils import get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics import get_scorer
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import (
    HasMethods,
    Interval,
    check_sample_weight,
    fit_context,
    num_samples,
    safe_indexing,
)
from skmatgnn.utils.fit_arguments import arguments_for_fit, fit_keyword
from skmatgnn.utils.targets import ensure_regression_targets
from skmatgnn.utils.validation import (
    describe,
    require_usable_weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.utils import Tags

    from skmatgnn._typing import ArrayLike, FloatArray

__all__ = ["TwoSigmaRegressor", "make_two_sigma_scorer", "two_sigma_mask"]


def two_sigma_mask(
    y_train: ArrayLike, y: ArrayLike | None = None, *, n_sigma: float = 2.0
) -> np.ndarray:
    """Mark the targets within some standard deviations of the training targets' mean.

    Parameters
    ----------
    y_train : array-like of shape (n_train,) or (n_train, n_outputs)
        Targets of which mean and standard deviation are taken.
    y : array-like of shape (n,) or (n, n_outputs), default=None
        Targets to mark; by default ``y_train``.
    n_sigma : float, default=2.0
        Half width of the interval in standard deviations.

    Returns
    -------
    ndarray of shape (n,), dtype bool
        True where ``abs(y - mean) <= n_sigma * std`` in every output. Unknown targets
        (NaN, in two dimensions) count as inside.

    Raises
    ------
    InvalidValueError
        If targets cannot be used or ``n_sigma`` is not positive.

    Notes
    -----
    A filter that looks at the test targets for its thresholds lets them choose which
    of them are scored; with the training targets as ``y_train`` it does not.

    References
    ----------
    .. [1] Wu, Hargreaves, Mishra, Rignanese, "Machine Learning for Electrode
       Materials: Property Prediction via Composition", arXiv:2603.07805 (2026).

    Examples
    --------
    >>> from skmatgnn.model_selection import two_sigma_mask
    >>> two_sigma_mask([1.0, 2.0, 3.0, 2.0], [0.0, 1.5, 54.57]).tolist()
    [False, True, False]
    """
    if isinstance(n_sigma, bool) or not isinstance(n_sigma, Real) or not n_sigma > 0:
        raise InvalidValueError(f"n_sigma must be a positive number; got {n_sigma!r}.")
    table, _ = ensure_regression_targets(y_train)
    lower, upper = _thresholds(table, n_sigma, None)
    given = table if y is None else _as_table(y, table.shape[1])
    return _inside(given, lower, upper)


class TwoSigmaRegressor(
    DocLinkMixin, MetaEstimatorMixin, RegressorMixin, BaseEstimator
):
    """Regressor that is trained without the rows of outlying targets.

    Rows whose target lies more than ``n_sigma`` standard deviations from the mean of
    the training targets are dropped before the inner regressor is fitted. Mean and
    deviation come from the rows given to ``fit`` alone, so that in cross-validation
    no test target has a say in the filter.

    Parameters
    ----------
    estimator : regressor
        What is fitted on the remaining rows; cloned.
    n_sigma : float, default=2.0
        Half width of the interval in standard deviations.

    Attributes
    ----------
    estimator_ : regressor
        The fitted clone.
    lower_, upper_ : ndarray of shape (n_outputs,)
        The smallest and largest target kept.
    n_dropped_ : int
        Number of training rows left out.
    n_features_in_ : int
        Number of features seen during `fit`, if ``estimator_`` has it.
    feature_names_in_ : ndarray of str
        Names of the features, if ``estimator_`` has it.

    See Also
    --------
    two_sigma_mask : The same filter as a function.
    make_two_sigma_scorer : Scores on the test rows inside the learnt interval.

    Notes
    -----
    With sample weights, mean and deviation are weighted. With several outputs a row is
    dropped if any of its known targets is outside.

    References
    ----------
    .. [1] Wu, Hargreaves, Mishra, Rignanese, "Machine Learning for Electrode
       Materials: Property Prediction via Composition", arXiv:2603.07805 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmatgnn.model_selection import TwoSigmaRegressor
    >>> X = np.arange(10.0).reshape(-1, 1)
    >>> y = 2 * X.ravel()
    >>> y[4] = 500.0
    >>> model = TwoSigmaRegressor(LinearRegression()).fit(X, y)
    >>> model.n_dropped_, model.predict([[20.0]]).round(6).tolist()
    (1, [40.0])
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_sigma": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, estimator: Any, *, n_sigma: float = 2.0) -> None:
        self.estimator = estimator
        self.n_sigma = n_sigma

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn the interval, then fit on the rows inside it.

        Parameters
        ----------
        X : sequence of length n_samples
            Whatever ``estimator`` takes.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, if ``estimator`` takes them, also inside a Pipeline.
        groups : array-like of shape (n_samples,), default=None
            Groups for ``estimator``'s own validation split, also inside a Pipeline;
            ignored if its ``fit`` does not take them.

        Returns
        -------
        self

        Raises
        ------
        InvalidValueError
            If the targets cannot be used, or weights are given to an estimator
            without them.
        """
        table, _ = ensure_regression_targets(y, estimator=self)
        weight = self._checked_weight(sample_weight, table)
        if num_samples(X) != len(table):
            raise InvalidValueError(
                "Found input variables with inconsistent numbers of samples: X has "
                f"{num_samples(X)}, y has {len(table)}. Each sample needs one target."
            )
        self.lower_, self.upper_ = _thresholds(table, self.n_sigma, weight)
        inside = _inside(table, self.lower_, self.upper_)
        self.n_dropped_ = int((~inside).sum())
        rows = np.flatnonzero(inside)
        X, y = indexable(X, y)
        extra = arguments_for_fit(
            self.estimator,
            groups=None if groups is None else safe_indexing(groups, rows),
            sample_weight=None if weight is None else weight[rows],
        )
        self.estimator_ = clone(self.estimator).fit(
            safe_indexing(X, rows), safe_indexing(y, rows), **extra
        )
        return self

    def predict(self, X: Any) -> FloatArray:
        """Predict with the fitted regressor.

        Parameters
        ----------
        X : sequence of length n_samples
            Whatever ``estimator`` takes.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions; nothing is filtered here.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @property
    def n_features_in_(self) -> int:
        """Number of features seen during `fit`."""
        check_is_fitted(self)
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the features seen during `fit`."""
        check_is_fitted(self)
        return self.estimator_.feature_names_in_

    def _checked_weight(self, weight: Any, table: FloatArray) -> FloatArray | None:
        if weight is None:
            return None
        if fit_keyword(self.estimator, "sample_weight") is None:
            raise InvalidValueError(
                f"{type(self.estimator).__name__} takes no sample_weight; leave it out "
                "or use an estimator whose fit has it."
            )
        require_usable_weights(weight, len(table))
        return check_sample_weight(weight, table, dtype=np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.target_tags = inner.target_tags
        tags.non_deterministic = inner.non_deterministic
        if inner.regressor_tags is not None:
            tags.regressor_tags = inner.regressor_tags
        return tags


def make_two_sigma_scorer(
    scoring: str | Callable[..., float] = "neg_mean_absolute_error",
) -> Callable[..., float]:
    """Make a scorer that leaves out the rows outside the interval learnt in training.

    Parameters
    ----------
    scoring : str or callable, default="neg_mean_absolute_error"
        A name of this package or of scikit-learn, or ``scorer(estimator, X, y)``.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)`` for ``scoring=``. The
        estimator must be a fitted :class:`TwoSigmaRegressor`, or a pipeline that
        ends in one or a search over one. It raises `InvalidValueError` for any other,
        and if no row is inside.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from skmatgnn.model_selection import TwoSigmaRegressor, make_two_sigma_scorer
    >>> y = np.array([1.0, 2.0, 3.0, 2.0])
    >>> model = TwoSigmaRegressor(DummyRegressor()).fit(y.reshape(-1, 1), y)
    >>> make_two_sigma_scorer()(model, [[0.0], [0.0]], [1.5, 54.57])
    -0.5
    """
    return _TwoSigmaScorer(get_scorer(scoring))


class _TwoSigmaScorer:
    """The scorer as an object, so that it can be sent to worker processes."""

    def __init__(self, scorer: Callable[..., float]) -> None:
        self._scorer = scorer

    def __call__(
        self, estimator: Any, X: Any, y: Any, sample_weight: ArrayLike | None = None
    ) -> float:
        model = _find_filter(estimator)
        rows = np.flatnonzero(
            _inside(_as_table(y, len(model.lower_)), model.lower_, model.upper_)
        )
        if not len(rows):
            raise InvalidValueError(
                f"None of the {len(y)} targets to be scored is between "
                f"{model.lower_.tolist()} and {model.upper_.tolist()}, which the "
                "training targets set; raise n_sigma or score without the filter."
            )
        X, y = indexable(X, y)
        extra = {}
        if sample_weight is not None:
            extra["sample_weight"] = np.asarray(sample_weight)[rows]
        return self._scorer(
            estimator, safe_indexing(X, rows), safe_indexing(y, rows), **extra
        )

    def __repr__(self) -> str:
        return f"make_two_sigma_scorer({self._scorer!r})"


def _find_filter(estimator: Any) -> TwoSigmaRegressor:
    model = estimator
    while not isinstance(model, TwoSigmaRegressor):
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps"):
            model = model.steps[-1][1]
        else:
            raise InvalidTypeError(
                "The thresholds come from a fitted TwoSigmaRegressor, at the end of a "
                f"pipeline or inside a search; got {describe(estimator)}. Wrap the "
                "regressor: TwoSigmaRegressor(estimator)."
            )
    check_is_fitted(model)
    return model


def _thresholds(
    table: FloatArray, n_sigma: float, weight: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    known = ~np.isnan(table)
    weights = known * (1.0 if weight is None else weight[:, None])
    total = weights.sum(axis=0)
    if not (total > 0).all():
        raise InvalidValueError(
            f"Output {int(np.argmin(total))} has no known target of positive weight, "
            "so that it has no mean to filter by."
        )
    values = np.where(known, table, 0.0)
    mean = (weights * values).sum(axis=0) / total
    spread = np.sqrt((weights * (values - mean) ** 2).sum(axis=0) / total)
    # equal targets have no spread, but a mean that is off by rounding
    slack = 8 * np.finfo(float).eps * np.abs(mean)
    return mean - n_sigma * spread - slack, mean + n_sigma * spread + slack


def _inside(table: FloatArray, lower: FloatArray, upper: FloatArray) -> np.ndarray:
    outside: np.ndarray = (table < lower) | (table > upper)
    return np.logical_not(outside.any(axis=1))


def _as_table(y: Any, n_outputs: int) -> FloatArray:
    table = np.asarray(y, dtype=np.float64)
    table = table.reshape(-1, 1) if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] != n_outputs:
        raise InvalidValueError(
            f"y must have the {n_outputs} output(s) of the training targets; got "
            f"shape {table.shape}."
        )
    return table
