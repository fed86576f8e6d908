"""A stand-in for a fitted model whose responses are computed once and then indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import get_tags

if TYPE_CHECKING:
    from collections.abc import Callable

    from sklearn.utils import Tags

    from skmatgnn._typing import IntArray

__all__ = ["FixedResponses"]

_RESPONSES = ("predict", "predict_proba", "predict_log_proba", "decision_function")


class FixedResponses(BaseEstimator):
    """Responses of a model on given samples, looked up by the samples' numbers.

    A scorer sees an estimator like any other, only that ``X`` are row numbers.
    Pickled, it keeps the responses asked for so far, not the model or the samples.

    Parameters
    ----------
    estimator : estimator
        The fitted model.
    X : sequence
        The samples.
    """

    def __init__(self, estimator: Any, X: Any) -> None:
        self.estimator = estimator
        self.X = X
        self._tags = get_tags(estimator)
        self._known: dict[str, np.ndarray] = {}
        if hasattr(estimator, "classes_"):
            self.classes_ = estimator.classes_

    @classmethod
    def from_predictions(cls, predictions: np.ndarray) -> FixedResponses:
        """Make one from predictions alone.

        Parameters
        ----------
        predictions : ndarray of shape (n_samples,) or (n_samples, n_outputs)

        Returns
        -------
        FixedResponses
        """
        model = cls(_Nothing(), None)
        model._known["predict"] = predictions
        return model

    def __getattr__(self, name: str) -> Callable[[IntArray], np.ndarray]:
        if name not in _RESPONSES:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name not in self._known:
            if self.estimator is None or not hasattr(self.estimator, name):
                raise AttributeError(f"The model has no {name!r}")
            self._known[name] = np.asarray(getattr(self.estimator, name)(self.X))
        return _Lookup(self._known[name], name)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"estimator": None, "X": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        return self._tags


class _Nothing(RegressorMixin, BaseEstimator):
    """The model behind predictions that were given."""


class _Lookup:
    """A bound method in looks: scikit-learn asks for its name."""

    def __init__(self, values: np.ndarray, name: str) -> None:
        self._values = values
        self.__name__ = name

    def __call__(self, rows: IntArray) -> np.ndarray:
        return self._values[rows]
