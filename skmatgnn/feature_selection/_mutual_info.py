"""Mutual information by nearest neighbours, as scikit-learn estimates it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import digamma

from skmatgnn.feature_selection._columns import prepare_column
from skmatgnn.feature_selection._neighbors import kth_neighbor_distance
from skmatgnn.utils._compiled import compiled_module

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray
    from skmatgnn.feature_selection._columns import Column

    Count = Callable[[Column, Column, int], IntArray]

__all__ = [
    "Digamma",
    "column_of",
    "continuous_information",
    "count_neighbors",
    "counting_for",
    "discrete_information",
    "entropy",
]

# Rows times pairs: what the loops save by then is what it takes to load them.
_WORTH_COMPILED = 2**20


class Digamma:
    """The digamma function at positive integers, by look-up.

    Parameters
    ----------
    largest : int
    """

    def __init__(self, largest: int) -> None:
        self._table = np.append(0.0, digamma(np.arange(1, largest + 1)))

    def __call__(self, n: Any) -> Any:
        """Look up; entry 0 is 0."""
        return self._table[n]

    def weighted_sum(self, numbers: IntArray) -> float:
        """Sum over all numbers, each as often as it was counted.

        Parameters
        ----------
        numbers : ndarray of shape (m,), int64
            How often 0, 1, ... occur.

        Returns
        -------
        float
        """
        return float((numbers * self._table[: len(numbers)]).sum())


def column_of(
    x: FloatArray, *, n_neighbors: int, seed: int, stream: tuple[int, ...]
) -> Column:
    """Prepare a feature with a jitter that depends on nothing but its arguments.

    Parameters
    ----------
    x : ndarray of shape (n,), float64
    n_neighbors : int
    seed : int
    stream : tuple of int
        Tells the features of one call apart.

    Returns
    -------
    Column
    """
    rng = np.random.default_rng([seed, *stream])
    return prepare_column(x, n_neighbors=n_neighbors, rng=rng)


def continuous_information(
    x: Column,
    y: Column,
    n_neighbors: int,
    psi: Digamma,
    count: Count | None = None,
) -> float:
    r"""Estimate the mutual information of two continuous features in nats.

    Parameters
    ----------
    x, y : Column
        With jitters of their own, also where they are the same feature.
    n_neighbors : int
        The k, smaller than the number of rows.
    psi : Digamma
        Up to the number of rows.
    count : callable, optional
        What :func:`counting_for` chose; by default :func:`count_neighbors`.

    Returns
    -------
    float
        Not below 0.

    Notes
    -----
    :math:`\psi(n) + \psi(k) - \langle \psi(n_x + 1) + \psi(n_y + 1) \rangle`, the
    first estimator of [1]_. A row whose place (the values of both features) is
    shared by m > k rows has its neighbours among them, told apart by the jitter
    alone. Inside the place the two jitters are independent, and the mean over them
    of the bracket is :math:`\psi(k) + \psi(m_x) + \psi(m_y) - \psi(m)`, with the
    numbers of rows that share either value: the estimator has no bias for
    independent features, and :math:`\psi` of a count follows the logarithm of the
    share that it is drawn from. That mean is used for such rows. It differs from
    scikit-learn's result by the sampling noise of its jitter only, and takes no
    search.

    References
    ----------
    .. [1] A. Kraskov, H. Stögbauer, P. Grassberger, "Estimating mutual information",
       Phys. Rev. E 69, 066138 (2004), equation 8.
    """
    n = len(x.values)
    if x.n_levels == 1 or y.n_levels == 1:
        return 0.0
    numbers = (count or count_neighbors)(x, y, n_neighbors)
    total = psi.weighted_sum(numbers)
    return max(0.0, float(psi(n) + psi(n_neighbors) - total / n))


def count_neighbors(x: Column, y: Column, n_neighbors: int) -> IntArray:
    r"""Count how often each number is an argument of :math:`\psi` in the sum over rows.

    Parameters
    ----------
    x, y : Column
    n_neighbors : int
        The k, smaller than the number of rows.

    Returns
    -------
    ndarray of shape (n + 1,), int64
        Negative for arguments that are subtracted. The sum is then the same whatever
        the order of the rows, and whoever counted.
    """
    n = len(x.values)
    shared = _shared_places(x, y)
    is_open = shared <= n_neighbors
    numbers = np.zeros(n + 1, dtype=np.int64)
    if not is_open.all():
        closed = np.flatnonzero(~is_open)
        numbers[n_neighbors] += len(closed)
        for column in (x, y):
            numbers += np.bincount(column.multiplicity[closed], minlength=n + 1)
        numbers -= np.bincount(shared[closed], minlength=n + 1)
    if is_open.any():
        radius = kth_neighbor_distance(x, y, is_open, n_neighbors)
        for column in (x, y):
            within = _count_within(column, radius, is_open)
            numbers += np.bincount(within, minlength=n + 1)
    return numbers


def counting_for(n_rows: int, n_pairs: int) -> Count:
    """Choose who counts: compiled loops where Numba is installed and worth loading.

    Parameters
    ----------
    n_rows : int
    n_pairs : int
        Of features, about.

    Returns
    -------
    callable
        :func:`count_neighbors`, or what is equal to it.
    """
    if n_rows * n_pairs < _WORTH_COMPILED:
        return count_neighbors
    module = compiled_module(
        "skmatgnn.feature_selection._counts_numba", "neighbours of features are counted"
    )
    return count_neighbors if module is None else module.count_neighbors


def discrete_information(
    x: Column, labels: IntArray, n_neighbors: int, psi: Digamma
) -> float:
    r"""Estimate the mutual information of a continuous feature and classes in nats.

    Parameters
    ----------
    x : Column
    labels : ndarray of shape (n,), int
        Classes, numbered from 0.
    n_neighbors : int
        The k; classes with fewer other members use all of them.
    psi : Digamma
        Up to the number of rows.

    Returns
    -------
    float
        Not below 0.

    Notes
    -----
    :math:`\psi(n) + \langle\psi(k)\rangle - \langle\psi(n_c)\rangle -
    \langle\psi(m)\rangle`, with the size of the row's class and the number of rows
    within the distance to the k-th of its class [1]_. Classes of one row are left out.

    References
    ----------
    .. [1] B. C. Ross, "Mutual information between discrete and continuous data
       sets", PLoS ONE 9, e87357 (2014), equation 2.
    """
    sizes = np.bincount(labels)
    rows = x.order[sizes[labels[x.order]] > 1]
    if len(rows) == 0:
        return 0.0
    rows = rows[np.argsort(labels[rows], kind="stable")]
    size = sizes[labels[rows]]
    k = np.minimum(n_neighbors, size - 1)
    radius = np.empty(len(x.values))
    radius[rows] = _kth_in_class(x.values[rows], labels[rows], k)
    used = np.zeros(len(x.values), dtype=bool)
    used[rows] = True
    within = np.sort(x.values[rows])
    values, reach = x.values[rows], radius[rows] - x.resolution
    counts = np.searchsorted(within, values + reach, side="right")
    counts -= np.searchsorted(within, values - reach)
    mean = psi(k).mean() - psi(size).mean() - psi(np.maximum(counts, 1)).mean()
    return max(0.0, float(psi(len(rows)) + mean))


def entropy(labels: IntArray) -> float:
    """Entropy of classes in nats.

    Parameters
    ----------
    labels : ndarray of shape (n,), int

    Returns
    -------
    float
    """
    shares = np.bincount(labels) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def _shared_places(x: Column, y: Column) -> IntArray:
    """Count the rows at each row's place; 0 where either value is nearly unique."""
    n = len(x.values)
    if x.n_blocks == 1 or y.n_blocks == 1:
        return np.zeros(n, dtype=np.int64)
    code = x.block * y.n_blocks + y.block
    n_codes = x.n_blocks * y.n_blocks
    if n_codes > 50 * n:
        _, code = np.unique(code, return_inverse=True)
        n_codes = n
    shared = np.bincount(code, minlength=n_codes)[code]
    return np.where((x.block > 0) & (y.block > 0), shared, 0)


def _count_within(column: Column, radius: FloatArray, is_open: np.ndarray) -> IntArray:
    # The order of the values makes the searches follow each other in memory.
    rows = column.order[is_open[column.order]]
    values, reach = column.values[rows], radius[rows] - column.resolution
    counts = np.searchsorted(column.ascending, values + reach, side="right")
    counts -= np.searchsorted(column.ascending, values - reach)
    return np.maximum(counts, 1)


def _kth_in_class(values: FloatArray, labels: IntArray, k: IntArray) -> FloatArray:
    """Distance to the k-th neighbour of the same class, rows sorted by both."""
    n, best = len(values), np.full(len(values), np.inf)
    place = np.arange(n)
    for before in range(int(k.max()) + 1):
        low, high = place - before, place + (k - before)
        valid = (before <= k) & (low >= 0) & (high < n)
        low, high = low.clip(0, n - 1), high.clip(0, n - 1)
        valid &= (labels[low] == labels) & (labels[high] == labels)
        widest = np.maximum(values - values[low], values[high] - values)
        best = np.where(valid, np.minimum(best, widest), best)
    return best
