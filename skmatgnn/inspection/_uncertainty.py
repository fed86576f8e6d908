"""Whether predicted uncertainties hold: observed against expected coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import stats
from scipy.integrate import trapezoid

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._inputs import ensure_column
from skmatgnn.inspection._text import three_digits
from skmatgnn.utils.validation import require_consistent_length, require_option

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skmatgnn._typing import ArrayLike, FloatArray

_KINDS = ("coverage", "width")
# standardised to a standard deviation of one
_DISTRIBUTIONS = {"normal": stats.norm, "laplace": stats.laplace(scale=0.5**0.5)}
_LEVELS = np.arange(1, 100) / 100


class UncertaintyCalibrationDisplay:
    """How often intervals hold the true value, against how often they should.

    On the diagonal an uncertainty is calibrated. Below it the model is too sure of
    itself, above it too unsure. Make the display with :meth:`from_estimator`,
    :meth:`from_predictions` or :meth:`from_intervals`; all parameters are stored as
    attributes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True values; samples with a NaN anywhere are left out.
    low, high : array-like of shape (n_levels, n_samples)
        Ends of the intervals.
    levels : array-like of shape (n_levels,)
        Probabilities with which the intervals should hold, ascending.
    confidence_level : float, default=0.9
        Level that the text box tells of; of ``levels``, the closest is taken.
    name : str, default=None
        Name of the model, for the legend.
    units : str, default=None
        Unit of the property, for the widths.

    Attributes
    ----------
    coverage_ : ndarray of shape (n_levels,)
        Share of the samples whose interval holds the true value. Set by :meth:`plot`.
    width_ : ndarray of shape (n_levels,)
        Mean width of the intervals.
    miscalibration_area_ : float
        Area between the curve and the diagonal, from 0 (calibrated) to 0.5.
    n_shown_ : int
        Number of samples without NaN.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    line_ : matplotlib Line2D
        The curve.
    ref_line_ : matplotlib Line2D or None
        The diagonal.
    band_ : matplotlib FillBetweenPolyCollection or None
        Where 95 % of the coverages of a calibrated model are, for so many samples.
    text_ : matplotlib Text or None
        The box with area, coverage and width.
    legend_ : matplotlib Legend or None
        The names of all models in the axes.

    See Also
    --------
    skmatgnn.ConformalRegressor : Makes intervals that hold.
    ParityDisplay : Shows standard deviations as error bars.
    sklearn.calibration.CalibrationDisplay : The same for probabilities of classes.

    Notes
    -----
    The band knows of the samples that are shown alone: a conformal model that was
    calibrated with few samples may leave it without fault. A narrow interval is the
    better one only at the same observed coverage, which ``kind="width"`` compares.

    References
    ----------
    Kuleshov, Fenner, Ermon, "Accurate Uncertainties for Deep Learning Using Calibrated
    Regression", arXiv:1807.00263, section 3. Tran et al., "Methods for comparing
    uncertainty quantifications for material property predictions", Mach. Learn.: Sci.
    Technol. 1, 025006 (2020): the miscalibration area.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from skmatgnn.inspection import UncertaintyCalibrationDisplay
    >>> error = np.random.default_rng(0).normal(size=500)
    >>> display = UncertaintyCalibrationDisplay.from_predictions(
    ...     error, np.zeros(500), np.ones(500)
    ... )
    >>> display.miscalibration_area_ < 0.03
    True
    >>> sure = UncertaintyCalibrationDisplay.from_predictions(
    ...     error, np.zeros(500), np.full(500, 0.2)
    ... )
    >>> sure.miscalibration_area_ > 0.2
    True
    """

    def __init__(
        self,
        *,
        y_true: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        levels: ArrayLike,
        confidence_level: float = 0.9,
        name: str | None = None,
        units: str | None = None,
    ) -> None:
        self.y_true = y_true
        self.low = low
        self.high = high
        self.levels = levels
        self.confidence_level = confidence_level
        self.name = name
        self.units = units

    @classmethod
    def from_intervals(
        cls,
        y_true: ArrayLike,
        low: ArrayLike,
        high: ArrayLike,
        *,
        levels: ArrayLike,
        confidence_level: float = 0.9,
        name: str | None = None,
        units: str | None = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> UncertaintyCalibrationDisplay:
        """Draw the plot from intervals of several levels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            True values.
        low, high : array-like of shape (n_levels, n_samples)
            Ends of the intervals.
        levels : array-like of shape (n_levels,)
            Their probabilities, ascending.
        confidence_level : float, default=0.9
            Level that the text box tells of.
        name : str, default=None
            Name of the model, for the legend.
        units : str, default=None
            Unit of the property, for the widths.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        UncertaintyCalibrationDisplay
        """
        display = cls(
            y_true=y_true,
            low=low,
            high=high,
            levels=levels,
            confidence_level=confidence_level,
            name=name,
            units=units,
        )
        return display.plot(ax=ax, **plot_options)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        y_std: ArrayLike,
        *,
        distribution: str = "normal",
        levels: ArrayLike | None = None,
        **options: Any,
    ) -> UncertaintyCalibrationDisplay:
        """Draw the plot from predictions and their standard deviations.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted values.
        y_std : array-like of shape (n_samples,)
            Standard deviations of the predictions.
        distribution : {"normal", "laplace"}, default="normal"
            What the errors are thought to be distributed like.
        levels : array-like of shape (n_levels,), default=None
            Probabilities of the intervals, ascending; None is each per cent.
        **options : dict
            Further arguments of :meth:`from_intervals`.

        Returns
        -------
        UncertaintyCalibrationDisplay

        Raises
        ------
        InvalidValueError
            If a standard deviation is negative, or the distribution is unknown.
        """
        require_option("distribution", distribution, _DISTRIBUTIONS)
        center = ensure_column(y_pred, "y_pred")
        std = ensure_column(y_std, "y_std")
        require_consistent_length(y_true=y_true, y_pred=center, y_std=std)
        if (std < 0).any():
            raise InvalidValueError(
                f"y_std must not be negative; got {np.nanmin(std)}. Give standard "
                "deviations, not variances or intervals' ends."
            )
        levels = _ensure_levels(_LEVELS if levels is None else levels)
        half = _DISTRIBUTIONS[distribution].ppf((1 + levels) / 2)[:, None] * std
        return cls.from_intervals(
            y_true, center - half, center + half, levels=levels, **options
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        distribution: str = "normal",
        levels: ArrayLike | None = None,
        **options: Any,
    ) -> UncertaintyCalibrationDisplay:
        """Draw the plot for a fitted estimator.

        Parameters
        ----------
        estimator : fitted regressor
            With one output, and ``predict_interval`` as of ``ConformalRegressor``, or
            else ``predict(X, return_std=True)``.
        X : sequence
            Samples that it has been neither fitted nor calibrated with.
        y : array-like of shape (n_samples,)
            Their true values.
        distribution : {"normal", "laplace"}, default="normal"
            Only for standard deviations: what the errors are thought to be distributed
            like.
        levels : array-like of shape (n_levels,), default=None
            Probabilities of the intervals, ascending; None is each per cent, as far as
            the calibration samples allow.
        **options : dict
            Further arguments of :meth:`from_intervals`.

        Returns
        -------
        UncertaintyCalibrationDisplay

        Raises
        ------
        InvalidTypeError
            If the estimator predicts no uncertainty.
        """
        from skmatgnn.estimators._wrapper import gives_std

        if hasattr(estimator, "predict_interval"):
            if levels is None:
                highest = getattr(estimator, "max_confidence_level_", 1.0)
                levels = _LEVELS[highest + 1e-9 >= _LEVELS]
            levels = _ensure_levels(levels)
            low, high = estimator.predict_interval(X, confidence_level=levels)
            return cls.from_intervals(y, low, high, levels=levels, **options)
        if not gives_std(estimator):
            raise InvalidTypeError(
                f"{type(estimator).__name__} predicts no uncertainty. Wrap it in "
                "skmatgnn.ConformalRegressor or DeepEnsembleRegressor."
            )
        return cls.from_predictions(
            y,
            *estimator.predict(X, return_std=True),
            distribution=distribution,
            levels=levels,
            **options,
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: str = "coverage",
        ref_line: bool = True,
        metrics: bool = True,
        title: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure. Several models are compared in
            the axes of one of them, with ``ref_line=False`` and ``metrics=False``.
        kind : {"coverage", "width"}, default="coverage"
            Observed against expected coverage, or the mean width of the intervals
            against their observed coverage.
        ref_line : bool, default=True
            Whether to draw the diagonal, with the band of a calibrated model.
        metrics : bool, default=True
            Whether to write area, coverage and width into the plot.
        title : str, default=None
            Title of the axes.
        line_kwargs : dict, default=None
            Further arguments of ``Axes.plot`` for the curve.

        Returns
        -------
        UncertaintyCalibrationDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError
            If shapes do not fit, levels do not ascend between 0 and 1, the ends of an
            interval are in the wrong order, or no sample without NaN is left.
        """
        from skmatgnn.inspection import _uncertainty_artists as artists

        require_option("kind", kind, _KINDS)
        truth, low, high, levels = self._samples()
        self.n_shown_ = len(truth)
        self.coverage_ = ((low <= truth) & (truth <= high)).mean(axis=1)
        self.width_ = (high - low).mean(axis=1)
        self.miscalibration_area_ = _area(levels, self.coverage_)
        size = 4.4 if kind == "coverage" else 4.0
        self.ax_ = given_or_new_axes(ax, 4.6, size)
        self.figure_ = self.ax_.figure
        self.ref_line_ = self.band_ = self.text_ = None
        if kind == "coverage":
            if ref_line:
                self.ref_line_, self.band_ = artists.draw_reference(
                    self.ax_, self.n_shown_
                )
            x, y = levels, self.coverage_
        else:
            x, y = self.coverage_, self.width_
        self.line_ = artists.draw_curve(self.ax_, x, y, self._label(), line_kwargs)
        artists.label(self.ax_, kind, self.units, title)
        upper = artists.free_corner(x, y, kind)
        if metrics:
            text = self._summary(levels)
            self.text_ = artists.write_metrics(self.ax_, text, upper_left=upper)
        place = "upper left" if upper != metrics else "lower right"
        if kind == "width" and metrics:
            place = "center left"  # widths rise steeply to the right
        self.legend_ = artists.update_legend(self.ax_, place)
        return self

    def _samples(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        truth, levels = (
            ensure_column(self.y_true, "y_true"),
            _ensure_levels(self.levels),
        )
        low = np.asarray(self.low, dtype=np.float64)
        high = np.asarray(self.high, dtype=np.float64)
        for name, ends in (("low", low), ("high", high)):
            if ends.shape != (len(levels), len(truth)):
                raise InvalidValueError(
                    f"{name} must have a row for each of {len(levels)} levels and a "
                    f"column for each of {len(truth)} samples; got shape {ends.shape}. "
                    "Draw several properties one by one: low[:, :, 0]."
                )
        shown = np.isfinite(truth) & ~(np.isnan(low) | np.isnan(high)).any(axis=0)
        if not shown.any():
            raise InvalidValueError(
                f"None of the {len(truth)} samples is without NaN; nothing is left to "
                "draw."
            )
        low, high = low[:, shown], high[:, shown]
        if (low > high).any():
            level, sample = np.argwhere(low > high)[0]
            raise InvalidValueError(
                f"low is above high at the level {levels[level]:g}, sample "
                f"{np.flatnonzero(shown)[sample]}. Swap the ends."
            )
        return truth[shown], low, high, levels

    def _label(self) -> str | None:
        if self.name is None:
            return None
        return f"{self.name} (area {self.miscalibration_area_:.3f})"

    def _summary(self, levels: FloatArray) -> str:
        told = int(np.abs(levels - self.confidence_level).argmin())
        units = f" {self.units}" if self.units else ""
        held = 100 * self.coverage_[told]
        return (
            f"{100 * levels[told]:g} % intervals hold {held:.1f} %"
            f"\nMean width {three_digits(self.width_[told])}{units}"
            f"\nMiscalibration area {self.miscalibration_area_:.3f}"
            f"\nn = {self.n_shown_:,}"
        )


def _ensure_levels(levels: Any) -> FloatArray:
    array = ensure_column(levels, "levels")
    inside = bool(((array > 0) & (array < 1)).all())
    if not inside or (np.diff(array) <= 0).any():
        raise InvalidValueError(
            "levels must be probabilities between 0 and 1, ascending; got "
            f"{np.array2string(array, threshold=6)}."
        )
    return array


def _area(levels: FloatArray, coverage: FloatArray) -> float:
    expected = np.concatenate([[0.0], levels, [1.0]])
    observed = np.concatenate([[0.0], coverage, [1.0]])
    return float(trapezoid(np.abs(observed - expected), expected))
