"""Scaling of targets of which some are unknown."""

from __future__ import annotations

import numpy as np

from skmatgnn.utils.units import binary_unit

__all__ = ["TargetScaler"]


class TargetScaler:
    """Shift and scale each target to zero mean and unit variance, ignoring NaN.

    Attributes
    ----------
    mean_ : ndarray of shape (t,)
    scale_ : ndarray of shape (t,)
        Standard deviation; where all known values are equal a thousandth of their
        size, so that they are predicted to about that, or one if they are zero.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.preprocessing import TargetScaler
    >>> y = np.array([[1.0], [np.nan], [3.0]])
    >>> TargetScaler().fit(y).transform(y).ravel().tolist()
    [-1.0, nan, 1.0]
    """

    def fit(self, y: np.ndarray, weight: np.ndarray | None = None) -> TargetScaler:
        """Learn mean and spread of the known values.

        Parameters
        ----------
        y : ndarray of shape (n, t)
            NaN where unknown.
        weight : ndarray of shape (n,), optional
            Sample weights.

        Returns
        -------
        TargetScaler
        """
        known = np.isfinite(y)
        weights = known * (1.0 if weight is None else np.asarray(weight)[:, None])
        total = weights.sum(axis=0)
        # a column whose known values all weigh nothing still needs a scale
        weights = np.where(total > 0, weights, known)
        total = weights.sum(axis=0)
        known = weights > 0
        filled = np.where(known, y, 0.0)
        # of size one, else squares of huge or tiny values overflow or vanish
        unit = binary_unit(np.abs(filled).max(axis=0, initial=0.0))
        filled = filled / unit
        mean = (weights * filled).sum(axis=0) / total
        deviation = np.where(known, filled - mean, 0.0)
        scale = np.sqrt((weights * deviation**2).sum(axis=0) / total)
        # rounding leaves a tiny spread in a column of equal large values
        size = np.abs(mean)
        scale = np.where(scale > 1e-12 * size, scale, 1e-3 * size)
        least = np.finfo(np.float64).smallest_subnormal
        self.mean_ = mean * unit
        self.scale_ = np.where(scale > 0, np.maximum(scale * unit, least), 1.0)
        return self

    def transform(self, y: np.ndarray) -> np.ndarray:
        """Scale.

        Parameters
        ----------
        y : ndarray of shape (n, t)

        Returns
        -------
        ndarray of shape (n, t)
        """
        return (y - self.mean_) / self.scale_

    def inverse_transform(self, y: np.ndarray) -> np.ndarray:
        """Return to the original units.

        Parameters
        ----------
        y : ndarray of shape (n, t)

        Returns
        -------
        ndarray of shape (n, t)
        """
        return y * self.scale_ + self.mean_
