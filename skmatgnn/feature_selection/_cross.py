"""Information that features share with each other; targets play no part in it."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from scipy.stats import rankdata
from tqdm.auto import tqdm

from skmatgnn._typing import FloatArray, IntArray
from skmatgnn.feature_selection._columns import Column
from skmatgnn.feature_selection._mutual_info import (
    Digamma,
    column_of,
    continuous_information,
    counting_for,
)

__all__ = ["CrossInformation", "all_pairs", "scale_features", "self_information"]

_UNKNOWN = -1.0  # of a feature that lies in -0.5 to 0.5
_FEATURE, _TWIN = 0, 1  # streams of the jitter


def scale_features(X: FloatArray) -> FloatArray:
    """Bring features to the range -0.5 to 0.5, with NaN at -1.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)

    Returns
    -------
    ndarray of shape (n, n_features), float64
    """
    unknown = np.isnan(X)
    low = np.where(unknown, np.inf, X).min(axis=0)
    high = np.where(unknown, -np.inf, X).max(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        # Halves, because the range of huge values may not be a number.
        width = high / 2 - low / 2
        scaled = (X / 2 - low / 2) / np.where(width > 0, width, 1.0) - 0.5
    return np.where(unknown, _UNKNOWN, scaled)


def self_information(X: FloatArray, n_neighbors: int, seed: int) -> FloatArray:
    """Estimate the information of each feature about itself, in nats.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    n_neighbors : int
    seed : int

    Returns
    -------
    ndarray of shape (n_features,)
    """
    psi = Digamma(len(X) + 1)
    count = counting_for(len(X), _likely_pairs(X.shape[1]))
    out = np.empty(X.shape[1])
    for j, x in enumerate(X.T):
        feature, twin = (
            column_of(x, n_neighbors=n_neighbors, seed=seed, stream=(which, j))
            for which in (_FEATURE, _TWIN)
        )
        out[j] = continuous_information(feature, twin, n_neighbors, psi, count)
    return out


def all_pairs(
    X: FloatArray,
    n_neighbors: int,
    seed: int,
    drop_threshold: float,
    n_jobs: int | None,
    verbose: bool,
) -> tuple[FloatArray, FloatArray]:
    """Estimate the information of all pairs of features, in nats.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    n_neighbors : int
    seed : int
    drop_threshold : float
        Features with less self-information are left out.
    n_jobs : int or None
        Processes, as in joblib.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    self_information : ndarray of shape (n_features,)
    shared : ndarray of shape (n_features, n_features)
        NaN where a feature is left out.
    """
    own = self_information(X, n_neighbors, seed)
    kept = np.flatnonzero((own >= drop_threshold) & (own > 0))
    shared = np.full((X.shape[1], X.shape[1]), np.nan)
    n_jobs_used = effective_n_jobs(n_jobs)
    n_parts = 4 * n_jobs_used  # for the progress bar and an even load
    first, second = np.triu_indices(len(kept), 1)
    parts = [
        part
        for part in np.array_split(np.arange(len(first)), n_parts or 1)
        if len(part)
    ]
    results = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_some_pairs)(
            X, kept[first[part]], kept[second[part]], n_neighbors, seed
        )
        for part in parts
    )
    for part, values in zip(
        parts,
        tqdm(results, total=len(parts), desc="Pairs of features", disable=not verbose),
        strict=True,
    ):
        shared[kept[first[part]], kept[second[part]]] = values
        shared[kept[second[part]], kept[first[part]]] = values
    shared[kept, kept] = own[kept]
    return own, shared


def _likely_pairs(n_features: int) -> int:
    """Count the pairs that a search for some of the features asks for, roughly."""
    return n_features + n_features * n_features // 6


def _columns(
    X: FloatArray, kept: IntArray, n_neighbors: int, seed: int
) -> list[Column]:
    return [
        column_of(
            X[:, j], n_neighbors=n_neighbors, seed=seed, stream=(_FEATURE, int(j))
        )
        for j in kept
    ]


def _some_pairs(
    X: FloatArray, first: IntArray, second: IntArray, n_neighbors: int, seed: int
) -> list[float]:
    # Columns are made here: they are ten times the size of the features, which
    # joblib shares between processes.
    psi = Digamma(len(X) + 1)
    count = counting_for(len(X), len(first))
    needed = np.union1d(first, second)
    made = _columns(X, needed, n_neighbors, seed)
    columns = dict(zip(needed.tolist(), made, strict=True))
    return [
        continuous_information(columns[i], columns[j], n_neighbors, psi, count)
        for i, j in zip(first.tolist(), second.tolist(), strict=True)
    ]


class CrossInformation:
    """Normalised information between features, estimated when first asked for.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
    self_information : ndarray of shape (n_features,)
    kept : ndarray of int
        The features that can be asked for.
    n_neighbors : int
    seed : int
    shared : ndarray of shape (n_features, n_features), optional
        Information of all pairs, where it is known already.
    """

    def __init__(
        self,
        X: FloatArray,
        self_information: FloatArray,
        kept: IntArray,
        n_neighbors: int,
        seed: int,
        shared: FloatArray | None = None,
    ) -> None:
        self.X = X
        self.self_information = self_information
        self.kept = kept
        self.is_complete = shared is not None
        self._own = self_information[kept]
        self._n_neighbors = n_neighbors
        self.columns = _columns(X, kept, n_neighbors, seed)
        self._psi = Digamma(len(X) + 1)
        self.count = counting_for(len(X), _likely_pairs(len(kept)))
        self._shared = np.full((len(kept), len(kept)), np.nan)
        if shared is not None:
            self._shared[:] = shared[np.ix_(kept, kept)]

    def nmi(self, i: int, js: IntArray) -> FloatArray:
        """Normalised information of a kept feature with others.

        Parameters
        ----------
        i : int
            Place in ``kept``.
        js : ndarray of int
            Places in ``kept``.

        Returns
        -------
        ndarray of shape (len(js),)
        """
        for j in js:
            if np.isnan(self._shared[i, j]):
                self._shared[i, j] = self._shared[j, i] = continuous_information(
                    self.columns[i],
                    self.columns[j],
                    self._n_neighbors,
                    self._psi,
                    self.count,
                )
        own = self._own
        return self._shared[i, js] / (0.5 * (own[i] + own[js]))

    def similarity(self) -> FloatArray:
        """Absolute rank correlation of the kept features, shape (n_kept, n_kept)."""
        ranks = rankdata(self.X[:, self.kept], axis=0)
        ranks -= ranks.mean(axis=0)
        ranks /= np.linalg.norm(ranks, axis=0)
        return np.abs(ranks.T @ ranks)

    def normalised(self) -> FloatArray:
        """All that is known, with the dropped features, diagonal 1.

        Returns
        -------
        ndarray of shape (n_features, n_features)
        """
        own = self._own
        out = np.full((len(self.self_information),) * 2, np.nan)
        table = self._shared / (0.5 * (own[:, None] + own))
        np.fill_diagonal(table, 1.0)
        out[np.ix_(self.kept, self.kept)] = table
        return out
