"""The member that stands for each cluster of compositions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skmatgnn.metrics import mean_element_movers_distances
from skmatgnn.preprocessing._formula import ensure_composition_objects
from skmatgnn.utils.validation import ensure_groups, ensure_object_array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skmatgnn._typing import FloatArray, IntArray

__all__ = ["ClusterRepresentatives", "cluster_representatives"]

_NOISE = -1


@dataclass(frozen=True)
class ClusterRepresentatives:
    """Medoid of each cluster, in the order in which the clusters appear.

    Parameters
    ----------
    labels : ndarray of shape (n_clusters,), dtype object
        The clusters.
    indices : ndarray of shape (n_clusters,), int
        Row of each cluster's medoid.
    formulas : ndarray of shape (n_clusters,), dtype str
        Its reduced formula.
    mean_distances : ndarray of shape (n_clusters,), float64
        Its mean element mover's distance to the members: how wide the cluster is.
    sizes : ndarray of shape (n_clusters,), int
        Number of members.

    Examples
    --------
    >>> from skmatgnn.inspection import cluster_representatives
    >>> medoids = cluster_representatives(["NaCl", "KCl", "RbCl"], groups=["a"] * 3)
    >>> dict(zip(medoids.labels, medoids.formulas))
    {'a': ...'KCl'...}
    """

    labels: np.ndarray
    indices: IntArray
    formulas: np.ndarray
    mean_distances: FloatArray
    sizes: IntArray

    def __len__(self) -> int:
        """Return the number of clusters."""
        return len(self.labels)


def cluster_representatives(
    X: Any, groups: Any, *, scale: str | Mapping[str, float] = "mod_petti"
) -> ClusterRepresentatives:
    """Find the medoid of each cluster: the member closest to all others on average.

    Closeness is the element mover's distance, so that the representative of a cluster
    is a compound of the data and not a mean composition that no compound has.

    Parameters
    ----------
    X : sequence of str, Composition, Structure, ase.Atoms or dict
        The samples.
    groups : array-like of shape (n_samples,)
        Cluster of each sample. Samples with the number -1, which clusterers give to
        noise, are left out.
    scale : "mod_petti" or mapping of str to float, default="mod_petti"
        As for :func:`~skmatgnn.metrics.element_movers_distance`.

    Returns
    -------
    ClusterRepresentatives
        One medoid per cluster. Of several equally central members the first in the
        data is taken.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If lengths differ, a label is missing or a composition cannot be used.

    See Also
    --------
    skmatgnn.model_selection.ClusterGroups : Clusters by composition features.

    Notes
    -----
    Time grows as n log n and memory as n: no distance matrix is formed.

    Examples
    --------
    >>> from skmatgnn.inspection import cluster_representatives
    >>> formulas = ["NaCl", "KCl", "RbCl", "Fe2O3", "Al2O3", "Cr2O3"]
    >>> medoids = cluster_representatives(formulas, ["halide"] * 3 + ["oxide"] * 3)
    >>> medoids.formulas.tolist(), medoids.indices.tolist()
    (['KCl', 'Fe2O3'], [1, 3])
    """
    from skmatgnn.model_selection import formula_groups

    items = ensure_composition_objects(X)
    codes = ensure_groups(groups, len(items))
    labels = ensure_object_array(groups, what="group labels", single=())
    seen = np.unique(codes, return_index=True)[1]
    firsts = [i for i in seen if not is_noise(labels[i])]
    indices, means, sizes = [], [], []
    for first in firsts:
        members = np.flatnonzero(codes == codes[first])
        distances = mean_element_movers_distances(items[members], scale=scale)
        nearest = int(np.argmin(distances))
        indices.append(members[nearest])
        means.append(distances[nearest])
        sizes.append(len(members))
    return ClusterRepresentatives(
        labels=labels[firsts],
        indices=np.array(indices, dtype=np.int64),
        formulas=formula_groups(items[indices]) if indices else np.array([], dtype=str),
        mean_distances=np.array(means, dtype=np.float64),
        sizes=np.array(sizes, dtype=np.int64),
    )


def is_noise(label: Any) -> bool:
    """Tell whether a label is the number that clusterers give to noise."""
    return not isinstance(label, str) and bool(label == _NOISE)
