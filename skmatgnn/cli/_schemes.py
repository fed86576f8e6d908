"""The cross-validation schemes of the benchmark."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.cli._notes import Notes
    from skmatgnn.cli._samples import Samples

__all__ = [
    "SCHEMES",
    "Clusters",
    "Fold",
    "find_clusters",
    "make_folds",
    "require_schemes",
]

SCHEMES = ("stratified", "loco")
MAX_BINS = 10


@dataclass(frozen=True)
class Fold:
    """Rows to train and to test on.

    Parameters
    ----------
    label : str
        Number of the fold, or of the cluster that is tested.
    train, test : ndarray of int
        Rows, of all samples.
    """

    label: str
    train: IntArray
    test: IntArray


@dataclass(frozen=True)
class Clusters:
    """Cluster of each sample, 0 for the largest.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        The clusters.
    summary : list of dict
        Size, share and most central formula of each.
    n_moved : int
        Rows that a group took into another cluster than their own.
    """

    labels: IntArray
    summary: list[dict[str, Any]] = field(default_factory=list)
    n_moved: int = 0


def require_schemes(names: Iterable[str]) -> None:
    """Reject a scheme that does not exist.

    Parameters
    ----------
    names : iterable of str
        The schemes.

    Raises
    ------
    InvalidValueError
        With those that exist.
    """
    for name in names:
        if name not in SCHEMES:
            raise InvalidValueError(
                f"There is no scheme {name!r}. The schemes are: {', '.join(SCHEMES)}."
            )


def find_clusters(samples: Samples, random_state: int, notes: Notes) -> Clusters:
    """Cluster the compositions; a group is never split.

    Parameters
    ----------
    samples : Samples
        The data.
    random_state : int
        Seed.
    notes : Notes
        Gets a remark on rows that were moved.

    Returns
    -------
    Clusters

    Raises
    ------
    InvalidValueError
        If there are fewer than two clusters.
    """
    from skmatgnn.model_selection import ClusterGroups

    clusters = ClusterGroups(random_state=random_state)
    labels = clusters.fit_predict(samples.X)
    n_moved = 0
    if samples.groups is not None:
        whole = _keep_groups(labels, samples.groups)
        n_moved = int((whole != labels).sum())
        labels = whole
        if n_moved:
            notes.add(
                f"loco: {n_moved} of {len(labels)} rows were moved to the cluster that "
                f"has most rows of their {samples.group_name}, so that none is split"
            )
    labels = _by_size(labels)
    n_clusters = int(labels.max()) + 1
    if n_clusters < 2:
        raise InvalidValueError(
            f"loco needs at least two clusters; the {len(labels)} rows of "
            f"{samples.source} form only one. Use more varied data, or --cv stratified."
        )
    return Clusters(labels, _summary(samples, labels, clusters.points_), n_moved)


def _keep_groups(labels: IntArray, groups: np.ndarray) -> IntArray:
    """Give each group the cluster of most of its rows; of equal ones the larger."""
    _, codes = np.unique(groups, return_inverse=True)
    counts = np.zeros((codes.max() + 1, labels.max() + 1), dtype=np.intp)
    np.add.at(counts, (codes, labels), 1)
    return counts.argmax(axis=1)[codes]


def _by_size(labels: IntArray) -> IntArray:
    found, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(found), dtype=np.intp)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(found))
    return rank[codes]


def _summary(
    samples: Samples, labels: IntArray, points: FloatArray
) -> list[dict[str, Any]]:
    summary = []
    for cluster in range(labels.max() + 1):
        rows = np.flatnonzero(labels == cluster)
        distance = ((points[rows] - points[rows].mean(axis=0)) ** 2).sum(axis=1)
        summary.append(
            {
                "cluster": cluster,
                "size": len(rows),
                "share": len(rows) / len(labels),
                "central_formula": samples.formulas[rows[distance.argmin()]],
            }
        )
    return summary


def make_folds(
    scheme: str,
    samples: Samples,
    target: int,
    clusters: Clusters | None,
    options: argparse.Namespace,
) -> list[Fold]:
    """Split the rows where a target is known.

    Parameters
    ----------
    scheme : {"stratified", "loco"}
        How.
    samples : Samples
        The data.
    target : int
        Which target.
    clusters : Clusters or None
        For ``"loco"``.
    options : Namespace
        ``n_splits`` and ``random_state``.

    Returns
    -------
    list of Fold

    Raises
    ------
    InvalidValueError
        If there are too few rows, groups or clusters.
    """
    y = samples.targets[:, target]
    known = np.flatnonzero(~np.isnan(y))
    name = samples.target_names[target]
    groups = None if samples.groups is None else samples.groups[known]
    if scheme == "loco":
        labels = clusters.labels[known]
        tested = np.unique(labels)
        if len(tested) < 2:
            raise InvalidValueError(
                f"{samples.source}: {name!r} is known in one cluster only, so that "
                "loco is not possible. Use --cv stratified."
            )
        parts = [(labels != c, labels == c) for c in tested]
        return [
            Fold(str(c), known[train], known[test])
            for c, (train, test) in zip(tested, parts, strict=True)
        ]
    if groups is None:
        splits = _stratified(y[known], options)
    else:
        _require_groups(groups, samples, options.n_splits)
        splits = _stratified_by_group(y[known], groups, options)
    folds = [
        Fold(str(number), known[train], known[test])
        for number, (train, test) in enumerate(splits)
    ]
    if any(not len(fold.test) or not len(fold.train) for fold in folds):
        raise InvalidValueError(
            f"{samples.source}: the groups of {samples.group_name} cannot be dealt out "
            f"to {options.n_splits} folds. Lower --n-splits."
        )
    return folds


def _require_groups(groups: np.ndarray, samples: Samples, n_splits: int) -> None:
    found = len(np.unique(groups))
    if found < n_splits:
        raise InvalidValueError(
            f"{samples.source}: {n_splits} folds need at least {n_splits} groups; "
            f"{samples.group_name} has {found}. Lower --n-splits."
        )


def _stratified(
    y: FloatArray, options: argparse.Namespace
) -> list[tuple[IntArray, IntArray]]:
    from skmatgnn.model_selection import StratifiedRegressionKFold

    cv = StratifiedRegressionKFold(
        options.n_splits, shuffle=True, random_state=options.random_state
    )
    return list(cv.split(y, y))


def _stratified_by_group(
    y: FloatArray, groups: np.ndarray, options: argparse.Namespace
) -> list[tuple[IntArray, IntArray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    n_bins = max(1, min(MAX_BINS, len(y) // options.n_splits))
    edges = np.quantile(y, np.arange(1, n_bins) / n_bins)
    bins = np.searchsorted(np.unique(edges), y, side="right")
    cv = StratifiedGroupKFold(
        options.n_splits, shuffle=True, random_state=options.random_state
    )
    with warnings.catch_warnings():
        # Bins of a target with many equal values can be small; folds are still made.
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(cv.split(y, bins, groups))
