"""Information of features about targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmatgnn.errors import InvalidValueError
from skmatgnn.feature_selection._mutual_info import (
    Digamma,
    column_of,
    continuous_information,
    discrete_information,
    entropy,
)
from skmatgnn.utils.targets import ensure_regression_targets, require_given
from skmatgnn.utils.validation import is_missing

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.feature_selection._cross import CrossInformation

__all__ = ["Target", "ensure_targets", "target_nmi"]

_TARGET, _TARGET_TWIN, _FEATURE_PART = 2, 3, 4  # streams of the jitter


@dataclass(frozen=True)
class Target:
    """One target.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Numbers, or classes numbered from 0.
    known : ndarray of shape (n,), bool
    discrete : bool
    """

    values: FloatArray | IntArray
    known: np.ndarray
    discrete: bool

    def take(self, rows: IntArray) -> Self:
        """Keep some rows.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        Target
        """
        return type(self)(self.values[rows], self.known[rows], self.discrete)


def ensure_targets(y: Any, *, discrete: bool, estimator: Any) -> list[Target]:
    """Split targets into columns.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, n_targets)
    discrete : bool
        Whether they are classes.
    estimator : object
        Named in the messages.

    Returns
    -------
    list of Target

    Raises
    ------
    InvalidValueError
        If y cannot be used.
    """
    if not discrete:
        table, _ = ensure_regression_targets(y, estimator=estimator)
        return [Target(t, ~np.isnan(t), discrete=False) for t in table.T]
    require_given(y, estimator)
    table = np.asarray(y, dtype=object)
    if table.ndim not in (1, 2):
        raise InvalidValueError(
            "y must have shape (n_samples,) or (n_samples, n_targets); "
            f"got {table.ndim} dimensions, shape {table.shape}."
        )
    columns = table.reshape(len(table), -1).T
    return [_classes(column, one=table.ndim == 1) for column in columns]


def _classes(column: np.ndarray, *, one: bool) -> Target:
    known = np.array([not is_missing(value) for value in column], dtype=bool)
    if one and not known.all():
        index = int(np.flatnonzero(~known)[0])
        raise InvalidValueError(
            f"Input y contains NaN at index {index} of {len(column)}. Drop the rows "
            "with unknown targets; NaN as 'not known' is understood in a 2-D y."
        )
    codes: dict[Any, int] = {}
    values = np.array(
        [
            codes.setdefault(value, len(codes)) if is_known else -1
            for value, is_known in zip(column.tolist(), known, strict=True)
        ],
        dtype=np.int64,
    )
    return Target(values, known, discrete=True)


def target_nmi(
    cross: CrossInformation,
    target: Target,
    n_neighbors: int,
    seed: int,
    number: int,
    psi: Digamma,
) -> FloatArray:
    """Normalised information of the kept features about a target.

    Parameters
    ----------
    cross : CrossInformation
        Has the features.
    target : Target
        On the rows of the features.
    n_neighbors : int
    seed : int
    number : int
        Which target it is.
    psi : Digamma

    Returns
    -------
    ndarray of shape (n_kept,)
    """
    k = min(n_neighbors, int(target.known.sum()) - 1)
    values = target.values[target.known]
    columns, own = cross.columns, cross.self_information[cross.kept]
    if not target.known.all() or k != n_neighbors:
        columns = [
            column_of(
                cross.X[target.known, j],
                n_neighbors=k,
                seed=seed,
                stream=(_FEATURE_PART, number, int(j)),
            )
            for j in cross.kept
        ]
    if target.discrete:
        _, labels = np.unique(values, return_inverse=True)
        shared = [discrete_information(column, labels, k, psi) for column in columns]
        return np.asarray(shared) / (0.5 * (own + entropy(labels)))
    y, twin = (
        column_of(values, n_neighbors=k, seed=seed, stream=(stream, number))
        for stream in (_TARGET, _TARGET_TWIN)
    )
    shared, (of_y,) = (
        [continuous_information(x, other, k, psi, cross.count) for x in some]
        for some, other in ((columns, y), ([y], twin))
    )
    return np.asarray(shared) / (0.5 * (own + of_y))
