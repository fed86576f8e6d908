"""Error against the distance to the training set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._cluster_errors import resample_means
from skmatgnn.utils.validation import (
    describe,
    require_count,
    require_fraction,
    require_option,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from skmatgnn._typing import FloatArray, RandomState

_DISTANCES = ("latent_distance", "elmd_distance")
_SCALES = ("linear", "log")


class ExtrapolationDisplay:
    """Mean absolute error by quantile of the distance to the training set.

    Make it with :meth:`from_frame`; all parameters are stored as attributes.

    Parameters
    ----------
    frames : DataFrame, or dict of str to DataFrame
        From ``extrapolation_report``; several, of other folds or models, by name.
    distance : {"latent_distance", "elmd_distance"}, default="latent_distance"
        Which distance.
    n_bins : int, default=5
        Points of a line: samples are cut into so many parts of equal size by their
        distance. Where many have the same distance there are fewer.
    confidence_level : float, default=0.95
        Level of the intervals.
    n_resamples : int, default=1000
        Bootstrap resamples of the samples of a part for its interval.
    random_state : int, RandomState or None, default=None
        Seed of the resamples.
    target_name : str, default=None
        Name of the property.
    units : str, default=None
        Its unit.

    Attributes
    ----------
    curves_ : dict of str to DataFrame
        A row for each part: the median ``distance``, its ``lowest`` and ``highest``,
        the ``mae``, the ends ``low`` and ``high`` of its interval, and the number
        ``n`` of samples. Set by :meth:`plot`.
    correlations_ : dict of str to float
        Spearman's rank correlation of error and distance over single samples; NaN if
        one of them is the same for all.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    lines_ : list of matplotlib Line2D
        One per frame.
    bands_ : list of matplotlib FillBetweenPolyCollection
        The intervals, one per frame.
    legend_ : matplotlib Legend
        The frames with their correlations.

    See Also
    --------
    skmatgnn.model_selection.extrapolation_report : Makes the frames.
    ClusterErrorDisplay : The error of each cluster.

    Notes
    -----
    A rising line says that the distance warns of errors. Intervals take the samples
    of a part as independent, and do not hold the variation of the training.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from skmatgnn.inspection import ExtrapolationDisplay
    >>> frame = pd.DataFrame({
    ...     "latent_distance": [0.5, 0.7, 1.5, 1.9], "error": [1.0, 3.0, 4.0, 6.0],
    ... })
    >>> display = ExtrapolationDisplay.from_frame(frame, n_bins=2, random_state=0)
    >>> display.curves_[""]["mae"].tolist(), round(display.correlations_[""], 6)
    ([2.0, 5.0], 1.0)
    """

    def __init__(
        self,
        *,
        frames: pd.DataFrame | Mapping[str, pd.DataFrame],
        distance: str = "latent_distance",
        n_bins: int = 5,
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        random_state: RandomState = None,
        target_name: str | None = None,
        units: str | None = None,
    ) -> None:
        self.frames = frames
        self.distance = distance
        self.n_bins = n_bins
        self.confidence_level = confidence_level
        self.n_resamples = n_resamples
        self.random_state = random_state
        self.target_name = target_name
        self.units = units

    @classmethod
    def from_frame(
        cls,
        frames: pd.DataFrame | Mapping[str, pd.DataFrame],
        *,
        distance: str = "latent_distance",
        n_bins: int = 5,
        confidence_level: float = 0.95,
        n_resamples: int = 1000,
        random_state: RandomState = None,
        target_name: str | None = None,
        units: str | None = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> ExtrapolationDisplay:
        """Draw what extrapolation_report has returned.

        Parameters
        ----------
        frames : DataFrame, or dict of str to DataFrame
            One report, or several by name.
        distance : {"latent_distance", "elmd_distance"}, default="latent_distance"
            Which distance.
        n_bins : int, default=5
            Points of a line.
        confidence_level : float, default=0.95
            Level of the intervals.
        n_resamples : int, default=1000
            Resamples for the intervals.
        random_state : int, RandomState or None, default=None
            Seed of the resamples.
        target_name : str, default=None
            Name of the property.
        units : str, default=None
            Its unit.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        ExtrapolationDisplay
        """
        display = cls(
            frames=frames,
            distance=distance,
            n_bins=n_bins,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
            random_state=random_state,
            target_name=target_name,
            units=units,
        )
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        x_scale: str = "linear",
        y_scale: str = "linear",
        title: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        x_scale, y_scale : {"linear", "log"}, default="linear"
            Scales of the axes.
        title : str, default=None
            Title of the axes; None is the name of the property.
        line_kwargs : dict, default=None
            Further arguments of ``Axes.plot``.

        Returns
        -------
        ExtrapolationDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If a frame is none of extrapolation_report, or an option is unknown.
        """
        from skmatgnn.inspection import _extrapolation_artists as artists

        require_option("x_scale", x_scale, _SCALES)
        require_option("y_scale", y_scale, _SCALES)
        self._collect()
        self.ax_ = given_or_new_axes(ax, 6.2, 4.2)
        self.figure_ = self.ax_.figure
        self.lines_, self.bands_ = artists.draw_lines(self.ax_, self, line_kwargs)
        name = self.target_name if title is None else title
        artists.label(self.ax_, self, scales=(x_scale, y_scale), title=name)
        self.legend_ = artists.legend_of(self.ax_, self)
        return self

    def _collect(self) -> None:
        require_option("distance", self.distance, _DISTANCES)
        require_count("n_bins", self.n_bins)
        require_count("n_resamples", self.n_resamples)
        require_fraction("confidence_level", self.confidence_level)
        frames = self.frames if isinstance(self.frames, Mapping) else {"": self.frames}
        if not frames:
            raise InvalidValueError("frames has no report in it; give at least one.")
        rng = check_random_state(self.random_state)
        self.curves_, self.correlations_ = {}, {}
        for name, frame in frames.items():
            distance, error = _columns(frame, self.distance)
            self.curves_[name] = self._curve(distance, error, rng)
            self.correlations_[name] = _rank_correlation(distance, error)

    def _curve(
        self, distance: FloatArray, error: FloatArray, rng: np.random.RandomState
    ) -> pd.DataFrame:
        import pandas as pd

        parts = np.zeros(len(distance), dtype=int)
        if np.ptp(distance) > 0:
            parts = pd.qcut(distance, self.n_bins, labels=False, duplicates="drop")
        tails = [(1 - self.confidence_level) / 2, (1 + self.confidence_level) / 2]
        rows = []
        for part in np.unique(parts):
            own, errors = distance[parts == part], error[parts == part]
            means = resample_means(errors[None], self.n_resamples, rng)[0]
            ends = np.quantile(means, tails)
            extent = (np.median(own), own.min(), own.max())
            rows.append((*extent, errors.mean(), *ends, len(errors)))
        names = ["distance", "lowest", "highest", "mae", "low", "high", "n"]
        return pd.DataFrame(rows, columns=names)


def _columns(frame: Any, distance: str) -> tuple[FloatArray, FloatArray]:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise InvalidTypeError(
            f"frames must hold DataFrames of extrapolation_report; got "
            f"{describe(frame)}."
        )
    missing = [name for name in (distance, "error") if name not in frame.columns]
    if missing:
        raise InvalidValueError(
            f"The frame has no columns {missing}; got {list(frame.columns)}. Give what "
            "extrapolation_report returns."
        )
    values = frame[[distance, "error"]].to_numpy(dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all():
        raise InvalidValueError(
            f"The frame must have rows, and {distance} and error finite numbers."
        )
    return values[:, 0], values[:, 1]


def _rank_correlation(a: FloatArray, b: FloatArray) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
