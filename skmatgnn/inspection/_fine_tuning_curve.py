"""Error against the number of rows for fine-tuning, by design."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._transfer_frames import (
    LABELS,
    METRICS,
    SPREADS,
    require_frame,
    spread_of,
)
from skmatgnn.utils.validation import require_fraction, require_option

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SCALES = ("linear", "log")
_PAIRS = ("all", "best", "none")


class FineTuningCurveDisplay:
    """Error of one property against the number of training rows, by design.

    Make it with :meth:`from_frame`; all parameters are stored as attributes.

    Parameters
    ----------
    frame : DataFrame
        From ``transfer_matrix``.
    target : str, default=None
        Whose models to show; may be None if there is one.
    metric : {"mae", "smae"}, default="mae"
        Error.
    pairs : {"all", "best", "none"}, default="all"
        Which sources of pairs to show. "best" is the one whose error is the least on
        the test rows, in geometric mean over the sizes: an optimistic choice, which
        the legend calls the best.
    spread : {"interval", "std"}, default="interval"
        What the bands are: intervals of the means, or one standard deviation of the
        trials about them.
    confidence_level : float, default=0.95
        Level of the intervals.
    units : str, default=None
        Unit of the property, for the MAE.

    Attributes
    ----------
    curves_ : dict of str to DataFrame
        Columns ``mean``, ``low`` and ``high`` by the size, for each line. The ends are
        NaN for a single trial. Set by :meth:`plot`.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    lines_ : list of matplotlib Line2D
        One per design and source.
    bands_ : list of matplotlib FillBetweenPolyCollection
        The spreads, one per line with several trials.
    legend_ : matplotlib Legend
        The designs, and what the bands are.

    See Also
    --------
    skmatgnn.model_selection.transfer_matrix : Makes the frame.
    TransferMatrixDisplay : Shows all targets at one size.

    Notes
    -----
    The designs of a trial are trained on the same rows, so that bands may overlap where
    one design is better in every trial; ``TransferMatrixDisplay`` compares them trial
    by trial. Bands end at a tenth of the mean where they would reach zero.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from skmatgnn.inspection import FineTuningCurveDisplay
    >>> frame = pd.DataFrame({
    ...     "target": "gap", "design": "scratch", "source": None,
    ...     "size": [10, 10, 100, 100], "trial": [0, 1, 0, 1],
    ...     "mae": [1.0, 1.2, 0.5, 0.7],
    ... })
    >>> display = FineTuningCurveDisplay.from_frame(frame)
    >>> display.curves_["scratch"]["mean"].round(3).to_dict()
    {10: 1.1, 100: 0.6}
    """

    def __init__(
        self,
        *,
        frame: pd.DataFrame,
        target: str | None = None,
        metric: str = "mae",
        pairs: str = "all",
        spread: str = "interval",
        confidence_level: float = 0.95,
        units: str | None = None,
    ) -> None:
        self.frame = frame
        self.target = target
        self.metric = metric
        self.pairs = pairs
        self.spread = spread
        self.confidence_level = confidence_level
        self.units = units

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        target: str | None = None,
        metric: str = "mae",
        pairs: str = "all",
        spread: str = "interval",
        confidence_level: float = 0.95,
        units: str | None = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> FineTuningCurveDisplay:
        """Draw the curves of what transfer_matrix has returned.

        Parameters
        ----------
        frame : DataFrame
            From ``transfer_matrix``.
        target : str, default=None
            Whose models to show; may be None if there is one.
        metric : {"mae", "smae"}, default="mae"
            Error.
        pairs : {"all", "best", "none"}, default="all"
            Which sources of pairs to show.
        spread : {"interval", "std"}, default="interval"
            What the bands are.
        confidence_level : float, default=0.95
            Level of the intervals.
        units : str, default=None
            Unit of the property, for the MAE.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        FineTuningCurveDisplay
        """
        display = cls(
            frame=frame,
            target=target,
            metric=metric,
            pairs=pairs,
            spread=spread,
            confidence_level=confidence_level,
            units=units,
        )
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        x_scale: str = "log",
        y_scale: str = "log",
        title: str | None = None,
        line_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        x_scale, y_scale : {"linear", "log"}, default="log"
            Scales of the axes.
        title : str, default=None
            Title of the axes; None is the name of the target.
        line_kwargs : dict, default=None
            Further arguments of ``Axes.plot``.

        Returns
        -------
        FineTuningCurveDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If the frame is none of transfer_matrix, has several targets and none is
            chosen, or an option is unknown.
        """
        from skmatgnn.inspection import _transfer_artists as artists

        for name, value, allowed in (
            ("metric", self.metric, tuple(METRICS)),
            ("pairs", self.pairs, _PAIRS),
            ("spread", self.spread, SPREADS),
            ("x_scale", x_scale, _SCALES),
            ("y_scale", y_scale, _SCALES),
        ):
            require_option(name, value, allowed)
        require_fraction("confidence_level", self.confidence_level)
        frame = require_frame(self.frame, self.metric)
        targets = list(dict.fromkeys(frame["target"]))
        target = targets[0] if self.target is None and len(targets) == 1 else None
        target = self.target if target is None else target
        require_option("target", target, targets)
        self._collect(frame[frame["target"] == target])
        self.ax_ = given_or_new_axes(ax, 6.6, 4.2)
        self.figure_ = self.ax_.figure
        self.lines_, self.bands_ = artists.draw_lines(self.ax_, self, line_kwargs)
        artists.label_curves(
            self.ax_,
            self,
            scales=(x_scale, y_scale),
            metric=METRICS[self.metric],
            title=str(target) if title is None else title,
        )
        self.legend_ = artists.legend_of_curves(self.ax_, self)
        return self

    def _collect(self, frame: pd.DataFrame) -> None:
        import pandas as pd

        curves = {}
        for (design, source), rows in frame.groupby(
            ["design", "source"], dropna=False, sort=False
        ):
            name = f"pair: {source}" if design == "pair" else LABELS.get(design, design)
            found = {
                size: spread_of(trials, self.spread, self.confidence_level)
                for size, trials in rows.groupby("size")[self.metric]
            }
            curves[name] = pd.DataFrame.from_dict(
                found, orient="index", columns=["mean", "low", "high"]
            ).sort_index()
        pairs = [name for name in curves if name.startswith("pair: ")]
        chosen = pairs
        if self.pairs == "best" and pairs:
            chosen = [min(pairs, key=lambda n: np.log(curves[n]["mean"]).mean())]
        elif self.pairs == "none":
            chosen = []
        self.curves_ = {}
        for name, curve in curves.items():
            if name in pairs and name not in chosen:
                continue
            best = name in pairs and self.pairs == "best"
            shown = name.replace("pair", "best pair", 1) if best else name
            self.curves_[shown] = curve
