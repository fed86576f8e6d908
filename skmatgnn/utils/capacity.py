"""Sizes to which batches are padded, so that few different shapes occur."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log
from typing import Self

__all__ = ["Capacity"]

STEP = 1.08  # ratio of one capacity to the next smaller one
MULTIPLE = 8


@dataclass(frozen=True)
class Capacity:
    """How many rows of each kind a padded batch has.

    Parameters
    ----------
    n_samples : int
        Not padded.
    rows : tuple of (str, int)
        Kind of row, and number.

    Examples
    --------
    >>> from skmatgnn.utils.capacity import Capacity
    >>> Capacity.fitting(2, {"atoms": 10}, {"atoms": 8.0}).sizes()
    {'atoms': 16}
    """

    n_samples: int
    rows: tuple[tuple[str, int], ...]

    @classmethod
    def fitting(
        cls, n_samples: int, needed: Mapping[str, int], usual: Mapping[str, float]
    ) -> Self:
        """Choose the smallest that holds a batch, with room for one row more.

        All kinds grow together in steps of a constant ratio, so that batches of like
        size have the same capacity.

        Parameters
        ----------
        n_samples : int
        needed : mapping of str to int
            Rows of the batch.
        usual : mapping of str to float
            Rows of an average one.

        Returns
        -------
        Capacity
        """
        level = max(
            (
                ceil(log(needed[kind] / rows) / log(STEP))
                for kind, rows in usual.items()
                if needed[kind]
            ),
            default=0,
        )
        return cls(
            n_samples,
            tuple(
                (kind, _rounded(max(rows * STEP**level, needed[kind])))
                for kind, rows in usual.items()
            ),
        )

    def sizes(self) -> dict[str, int]:
        """Rows by kind.

        Returns
        -------
        dict of str to int
        """
        return dict(self.rows)


def _rounded(rows: float) -> int:
    if not rows:  # no sample has any
        return 0
    return MULTIPLE * ceil((rows + 1) / MULTIPLE)
