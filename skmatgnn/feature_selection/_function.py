"""Mutual information of features and a target, as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_array, check_random_state

from skmatgnn.errors import InvalidValueError
from skmatgnn.feature_selection._mutual_info import (
    Digamma,
    column_of,
    continuous_information,
    counting_for,
    discrete_information,
)
from skmatgnn.feature_selection._targets import ensure_targets
from skmatgnn.utils.validation import require_consistent_length

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, RandomState

__all__ = ["mutual_information"]


def mutual_information(
    X: Any,
    y: Any,
    *,
    discrete_target: bool = False,
    n_neighbors: int = 3,
    random_state: RandomState = None,
) -> FloatArray:
    """Estimate the mutual information of each feature and a target, in nats.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Finite numbers.
    y : array-like of shape (n_samples,)
        Numbers, or classes.
    discrete_target : bool, default=False
        Whether y holds classes.
    n_neighbors : int, default=3
        At most the number of rows less one is used.
    random_state : int, RandomState or None, default=None
        Draws the jitter that breaks ties.

    Returns
    -------
    ndarray of shape (n_features,)
        Not below 0.

    Raises
    ------
    InvalidValueError
        If y cannot be used, or ``n_neighbors`` is below 1.

    See Also
    --------
    sklearn.feature_selection.mutual_info_regression : The same estimate, slower.
    sklearn.feature_selection.mutual_info_classif : The same estimate, slower.

    Notes
    -----
    Equal to scikit-learn's estimate where values do not repeat, and within the noise
    of its random jitter where they do. The jitter of a feature depends on its place
    in X, not on the other features.

    References
    ----------
    .. [1] A. Kraskov, H. Stögbauer, P. Grassberger, "Estimating mutual information",
       Phys. Rev. E 69, 066138 (2004).
    .. [2] B. C. Ross, "Mutual information between discrete and continuous data
       sets", PLoS ONE 9, e87357 (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.feature_selection import mutual_information
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 2))
    >>> mutual_information(X, X[:, 0] ** 2, random_state=0).round(1)
    array([4.4, 0. ])
    """
    X = check_array(X, dtype=np.float64, ensure_min_samples=2)
    (target,) = ensure_targets(
        np.ravel(y), discrete=discrete_target, estimator=mutual_information
    )
    require_consistent_length(X=X, y=target.values)
    if n_neighbors < 1:
        raise InvalidValueError(f"n_neighbors must be at least 1; got {n_neighbors}.")
    k = min(n_neighbors, len(X) - 1)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    psi = Digamma(len(X) + 1)
    columns = (
        column_of(x, n_neighbors=k, seed=seed, stream=(0, j)) for j, x in enumerate(X.T)
    )
    if discrete_target:
        codes = target.values.astype(np.intp)
        return np.array([discrete_information(x, codes, k, psi) for x in columns])
    values = target.values.astype(np.float64)
    y_column = column_of(values, n_neighbors=k, seed=seed, stream=(1, 0))
    count = counting_for(len(X), X.shape[1])
    return np.array(
        [continuous_information(x, y_column, k, psi, count) for x in columns]
    )
