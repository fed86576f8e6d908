"""What estimators around another estimator share."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import MetaEstimatorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from skmatgnn.errors import InvalidTypeError
from skmatgnn.estimators._checkpoint import CheckpointMixin
from skmatgnn.utils._doc_link import DocLinkMixin

__all__ = ["WrapperMixin", "gives_std", "innermost", "predict_with_std"]


class WrapperMixin(CheckpointMixin, DocLinkMixin, MetaEstimatorMixin):
    """Take the same X and y as the estimator inside, and hand on what ``fit`` gets."""

    _has_network = False
    _hands_on_fit_params = True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if hasattr(self.estimator, "__sklearn_tags__"):
            inner = get_tags(self.estimator)
            tags.input_tags = inner.input_tags
            tags.target_tags = inner.target_tags
            tags.classifier_tags = inner.classifier_tags
            tags.regressor_tags = inner.regressor_tags
        tags.non_deterministic = self.random_state is None
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which arguments of ``fit`` go to the estimator inside.

        Returns
        -------
        MetadataRouter
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self.__class__.__name__).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def _params_of_fit(self, given: dict[str, Any]) -> dict[str, Any]:
        """Choose what of the further arguments of ``fit`` goes to the estimator."""
        if not get_config()["enable_metadata_routing"]:
            return given
        return dict(process_routing(self, "fit", **given).estimator.fit)

    def _require_kind(self, is_kind: Any, kind: str) -> None:
        if not is_kind(self.estimator):
            raise InvalidTypeError(
                f"estimator must be a {kind}, or a Pipeline that ends in one; got "
                f"{type(self.estimator).__name__}."
            )

    def _take_names(self, fitted: Any) -> None:
        """Know the features, where the estimator inside does."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(fitted, name):
                setattr(self, name, getattr(fitted, name))
            else:
                self.__dict__.pop(name, None)


def innermost(estimator: Any) -> Any:
    """Find what predicts in a fitted estimator around others.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    estimator
        The first, where there are several.
    """
    while True:
        if isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, WrapperMixin):
            estimator = estimator.estimators_[0]
        else:
            return estimator


def gives_std(estimator: Any) -> bool:
    """Tell whether ``predict`` of a fitted estimator has a usable ``return_std``."""
    while isinstance(estimator, Pipeline | FrozenEstimator):
        inside = isinstance(estimator, FrozenEstimator)
        estimator = estimator.estimator if inside else estimator.steps[-1][1]
    predict = getattr(estimator, "predict", None)
    if predict is None or "return_std" not in signature(predict).parameters:
        return False
    return bool(getattr(estimator, "_gives_std", True))


def predict_with_std(estimator: Any, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Predict, with standard deviations if the estimator has any."""
    if gives_std(estimator):
        return estimator.predict(X, return_std=True)
    return estimator.predict(X), None
