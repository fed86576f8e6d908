"""Predict material properties from structures and formulas with scikit-learn.

>>> import skmatgnn
>>> skmatgnn.ALIGNNRegressor(max_epochs=10)
ALIGNNRegressor(max_epochs=10)

Estimators are imported when they are first used, so that ``import skmatgnn`` is
cheap and needs neither torch nor pymatgen.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_ESTIMATORS = (
    "ALIGNNClassifier",
    "ALIGNNRegressor",
    "CGCNNClassifier",
    "CGCNNRegressor",
    "ConformalRegressor",
    "CrabNetClassifier",
    "CrabNetRegressor",
    "DeepEnsembleClassifier",
    "DeepEnsembleRegressor",
    "GraphEmbedding",
    "MODNetClassifier",
    "MODNetRegressor",
    "MODNetSearchCV",
    "MPTRegressor",
    "load_estimator",
    "make_rf_magpie",
)
_MODULES = (
    "clusters",
    "datasets",
    "errors",
    "estimators",
    "feature_selection",
    "featurizers",
    "graphs",
    "inspection",
    "metrics",
    "model_selection",
    "nets",
    "nn",
    "preprocessing",
    "presets",
    "testing",
)

__all__ = ["__version__", *_ESTIMATORS, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _ESTIMATORS:
        return getattr(import_module("skmatgnn.estimators"), name)
    if name in _MODULES:
        return import_module(f"skmatgnn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
