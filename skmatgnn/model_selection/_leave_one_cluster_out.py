"""Leave-one-cluster-out cross-validation (LOCO)."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection._cluster_groups import (
    DROPPED,
    ClusterGroups,
    warn_if_dominated,
)
from skmatgnn.utils.validation import (
    describe,
    is_missing,
    require_consistent_length,
    require_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skmatgnn._typing import ArrayLike, IntArray

_SMALL = ("train", "merge")
_TRAIN_ONLY = -2
_NUMBERS = (int, float, np.number)


class LeaveOneClusterOut(LeaveOneGroupOut):
    """Test on one cluster of similar samples at a time, train on all others.

    The clusters are the ``groups`` if they are given. Otherwise ``X`` is clustered
    inside :meth:`split`, so that one line is enough for formulas or structures:
    ``cross_val_score(model, X, y, cv=LeaveOneClusterOut())``.

    Parameters
    ----------
    cluster_groups : ClusterGroups or clusterer, default=None
        How ``X`` is clustered where no ``groups`` are given. None is
        ``ClusterGroups(random_state=0)``; a plain clusterer such as ``KMeans(5)`` is
        put into one.
    min_size : int, default=1
        Clusters with fewer samples are too small to be scored.
    small : {"train", "merge"}, default="train"
        What becomes of them: they are always trained on and never tested, or they
        are tested together as one cluster.

    See Also
    --------
    ClusterGroups : Makes and reports the clusters.
    sklearn.model_selection.LeaveOneGroupOut : The same for given groups only.

    Notes
    -----
    Samples of group -1, which ``ClusterGroups(noise="drop")`` gives to noise, are in no
    training and no test set. ``cross_val_predict`` demands that every sample be tested
    and so accepts neither them nor ``small="train"``; ``cross_validate`` does.

    The last clusters found are kept, keyed by the features, so that
    :meth:`get_n_splits` and :meth:`split` agree and cluster once; copies and pickles
    of the splitter do not carry them.

    References
    ----------
    .. [1] Meredig et al., "Can machine learning identify the next high-temperature
       superconductor? Examining extrapolation performance for materials discovery",
       Mol. Syst. Des. Eng. 3, 819 (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.model_selection import LeaveOneClusterOut
    >>> X = np.arange(6).reshape(-1, 1)
    >>> groups = np.array([0, 0, 1, 1, 2, -1])
    >>> cv = LeaveOneClusterOut(min_size=2)
    >>> for train, test in cv.split(X, groups=groups):
    ...     print(train, test)
    [2 3 4] [0 1]
    [0 1 4] [2 3]
    """

    def __init__(
        self,
        cluster_groups: Any = None,
        *,
        min_size: int = 1,
        small: str = "train",
    ) -> None:
        self.cluster_groups = cluster_groups
        self.min_size = min_size
        self.small = small

    _needs_groups = False  # clusters where there are none

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept clusters out of copies and pickles."""
        state = self.__dict__.copy()
        state.pop("_kept", None)
        return state

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Generate the rows of training and test set, one cluster at a time.

        Parameters
        ----------
        X : sequence of length n_samples
            The samples; clustered if ``groups`` is None.
        y : array-like, default=None
            Only its length is checked.
        groups : array-like of shape (n_samples,), default=None
            Cluster of each sample; -1 is neither trained nor tested on.

        Yields
        ------
        train : ndarray
            Rows to train on.
        test : ndarray
            Rows to test on, all of one cluster (or all of the small ones).

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If there are fewer than two clusters, or groups cannot be used.

        Warns
        -----
        UserWarning
            If one cluster holds over half of the samples.
        """
        require_consistent_length(X=_Sized(X), y=y, groups=groups)
        codes, labels = self._codes(X, groups)
        warn_if_dominated(codes, stacklevel=2)
        for fold in range(len(labels)):
            in_test = codes == fold
            yield (
                np.flatnonzero(~in_test & (codes != DROPPED)),
                np.flatnonzero(in_test),
            )

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: ArrayLike | None = None
    ) -> int:
        """Return the number of clusters that are tested.

        Parameters
        ----------
        X : sequence of length n_samples, default=None
            The samples; needed if ``groups`` is None.
        y : ignored
            Present for the API.
        groups : array-like of shape (n_samples,), default=None
            Cluster of each sample.

        Returns
        -------
        int

        Raises
        ------
        InvalidValueError, InvalidTypeError
            As :meth:`split` does.
        """
        del y
        return len(self._codes(X, groups)[1])

    def test_groups(
        self, X: Any = None, y: Any = None, groups: ArrayLike | None = None
    ) -> np.ndarray:
        """Return which group each fold tests, in the order of :meth:`split`.

        Parameters
        ----------
        X, y : object, default=None
            As for :meth:`get_n_splits`.
        groups : array-like of shape (n_samples,), default=None
            As for :meth:`get_n_splits`.

        Returns
        -------
        ndarray of shape (n_splits,), dtype object
            Labels of the groups; "small" for those merged by ``small="merge"``.

        Examples
        --------
        >>> from skmatgnn.model_selection import LeaveOneClusterOut
        >>> LeaveOneClusterOut().test_groups(groups=["Na", "Li", "Na"]).tolist()
        ['Li', 'Na']
        """
        del y
        return self._codes(X, groups)[1]

    def _codes(self, X: Any, groups: Any) -> tuple[IntArray, np.ndarray]:
        """Fold of each sample (or -1, -2) and label of each fold."""
        self._validate_parameters()
        groups = self._cluster(X) if groups is None else groups
        used = ~_is_dropped(groups)
        groups = ensure_labels(groups, "; -1 leaves a sample out altogether")
        codes = np.full(len(groups), DROPPED, dtype=np.intp)
        labels, members, sizes = np.unique(
            groups[used], return_inverse=True, return_counts=True
        )
        small = sizes < self.min_size
        fold = np.where(small, _TRAIN_ONLY, np.cumsum(~small) - 1)
        tested = labels[~small].astype(object)
        if self.small == "merge" and small.any():
            fold[small] = len(tested)
            tested = np.append(tested, "small")
        codes[used] = fold[members]
        if not len(tested) or (codes == 0).sum() == (codes != DROPPED).sum():
            shown = dict(zip(labels.tolist()[:8], sizes.tolist(), strict=False))
            raise InvalidValueError(
                "LeaveOneClusterOut needs one cluster to test and another to train "
                f"on; got {len(labels)} cluster(s) of sizes {shown} with "
                f"min_size={self.min_size}. Use more clusters or a lower min_size."
            )
        return codes, tested

    def _cluster(self, X: Any) -> IntArray:
        if X is None:
            raise InvalidValueError(
                "LeaveOneClusterOut needs X to cluster, or groups; got neither."
            )
        clusters = self._cluster_groups()
        matrix = clusters.feature_matrix(X)
        key = (repr(clusters.get_params()), joblib.hash(matrix))
        kept_key, kept = getattr(self, "_kept", (None, None))
        if kept is None or kept_key != key:
            kept = clusters.fit_matrix(matrix).groups_
            self._kept = key, kept
        return kept

    def _cluster_groups(self) -> ClusterGroups:
        if self.cluster_groups is None:
            return ClusterGroups(random_state=0)
        if isinstance(self.cluster_groups, ClusterGroups):
            return clone(self.cluster_groups)
        if not hasattr(self.cluster_groups, "fit_predict"):
            raise InvalidTypeError(
                "cluster_groups must be a ClusterGroups or another clusterer with "
                f"fit_predict; got {describe(self.cluster_groups)}. Labels go into "
                "groups=."
            )
        return ClusterGroups(self.cluster_groups, random_state=0)

    def _validate_parameters(self) -> None:
        require_option("small", self.small, _SMALL)
        if isinstance(self.min_size, bool) or not isinstance(self.min_size, Integral):
            raise InvalidTypeError(
                f"min_size must be an integer of 1 or more; got "
                f"{describe(self.min_size)}."
            )
        if self.min_size < 1:
            raise InvalidValueError(f"min_size must be 1 or more; got {self.min_size}.")


class _Sized:
    """Length of X, which may be an array, a frame, a list or a sparse matrix."""

    def __init__(self, X: Any) -> None:
        self._n_samples = X.shape[0] if hasattr(X, "shape") else len(X)

    def __len__(self) -> int:
        return self._n_samples


def _is_dropped(groups: Any) -> np.ndarray:
    """Mark the samples of group -1, which may stand among strings."""
    labels = np.asarray(groups, dtype=object).ravel()
    dropped = [isinstance(g, _NUMBERS) and bool(g == DROPPED) for g in labels]
    return np.array(dropped, dtype=bool)


def ensure_labels(groups: Any, remark: str = "") -> np.ndarray:
    """Convert groups to an array of labels that can be compared.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
    remark : str, default=""
        What else a message on a missing label says.

    Returns
    -------
    ndarray of shape (n_samples,)
        Of numbers or of strings.

    Raises
    ------
    InvalidValueError
        If it has another shape, or a label is missing.
    """
    array = np.asarray(groups)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise InvalidValueError(
            f"groups must hold one label per sample; got shape {array.shape}."
        )
    # NumPy would make a text of a NaN among texts
    given = np.asarray(groups, dtype=object).ravel()
    unknown = [i for i, label in enumerate(given) if is_missing(label)]
    if unknown:
        raise InvalidValueError(
            f"groups contains {given[unknown[0]]} at index {unknown[0]}. Give every "
            f"sample a label{remark}."
        )
    if array.dtype != object:
        return array
    if all(isinstance(label, _NUMBERS) for label in array):
        return np.array(array.tolist())
    return array.astype(str)
