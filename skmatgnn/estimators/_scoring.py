"""The score of regressors whose targets may be partly unknown."""

from __future__ import annotations

from typing import Any

from sklearn.base import RegressorMixin

from skmatgnn.metrics import masked_r2_score

__all__ = ["MaskedRegressorMixin"]


class MaskedRegressorMixin(RegressorMixin):
    """scikit-learn's mixin with a ``score`` that passes over unknown targets."""

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination over the known targets.

        Parameters
        ----------
        X : sequence of n materials
        y : array-like of shape (n,) or (n, t)
            NaN where unknown.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
            Averaged over the targets.
        """
        score = masked_r2_score(y, self.predict(X), sample_weight=sample_weight)
        return float(score)
