"""Splitters and groups for honest cross-validation of materials models.

Random folds of materials data test on relatives of the training set. The groups and
splitters of this package keep relatives together (:func:`formula_groups`), leave whole
families out (:class:`LeaveOneClusterOut`), or make folds alike so that their scores
can be compared (:class:`StratifiedRegressionKFold`). :func:`bootstrap_score` gives
scores their intervals, :class:`TwoSigmaRegressor` filters outlying targets by what the
training rows say, and :func:`transfer_matrix` measures what pre-training is worth.
:func:`extrapolation_report` sets the errors on held-out clusters, chemical systems or
low-dimensional structures beside their distance to the training set.
"""

from __future__ import annotations

from skmatgnn.model_selection._bootstrap import BootstrapScores, bootstrap_score
from skmatgnn.model_selection._cluster_groups import ClusterGroups
from skmatgnn.model_selection._composition_groups import (
    chemical_system_groups,
    formula_groups,
    prototype_groups,
    working_ion_groups,
)
from skmatgnn.model_selection._dimensionality import dimensionality_groups
from skmatgnn.model_selection._extrapolation import extrapolation_report
from skmatgnn.model_selection._hold_out_groups import HoldOutGroups
from skmatgnn.model_selection._leave_one_cluster_out import LeaveOneClusterOut
from skmatgnn.model_selection._stratified import StratifiedRegressionKFold
from skmatgnn.model_selection._transfer_matrix import transfer_matrix
from skmatgnn.model_selection._two_sigma import (
    TwoSigmaRegressor,
    make_two_sigma_scorer,
    two_sigma_mask,
)

__all__ = [
    "BootstrapScores",
    "ClusterGroups",
    "HoldOutGroups",
    "LeaveOneClusterOut",
    "StratifiedRegressionKFold",
    "TwoSigmaRegressor",
    "bootstrap_score",
    "chemical_system_groups",
    "dimensionality_groups",
    "extrapolation_report",
    "formula_groups",
    "make_two_sigma_scorer",
    "prototype_groups",
    "transfer_matrix",
    "two_sigma_mask",
    "working_ion_groups",
]
