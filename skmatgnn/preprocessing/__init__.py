"""Conversions between the objects that stand for materials, and target scaling."""

from __future__ import annotations

from skmatgnn.preprocessing._composition import (
    FormulaToComposition,
    StructureToComposition,
)
from skmatgnn.preprocessing._merge import merge_properties
from skmatgnn.preprocessing._scaling import TargetScaler
from skmatgnn.preprocessing._structures import StructureArray

__all__ = [
    "FormulaToComposition",
    "StructureArray",
    "StructureToComposition",
    "TargetScaler",
    "merge_properties",
]
