"""Figures of how a model does, in the manner of scikit-learn's displays."""

from __future__ import annotations

from skmatgnn.inspection._parity import ParityDisplay
from skmatgnn.inspection._representatives import (
    ClusterRepresentatives,
    cluster_representatives,
)

__all__ = ["ClusterRepresentatives", "ParityDisplay", "cluster_representatives"]
