"""Errors of models on each cluster that they had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.model_selection import check_cv

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._cluster_errors import ClusterErrors, score_clusters
from skmatgnn.inspection._inputs import (
    ensure_baseline,
    ensure_column,
)
from skmatgnn.inspection._map_clusters import names_of, order_by_size
from skmatgnn.inspection._out_of_fold import predict_out_of_fold
from skmatgnn.inspection._representatives import cluster_representatives
from skmatgnn.inspection._text import name_of
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    require_consistent_length,
    require_count,
    require_fraction,
    require_option,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skmatgnn._typing import ArrayLike, FloatArray, IntArray, RandomState
    from skmatgnn.inspection._representatives import ClusterRepresentatives

_METRICS = ("mae", "smae")


class ClusterErrorDisplay:
    """Error of one or more models on each cluster, with bootstrap intervals.

    Make it with :meth:`from_predictions` or :meth:`from_cross_validation`; all
    parameters are stored as attributes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True values; NaN means "not known".
    y_pred : array-like of shape (n_samples,), or dict of str to array-like
        Out-of-fold predictions, of several models by name. A sample for which the
        truth or any model's prediction is NaN is left out for all, so that models are
        compared on the same rows.
    groups : array-like of shape (n_samples,)
        Cluster of each sample; those of group -1 are left out.
    control : float or array-like of shape (n_samples,), default=None
        The control's predictions, for example of a ``DummyRegressor`` on the same
        folds. None is that of leave-one-cluster-out: the mean of the targets of all
        other clusters.
    group_names : mapping or ClusterRepresentatives, default=None
        What to call the clusters: a text for each label, or their medoids. Formulas
        are written with subscripts.
    metric : {"mae", "smae"}, default="mae"
        Mean absolute error, or that over the control's on the same rows.
    confidence_level : float, default=0.95
        Level of the intervals.
    n_resamples : int, default=1000
        Resamples of each cluster's rows for its intervals; 0 draws none.
    drawn_together : array-like of shape (n_samples,), default=None
        Labels of samples that are no independent evidence, such as those of one
        compound: samples of equal ones are resampled together.
    random_state : int, RandomState or None, default=None
        Seed of the resamples.
    target_name : str, default=None
        Name of the property.
    units : str, default=None
        Its unit.

    Attributes
    ----------
    errors_ : ndarray of shape (n_models, n_clusters)
        What the bars show. The clusters are those of ``clusters_``. Set by
        :meth:`plot`.
    low_, high_ : ndarray of shape (n_models, n_clusters)
        Ends of the intervals; NaN for clusters of one sample, or one label of
        ``drawn_together``.
    pooled_ : ndarray of shape (n_models,)
        Errors over the samples of all clusters.
    control_errors_ : ndarray of shape (n_clusters,)
        Errors of the control.
    clusters_ : list
        Labels of the clusters, by decreasing number of samples shown.
    sizes_ : ndarray of shape (n_clusters,)
        These numbers.
    model_names_ : list of str
        The models.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    bars_ : list of matplotlib BarContainer
        One per model; horizontal, a bar for each cluster.
    errorbars_ : list of matplotlib ErrorbarContainer
        One per model.
    pooled_lines_ : list of matplotlib Line2D
        The pooled error of each model.
    control_marks_ : matplotlib LineCollection
        The control's error on each cluster.
    legend_ : matplotlib Legend
        Models, pooled errors and control.

    See Also
    --------
    skmatgnn.model_selection.LeaveOneClusterOut : The splitter for such predictions.
    ParityDisplay : Each prediction.

    Notes
    -----
    An interval tells how sure the error of these predictions is, given how few samples
    of the cluster there are. It does not hold the variation of the training.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skmatgnn.inspection import ClusterErrorDisplay
    >>> display = ClusterErrorDisplay.from_predictions(
    ...     [1.0, 2.0, 4.0, 8.0, 9.0],
    ...     {"a": [1.5, 2.5, 3.5, 6.0, 7.0], "b": [1.0, 2.0, 4.0, 9.0, 9.0]},
    ...     groups=["oxide", "oxide", "oxide", "halide", "halide"],
    ...     random_state=0,
    ... )
    >>> display.errors_.tolist()
    [[0.5, 2.0], [0.0, 0.5]]
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['oxide (3)', 'halide (2)']
    """

    def __init__(
        self,
        *,
        y_true: ArrayLike,
        y_pred: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike,
        control: ArrayLike | None = None,
        group_names: Mapping[Any, str] | ClusterRepresentatives | None = None,
        metric: str = "mae",
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        drawn_together: ArrayLike | None = None,
        random_state: RandomState = None,
        target_name: str | None = None,
        units: str | None = None,
    ) -> None:
        self.y_true = y_true
        self.y_pred = y_pred
        self.groups = groups
        self.control = control
        self.group_names = group_names
        self.metric = metric
        self.confidence_level = confidence_level
        self.n_resamples = n_resamples
        self.drawn_together = drawn_together
        self.random_state = random_state
        self.target_name = target_name
        self.units = units

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike | Mapping[str, ArrayLike],
        groups: ArrayLike,
        *,
        control: ArrayLike | None = None,
        group_names: Mapping[Any, str] | ClusterRepresentatives | None = None,
        metric: str = "mae",
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        drawn_together: ArrayLike | None = None,
        random_state: RandomState = None,
        target_name: str | None = None,
        units: str | None = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> ClusterErrorDisplay:
        """Draw the errors of given predictions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True values.
        y_pred : array-like of shape (n_samples,), or dict of str to array-like
            Out-of-fold predictions of one or more models.
        groups : array-like of shape (n_samples,)
            Cluster of each sample.
        control : float or array-like of shape (n_samples,), default=None
            The control's predictions.
        group_names : mapping or ClusterRepresentatives, default=None
            What to call the clusters.
        metric : {"mae", "smae"}, default="mae"
            Which error.
        confidence_level : float, default=0.95
            Level of the intervals.
        n_resamples : int, default=1000
            Resamples for the intervals; 0 draws none.
        drawn_together : array-like of shape (n_samples,), default=None
            Samples of equal labels are resampled together.
        random_state : int, RandomState or None, default=None
            Seed of the resamples.
        target_name : str, default=None
            Name of the property. None takes the name of a Series ``y_true``.
        units : str, default=None
            Its unit.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        ClusterErrorDisplay
        """
        target_name = name_of(y_true, target_name)
        display = cls(
            y_true=y_true,
            y_pred=y_pred,
            groups=groups,
            control=control,
            group_names=group_names,
            metric=metric,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
            drawn_together=drawn_together,
            random_state=random_state,
            target_name=target_name,
            units=units,
        )
        return display.plot(ax=ax, **plot_options)

    @classmethod
    def from_cross_validation(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        cv: Any = None,
        groups: ArrayLike | None = None,
        n_jobs: int | None = None,
        **options: Any,
    ) -> ClusterErrorDisplay:
        """Draw the errors of models that are fitted without the cluster.

        Parameters
        ----------
        estimator : regressor, or dict of str to regressor
            Cloned and fitted on each training set. Several models have the same folds.
        X : sequence
            The samples.
        y : array-like of shape (n_samples,)
            Their true values.
        cv : int, splitter or iterable, default=None
            As for ``cross_validate``; None is ``LeaveOneClusterOut()``. The clusters
            shown are those that it tests, or the ``groups``, or else its folds.
        groups : array-like of shape (n_samples,), default=None
            Groups for the splitter.
        n_jobs : int, default=None
            Folds fitted at the same time.
        **options : dict
            Further arguments of :meth:`from_predictions`. ``group_names="medoid"``
            calls the clusters by the medoids of ``X``, which are compositions then.
            ``control`` is the mean of each fold's training targets.

        Returns
        -------
        ClusterErrorDisplay

        Raises
        ------
        InvalidValueError
            If a sample is in more than one test set.
        """
        from skmatgnn.model_selection import LeaveOneClusterOut

        cv = LeaveOneClusterOut() if cv is None else check_cv(cv)
        splits = list(cv.split(X, y, groups))
        models = estimator if isinstance(estimator, Mapping) else {"model": estimator}
        predictions = {}
        for name, model in models.items():
            predictions[name], fold_of = predict_out_of_fold(
                model,
                X,
                y,
                cv=splits,
                groups=groups,
                n_jobs=n_jobs,
                purpose="a plot of clusters",
            )
        clusters = _clusters_of(cv, fold_of, X, groups)
        truth = ensure_column(y, "y")
        means = [float(np.nanmean(truth[train])) for train, _ in splits]
        control = np.append(means, np.nan)[fold_of]
        if isinstance(options.get("group_names"), str):
            options["group_names"] = _medoids(options["group_names"], X, clusters)
        single = not isinstance(estimator, Mapping)
        return cls.from_predictions(
            y,
            predictions["model"] if single else predictions,
            clusters,
            **{"control": control, **options},
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        title: str | None = None,
        legend: bool = True,
        bar_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure, as high as the clusters need.
        title : str, default=None
            Title of the axes.
        legend : bool, default=True
            Whether to draw the legend.
        bar_kwargs : dict, default=None
            Further arguments of ``Axes.barh``.

        Returns
        -------
        ClusterErrorDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If lengths differ, a value is no number, or nothing is left to draw.
        """
        from skmatgnn.inspection import _cluster_error_artists as artists

        scores = self._score()
        n_models, n_clusters = scores.values.shape
        height = 1.2 + n_clusters * (0.22 + 0.14 * n_models)
        ax = given_or_new_axes(ax, 7.2, max(2.4, height))
        self.ax_, self.figure_ = ax, ax.figure
        self.bars_, self.errorbars_ = artists.draw_bars(
            ax, scores, self.model_names_, bar_kwargs
        )
        self.pooled_lines_ = artists.draw_pooled(ax, scores.pooled)
        self.control_marks_ = artists.draw_control(ax, scores.control)
        artists.label(
            ax,
            [self._name(cluster) for cluster in self.clusters_],
            self.sizes_,
            artists.error_name(self.metric, self.target_name, self.units),
            title,
        )
        self.legend_ = None
        if legend:
            several = isinstance(self.y_pred, Mapping)
            self.legend_ = artists.legend_of(self, several=several)
        return self

    def _score(self) -> ClusterErrors:
        self._validate_options()
        truth = ensure_column(self.y_true, "y_true")
        named = _ensure_models(self.y_pred)
        require_consistent_length(
            y_true=truth,
            groups=self.groups,
            drawn_together=self.drawn_together,
            **{f"y_pred[{name!r}]": column for name, column in named.items()},
        )
        codes, labels = order_by_size(self.groups, len(truth))
        shown = (codes >= 0) & ~np.isnan([truth, *named.values()]).any(axis=0)
        if not shown.any():
            raise InvalidValueError(
                f"None of the {len(truth)} samples is in a cluster and without NaN in "
                "y_true and y_pred; nothing is left to draw."
            )
        units = self.drawn_together
        units = None if units is None else ensure_groups(units, len(truth))
        control = self._control(truth, codes, shown)
        codes = codes[shown]
        # NaN pairs may empty a cluster, or change which one is larger.
        sizes = np.bincount(codes, minlength=len(labels))
        order = [i for i in np.argsort(-sizes, kind="stable") if sizes[i]]
        place = np.full(len(labels), -1)
        place[order] = np.arange(len(order))
        self.model_names_ = list(named)
        self.clusters_, self.sizes_ = [labels[i] for i in order], sizes[order]
        self._names = names_of(self.group_names, self.clusters_)
        scores = score_clusters(
            np.abs(np.array(list(named.values()))[:, shown] - truth[shown]),
            np.abs(control - truth[shown]),
            place[codes],
            None if units is None else units[shown],
            scaled=self.metric == "smae",
            n_resamples=self.n_resamples,
            confidence_level=self.confidence_level,
            random_state=self.random_state,
        )
        self.errors_, self.low_, self.high_ = scores.values, scores.low, scores.high
        self.pooled_, self.control_errors_ = scores.pooled, scores.control
        return scores

    def _control(
        self, truth: FloatArray, codes: IntArray, shown: np.ndarray
    ) -> FloatArray:
        given = ensure_baseline(self.control, shown, name="control")
        if given is not None:
            return given
        known = (codes >= 0) & ~np.isnan(truth)
        means = np.full(codes.max() + 1, np.nan)
        for cluster in range(len(means)):
            others = truth[known & (codes != cluster)]
            means[cluster] = others.mean() if len(others) else np.nan
        if self.metric == "smae" and np.isnan(means).any():
            raise InvalidValueError(
                "metric='smae' with one cluster only needs control=: there is no other "
                "cluster whose mean the control could predict."
            )
        return means[codes[shown]]

    def _name(self, cluster: Any) -> str:
        return self._names.get(cluster, str(cluster))

    def _validate_options(self) -> None:
        require_option("metric", self.metric, _METRICS)
        require_count("n_resamples", self.n_resamples, least=0)
        require_fraction("confidence_level", self.confidence_level)


