"""Folds with the same distribution of a continuous target or of given labels."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_random_state

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skmatgnn._typing import ArrayLike, IntArray, RandomState

MAX_AUTO_BINS = 10


class StratifiedRegressionKFold(BaseCrossValidator):
    """K folds in which the target, or a given column, is distributed alike.

    A continuous target is cut into quantile bins, and every bin is dealt out evenly:
    its counts in any two folds differ by at most one, as do the sizes of the folds.
    With few samples or a skewed target this makes the scores of the folds comparable,
    which plain K folds are not.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    by : "target", str or array-like of shape (n_samples,), default="target"
        What to stratify by: the target, a column of ``X`` (which must then be a
        frame), or one value per sample, such as the working ion. Floating-point
        values are cut into quantile bins; all others are taken as labels.
    n_bins : int or "auto", default="auto"
        Number of quantile bins. "auto" is 10, or fewer where a bin would hold fewer
        than ``n_splits`` samples. Equal values always share a bin, so that
        there can be fewer bins than asked for.
    shuffle : bool, default=False
        Whether to deal out the samples of each bin in random order and not in their
        own.
    random_state : int, RandomState or None, default=None
        Seed for ``shuffle=True``.

    See Also
    --------
    LeaveOneClusterOut : Folds as unlike each other as possible.
    sklearn.model_selection.StratifiedKFold : The same for classes.

    Notes
    -----
    Labels with fewer members than folds are dealt out too, with a warning, because
    some folds then have none of them.

    Examples
    --------
    >>> import numpy as np
    >>> from skmatgnn.model_selection import StratifiedRegressionKFold
    >>> y = np.array([0.1, 9.0, 0.2, 9.5, 0.3, 9.9])
    >>> cv = StratifiedRegressionKFold(n_splits=3, n_bins=2)
    >>> [y[test].tolist() for _, test in cv.split(y, y)]
    [[0.1, 9.0], [0.2, 9.5], [0.3, 9.9]]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        by: str | ArrayLike = "target",
        n_bins: int | str = "auto",
        shuffle: bool = False,
        random_state: RandomState = None,
    ) -> None:
        self.n_splits = n_splits
        self.by = by
        self.n_bins = n_bins
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : ignored
            Present for the API.

        Returns
        -------
        int
        """
        del X, y, groups
        self._validate_parameters()
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Generate the rows of training and test set for each fold.

        Parameters
        ----------
        X : sequence of length n_samples
            The samples: structures, formulas, a matrix, a frame.
        y : array-like of shape (n_samples,), default=None
            Targets; needed for ``by="target"``.
        groups : ignored
            Present for the API; a warning says so.

        Yields
        ------
        train : ndarray
            Rows to train on.
        test : ndarray
            Rows to test on.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If a parameter or what it stratifies by cannot be used.
        """
        if groups is not None:
            warnings.warn(
                "groups is ignored by StratifiedRegressionKFold; use GroupKFold or "
                "LeaveOneClusterOut to keep groups together.",
                stacklevel=2,
            )
        yield from super().split(X, y, None)

    def _iter_test_masks(
        self, X: Any = None, y: Any = None, groups: Any = None
    ) -> Iterator[np.ndarray]:
        del groups
        self._validate_parameters()
        n_samples = len(X) if hasattr(X, "__len__") else X.shape[0]
        if self.n_splits > n_samples:
            raise InvalidValueError(
                f"Cannot have number of splits n_splits={self.n_splits} greater than "
                f"the number of samples: n_samples={n_samples}. Lower n_splits."
            )
        folds = self._deal(self._strata(X, y, n_samples))
        for fold in range(self.n_splits):
            yield folds == fold

    def _deal(self, strata: IntArray) -> IntArray:
        """Deal the samples out one by one, stratum after stratum."""
        rows = np.arange(len(strata))
        if self.shuffle:
            rows = check_random_state(self.random_state).permutation(rows)
        rows = rows[np.argsort(strata[rows], kind="stable")]
        folds = np.empty(len(strata), dtype=np.intp)
        folds[rows] = np.arange(len(strata)) % self.n_splits
        return folds

    def _strata(self, X: Any, y: Any, n_samples: int) -> IntArray:
        if isinstance(self.by, str) and self.by == "target":
            name, values = "y", self._target(y)
        elif isinstance(self.by, str):
            name, values = f"column {self.by!r} of X", _column(X, self.by)
        else:
            name, values = "by", _one_dimensional(self.by, "by")
        if len(values) != n_samples:
            raise InvalidValueError(
                f"{name} has {len(values)} values, but X has {n_samples} samples. "
                "Under nested cross-validation give by='column' of a frame: an array "
                "belongs to the whole data set only."
            )
        _require_known(values, name)
        if values.dtype.kind == "f":
            return self._quantile_bins(values)
        return self._label_codes(values, name)

    def _target(self, y: Any) -> np.ndarray:
        if y is None:
            raise InvalidValueError(
                "by='target' needs y, but y is None. Give y to split, or labels as by=."
            )
        values = _one_dimensional(y, "y")
        if values.dtype.kind not in "buif":
            raise InvalidTypeError(
                f"by='target' needs a numeric y; got {describe(values[0])} at index 0. "
                "For classes use StratifiedKFold, or give them as by=labels."
            )
        return values.astype(np.float64)

    def _quantile_bins(self, values: np.ndarray) -> IntArray:
        room = max(1, len(values) // self.n_splits)
        if self.n_bins == "auto":
            n_bins = min(MAX_AUTO_BINS, room)
        else:
            n_bins = int(self.n_bins)
            if n_bins > room:
                warnings.warn(
                    f"n_bins={n_bins} leaves fewer than n_splits={self.n_splits} of "
                    f"{len(values)} samples a bin, so that no fold has all bins; "
                    f"n_bins={room} or less has.",
                    stacklevel=6,
                )
        edges = np.quantile(values, np.arange(1, n_bins) / n_bins)
        return np.searchsorted(np.unique(edges), values, side="right")

    def _label_codes(self, values: np.ndarray, name: str) -> IntArray:
        labels, codes, counts = np.unique(
            values.astype(str), return_inverse=True, return_counts=True
        )
        rare = counts < self.n_splits
        if rare.any():
            listed = [
                f"{label} ({count})"
                for label, count in zip(labels[rare], counts[rare], strict=True)
            ]
            more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
            warnings.warn(
                f"{len(listed)} label(s) of {name} have fewer than n_splits="
                f"{self.n_splits} members: {', '.join(listed[:5])}{more}. "
                "Some folds have none of them.",
                stacklevel=6,
            )
        return codes

    def _validate_parameters(self) -> None:
        _require_count(self.n_splits, "n_splits", 2)
        if not (isinstance(self.n_bins, str) and self.n_bins == "auto"):
            _require_count(self.n_bins, "n_bins", 1, "'auto' or ")
        if not self.shuffle and self.random_state is not None:
            raise InvalidValueError(
                "random_state has no effect without shuffle=True; "
                "set shuffle=True or leave random_state=None."
            )


def _require_count(value: Any, name: str, least: int, other: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidTypeError(
            f"{name} must be {other}an integer of {least} or more; "
            f"got {describe(value)}."
        )
    if value < least:
        raise InvalidValueError(f"{name} must be {other}{least} or more; got {value}.")


def _one_dimensional(values: Any, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidValueError(
            f"{name} must have one value per sample; got shape {array.shape}. For "
            "several targets stratify by one of them: by=Y[:, 0]."
        )
    return array


def _column(X: Any, column: str) -> np.ndarray:
    if not hasattr(X, "columns"):
        raise InvalidTypeError(
            f"by={column!r} names a column, so X must be a frame; got {describe(X)}. "
            "Give the labels themselves: by=labels."
        )
    if column not in X.columns:
        raise InvalidValueError(
            f"by={column!r} is no column of X, which has {list(X.columns)[:8]}."
        )
    return _one_dimensional(X[column], f"column {column!r} of X")


def _require_known(values: np.ndarray, name: str) -> None:
    if values.dtype.kind in "fc":
        unknown = ~np.isfinite(values)
    else:
        unknown = np.array([v is None or v != v for v in values], dtype=bool)  # noqa: PLR0124
    if unknown.any():
        index = int(np.flatnonzero(unknown)[0])
        raise InvalidValueError(
            f"{name} contains {values[index]} at index {index}; stratification needs a "
            "value for every sample. Drop those rows or stratify by something else."
        )
