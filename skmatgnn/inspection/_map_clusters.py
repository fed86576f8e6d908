"""The clusters of an embedding map: members, sizes and representatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._representatives import (
    ClusterRepresentatives,
    cluster_representatives,
    is_noise,
)
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    ensure_object_array,
)

if TYPE_CHECKING:
    from skmatgnn._typing import FloatArray, IntArray


@dataclass(frozen=True)
class Clusters:
    """Clusters by decreasing size, without noise.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), int
        Place of each sample's cluster in ``labels``; -1 is noise.
    labels : list
        As the user calls the clusters.
    sizes : list of int
        Number of members.
    anchors : dict of int to int
        Row of each cluster's representative, where it has one.
    texts : dict of int to str
        What to write there.
    """

    codes: IntArray
    labels: list[Any]
    sizes: list[int]
    anchors: dict[int, int]
    texts: dict[int, str]

    @classmethod
    def none(cls, n_samples: int) -> Clusters:
        """Make one without clusters, in which nothing is noise either."""
        return cls(np.zeros(n_samples, dtype=np.intp), [], [], {}, {})


def order_by_size(
    groups: Any, n_samples: int, *, noise: bool = True
) -> tuple[IntArray, list[Any]]:
    """Rank the groups by decreasing size, ties in the order of the data.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Labels of any hashable kind.
    n_samples : int
    noise : bool, default=True
        Whether the number -1 is noise and gets the code -1; else it is a label too.

    Returns
    -------
    codes : ndarray of shape (n_samples,), int
    labels : list
    """
    codes = ensure_groups(groups, n_samples)
    labels = ensure_object_array(groups, what="group labels", single=())
    _, firsts, sizes = np.unique(codes, return_index=True, return_counts=True)
    kept = [
        i for i, first in enumerate(firsts) if not (noise and is_noise(labels[first]))
    ]
    kept.sort(key=lambda i: (-sizes[i], firsts[i]))
    place = np.full(len(firsts), -1, dtype=np.intp)
    place[kept] = np.arange(len(kept))
    return place[codes], [labels[firsts[i]] for i in kept]


def find_clusters(
    points: FloatArray, groups: Any, formulas: Any, representatives: Any
) -> Clusters:
    """Order the clusters and find where to write what.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 2)
    groups, formulas, representatives
        As the display was given them.

    Returns
    -------
    Clusters
    """
    codes, labels = order_by_size(groups, len(points))
    sizes = [int((codes == place).sum()) for place in range(len(labels))]
    if representatives is None and formulas is not None:
        representatives = cluster_representatives(formulas, groups)
    anchors: dict[int, int] = {}
    texts: dict[int, str] = {}
    for place, label, text, row in _named(representatives, labels):
        members = np.flatnonzero(codes == place)
        if row is not None and row not in members:
            raise InvalidValueError(
                f"representatives say that sample {row} stands for cluster {label!r}, "
                "of which it is no member; they were found for other labels."
            )
        anchors[place] = _central(points, members) if row is None else row
        texts[place] = text
    return Clusters(codes, labels, sizes, anchors, texts)


def names_of(representatives: Any, labels: list[Any]) -> dict[Any, str]:
    """Name for each label that has one."""
    return {label: text for _, label, text, _ in _named(representatives, labels)}


def _named(
    representatives: Any, labels: list[Any]
) -> list[tuple[int, Any, str, int | None]]:
    """Place, label, text and, if known, row of each cluster that is named."""
    if representatives is None or not labels:  # all is noise
        return []
    found: dict[Any, tuple[str, int | None]]
    if isinstance(representatives, ClusterRepresentatives):
        found = {
            label: (str(formula), int(row))
            for label, formula, row in zip(
                representatives.labels,
                representatives.formulas,
                representatives.indices,
                strict=True,
            )
        }
    elif isinstance(representatives, Mapping):
        found = {label: (str(text), None) for label, text in representatives.items()}
    else:
        raise InvalidTypeError(
            "Names of clusters must be ClusterRepresentatives or a mapping of label "
            f"to text; got {describe(representatives)}."
        )
    named = [
        (place, label, *found[label])
        for place, label in enumerate(labels)
        if label in found
    ]
    if not named:
        raise InvalidValueError(
            f"None of the names belongs to a cluster: they are for {list(found)[:5]}, "
            f"the clusters are {labels[:5]}."
        )
    return named


def _central(points: FloatArray, members: IntArray) -> int:
    middle = np.median(points[members], axis=0)
    return int(members[np.argmin(((points[members] - middle) ** 2).sum(axis=1))])
