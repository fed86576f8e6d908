"""Scorers for ``scoring=`` that leave out unknown targets."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import get_scorer as sklearn_get_scorer
from sklearn.metrics import make_scorer

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.metrics._masked import (
    masked_mean_absolute_error,
    masked_r2_score,
    masked_root_mean_squared_error,
)
from skmatgnn.metrics._reduce import ensure_targets, reduce_columns
from skmatgnn.metrics._scaled import scaled_mean_absolute_error
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from skmatgnn._typing import ArrayLike, FloatArray

_NAMED = {
    "masked_r2": (masked_r2_score, True),
    "neg_masked_mae": (masked_mean_absolute_error, False),
    "neg_masked_mean_absolute_error": (masked_mean_absolute_error, False),
    "neg_masked_rmse": (masked_root_mean_squared_error, False),
    "neg_masked_root_mean_squared_error": (masked_root_mean_squared_error, False),
    "neg_scaled_mean_absolute_error": (scaled_mean_absolute_error, False),
    "neg_smae": (scaled_mean_absolute_error, False),
}
_NAN_AWARE = tuple({metric for metric, _ in _NAMED.values()})


def make_masked_scorer(
    metric: Callable[..., Any],
    *,
    greater_is_better: bool = True,
    minimum_known: int = 1,
    multioutput: str | ArrayLike = "uniform_average",
    **metric_params: Any,
) -> Callable[..., float]:
    """Make a scorer that evaluates a metric on the known targets only.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, y_pred, **metric_params)``: a metric of this package, or any
        other regression metric, which is then called once per property with the
        rows whose target is known. A function that can be imported makes a scorer
        that can be pickled.
    greater_is_better : bool, default=True
        Whether ``metric`` is a score; a loss is negated.
    minimum_known : int, default=1
        With fewer known targets than this a property counts as undefined and is left
        out of the average. Only for metrics of other packages.
    multioutput : {"uniform_average"} or array of shape (n_outputs,), \
            default="uniform_average"
        How the properties are averaged.
    **metric_params : dict
        Further keyword arguments of ``metric``, such as ``y_train`` of
        :func:`scaled_mean_absolute_error`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y, sample_weight=None)``, as scikit-learn expects
        for ``scoring=``. ``sample_weight`` only works if ``metric`` accepts it.

    Raises
    ------
    InvalidTypeError
        If ``metric`` is not callable.
    InvalidValueError
        If ``multioutput="raw_values"``: a scorer returns one number.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.metrics import median_absolute_error
    >>> from skmatgnn.metrics import make_masked_scorer
    >>> scorer = make_masked_scorer(median_absolute_error, greater_is_better=False)
    >>> X, Y = np.zeros((3, 1)), np.array([[1.0, 4.0], [2.0, 5.0], [np.nan, 9.0]])
    >>> model = DummyRegressor(strategy="constant", constant=[1.0, 4.0])
    >>> scorer(model.fit(X, np.nan_to_num(Y)), X, Y)
    -0.75
    """
    if not callable(metric):
        raise InvalidTypeError(
            f"metric must be callable as metric(y_true, y_pred); got "
            f"{describe(metric)}. Named scorers come from get_scorer."
        )
    if isinstance(multioutput, str) and multioutput == "raw_values":
        raise InvalidValueError(
            "multioutput='raw_values' gives one value per property, but a scorer "
            "returns one number; use 'uniform_average' or an array of weights."
        )
    if metric in _NAN_AWARE:
        metric_params["multioutput"] = multioutput
        return make_scorer(metric, greater_is_better=greater_is_better, **metric_params)
    masked = _MaskedMetric(metric, minimum_known, multioutput, metric_params)
    return make_scorer(masked, greater_is_better=greater_is_better)


def get_scorer(scoring: str | Callable[..., float], **metric_params: Any) -> Any:
    """Get a scorer for ``scoring=`` by its name.

    Parameters
    ----------
    scoring : str or callable
        One of :func:`get_scorer_names`, or a name that scikit-learn knows. A callable
        is returned as it is.
    **metric_params : dict
        Keyword arguments of the metric, only for the names of this package:
        ``get_scorer("neg_smae", y_train=y)`` measures against a control that
        predicts the mean of ``y`` and not that of each test fold.

    Returns
    -------
    callable
        A new scorer, ``scorer(estimator, X, y)``.

    Raises
    ------
    InvalidValueError
        If the name is unknown, or parameters are given where they cannot be used.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from skmatgnn.metrics import get_scorer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> scores = cross_val_score(Ridge(), X, y, scoring=get_scorer("neg_smae"))
    >>> scores.round(2)
    array([-0.84, -0.69, -0.79, -0.72, -0.72])
    """
    if isinstance(scoring, str) and scoring in _NAMED:
        metric, greater_is_better = _NAMED[scoring]
        return make_masked_scorer(
            metric, greater_is_better=greater_is_better, **metric_params
        )
    if metric_params:
        raise InvalidValueError(
            f"Parameters {sorted(metric_params)} can only be given to "
            f"{get_scorer_names()}; got scoring={scoring!r}. "
            "Use make_masked_scorer for other metrics."
        )
    try:
        return sklearn_get_scorer(scoring)
    except ValueError as error:
        raise InvalidValueError(
            f"scoring must be one of {get_scorer_names()} or a scorer name of "
            f"scikit-learn; got {scoring!r}."
        ) from error


def get_scorer_names() -> list[str]:
    """List the scorers that this package adds to scikit-learn's.

    Returns
    -------
    list of str
        Names for :func:`get_scorer`, sorted.

    Examples
    --------
    >>> from skmatgnn.metrics import get_scorer_names
    >>> "neg_smae" in get_scorer_names()
    True
    """
    return sorted(_NAMED)


class _MaskedMetric:
    """Calls a metric that does not understand NaN on the known rows per property."""

    def __init__(
        self,
        metric: Callable[..., float],
        minimum_known: int,
        multioutput: str | ArrayLike,
        metric_params: dict[str, Any],
    ) -> None:
        self.metric = metric
        self.minimum_known = minimum_known
        self.multioutput = multioutput
        self.metric_params = metric_params
        # scikit-learn's scorers print the name of the function that they hold.
        self.__name__ = f"masked_{getattr(metric, '__name__', repr(metric))}"

    def __call__(
        self,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> float | FloatArray:
        if sample_weight is not None and not self._takes_weights():
            raise InvalidTypeError(
                f"{self.__name__} was given sample_weight, but the metric takes none."
            )
        return reduce_columns(
            self._per_column,
            ensure_targets(y_true, y_pred, sample_weight),
            self.multioutput,
            name=self.__name__,
            minimum=self.minimum_known,
        )

    def _takes_weights(self) -> bool:
        return "sample_weight" in inspect.signature(self.metric).parameters

    def _per_column(
        self,
        y_true: FloatArray,
        y_pred: FloatArray,
        sample_weight: FloatArray | None,
    ) -> FloatArray:
        params = dict(self.metric_params)
        if sample_weight is not None:
            params["sample_weight"] = sample_weight
        columns = zip(
            y_true.reshape(len(y_true), -1).T,
            y_pred.reshape(len(y_pred), -1).T,
            strict=True,
        )
        return np.array([self.metric(*column, **params) for column in columns])
