"""Regression and classification on top of the estimators with a network."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags

from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._chunks import in_chunks
from skmatgnn.estimators._scoring import MaskedRegressorMixin
from skmatgnn.estimators._transfer import inherited_scale
from skmatgnn.nets._criteria import ClassificationLoss, RegressionLoss
from skmatgnn.preprocessing import TargetScaler
from skmatgnn.utils._sklearn import fit_context
from skmatgnn.utils.targets import (
    ensure_class_labels,
    ensure_regression_targets,
    require_computable,
)

__all__ = ["NetClassifierMixin", "NetRegressorMixin"]


class NetRegressorMixin(MaskedRegressorMixin):
    """fit, predict and score for real targets, several and partly unknown."""

    _default_loss = "l1"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : sequence of n materials
            List, tuple, 1-D object array, Series or one-column frame. Structure
            estimators take pymatgen Structure, ase Atoms or graphs from
            StructureToGraph (also packed, as StructureArray or GraphArray), or
            DGLGraph (with the fields that ``GraphArray.from_dgl`` reads);
            composition estimators take formulas, Composition or Structure.
        y : array-like of shape (n,) or (n, t)
            Targets, in any unit. NaN in a 2-D y means "not known" and is skipped.
        sample_weight : array-like of shape (n,), optional
            How much each sample counts.
        groups : array-like of shape (n,), optional
            Samples of a group stay together in the split of ``early_stopping``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If the input cannot be used; the message names the sample.
        """
        return self._fit(X, y, sample_weight, groups)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch, with the same optimizer and target scaling.

        Parameters
        ----------
        X : sequence of n materials
        y : array-like of shape (n,) or (n, t)
            Of a new model the first call fixes the scale, so it should have many rows
            and needs two values of each target; later ones may lack a target.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, sample_weight, in_batches=True)

    @in_chunks
    def predict(self, X: Any) -> np.ndarray:
        """Predict.

        Parameters
        ----------
        X : sequence of n materials

        Returns
        -------
        ndarray of shape (n,) or (n, t), float64
            In the units and the shape of the y that ``fit`` saw.
        """
        outputs = self._apply(X, "forward")
        values = self.target_scaler_.inverse_transform(outputs)
        return values[:, 0] if self.one_dimensional_ else values

    def _check_targets(self, y: Any) -> np.ndarray:
        targets, self._one_dimensional_y = ensure_regression_targets(
            y, estimator=self, allow_empty_columns=hasattr(self, "net_")
        )
        require_computable(targets)
        return targets

    def _encode_targets(
        self,
        targets: np.ndarray,
        weight: np.ndarray | None,
        *,
        reset: bool,
        in_batches: bool = False,
    ) -> np.ndarray:
        if reset:
            own = TargetScaler().fit(targets, weight)
            self.target_scaler_, self.n_outputs_ = own, targets.shape[1]
            if self._keeps_head():
                self.target_scaler_ = inherited_scale(
                    own, self._source.target_scaler_, targets
                )
            if in_batches:
                is_own = self.target_scaler_.scale_ == own.scale_
                self._require_spread(targets, weight, is_own)
        elif targets.shape[1] != self.n_outputs_:
            raise InvalidValueError(
                f"y has {targets.shape[1]} targets; the model was trained on "
                f"{self.n_outputs_}. Set warm_start=False and call fit for a new model."
            )
        return self.target_scaler_.transform(targets)

    def _require_spread(
        self, targets: np.ndarray, weight: np.ndarray | None, is_scaled: np.ndarray
    ) -> None:
        """Reject a first batch from which later ones could not be scaled."""
        used = targets if weight is None else targets[weight > 0]
        for column in np.flatnonzero(is_scaled):
            values = np.unique(used[~np.isnan(used[:, column]), column])
            if len(values) < 2:
                came = f"only {values[0]:g}" if len(values) else "no value"
                raise InvalidValueError(
                    "The first call of partial_fit fixes the scale of the targets, "
                    f"but its {len(targets)} row(s) have {came} in column {column} of "
                    "y. Give it more rows, or call fit on a part of the data first."
                )

    def _finish(self, dataset: Any) -> Self:
        # only now: a warm start that fails leaves the model as it was
        self.one_dimensional_ = self._one_dimensional_y
        return super()._finish(dataset)

    def _head_mismatch(self, source: Any, *, strict: bool) -> str | None:
        if not isinstance(source, NetRegressorMixin):
            return "it is a classifier, and this a regressor"
        if source.n_outputs_ != self.n_outputs_:
            return f"it has {source.n_outputs_} targets, and y {self.n_outputs_}"
        return super()._head_mismatch(source, strict=strict)

    def _criterion(self) -> dict[str, Any]:
        loss = self._default_loss if self.loss == "auto" else self.loss
        if loss == "cross_entropy":
            raise InvalidValueError(
                "loss='cross_entropy' is for classifiers; use 'l1', 'mse' or 'huber'."
            )
        return {"criterion": RegressionLoss, "criterion__loss": loss}


