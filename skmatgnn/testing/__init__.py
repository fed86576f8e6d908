"""Adapters and data with which scikit-learn's own checks run on our estimators."""

from skmatgnn.testing._adapters import (
    expected_failed_checks,
    numeric_adapter,
    row_to_formula,
    row_to_structure,
)

__all__ = [
    "expected_failed_checks",
    "numeric_adapter",
    "row_to_formula",
    "row_to_structure",
]
