"""Figures of how a model does, in the manner of scikit-learn's displays."""

from __future__ import annotations

from skmatgnn.inspection._attention import AttentionDisplay
from skmatgnn.inspection._cluster_error_display import ClusterErrorDisplay
from skmatgnn.inspection._embedding_map import EmbeddingMapDisplay
from skmatgnn.inspection._extrapolation import ExtrapolationDisplay
from skmatgnn.inspection._fine_tuning_curve import FineTuningCurveDisplay
from skmatgnn.inspection._learning_curve import BootstrapLearningCurveDisplay
from skmatgnn.inspection._parity import ParityDisplay
from skmatgnn.inspection._representatives import (
    ClusterRepresentatives,
    cluster_representatives,
)
from skmatgnn.inspection._transfer_matrix import TransferMatrixDisplay
from skmatgnn.inspection._uncertainty import UncertaintyCalibrationDisplay
from skmatgnn.inspection._working_ions import WorkingIonDisplay

__all__ = [
    "AttentionDisplay",
    "BootstrapLearningCurveDisplay",
    "ClusterErrorDisplay",
    "ClusterRepresentatives",
    "EmbeddingMapDisplay",
    "ExtrapolationDisplay",
    "FineTuningCurveDisplay",
    "ParityDisplay",
    "TransferMatrixDisplay",
    "UncertaintyCalibrationDisplay",
    "WorkingIonDisplay",
    "cluster_representatives",
]
