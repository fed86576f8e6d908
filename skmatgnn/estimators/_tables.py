"""Scaling of feature tables for networks."""

from __future__ import annotations

from typing import Self

import numpy as np

from skmatgnn._typing import FloatArray

__all__ = ["FeatureScaler"]

_UNKNOWN = -1.0
_FARTHEST = 10.0


class FeatureScaler:
    """Shift and scale each feature, and fill in what is unknown.

    Parameters
    ----------
    kind : {"standard", "minmax"}
        To zero mean and unit variance, or to the range -0.5 to 0.5.

    Attributes
    ----------
    half_center_, half_width_ : ndarray of shape (d,)
        Halves, because the range of huge values may not be a number.
    fill_ : ndarray of shape (d,)
        Stands, on the new scale, for NaN: -1 with ``"minmax"`` where the training
        data have NaN, too, so that it is told apart; else the mean of the feature.

    Notes
    -----
    Values beyond ten units are brought to ten, so that no single feature of an unusual
    sample rules the prediction.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def fit(self, table: FloatArray, weight: FloatArray | None = None) -> Self:
        """Learn from training rows.

        Parameters
        ----------
        table : ndarray of shape (n, d)
            NaN where unknown.
        weight : ndarray of shape (n,), optional
            Positive weights of the rows; ranges do not depend on them.

        Returns
        -------
        FeatureScaler
        """
        known = np.isfinite(table)
        share = known * (1.0 if weight is None else weight[:, None])
        share = share / np.maximum(share.sum(axis=0), 1e-300)
        half = np.where(known, table, 0.0) / 2
        mean = (share * half).sum(axis=0)
        if self.kind == "minmax":
            low = np.where(known, half, np.inf).min(axis=0)
            high = np.where(known, half, -np.inf).max(axis=0)
            low, high = (np.where(np.isfinite(v), v, 0.0) for v in (low, high))
            self.half_center_, width = (low + high) / 2, high - low
        else:
            size = np.abs(half).max(axis=0, initial=0.0)
            size = np.where(size > 0, size, 1.0)
            deviation = np.where(known, half / size - mean / size, 0.0)
            self.half_center_ = mean
            width = np.sqrt((share * deviation**2).sum(axis=0)) * size
        tiny = 1e-12 * np.abs(self.half_center_)  # rounding, where all are equal
        self.half_width_ = np.where(width > tiny, width, 0.5)
        self.fill_ = np.clip(
            (mean - self.half_center_) / self.half_width_, -_FARTHEST, _FARTHEST
        )
        if self.kind == "minmax":
            self.fill_ = np.where(known.all(axis=0), self.fill_, _UNKNOWN)
        return self

    def transform(self, table: FloatArray) -> FloatArray:
        """Scale and fill.

        Parameters
        ----------
        table : ndarray of shape (n, d)

        Returns
        -------
        ndarray of shape (n, d), float64
            Without NaN.
        """
        return np.where(np.isnan(table), self.fill_, self._scaled(table))

    def _scaled(self, table: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            scaled = (table / 2 - self.half_center_) / self.half_width_
        return np.clip(scaled, -_FARTHEST, _FARTHEST)
