"""Scaling and embedding of features before they are clustered or drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from skmatgnn.utils._optional import import_optional
from skmatgnn.utils._seeds import MAX_SEED

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, RandomState

_PERPLEXITY = 30.0
_N_NEIGHBORS = 15
_EXPLAINED_VARIANCE = 0.9


def embed(
    matrix: FloatArray, *, scaler: Any, embedding: Any, random_state: RandomState
) -> FloatArray:
    """Scale and embed a feature matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n_samples, n_features)
        Features without NaN.
    scaler : bool or transformer
        True is ``StandardScaler``.
    embedding : {"pca", "tsne", "umap"}, transformer or None
        None leaves the scaled features.
    random_state : int, RandomState or None
        For the steps that have none of their own.

    Returns
    -------
    ndarray of shape (n_samples, n_dimensions), float64
    """
    if scaler is True:
        matrix = StandardScaler().fit_transform(matrix)
    elif scaler is not False:
        matrix = fit_transform(clone(scaler), matrix)
    if embedding is None:
        return np.asarray(matrix, dtype=np.float64)
    if isinstance(embedding, str):
        embedding = _named_embedding(embedding, matrix)
    seeded = with_random_state(clone(embedding), random_state)
    return np.asarray(fit_transform(seeded, matrix), dtype=np.float64)


def fit_transform(transformer: Any, X: Any) -> Any:
    """Fit and transform, also where the transformer has no ``fit_transform``.

    Parameters
    ----------
    transformer : estimator
        For example a ``FrozenEstimator``, which has none.
    X : sequence
        The samples.

    Returns
    -------
    array-like
    """
    if hasattr(transformer, "fit_transform"):
        return transformer.fit_transform(X)
    return transformer.fit(X, None).transform(X)


def with_random_state(estimator: Any, random_state: RandomState) -> Any:
    """Seed an estimator and its parts wherever they have no seed of their own.

    Parameters
    ----------
    estimator : estimator
        Changed in place.
    random_state : int, RandomState or None
        None changes nothing.

    Returns
    -------
    estimator
    """
    if random_state is None or isinstance(estimator, FrozenEstimator):
        return estimator
    seed = (
        random_state
        if isinstance(random_state, int)
        else check_random_state(random_state).randint(MAX_SEED)
    )
    unset = {
        name: seed
        for name, value in estimator.get_params().items()
        if value is None and (name == "random_state" or name.endswith("__random_state"))
    }
    return estimator.set_params(**unset)


def _named_embedding(name: str, matrix: FloatArray) -> Any:
    n_samples, n_features = matrix.shape
    if name == "pca":
        return PCA(n_components=_EXPLAINED_VARIANCE, svd_solver="full")
    if name == "tsne":
        return TSNE(
            perplexity=min(_PERPLEXITY, max(1.0, (n_samples - 1) / 3)),
            init="pca" if min(n_samples, n_features) >= 2 else "random",
        )
    umap = import_optional("umap", extra="umap", purpose="embedding='umap'")
    return umap.UMAP(n_neighbors=max(2, min(_N_NEIGHBORS, n_samples - 1)), n_jobs=1)
