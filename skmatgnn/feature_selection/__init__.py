"""Selection of features by mutual information."""

from __future__ import annotations

from skmatgnn.feature_selection._function import mutual_information
from skmatgnn.feature_selection._selector import RelevanceRedundancySelector

__all__ = ["RelevanceRedundancySelector", "mutual_information"]
