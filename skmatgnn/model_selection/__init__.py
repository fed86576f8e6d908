"""Splitters and groups for honest cross-validation of materials models.

Random folds of materials data test on relatives of the training set. The groups and
splitters of this package keep relatives together (:func:`formula_groups`), leave whole
families out (:class:`LeaveOneClusterOut`), or make folds alike so that their scores
can be compared (:class:`StratifiedRegressionKFold`).
"""

from __future__ import annotations

from skmatgnn.model_selection._cluster_groups import ClusterGroups
from skmatgnn.model_selection._composition_groups import (
    chemical_system_groups,
    formula_groups,
    prototype_groups,
    working_ion_groups,
)
from skmatgnn.model_selection._leave_one_cluster_out import LeaveOneClusterOut
from skmatgnn.model_selection._stratified import StratifiedRegressionKFold

__all__ = [
    "ClusterGroups",
    "LeaveOneClusterOut",
    "StratifiedRegressionKFold",
    "chemical_system_groups",
    "formula_groups",
    "prototype_groups",
    "working_ion_groups",
]
