"""Features that a graph network has learnt, as a transformer."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.estimators._base import BaseGraphEstimator
from skmatgnn.estimators._checkpoint import CheckpointMixin
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import HasMethods, fit_context

__all__ = ["GraphEmbedding"]


class GraphEmbedding(CheckpointMixin, DocLinkMixin, TransformerMixin, BaseEstimator):
    """Turn crystals into the pooled features of a graph network.

    Parameters
    ----------
    estimator : graph estimator, or FrozenEstimator of a fitted one
        What learns the features. It is cloned and fitted; a fitted estimator inside
        ``sklearn.frozen.FrozenEstimator`` is used as it is, and needs no y.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.

    See Also
    --------
    ALIGNNRegressor.embed : The same features of one estimator.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skmatgnn import CGCNNRegressor, GraphEmbedding
    >>> from skmatgnn.datasets import make_crystals
    >>> X, y = make_crystals(20, random_state=0, return_X_y=True)
    >>> model = CGCNNRegressor(max_epochs=1, random_state=0).fit(X, y)
    >>> GraphEmbedding(FrozenEstimator(model)).fit_transform(X).shape
    (20, 128)
    """

    _has_network = False
    _parameter_constraints: ClassVar[dict] = {"estimator": [HasMethods(["fit"])]}

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> GraphEmbedding:
        """Fit the estimator, unless it is frozen.

        Parameters
        ----------
        X : sequence of n structures or graphs
        y : array-like of shape (n,) or (n, t), optional
            What the estimator learns from.
        **fit_params : object
            For the estimator's ``fit``.

        Returns
        -------
        GraphEmbedding
        """
        model = _inner(self.estimator)
        if not isinstance(model, BaseGraphEstimator):
            raise InvalidTypeError(
                "estimator must be a graph estimator such as ALIGNNRegressor, or one "
                f"inside FrozenEstimator; got {type(model).__name__}."
            )
        if y is None and not isinstance(self.estimator, FrozenEstimator):
            raise InvalidValueError(
                f"{type(model).__name__} requires y to be passed, but the target y is "
                "None: GraphEmbedding trains a clone of it. Wrap a fitted one in "
                "sklearn.frozen.FrozenEstimator to use it as it is."
            )
        self.estimator_ = clone(self.estimator).fit(X, y, **fit_params)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features.

        Parameters
        ----------
        X : sequence of n structures or graphs

        Returns
        -------
        ndarray of shape (n, d), float64
        """
        check_is_fitted(self)
        return _inner(self.estimator_).embed(X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        head = _inner(self.estimator_).net_.module_.head
        return np.array(
            [f"embedding{i}" for i in range(head.in_features)], dtype=object
        )


def _inner(estimator: Any) -> Any:
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
