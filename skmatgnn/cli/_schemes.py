"""The cross-validation schemes of the benchmark."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skmatgnn.errors import InvalidValueError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from skmatgnn._typing import BoolArray, FloatArray, IntArray
    from skmatgnn.cli._notes import Notes
    from skmatgnn.cli._samples import Samples

    _Split = tuple[str, IntArray, IntArray]  # label, training rows, test rows

__all__ = [
    "SCHEMES",
    "Clusters",
    "Fold",
    "codes_of",
    "find_clusters",
    "make_folds",
    "require_schemes",
]

SCHEMES = ("stratified", "formula", "chemical_system", "loco", "bootstrap")
MAX_BINS = 10


@dataclass(frozen=True)
class Fold:
    """Rows to train and to test on.

    Parameters
    ----------
    label : str
        Number of the fold, of the cluster that is tested, or of the resample.
    train, test : ndarray of int
        Rows, of all samples; a resample trains on some of them repeatedly.
    """

    label: str
    train: IntArray
    test: IntArray

    def where(self, wanted: BoolArray) -> Fold:
        """Leave rows out.

        Parameters
        ----------
        wanted : ndarray of bool
            For each of all samples, whether to keep it.

        Returns
        -------
        Fold
        """
        return Fold(
            self.label, self.train[wanted[self.train]], self.test[wanted[self.test]]
        )


@dataclass(frozen=True)
class Clusters:
    """Cluster of each sample, 0 for the largest.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        The clusters.
    points : ndarray of shape (n, d)
        What was clustered.
    summary : list of dict
        Size, share and most central formula of each.
    n_moved : int
        Rows that a group took into another cluster than their own.
    """

    labels: IntArray
    points: FloatArray
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
    points = clusters.points_
    return Clusters(labels, points, _summary(samples, labels, points), n_moved)


def _keep_groups(labels: IntArray, groups: np.ndarray) -> IntArray:
    """Give each group the cluster of most of its rows; of equal ones the larger."""
    codes = codes_of(groups)
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
    targets: Sequence[int],
    clusters: Clusters | None,
    options: argparse.Namespace,
) -> list[Fold]:
    """Split the rows where any of some targets is known.

    Parameters
    ----------
    scheme : {"stratified", "formula", "chemical_system", "loco", "bootstrap"}
        How.
    samples : Samples
        The data.
    targets : sequence of int
        Which targets.
    clusters : Clusters or None
        For ``"loco"``.
    options : Namespace
        ``n_splits``, ``n_resamples`` and ``random_state``.

    Returns
    -------
    list of Fold

    Raises
    ------
    InvalidValueError
        If there are too few rows, groups or clusters.
    """
    y = samples.targets[:, list(targets)]
    known = np.flatnonzero(~np.isnan(y).all(axis=1))
    if scheme == "loco" and clusters is not None:
        names = ", ".join(samples.target_names[target] for target in targets)
        splits = _by_cluster(clusters.labels[known], samples.source, names)
    elif scheme == "bootstrap":
        splits = _resamples(samples, known, options)
    elif scheme in ("formula", "chemical_system"):
        splits = _by_composition(scheme, samples, known, options)
    else:
        splits = _stratified(samples, known, y[known], options)
    return [Fold(label, known[train], known[test]) for label, train, test in splits]


def _by_cluster(labels: IntArray, source: str, target: str) -> list[_Split]:
    tested = np.unique(labels)
    if len(tested) < 2:
        raise InvalidValueError(
            f"{source}: {target!r} is known in one cluster only, so that loco is not "
            "possible. Use --cv stratified."
        )
    return [
        (str(c), np.flatnonzero(labels != c), np.flatnonzero(labels == c))
        for c in tested
    ]


def _resamples(
    samples: Samples, known: IntArray, options: argparse.Namespace
) -> list[_Split]:
    """Draw rows, or whole groups, with replacement; test on those not drawn."""
    rng = np.random.default_rng(options.random_state)
    units: IntArray = np.arange(len(known))
    if samples.groups is not None:
        units = codes_of(samples.groups[known])
    n_units = int(units.max()) + 1
    if n_units < 2:
        raise InvalidValueError(
            f"{samples.source}: bootstrap draws from two groups at least; "
            f"{samples.group_name} has {n_units} where the target is known. Leave "
            "bootstrap out of --cv, or choose another --group-column."
        )
    splits: list[_Split] = []
    for number in range(options.n_resamples):
        counts = _draw_with_rest(rng, n_units)[units]
        train = np.repeat(np.arange(len(known)), counts)
        splits.append((str(number), train, np.flatnonzero(counts == 0)))
    return splits


def _draw_with_rest(rng: np.random.Generator, n_units: int) -> IntArray:
    """Draw until something is left to test on, which with few groups is not sure."""
    while True:  # every second draw of two groups leaves one
        counts = rng.multinomial(n_units, np.full(n_units, 1 / n_units))
        if not counts.all():
            return counts


def _by_composition(
    scheme: str, samples: Samples, known: IntArray, options: argparse.Namespace
) -> list[_Split]:
    from sklearn.model_selection import GroupKFold

    from skmatgnn.model_selection import chemical_system_groups, formula_groups

    label = formula_groups if scheme == "formula" else chemical_system_groups
    groups = codes_of(label(samples.X[known]))
    if samples.groups is not None:
        groups = _joined(groups, codes_of(samples.groups[known]))
    found = int(groups.max()) + 1
    if found < options.n_splits:
        name = scheme.replace("_", " ")
        what = f"different {name}s"
        if samples.groups is not None:
            what = f"sets of rows that share no {name} and no {samples.group_name}"
        raise InvalidValueError(
            f"{samples.source}: {options.n_splits} folds by {name} need as many "
            f"{what}; there are {found}. Lower --n-splits."
        )
    cv = GroupKFold(options.n_splits, shuffle=True, random_state=options.random_state)
    return _numbered(cv.split(known, groups=groups))


def _joined(first: IntArray, second: IntArray) -> IntArray:
    """Merge two kinds of groups into the smallest that split neither."""
    n = len(first)
    offset = n + int(first.max()) + 1
    graph = coo_array(
        (
            np.ones(2 * n),
            (np.tile(np.arange(n), 2), np.concatenate([first + n, second + offset])),
        ),
        shape=(offset + int(second.max()) + 1,) * 2,
    )
    return codes_of(connected_components(graph, directed=False)[1][:n])


def _stratified(
    samples: Samples, known: IntArray, y: FloatArray, options: argparse.Namespace
) -> list[_Split]:
    from skmatgnn.model_selection import StratifiedRegressionKFold

    strata = None if samples.strata is None else samples.strata[known]
    if strata is None and y.shape[1] > 1:
        raise InvalidValueError(
            "Folds for several targets at once cannot be stratified by one of them: "
            "name labels by --stratify-column, or leave --joint or stratified out."
        )
    if samples.groups is None:
        cv = StratifiedRegressionKFold(
            options.n_splits,
            by="target" if strata is None else strata,
            shuffle=True,
            random_state=options.random_state,
        )
        splits = _numbered(cv.split(known, y[:, 0]))
    else:
        groups = samples.groups[known]
        _require_groups(len(np.unique(groups)), samples, options.n_splits)
        if strata is None:
            strata = _quantile_bins(y[:, 0], options.n_splits)
        splits = _stratified_by_group(strata, groups, options)
    if any(not len(train) or not len(test) for _, train, test in splits):
        raise InvalidValueError(
            f"{samples.source}: the groups of {samples.group_name} cannot be dealt out "
            f"to {options.n_splits} folds. Lower --n-splits."
        )
    return splits


def _quantile_bins(y: FloatArray, n_splits: int) -> IntArray:
    n_bins = max(1, min(MAX_BINS, len(y) // n_splits))
    edges = np.quantile(y, np.arange(1, n_bins) / n_bins)
    return np.searchsorted(np.unique(edges), y, side="right")


def _stratified_by_group(
    strata: np.ndarray, groups: np.ndarray, options: argparse.Namespace
) -> list[_Split]:
    from sklearn.model_selection import StratifiedGroupKFold

    cv = StratifiedGroupKFold(
        options.n_splits, shuffle=True, random_state=options.random_state
    )
    with warnings.catch_warnings():
        # Bins of a target with many equal values can be small; folds are still made.
        warnings.filterwarnings("ignore", message="The least populated class")
        return _numbered(cv.split(strata, strata, groups))


def _require_groups(found: int, samples: Samples, needed: int) -> None:
    if found < needed:
        raise InvalidValueError(
            f"{samples.source}: {needed} folds need at least {needed} groups; "
            f"{samples.group_name} has {found}. Lower --n-splits."
        )


def _numbered(splits: Iterable[tuple[IntArray, IntArray]]) -> list[_Split]:
    return [(str(number), *split) for number, split in enumerate(splits)]


def codes_of(labels: np.ndarray) -> IntArray:
    """Give labels numbers, in the order of the labels.

    Parameters
    ----------
    labels : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n,), int
    """
    return np.unique(labels, return_inverse=True)[1]
