"""Which samples train and which calibrate, and whether these are enough."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold, KFold, check_cv

from skmatgnn._typing import FloatArray, IntArray
from skmatgnn.errors import InvalidValueError
from skmatgnn.estimators._conformal_quantiles import highest_level, least_count
from skmatgnn.utils._seeds import MAX_SEED

if TYPE_CHECKING:
    from skmatgnn.estimators.conformal import ConformalRegressor

__all__ = ["conformal_splits", "require_enough"]

Split = tuple[IntArray, IntArray]


def conformal_splits(
    conformal: ConformalRegressor,
    X: Any,
    y: Any,
    groups: IntArray | None,
    rng: np.random.RandomState,
) -> list[Split]:
    """Choose the rows that train each model, and those that calibrate it.

    Parameters
    ----------
    conformal : ConformalRegressor
    X, y : sequence
    groups : ndarray of shape (n,) or None
    rng : numpy.random.RandomState

    Returns
    -------
    list of (train, test)

    Raises
    ------
    InvalidValueError
        If there is one sample or group only, a sample is in two test sets, or a
        frozen estimator is to be trained.
    """
    n_samples = len(y)
    frozen = isinstance(conformal.estimator, FrozenEstimator)
    if frozen and conformal.method != "split":
        raise InvalidValueError(
            f"method={conformal.method!r} trains the estimator anew, but it is frozen. "
            "Use method='split', which calibrates it with all samples of fit."
        )
    if frozen:
        every = np.arange(n_samples)
        return [(every, every)]
    if conformal.method == "split":
        return [_hold_out(conformal.calibration_fraction, n_samples, groups, rng)]
    return _folds(conformal.cv, X, y, groups, rng)


def _hold_out(
    fraction: float, n_samples: int, groups: IntArray | None, rng: Any
) -> Split:
    units = np.arange(n_samples) if groups is None else groups
    n_units = int(units.max()) + 1
    if n_units < 2:
        raise InvalidValueError(
            f"n_samples={n_samples} in one group or alone cannot be split into those "
            "that train and those that calibrate; at least 2 are needed."
        )
    # rounding up in favour of what calibrates, but one is left to train
    size = min(int(np.ceil(fraction * n_units - 1e-9)), n_units - 1)
    aside = np.isin(units, rng.permutation(n_units)[:size])
    return np.flatnonzero(~aside), np.flatnonzero(aside)


def _folds(cv: Any, X: Any, y: Any, groups: IntArray | None, rng: Any) -> list[Split]:
    if cv is None or isinstance(cv, Integral):
        folds = GroupKFold if groups is not None else KFold
        cv = folds(5 if cv is None else int(cv), shuffle=True,
                   random_state=int(rng.randint(MAX_SEED)))  # fmt: skip
    splits = [
        (np.asarray(train), np.asarray(test))
        for train, test in check_cv(cv).split(X, y, groups)
    ]
    splits = [(train, test) for train, test in splits if len(test)]
    if not splits:
        raise InvalidValueError(f"cv={cv!r} gives no test set, so nothing calibrates.")
    tested, counts = np.unique(
        np.concatenate([test for _, test in splits]), return_counts=True
    )
    if (counts > 1).any():
        raise InvalidValueError(
            f"Sample {int(tested[counts > 1][0])} is in more than one test set of "
            f"{cv!r}; a sample calibrates once. Use KFold, GroupKFold or the like."
        )
    return splits


def require_enough(
    conformal: ConformalRegressor,
    targets: FloatArray,
    tested: IntArray,
    groups: IntArray | None,
) -> None:
    """Reject what cannot be calibrated, before anything is trained.

    Parameters
    ----------
    conformal : ConformalRegressor
    targets : ndarray of shape (n, t)
    tested : ndarray of shape (n_calibration,)
        Rows that calibrate.
    groups : ndarray of shape (n,) or None

    Raises
    ------
    InvalidValueError
        If there are too few known targets, or groups of them, in a column.
    """
    level, needed = conformal.confidence_level, least_count(conformal.confidence_level)
    counts = []
    for column in targets.T:
        rows = tested[np.isfinite(column[tested])]
        counts.append(len(rows) if groups is None else len(np.unique(groups[rows])))
    worst = int(np.argmin(counts))
    count = counts[worst]
    if count >= needed:
        return
    what = "samples" if groups is None else "groups"
    where = f" with a known target in column {worst}" if targets.shape[1] > 1 else ""
    remedy = f"lower confidence_level to {highest_level(count):.3g} or less"
    held_out = conformal.method == "split" and len(tested) < len(targets)
    if held_out:
        least = int(np.ceil(needed / conformal.calibration_fraction))
        remedy += (
            f", give about {least} {what} in all, raise calibration_fraction, or use "
            "method='cv+', which calibrates with every sample"
        )
    raise InvalidValueError(
        f"confidence_level={level:g} needs at least {needed} {what} to calibrate"
        f"{where}; got {count} of n_samples={len(targets)}. Give more of them, or "
        f"{remedy}."
    )
