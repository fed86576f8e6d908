"""Validation and the few private scikit-learn names that the package uses."""