def _ensure_models(y_pred: Any) -> dict[str, FloatArray]:
    if not isinstance(y_pred, Mapping):
        return {"y_pred": ensure_column(y_pred, "y_pred")}
    if not y_pred:
        raise InvalidValueError("y_pred is empty; give the predictions of one model.")
    for name in y_pred:
        if not isinstance(name, str):
            raise InvalidTypeError(
                f"y_pred must have the models' names as keys; got {describe(name)}."
            )
    return {
        name: ensure_column(column, f"y_pred[{name!r}]")
        for name, column in y_pred.items()
    }


def _clusters_of(cv: Any, fold_of: IntArray, X: Any, groups: Any) -> np.ndarray:
    """Label of each sample's cluster; -1 for samples that were never tested."""
    if hasattr(cv, "test_groups"):
        tested = cv.test_groups(X, groups=groups)
    elif groups is not None:
        labels = np.asarray(groups).astype(object)
        return np.where(fold_of >= 0, labels, -1)
    else:
        tested = [f"fold {number}" for number in range(fold_of.max() + 1)]
    labels = np.empty(len(tested) + 1, dtype=object)
    labels[:-1], labels[-1] = list(tested), -1
    return labels[fold_of]


def _medoids(name: str, X: Any, clusters: np.ndarray) -> ClusterRepresentatives:
    if name != "medoid":
        raise InvalidValueError(
            f"group_names must be 'medoid', a mapping or ClusterRepresentatives; got "
            f"{name!r}."
        )
    return cluster_representatives(X, clusters)
