"""Map of the samples in two dimensions, with the clusters' representatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._inputs import (
    ensure_column,
    ensure_limits,
)
from skmatgnn.inspection._map_clusters import Clusters, find_clusters
from skmatgnn.inspection._projection import ensure_points, project
from skmatgnn.inspection._text import name_of
from skmatgnn.utils.validation import describe, require_consistent_length, require_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from skmatgnn._typing import ArrayLike, FloatArray, RandomState
    from skmatgnn.inspection._representatives import ClusterRepresentatives
    from skmatgnn.model_selection import ClusterGroups

_NAMES = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PC"}


class EmbeddingMapDisplay:
    """Samples on a plane, coloured by cluster or value, with the medoids' formulas.

    Make it with :meth:`from_points` or :meth:`from_cluster_groups`; all parameters are
    stored as attributes.

    Parameters
    ----------
    points : array-like of shape (n_samples, n_dimensions)
        Coordinates, such as a t-SNE embedding. Other than two dimensions are projected.
    labels : array-like of shape (n_samples,), default=None
        Cluster of each sample; -1 is noise, drawn in grey.
    formulas : sequence of compositions, default=None
        The samples, of which the medoid of each cluster is found and written.
    representatives : ClusterRepresentatives or mapping, default=None
        The medoids, if they are known, or a text for each label. A text stands at the
        member that is nearest to the cluster's median.
    values : array-like of shape (n_samples,), default=None
        A property or an error to colour by, in place of the clusters; NaN is grey.
    value_name : str, default=None
        Its name, for the colour bar.
    units : str, default=None
        Its unit.
    axis_names : (str, str), default=None
        Names of the axes. None says how the points were projected, if they were.
    projection : {"auto", "pca", "tsne"}, default="auto"
        How points are brought to the plane. "auto" takes two dimensions as they are
        and the first two principal components of others.
    random_state : int, RandomState or None, default=None
        Seed of t-SNE.

    Attributes
    ----------
    points_ : ndarray of shape (n_samples, 2)
        What is drawn. Set by :meth:`plot`.
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    scatters_ : dict of label to PathCollection
        The points of each cluster, largest first, and of noise (label -1); with
        ``values`` the one key "values", and "unknown" for those that are NaN.
    medoids_ : matplotlib PathCollection or None
        Markers of the clusters' representatives.
    texts_ : list of matplotlib Annotation
        Their formulas.
    legend_ : matplotlib Legend or None
        Sizes of the largest clusters.
    colorbar_ : matplotlib Colorbar or None
        Scale of the values.

    See Also
    --------
    skmatgnn.model_selection.ClusterGroups : Finds the clusters.
    cluster_representatives : Finds the medoids.

    Notes
    -----
    t-SNE keeps neighbours together; distances between clusters and their extents on
    the map mean little.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skmatgnn.inspection import EmbeddingMapDisplay
    >>> display = EmbeddingMapDisplay.from_points(
    ...     [[0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [9, 9]],
    ...     labels=[0, 0, 0, 1, 1, -1],
    ...     formulas=["NaCl", "KCl", "RbCl", "Fe2O3", "Al2O3", "W"],
    ... )
    >>> [text.get_text() for text in display.texts_]
    ['KCl', 'Fe$_{2}$O$_{3}$']
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['0 (3)', '1 (2)', 'noise (1)']
    """

    def __init__(
        self,
        *,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        formulas: Any = None,
        representatives: ClusterRepresentatives | Mapping[Any, str] | None = None,
        values: ArrayLike | None = None,
        value_name: str | None = None,
        units: str | None = None,
        axis_names: tuple[str, str] | None = None,
        projection: str = "auto",
        random_state: RandomState = None,
    ) -> None:
        self.points = points
        self.labels = labels
        self.formulas = formulas
        self.representatives = representatives
        self.values = values
        self.value_name = value_name
        self.units = units
        self.axis_names = axis_names
        self.projection = projection
        self.random_state = random_state

    @classmethod
    def from_points(
        cls,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        formulas: Any = None,
        representatives: ClusterRepresentatives | Mapping[Any, str] | None = None,
        values: ArrayLike | None = None,
        value_name: str | None = None,
        units: str | None = None,
        axis_names: tuple[str, str] | None = None,
        projection: str = "auto",
        random_state: RandomState = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> EmbeddingMapDisplay:
        """Draw the map of given points.

        Parameters
        ----------
        points : array-like of shape (n_samples, n_dimensions)
            Coordinates.
        labels : array-like of shape (n_samples,), default=None
            Cluster of each sample; -1 is noise.
        formulas : sequence of compositions, default=None
            The samples, of which the medoids are found.
        representatives : ClusterRepresentatives or mapping, default=None
            The medoids, or a text for each label.
        values : array-like of shape (n_samples,), default=None
            What to colour by in place of the clusters.
        value_name : str, default=None
            Its name. None takes the name of a Series ``values``.
        units : str, default=None
            Its unit.
        axis_names : (str, str), default=None
            Names of the axes.
        projection : {"auto", "pca", "tsne"}, default="auto"
            How points are brought to the plane.
        random_state : int, RandomState or None, default=None
            Seed of t-SNE.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        EmbeddingMapDisplay
        """
        value_name = name_of(values, value_name)
        display = cls(
            points=points,
            labels=labels,
            formulas=formulas,
            representatives=representatives,
            values=values,
            value_name=value_name,
            units=units,
            axis_names=axis_names,
            projection=projection,
            random_state=random_state,
        )
        return display.plot(ax=ax, **plot_options)

    @classmethod
    def from_cluster_groups(
        cls, cluster_groups: ClusterGroups, X: Any = None, **options: Any
    ) -> EmbeddingMapDisplay:
        """Draw the map of a fitted clustering.

        Parameters
        ----------
        cluster_groups : fitted ClusterGroups
            Whose ``points_`` and ``labels_`` are drawn. What its clusterer called noise
            is grey, also where it forms a group of its own.
        X : sequence of compositions, default=None
            The samples that it was fitted on, for the medoids' formulas.
        **options : dict
            Further arguments of :meth:`from_points`, such as ``values``,
            ``projection`` and ``random_state``.

        Returns
        -------
        EmbeddingMapDisplay

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If ``X`` has another length or holds no compositions, or the first argument
            is no ``ClusterGroups``.
        """
        if not hasattr(cluster_groups, "fit_matrix"):
            raise InvalidTypeError(
                "cluster_groups must be a fitted ClusterGroups; got "
                f"{describe(cluster_groups)}. For labels and points of your own use "
                "from_points."
            )
        check_is_fitted(cluster_groups)
        labels = cluster_groups.labels_
        if cluster_groups.noise == "own_group":
            labels = np.where(cluster_groups.noise_mask_, -1, labels)
        points = cluster_groups.points_
        name = _NAMES.get(str(cluster_groups.embedding))
        if (
            name
            and points.shape[1] == 2
            and options.get("projection", "auto") == "auto"
        ):
            options.setdefault("axis_names", (f"{name} 1", f"{name} 2"))
        return cls.from_points(points, labels, formulas=X, **options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        max_named: int = 12,
        value_limits: tuple[float, float] | None = None,
        cmap: str = "viridis",
        legend: bool = True,
        title: str | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        max_named : int, default=12
            How many clusters, the largest, are in the legend and have their
            representative written.
        value_limits : (low, high), default=None
            Values at the ends of the colours. None takes the 2nd and the 98th
            percentile, lest a few outliers take all colours.
        cmap : str, default="viridis"
            Colours of the values.
        legend : bool, default=True
            Whether to draw the legend of the clusters: beside the axes, or inside if
            their figure has no layout engine that makes room.
        title : str, default=None
            Title of the axes.
        scatter_kwargs : dict, default=None
            Further arguments of ``Axes.scatter``.

        Returns
        -------
        EmbeddingMapDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If lengths differ, a coordinate or value is no number, or formulas are
            given without labels.
        """
        from skmatgnn.inspection import _map_artists as artists

        require_count("max_named", max_named)
        points = ensure_points(self.points)
        values = None if self.values is None else ensure_column(self.values, "values")
        require_consistent_length(
            points=points,
            labels=self.labels,
            formulas=self.formulas,
            values=values,
        )
        limits = None if values is None else _limits(values, value_limits)
        self.points_, names = project(points, self.projection, self.random_state)
        clusters = self._clusters()
        ax = given_or_new_axes(ax, 6.6, 4.8)
        self.ax_, self.figure_ = ax, ax.figure
        artists.frame(ax, self.points_, _axis_names(self.axis_names or names), title)
        style = artists.style_of(len(points), scatter_kwargs)
        self.legend_ = self.colorbar_ = None
        if values is None or limits is None:
            self.scatters_ = artists.draw_clusters(ax, self.points_, clusters, style)
            if legend and self.labels is not None:
                self.legend_ = artists.legend_of(ax, clusters, max_named)
        else:
            self.scatters_ = artists.draw_values(
                ax, self.points_, values, limits, {"cmap": cmap, **style}
            )
            self.colorbar_ = artists.colorbar_of(
                ax, self.scatters_["values"], values, self.value_name, self.units
            )
        self.medoids_, self.texts_ = artists.draw_medoids(
            ax, self.points_, clusters, max_named, plain=values is not None
        )
        return self

    def _clusters(self) -> Clusters:
        if self.labels is None:
            if self.formulas is not None or self.representatives is not None:
                raise InvalidValueError(
                    "formulas and representatives name clusters; give labels too."
                )
            return Clusters.none(len(self.points_))
        return find_clusters(
            self.points_, self.labels, self.formulas, self.representatives
        )


def _limits(
    values: FloatArray, limits: tuple[float, float] | None
) -> tuple[float, float]:
    if limits is not None:
        return ensure_limits(limits)
    if np.isnan(values).all():
        raise InvalidValueError(
            f"None of the {len(values)} values is known; nothing is left to colour by."
        )
    low, high = np.nanpercentile(values, [2, 98])
    return float(low), float(high)


def _axis_names(names: Any) -> tuple[str, str]:
    if names is None:
        return "Dimension 1", "Dimension 2"
    if isinstance(names, str) or len(names) != 2:
        raise InvalidValueError(
            f"axis_names must be two names, (x, y); got {describe(names)}."
        )
    return tuple(names)
