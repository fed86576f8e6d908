"""Estimators that take compositions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline

from skmatgnn.featurizers import MagpieFeatures
from skmatgnn.preprocessing._formula import (
    PackedCompositions,
    ensure_composition_objects,
)
from skmatgnn.utils.targets import ensure_class_labels, ensure_regression_targets
from skmatgnn.utils.validation import require_consistent_length

if TYPE_CHECKING:
    from skmatgnn._typing import RandomState

__all__ = ["make_rf_magpie"]


class RFMagpie(Pipeline):
    """The pipeline of `make_rf_magpie`, which checks targets before it computes."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Train.

        Parameters
        ----------
        X : sequence of n compositions
        y : array-like of shape (n,) or (n, t)
            Without NaN, which a forest does not learn from.
        **params : object
            As of a Pipeline.

        Returns
        -------
        self

        Raises
        ------
        InvalidTypeError, InvalidValueError
            If X is no sequence, lengths differ, or a target is unknown, infinite or no
            number; the message names its index.
        """
        targets: Any = None  # of a part of the pipeline without the forest
        if is_regressor(self):
            targets, _ = ensure_regression_targets(
                y, estimator=self, allow_unknown=False
            )
        elif is_classifier(self):
            # labels of several columns are the forest's to check
            targets = y if np.ndim(y) > 1 else ensure_class_labels(y, estimator=self)
        if targets is not None:
            require_consistent_length(X=range(len(_objects(X))), y=targets)
        return super().fit(X, y, **params)


def make_rf_magpie(
    *,
    n_estimators: int = 500,
    max_features: float | Literal["sqrt", "log2"] | None = 0.33,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    classification: bool = False,
    **forest_params: Any,
) -> Pipeline:
    """Random forest on Magpie features: the baseline for composition models.

    Parameters
    ----------
    n_estimators : int, default=500
        Number of trees.
    max_features : float, int, {"sqrt", "log2"} or None, default=0.33
        Features tried at each split, as in scikit-learn's forests; a float is a
        fraction.
    n_jobs : int, optional
        Processes or threads that grow trees, as in scikit-learn.
    random_state : int, RandomState or None, default=None
        Seed of the forest.
    classification : bool, default=False
        Build a classifier instead of a regressor.
    **forest_params : dict
        Further arguments of `sklearn.ensemble.RandomForestRegressor`, or of
        `RandomForestClassifier`, such as ``min_samples_leaf`` or ``class_weight``.

    Returns
    -------
    sklearn.pipeline.Pipeline
        One that names the rows of targets that a forest cannot learn from. Steps
        ``magpie`` (`MagpieFeatures`), ``imputer`` (mean of the training rows
        where an element's property is unknown) and ``forest``.

    Raises
    ------
    TypeError
        If the forest has no argument of that name.

    See Also
    --------
    skmatgnn.featurizers.MagpieFeatures : The features.

    References
    ----------
    .. [1] L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, "A general-purpose
       machine learning framework for predicting properties of inorganic
       materials", npj Comput. Mater. 2, 16028 (2016).
    .. [2] A. Dunn, Q. Wang, A. Ganose, D. Dopp, A. Jain, "Benchmarking materials
       property prediction methods: the Matbench test set and Automatminer
       reference algorithm", npj Comput. Mater. 6, 138 (2020).

    Examples
    --------
    >>> from skmatgnn.estimators.composition import make_rf_magpie
    >>> model = make_rf_magpie(n_estimators=20, random_state=0)
    >>> _ = model.fit(["NaCl", "KCl", "NaBr", "Fe2O3"], [8.5, 8.4, 7.5, 2.0])
    >>> model.predict(["KBr"]).shape
    (1,)
    >>> make_rf_magpie(min_samples_leaf=3)["forest"].min_samples_leaf
    3
    """
    forest = RandomForestClassifier if classification else RandomForestRegressor
    return RFMagpie(
        [
            ("magpie", MagpieFeatures()),
            # A column without any known value stays, so that the number of features
            # does not depend on the rows of a fold.
            ("imputer", SimpleImputer(strategy="mean", keep_empty_features=True)),
            (
                "forest",
                forest(
                    n_estimators=n_estimators,
                    max_features=max_features,
                    n_jobs=n_jobs,
                    random_state=random_state,
                    **forest_params,
                ),
            ),
        ]
    )


def _objects(X: Any) -> Any:
    return X if isinstance(X, PackedCompositions) else ensure_composition_objects(X)
