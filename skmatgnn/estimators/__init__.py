"""scikit-learn estimators on crystal structures and compositions."""

from skmatgnn.estimators._checkpoint import load_estimator
from skmatgnn.estimators._chunks import predict_in_chunks
from skmatgnn.estimators.composition import make_rf_magpie
from skmatgnn.estimators.conformal import ConformalRegressor
from skmatgnn.estimators.crabnet import CrabNetClassifier, CrabNetRegressor
from skmatgnn.estimators.embedding import GraphEmbedding
from skmatgnn.estimators.ensemble import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
)
from skmatgnn.estimators.modnet import MODNetClassifier, MODNetRegressor
from skmatgnn.estimators.modnet_search import MODNetSearchCV
from skmatgnn.estimators.multi_property import MPTRegressor
from skmatgnn.estimators.structure import (
    ALIGNNClassifier,
    ALIGNNRegressor,
    CGCNNClassifier,
    CGCNNRegressor,
)

__all__ = [
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
    "predict_in_chunks",
]
