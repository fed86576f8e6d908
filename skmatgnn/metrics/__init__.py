"""Metrics and scorers that understand unknown targets and compare with a control.

NaN in ``y_true`` means "not known": such cells are left out, column by column, and
never multiplied away. Where every target is known the values are scikit-learn's.
"""

from __future__ import annotations

from skmatgnn.metrics._masked import (
    masked_mean_absolute_error,
    masked_r2_score,
    masked_root_mean_squared_error,
)
from skmatgnn.metrics._scaled import scaled_mean_absolute_error
from skmatgnn.metrics._scorers import get_scorer, get_scorer_names, make_masked_scorer

__all__ = [
    "get_scorer",
    "get_scorer_names",
    "make_masked_scorer",
    "masked_mean_absolute_error",
    "masked_r2_score",
    "masked_root_mean_squared_error",
    "scaled_mean_absolute_error",
]
