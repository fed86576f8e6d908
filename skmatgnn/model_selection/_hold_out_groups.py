"""A single split that holds given groups out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection._leave_one_cluster_out import ensure_labels
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skmatgnn._typing import ArrayLike, IntArray

__all__ = ["HoldOutGroups"]


class HoldOutGroups(LeaveOneGroupOut):
    """Train on all groups but some, and test on these.

    Leaving one group out after the other also tests on the group that holds most of
    the samples, by a model that has seen hardly any. This makes one split, in the
    direction in which a model is to extrapolate.

    Parameters
    ----------
    held_out : sequence of labels
        Groups to test on. All others are trained on, -1 too.

    See Also
    --------
    dimensionality_groups : For ``HoldOutGroups(["0D", "1D", "2D"])``.
    LeaveOneClusterOut : Tests on every group in turn.

    Examples
    --------
    >>> from skmatgnn.model_selection import HoldOutGroups
    >>> groups = ["3D", "2D", "3D", "0D"]
    >>> cv = HoldOutGroups(["0D", "1D", "2D"])
    >>> for train, test in cv.split(groups, groups=groups):
    ...     print(train, test)
    [0 2] [1 3]
    """

    def __init__(self, held_out: Sequence[Any]) -> None:
        self.held_out = held_out

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[IntArray, IntArray]]:
        """Generate the one split.

        Parameters
        ----------
        X : ignored
            Present for the API.
        y : ignored
            Present for the API.
        groups : array-like of shape (n_samples,), default=None
            Group of each sample.

        Yields
        ------
        train : ndarray
            Rows of all other groups.
        test : ndarray
            Rows of the groups held out.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If there are no groups, or nothing to train or to test on.
        """
        del X, y
        if groups is None:
            raise InvalidValueError("HoldOutGroups needs groups; got None.")
        if isinstance(self.held_out, str) or not hasattr(self.held_out, "__iter__"):
            raise InvalidTypeError(
                "held_out must be a sequence of groups, such as ['2D']; got "
                f"{describe(self.held_out)}."
            )
        labels = ensure_labels(groups)
        as_text = labels.dtype.kind == "U"  # also where some are numbers
        held_out = [str(g) if as_text else g for g in self.held_out]
        in_test = np.isin(labels, held_out)
        if in_test.all() or not in_test.any():
            what = "to train on" if in_test.all() else "to test on"
            found, counts = np.unique(labels, return_counts=True)
            sizes = dict(zip(found.tolist()[:10], counts.tolist(), strict=False))
            raise InvalidValueError(
                f"HoldOutGroups({list(self.held_out)}) leaves no sample {what}; the "
                f"groups and their sizes are {sizes}."
            )
        yield np.flatnonzero(~in_test), np.flatnonzero(in_test)

    def get_n_splits(
        self, X: Any = None, y: Any = None, groups: ArrayLike | None = None
    ) -> int:
        """Return the number of splits, which is one.

        Parameters
        ----------
        X, y, groups : ignored
            Present for the API.

        Returns
        -------
        int
        """
        del X, y, groups
        return 1
