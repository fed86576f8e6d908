"""Transformers from materials to feature matrices."""

from __future__ import annotations

from skmatgnn.featurizers._composition_features import CompositionFeatures
from skmatgnn.featurizers._magpie import MagpieFeatures
from skmatgnn.featurizers._matminer import MatminerFeatures

__all__ = ["CompositionFeatures", "MagpieFeatures", "MatminerFeatures"]
