"""Groups of similar materials, found by clustering their features."""

from __future__ import annotations

import warnings
from numbers import Number
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection._embed import embed, fit_transform, with_random_state
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import HasMethods, StrOptions, fit_context

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Tags

    from skmatgnn._typing import FloatArray, IntArray, RandomState

MAX_CLUSTERS = 8
MEAN_CLUSTER_SIZE = 10
N_INIT = 50  # ten starts still find different clusters for different seeds
DROPPED = -1

_OF_MATERIALS = ("composition", "get_atomic_numbers")


class ClusterGroups(DocLinkMixin, ClusterMixin, BaseEstimator):
    """Group samples by clustering, for leave-one-cluster-out cross-validation.

    Materials data come in families, and a random fold holds relatives of every
    training material. Clusters of similar materials as ``groups`` of a splitter show
    how a model does on a family that it has never seen [1]_.

    Features are made, scaled, optionally embedded, clustered, and the clusters are
    numbered by decreasing size.

    Parameters
    ----------
    clusterer : estimator with ``fit_predict``, default=None
        Any clusterer of scikit-learn's kind; negative labels are noise. None is
        ``KMeans`` with 8 clusters and 50 starts, or with fewer clusters where they
        would hold fewer than 10 samples on average.
    features : transformer, default=None
        Makes the feature matrix from ``X``. None takes a numeric ``X`` as it is and
        otherwise computes ``MagpieFeatures`` of the compositions. Missing features
        of a transformer are imputed by the column's median.
    scaler : bool or transformer, default=True
        True standardises every feature; False leaves them as they are.
    embedding : {"pca", "tsne", "umap"}, transformer or None, default=None
        Lower-dimensional space to cluster in: principal components that hold 90 % of
        the variance, or two t-SNE or UMAP dimensions ("umap" needs the extra of
        that name).
    noise : {"own_group", "drop", "nearest"}, default="own_group"
        What becomes of samples that the clusterer leaves out (labels below 0): they
        form one group of their own, the last; they get the label -1, which
        :class:`LeaveOneClusterOut` neither trains nor tests on; or each joins the
        cluster of its nearest clustered sample.
    random_state : int, RandomState or None, default=None
        Seed for every step that has none of its own. Give an integer for groups that
        can be reproduced.

    Attributes
    ----------
    groups_ : ndarray of shape (n_samples,)
        Group of each sample: 0 is the largest cluster; -1 is dropped noise.
    labels_ : ndarray of shape (n_samples,)
        The same, under the name that scikit-learn's clusterers use.
    n_groups_ : int
        Number of groups, without dropped noise.
    noise_mask_ : ndarray of shape (n_samples,), bool
        Samples that the clusterer called noise.
    points_ : ndarray of shape (n_samples, n_dimensions)
        What was clustered: scaled and embedded features.
    clusterer_ : estimator
        The fitted clusterer.

    See Also
    --------
    LeaveOneClusterOut : Takes these groups, or makes them itself.
    formula_groups : Groups of one composition each.

    Notes
    -----
    Scores depend on the clusters, so report their sizes (:meth:`report`). Density-based
    clusters of a t-SNE map can be very sensitive: on 4,351 electrode materials DBSCAN
    finds 20, 14 and 7 clusters for ``eps`` of 6.0, 6.6 and 8.0. The default
    was chosen for stability on the 5,133 of the 2019 battery explorer: eight k-means
    clusters of the Magpie features agree between seeds and with those of 90 % of the
    rows (adjusted Rand index 0.94 and more; ten clusters: 0.73), leave nothing out
    and hold 29 % at most, while DBSCAN on t-SNE puts 43 % into one and HDBSCAN calls
    half of the rows noise. The recipe of [2]_ is
    ``ClusterGroups(DBSCAN(eps=6.6, min_samples=10), embedding="tsne", noise="drop")``.

    Clustering sees the features, never the targets, of all samples.

    References
    ----------
    .. [1] Meredig et al., "Can machine learning identify the next high-temperature
       superconductor? Examining extrapolation performance for materials discovery",
       Mol. Syst. Des. Eng. 3, 819 (2018).
    .. [2] Wu, Hargreaves, Mishra, Rignanese, "Machine Learning for Electrode
       Materials: Property Prediction via Composition", arXiv:2603.07805 (2026).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import DBSCAN
    >>> from skmatgnn.model_selection import ClusterGroups
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1], [5.2], [99.0]])
    >>> ClusterGroups(DBSCAN(eps=1, min_samples=2), scaler=False).fit_predict(X)
    array([1, 1, 0, 0, 0, 2])
    """

    _parameter_constraints: ClassVar[dict] = {
        "clusterer": [HasMethods("fit_predict"), None],
        "features": [HasMethods(["fit", "transform"]), None],
        "scaler": ["boolean", HasMethods(["fit", "transform"])],
        "embedding": [
            StrOptions({"pca", "tsne", "umap"}),
            HasMethods("fit_transform"),
            None,
        ],
        "noise": [StrOptions({"own_group", "drop", "nearest"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        clusterer: Any = None,
        features: Any = None,
        *,
        scaler: Any = True,
        embedding: Any = None,
        noise: str = "own_group",
        random_state: RandomState = None,
    ) -> None:
        self.clusterer = clusterer
        self.features = features
        self.scaler = scaler
        self.embedding = embedding
        self.noise = noise
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Cluster the samples.

        Parameters
        ----------
        X : sequence or array-like of shape (n_samples, n_features)
            Formulas, compositions, structures, a numeric matrix, or whatever
            ``features`` accepts.
        y : ignored
            Present for the API.

        Returns
        -------
        self

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If a sample cannot be used, or nothing but noise is found.

        Warns
        -----
        UserWarning
            If one group holds over half of the samples.
        """
        del y
        self.fit_matrix(self.feature_matrix(X))
        warn_if_dominated(self.groups_, stacklevel=3)
        return self

    def fit_predict(self, X: Any, y: Any = None) -> IntArray:
        """Cluster the samples and return their groups.

        Parameters
        ----------
        X : sequence or array-like of shape (n_samples, n_features)
            As for :meth:`fit`.
        y : ignored
            Present for the API.

        Returns
        -------
        ndarray of shape (n_samples,)
            ``groups_``.
        """
        return self.fit(X, y).groups_

    def feature_matrix(self, X: Any) -> FloatArray:
        """Make the features that are clustered, before scaling.

        Parameters
        ----------
        X : sequence or array-like of shape (n_samples, n_features)
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """
        self._validate_params()
        if self.features is not None:
            made = fit_transform(
                with_random_state(clone(self.features), self.random_state), X
            )
        elif _is_numeric(X):
            return validate_data(self, X, dtype=np.float64)
        else:
            made = _magpie_features(X)
        matrix = check_array(
            made,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            input_name="features",
        )
        return _impute(matrix)

    @fit_context(prefer_skip_nested_validation=False)
    def fit_matrix(self, matrix: FloatArray) -> Self:
        """Cluster ready-made features; the second half of :meth:`fit`.

        Parameters
        ----------
        matrix : ndarray of shape (n_samples, n_features)
            From :meth:`feature_matrix`.

        Returns
        -------
        self
        """
        self.points_ = embed(
            matrix,
            scaler=self.scaler,
            embedding=self.embedding,
            random_state=self.random_state,
        )
        clusterer = (
            _default_clusterer(self.points_)
            if self.clusterer is None
            else clone(self.clusterer)
        )
        self.clusterer_ = with_random_state(clusterer, self.random_state)
        labels = np.asarray(self.clusterer_.fit_predict(self.points_))
        self.noise_mask_ = labels < 0
        self.groups_ = self._groups_of(labels)
        self.labels_ = self.groups_
        self.n_groups_ = len(np.unique(self.groups_[self.groups_ != DROPPED]))
        return self

    def report(self) -> pd.DataFrame:
        """Tabulate the groups' sizes.

        Returns
        -------
        DataFrame
            Index ``group``; columns ``size``, ``share`` (of all samples) and ``noise``
            (how many of the group the clusterer called noise). Dropped noise is the
            row -1.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.cluster import KMeans
        >>> from skmatgnn.model_selection import ClusterGroups
        >>> X = np.array([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]])
        >>> clusters = ClusterGroups(KMeans(3), random_state=0).fit(X)
        >>> clusters.report()["size"].tolist()
        [2, 2, 2]
        """
        import pandas as pd

        check_is_fitted(self)
        groups, sizes = np.unique(self.groups_, return_counts=True)
        noise = [int(self.noise_mask_[self.groups_ == group].sum()) for group in groups]
        return pd.DataFrame(
            {"size": sizes, "share": sizes / len(self.groups_), "noise": noise},
            index=pd.Index(groups, name="group"),
        )

    def _groups_of(self, labels: np.ndarray) -> IntArray:
        noise = labels < 0
        if noise.all() and self.noise != "own_group":
            raise InvalidValueError(
                f"The clusterer {self.clusterer_!r} calls all {len(labels)} samples "
                f"noise, so that noise={self.noise!r} leaves no group. Loosen its "
                "parameters (DBSCAN: a larger eps) or use noise='own_group'."
            )
        if self.noise == "nearest" and noise.any():
            neighbors = NearestNeighbors(n_neighbors=1).fit(self.points_[~noise])
            nearest = neighbors.kneighbors(self.points_[noise], return_distance=False)
            labels = labels.copy()
            labels[noise] = labels[~noise][nearest[:, 0]]
            noise = labels < 0
        groups = np.full(len(labels), DROPPED, dtype=np.intp)
        groups[~noise] = _number_by_size(labels[~noise])
        if self.noise == "own_group":
            groups[noise] = groups.max() + 1
        return groups

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.non_deterministic = self.random_state is None
        return tags


def warn_if_dominated(groups: np.ndarray, *, stacklevel: int) -> None:
    """Warn if one group holds over half of the samples that are not dropped.

    Parameters
    ----------
    groups : ndarray of shape (n_samples,)
        Group of each sample; -1 is not counted, other negative ones are trained on
        only.
    stacklevel : int
        As for ``warnings.warn``, counted from the caller.
    """
    largest = int(np.bincount(groups[groups >= 0], minlength=1).max())
    total = int((groups != DROPPED).sum())
    if largest > total / 2:
        warnings.warn(
            f"One group holds {largest} of {total} samples ({largest / total:.0%}): "
            "leaving it out trains on the minority, and its error dominates a mean "
            "over samples. Use more clusters or another clusterer, and report errors "
            "per group.",
            stacklevel=stacklevel + 1,
        )


def _number_by_size(labels: np.ndarray) -> IntArray:
    """Renumber labels 0, 1, ... by decreasing size, ties by first appearance."""
    if not len(labels):
        return np.empty(0, dtype=np.intp)
    _, first, codes, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(sizes), dtype=np.intp)
    rank[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return rank[codes]


def _default_clusterer(points: FloatArray) -> KMeans:
    distinct = len(np.unique(points, axis=0))
    wanted = max(2, min(MAX_CLUSTERS, len(points) // MEAN_CLUSTER_SIZE))
    return KMeans(n_clusters=min(wanted, distinct), n_init=N_INIT)


def _is_numeric(X: Any) -> bool:
    """Tell a matrix from a sequence of materials by its first entry."""
    if isinstance(X, str) or any(hasattr(X, name) for name in _OF_MATERIALS):
        return False
    if hasattr(X, "iloc"):
        if X.ndim == 2 and X.shape[1] != 1:
            return True
        X = X.to_numpy()
    if not hasattr(X, "__len__") or issparse(X):
        return True
    if isinstance(X, np.ndarray) and X.ndim > 1:
        return X.shape[1] != 1 or X.size == 0 or isinstance(X[0, 0], Number)
    return len(X) > 0 and isinstance(X[0], Number | np.ndarray | list | tuple)


def _magpie_features(X: Any) -> Any:
    from skmatgnn.featurizers import MagpieFeatures

    try:
        return MagpieFeatures().fit_transform(X)
    except InvalidTypeError as error:
        raise InvalidTypeError(
            f"{error} To cluster anything else give ClusterGroups(features=...), or "
            "give groups."
        ) from error


def _impute(matrix: FloatArray) -> FloatArray:
    missing = np.isnan(matrix)
    if not missing.any():
        return matrix
    medians = np.zeros(matrix.shape[1])
    known = ~missing.all(axis=0)
    medians[known] = np.nanmedian(matrix[:, known], axis=0)
    return np.where(missing, medians, matrix)
