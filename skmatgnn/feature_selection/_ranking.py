"""Ranking of features by relevance to a target over redundancy with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray

    Schedule = float | Callable[[int], float]

__all__ = [
    "dynamic_c",
    "dynamic_p",
    "merge_rankings",
    "rank_features",
    "schedule_value",
]


def dynamic_p(n: int) -> float:
    """Exponent of the redundancy: max(0.1, 4.5 - 0.4 n^0.4).

    Parameters
    ----------
    n : int
        Features chosen so far.

    Returns
    -------
    float
    """
    return max(0.1, 4.5 - 0.4 * n**0.4)


def dynamic_c(n: int) -> float:
    """Term beside the redundancy: min(1e5, 1e-6 n^3).

    Parameters
    ----------
    n : int
        Features chosen so far.

    Returns
    -------
    float
    """
    return min(1e5, 1e-6 * n**3)


def schedule_value(
    schedule: Schedule | Literal["dynamic"],
    default: Callable[[int], float],
    n: int,
) -> float:
    """Evaluate a constant, a function of n, or the default function.

    Parameters
    ----------
    schedule : float, callable or "dynamic"
    default : callable
    n : int

    Returns
    -------
    float
    """
    if callable(schedule):
        return float(schedule(n))
    return default(n) if isinstance(schedule, str) else float(schedule)


def rank_features(
    relevance: FloatArray,
    redundancy: Callable[[int, IntArray], FloatArray],
    n_ranked: int,
    *,
    p: Callable[[int], float] = dynamic_p,
    c: Callable[[int], float] = dynamic_c,
    count_from: int = 1,
    similar: FloatArray | None = None,
) -> list[int]:
    r"""Choose features one after the other.

    Parameters
    ----------
    relevance : ndarray of shape (n_features,)
        Information that each feature has about the target.
    redundancy : callable
        ``redundancy(i, js)`` is the information that feature ``i`` shares with each
        of the features ``js``, an array. Asked for each pair at most once.
    n_ranked : int
        How many to choose.
    p, c : callable
        Exponent and term of the score as functions of n.
    count_from : {0, 1}
        The n at which the second feature is chosen.
    similar : ndarray of shape (n_features, n_features), optional
        Any cheap guess of the redundancy; it decides which pairs are asked for
        first, and so how many, never the result.

    Returns
    -------
    list of int
        Features, best first.

    Notes
    -----
    The first has the largest relevance. Each next one maximises
    :math:`\min_j r_i / (I_{ij}^p + c)` over the chosen j [1]_, which is
    :math:`r_i / (\max_j I_{ij}^p + c)`. Where only some of a feature's pairs are
    known, their maximum bounds its score from above, so most pairs of features that
    are never chosen need not be known. Equal scores go to the larger relevance, then
    to the first.

    References
    ----------
    .. [1] P.-P. De Breuck, G. Hautier, G.-M. Rignanese, npj Comput. Mater. 7, 83
       (2021), equations 3-5.
    """
    n_features = len(relevance)
    if similar is None:
        similar = np.zeros((n_features, n_features))
    chosen = [int(np.argmax(relevance))]
    largest = np.zeros(n_features)
    pending = np.zeros((n_features, n_features), dtype=bool)
    while len(chosen) < min(n_ranked, n_features):
        pending[:, chosen[-1]] = True
        n = len(chosen) - 1 + count_from
        exponent, term = p(n), c(n)
        score = _score(relevance, largest, exponent, term)
        score[chosen] = -np.inf
        while True:
            best = _best(relevance, score)
            asked = pending[best]
            if not asked.any():
                break
            # The most similar ones first: they lower the bound the most.
            other = int(np.argmax(np.where(asked, similar[best], -np.inf)))
            asked[other] = False
            value = redundancy(best, np.asarray([other]))[0]
            if value > largest[best]:
                largest[best] = value
                one = slice(best, best + 1)
                score[one] = _score(relevance[one], largest[one], exponent, term)
        chosen.append(best)
    return chosen


def _score(
    relevance: FloatArray, largest: FloatArray, exponent: float, term: float
) -> FloatArray:
    below = largest**exponent + term
    with np.errstate(divide="ignore"):
        return np.where(
            below > 0,
            relevance / np.where(below > 0, below, 1.0),
            np.where(relevance > 0, np.inf, 0.0),
        )


def _best(relevance: FloatArray, score: FloatArray) -> int:
    tied = np.flatnonzero(score == score.max())
    return int(tied[np.argmax(relevance[tied])])


def merge_rankings(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Take the best of each ranking in turn, each feature once.

    Parameters
    ----------
    rankings : sequence of sequence of int

    Returns
    -------
    list of int

    Examples
    --------
    >>> from skmatgnn.feature_selection._ranking import merge_rankings
    >>> merge_rankings([[3, 1, 2], [1, 0, 3]])
    [3, 1, 0, 2]
    """
    merged: dict[int, None] = {}
    for place in range(max(map(len, rankings), default=0)):
        for ranking in rankings:
            if place < len(ranking):
                merged.setdefault(ranking[place])
    return list(merged)
