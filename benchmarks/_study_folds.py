"""Hold-outs that are folds, so that every row is a test row of one trial."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from skmatgnn.model_selection._transfer_data import units_in_order
from skmatgnn.model_selection._transfer_plan import TransferPlan


@dataclass(frozen=True, eq=False)
class FoldPlan(TransferPlan):
    """The trial of a plan's fits that has one of its folds for a hold-out.

    No formula of the fold, in any of the targets, is in any pre-training set, as in
    other plans; formulas that datasets share are in the same fold of most of them.
    """

    n_folds: int = 5
    fold: int = 0

    @cached_property
    def test(self):
        return {
            name: self._folds_of(self.datasets[name]) == self.fold
            for name in self.targets
        }

    def _folds_of(self, dataset):
        """Fold of each row: whole units, in the order of hold-outs."""
        sizes, order = np.bincount(dataset.units), units_in_order(dataset, self.seed)
        before = np.cumsum(sizes[order]) - sizes[order]
        of_units = np.zeros(len(sizes), dtype=int)
        of_units[order] = before * self.n_folds // len(dataset)
        return of_units[dataset.units]

    def fits(self):
        return [fit for fit in super().fits() if fit.trial == self.fold]


def fold_plans(plan, n_folds):
    """One plan a fold, of as many trials."""
    given = {f.name: getattr(plan, f.name) for f in fields(plan)} | {"trials": n_folds}
    return [FoldPlan(**given, n_folds=n_folds, fold=k) for k in range(n_folds)]
