"""Parity plot: predicted against true values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._inputs import (
    ensure_baseline,
    ensure_column,
    ensure_limits,
)
from skmatgnn.inspection._out_of_fold import predict_out_of_fold
from skmatgnn.inspection._text import name_of, three_digits
from skmatgnn.metrics import (
    masked_mean_absolute_error,
    masked_r2_score,
    scaled_mean_absolute_error,
)
from skmatgnn.utils.validation import (
    describe,
    ensure_object_array,
    require_consistent_length,
    require_option,
)
from skmatgnn.utils.warning_filters import without_warnings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import Collection

    from skmatgnn._typing import ArrayLike, FloatArray

_KINDS = ("auto", "scatter", "hexbin")
_HEXBIN_FROM = 5_000
_MAX_LEGEND = 10


class ParityDisplay:
    """Predicted against true values, with the identity line and the errors.

    Make it with :meth:`from_predictions`, :meth:`from_estimator` or
    :meth:`from_cross_validation`; all parameters are stored as attributes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True values; NaN means "not known".
    y_pred : array-like of shape (n_samples,)
        Predictions; NaN means "not predicted". Pairs with a NaN are left out.
    y_std : array-like of shape (n_samples,), default=None
        Standard deviations of the predictions, drawn as error bars.
    groups : array-like of shape (n_samples,), default=None
        Group or fold of each sample, drawn in its own colour.
    target_name : str, default=None
        Name of the property, for the axes' labels.
    units : str, default=None
        Its unit, for the labels and the errors.
    y_train : array-like of shape (n_train,), default=None
        Training targets, whose mean is the control of the SMAE. None takes the mean of
        the targets shown.
    baseline : float or array-like of shape (n_samples,), default=None
        The control's predictions themselves, for example those of a
        ``DummyRegressor`` on the same folds. Not together with ``y_train``.

    Attributes
    ----------
    mae_, r2_, smae_ : float
        Errors over the pairs without NaN, in the text box; NaN where undefined (R2 of
        a single pair or of constant targets, and SMAE where its control makes no
        error). Set by :meth:`plot`.
    n_shown_ : int
        Number of pairs without NaN.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    line_ : matplotlib Line2D
        The identity line.
    points_ : list of matplotlib collections
        One scatter per group, or the hexagonal bins.
    errorbars_ : list of matplotlib collections
        The bars of ``y_std``, one collection per group.
    text_ : matplotlib Text
        The box with the errors.
    legend_ : matplotlib Legend or None
        The groups' colours; only up to ten groups have one.

    See Also
    --------
    sklearn.metrics.PredictionErrorDisplay : Residuals, without units and groups.
    skmatgnn.metrics.scaled_mean_absolute_error : The SMAE in the box.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skmatgnn.inspection import ParityDisplay
    >>> display = ParityDisplay.from_predictions(
    ...     [1.0, 2.0, 4.0], [1.1, 1.9, 4.3], target_name="Band gap", units="eV"
    ... )
    >>> display.ax_.get_xlabel()
    'True band gap (eV)'
    >>> round(display.mae_, 3)
    0.167
    """

    def __init__(
        self,
        *,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        y_std: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        target_name: str | None = None,
        units: str | None = None,
        y_train: ArrayLike | None = None,
        baseline: ArrayLike | None = None,
    ) -> None:
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_std = y_std
        self.groups = groups
        self.target_name = target_name
        self.units = units
        self.y_train = y_train
        self.baseline = baseline

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        y_std: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        target_name: str | None = None,
        units: str | None = None,
        y_train: ArrayLike | None = None,
        baseline: ArrayLike | None = None,
        ax: Axes | None = None,
        limits: tuple[float, float] | None = None,
        **plot_options: Any,
    ) -> ParityDisplay:
        """Draw the plot from predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted values; pairs with a NaN are left out.
        y_std : array-like of shape (n_samples,), default=None
            Standard deviations of the predictions.
        groups : array-like of shape (n_samples,), default=None
            Group or fold of each sample.
        target_name : str, default=None
            Name of the property. None takes the name of a Series ``y_true``.
        units : str, default=None
            Its unit.
        y_train : array-like of shape (n_train,), default=None
            Training targets, whose mean is the control of the SMAE.
        baseline : float or array-like of shape (n_samples,), default=None
            The control's predictions themselves, instead of ``y_train``.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        limits : (low, high), default=None
            Ends of both axes, to be shared by plots side by side.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        ParityDisplay
        """
        target_name = name_of(y_true, target_name)
        display = cls(
            y_true=y_true,
            y_pred=y_pred,
            y_std=y_std,
            groups=groups,
            target_name=target_name,
            units=units,
            y_train=y_train,
            baseline=baseline,
        )
        return display.plot(ax=ax, limits=limits, **plot_options)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        return_std: bool = False,
        **options: Any,
    ) -> ParityDisplay:
        """Draw the plot for a fitted estimator's predictions of ``X``.

        Parameters
        ----------
        estimator : fitted regressor
            With one output.
        X : sequence
            Samples that it has not been fitted on.
        y : array-like of shape (n_samples,)
            Their true values.
        return_std : bool, default=False
            Ask ``estimator.predict(X, return_std=True)`` for error bars.
        **options : dict
            Further arguments of :meth:`from_predictions`, such as ``baseline`` and
            ``limits``.

        Returns
        -------
        ParityDisplay
        """
        if return_std:
            y_pred, options["y_std"] = estimator.predict(X, return_std=True)
        else:
            y_pred = estimator.predict(X)
        return cls.from_predictions(y, y_pred, **options)

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
    ) -> ParityDisplay:
        """Draw the plot of out-of-fold predictions, coloured by fold.

        Parameters
        ----------
        estimator : regressor
            Cloned and fitted on each training set.
        X : sequence
            The samples.
        y : array-like of shape (n_samples,)
            Their true values.
        cv : int, splitter or iterable, default=None
            As for ``cross_validate``. Samples that are never tested are left out, so
            that :class:`skmatgnn.model_selection.LeaveOneClusterOut` works with noise
            and small clusters too; samples tested more than once are not allowed.
        groups : array-like of shape (n_samples,), default=None
            Groups for the splitter. Give ``color_by=`` other labels, if not the folds.
        n_jobs : int, default=None
            Folds fitted at the same time.
        **options : dict
            Further arguments of :meth:`from_predictions`, such as ``baseline`` and
            ``limits``; ``color_by`` replaces the folds as its ``groups``.

        Returns
        -------
        ParityDisplay

        Raises
        ------
        InvalidValueError
            If a sample is in more than one test set.
        """
        y_pred, fold_of = predict_out_of_fold(
            estimator,
            X,
            y,
            cv=cv,
            groups=groups,
            n_jobs=n_jobs,
            purpose="a parity plot",
        )
        shown = np.array([f"fold {number}" for number in fold_of])
        return cls.from_predictions(
            y, y_pred, groups=options.pop("color_by", shown), **options
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: str = "auto",
        limits: tuple[float, float] | None = None,
        metrics: bool = True,
        title: str | None = None,
        scatter_kwargs: dict[str, Any] | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        kind : {"auto", "scatter", "hexbin"}, default="auto"
            Points, or hexagonal bins coloured by the logarithm of their counts. "auto"
            takes bins from 5,000 pairs without groups and error bars; points become
            smaller and more transparent with their number.
        limits : (low, high), default=None
            Ends of both axes, to be shared by plots side by side. Pairs outside are
            not seen; the text box counts them, and the errors are those of all pairs.
            None takes the range of the values.
        metrics : bool, default=True
            Whether to write MAE, R2 and SMAE into the plot.
        title : str, default=None
            Title of the axes.
        scatter_kwargs : dict, default=None
            Further arguments of ``Axes.scatter`` or ``Axes.hexbin``.
        line_kwargs : dict, default=None
            Further arguments of ``Axes.axline`` for the identity line.

        Returns
        -------
        ParityDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If lengths differ, a value is no number, no pair without NaN is left, or
            ``limits`` are not a lower and a higher number.
        """
        from skmatgnn.inspection import _parity_artists as artists

        require_option("kind", kind, _KINDS)
        truth, predicted, std, groups, baseline = self._pairs()
        self._score(truth, predicted, baseline)
        if limits is None:
            limits = artists.range_of(truth, predicted, std)
        else:
            limits = ensure_limits(limits)
        plain = groups is None and std is None and len(truth) >= _HEXBIN_FROM
        binned = kind == "hexbin" or (kind == "auto" and plain)
        if binned and not (groups is None and std is None):
            raise InvalidValueError(
                "kind='hexbin' shows neither groups nor y_std; leave them out or use "
                "kind='scatter'."
            )
        # "compressed" gives the colour bar the height of the square axes
        width = 5.6 if binned else 4.8
        ax = given_or_new_axes(ax, width, 4.8, layout="compressed")
        self.ax_, self.figure_ = ax, ax.figure
        if binned:
            bins = artists.draw_hexbin(ax, truth, predicted, limits, scatter_kwargs)
            self.points_: list[Collection] = [bins]
            self.errorbars_: list[Any] = []
        else:
            points, self.errorbars_ = artists.draw_points(
                ax, truth, predicted, std=std, groups=groups, options=scatter_kwargs
            )
            self.points_ = [*points]
        self.line_ = artists.frame(ax, limits, line_kwargs)
        artists.label(ax, self.target_name, self.units, title)
        n_groups = 0 if groups is None else len(np.unique(groups))
        upper = artists.free_corner(ax, truth, predicted)
        self.text_ = self.legend_ = None
        if metrics:
            n_hidden = artists.count_outside(limits, truth, predicted)
            text = self._summary(n_groups, n_hidden)
            self.text_ = artists.write(ax, text, upper_left=upper)
        if 1 < n_groups <= _MAX_LEGEND:
            self.legend_ = artists.draw_legend(ax, upper_left=not upper)
        return self

    def _pairs(
        self,
    ) -> tuple[
        FloatArray,
        FloatArray,
        FloatArray | None,
        np.ndarray | None,
        FloatArray | None,
    ]:
        truth = ensure_column(self.y_true, "y_true")
        predicted = ensure_column(self.y_pred, "y_pred")
        std = None if self.y_std is None else ensure_column(self.y_std, "y_std")
        groups = None if self.groups is None else _ensure_names(self.groups)
        require_consistent_length(
            y_true=truth, y_pred=predicted, y_std=std, groups=groups
        )
        shown = ~(np.isnan(truth) | np.isnan(predicted))
        if not shown.any():
            raise InvalidValueError(
                f"None of the {len(truth)} pairs of y_true and y_pred is without NaN; "
                "nothing is left to draw."
            )
        if std is not None:
            std = np.nan_to_num(std[shown])
            if (std < 0).any():
                raise InvalidValueError(
                    f"y_std must not be negative; got {std.min()}. Give standard "
                    "deviations, not variances or intervals' ends."
                )
        return (
            truth[shown],
            predicted[shown],
            std,
            None if groups is None else groups[shown],
            ensure_baseline(self.baseline, shown),
        )

    def _score(
        self, truth: FloatArray, predicted: FloatArray, baseline: FloatArray | None
    ) -> None:
        self.n_shown_ = len(truth)
        self.mae_ = float(masked_mean_absolute_error(truth, predicted))
        varied = np.ptp(truth) > 0
        self.r2_ = float(masked_r2_score(truth, predicted)) if varied else np.nan
        # An undefined SMAE is left out of the box, which says enough.
        with without_warnings(UndefinedMetricWarning):
            smae = scaled_mean_absolute_error(
                truth, predicted, y_train=self.y_train, baseline=baseline
            )
        self.smae_ = float(smae)

    def _summary(self, n_groups: int, n_hidden: int) -> str:
        unit = f" {self.units}" if self.units else ""
        lines = [f"MAE {three_digits(self.mae_)}{unit}"]
        lines += [f"R² {_fixed(self.r2_)}"] if np.isfinite(self.r2_) else []
        lines += [f"SMAE {_fixed(self.smae_)}"] if np.isfinite(self.smae_) else []
        hidden = f" ({n_hidden:,} outside)" if n_hidden else ""
        lines.append(f"n = {self.n_shown_:,}{hidden}")
        if n_groups > _MAX_LEGEND:
            lines.append(f"{n_groups} groups")
        return "\n".join(lines)


def _ensure_names(groups: Any) -> np.ndarray:
    if isinstance(groups, str) or np.ndim(groups) == 0:
        raise InvalidTypeError(
            f"groups must have one label for each sample; got {describe(groups)}."
        )
    labels = ensure_object_array(groups, what="group labels", single=())
    return np.array([str(label) for label in labels])


def _fixed(value: float) -> str:
    return f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