class NetClassifierMixin(ClassifierMixin):
    """fit, predict and predict_proba for class labels."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : sequence of n materials
            List, tuple, 1-D object array, Series or one-column frame. Structure
            estimators take pymatgen Structure, ase Atoms or graphs from
            StructureToGraph (also packed, as StructureArray or GraphArray), or
            DGLGraph (with the fields that ``GraphArray.from_dgl`` reads);
            composition estimators take formulas, Composition or Structure.
        y : array-like of shape (n,)
            Class labels.
        sample_weight : array-like of shape (n,), optional
            How much each sample counts.
        groups : array-like of shape (n,), optional
            Samples of a group stay together in the split of ``early_stopping``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If the input cannot be used; the message names the sample.
        """
        return self._fit(X, y, sample_weight, groups)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one more epoch with the same optimizer.

        Parameters
        ----------
        X : sequence of n materials
        y : array-like of shape (n,)
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call if ``y`` lacks
            any, and the same in later ones.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, sample_weight, classes=classes)

    @in_chunks
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : sequence of n materials

        Returns
        -------
        ndarray of shape (n, n_classes), float64
            Columns in the order of ``classes_``.
        """
        return softmax(self._apply(X, "forward"), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class.

        Parameters
        ----------
        X : sequence of n materials

        Returns
        -------
        ndarray of shape (n,)
        """
        best = self.predict_proba(X).argmax(axis=1)
        return self.classes_[best]

    def _encode_targets(
        self,
        labels: np.ndarray,
        weight: np.ndarray | None,
        *,
        reset: bool,
        classes: Any = None,
    ) -> np.ndarray:
        if reset:
            self.classes_ = np.unique(labels if classes is None else classes)
            if self._keeps_head():
                self.classes_ = self._source.classes_
            self.n_outputs_ = len(self.classes_)
            _require_weighted_classes(labels, weight)
        elif classes is not None:
            self._require_same_classes(np.unique(classes))
        codes = np.searchsorted(self.classes_, labels)
        codes = np.minimum(codes, len(self.classes_) - 1)
        unknown = np.flatnonzero(self.classes_[codes] != labels)
        if len(unknown):
            raise InvalidValueError(
                f"y has the label {labels.tolist()[unknown[0]]!r} at index "
                f"{int(unknown[0])}, "
                f"which is not among the classes {self.classes_.tolist()}. Give all "
                "labels as classes= in the first partial_fit, or call fit anew."
            )
        return codes[:, None].astype(np.float64)

    def _require_same_classes(self, classes: np.ndarray) -> None:
        given, known = set(classes.tolist()), set(self.classes_.tolist())
        # a kept head has all classes of the pretrained model
        kept = getattr(self, "pretrained", None) is not None and given < known
        if given != known and not kept:
            raise InvalidValueError(
                f"classes={classes.tolist()} is not the same as in the first fit or "
                f"partial_fit, which had {self.classes_.tolist()}. Leave classes out, "
                "or train a new model."
            )

    def _check_targets(self, y: Any) -> np.ndarray:
        return ensure_class_labels(y, estimator=self)

    def _head_mismatch(self, source: Any, *, strict: bool) -> str | None:
        if not isinstance(source, NetClassifierMixin):
            return "it is a regressor, and this a classifier"
        ours, theirs = set(self.classes_.tolist()), set(source.classes_.tolist())
        if ours - theirs or (strict and ours != theirs):
            return f"it has the classes {source.classes_.tolist()}, and y others"
        return super()._head_mismatch(source, strict=strict)

    def _criterion(self) -> dict[str, Any]:
        if self.loss not in ("auto", "cross_entropy"):
            raise InvalidValueError(
                f"A classifier has loss='cross_entropy'; got {self.loss!r}."
            )
        return {"criterion": ClassificationLoss}


def _require_weighted_classes(labels: np.ndarray, weight: np.ndarray | None) -> None:
    if weight is None or len(np.unique(labels)) < 2:
        return
    left = len(np.unique(labels[weight != 0]))
    if left < 2:
        raise InvalidValueError(
            f"{left} class is left after removing samples whose sample_weight is zero; "
            "at least 2 classes are required."
        )
