"""Errors after pre-training over those from scratch, by source and target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmatgnn.errors import InvalidValueError
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


class TransferMatrixDisplay:
    """Error of fine-tuned models over that of scratch ones, source by target.

    Make it with :meth:`from_frame`; all parameters are stored as attributes.

    Parameters
    ----------
    frame : DataFrame
        From ``transfer_matrix``, with the design "scratch".
    size : int, default=None
        Number of training rows to show; None is the largest.
    metric : {"mae", "smae"}, default="mae"
        Error.
    spread : {"interval", "std"}, default="interval"
        What the second line of a cell says: an interval of the mean ratio, or one
        standard deviation of the trials' ratios about it.
    confidence_level : float, default=0.95
        Level of the interval.

    Attributes
    ----------
    ratios_, low_, high_ : DataFrame of shape (n_sources, n_targets)
        Mean over the trials of the ratio of the errors, and the ends of its spread.
        NaN where there is no such pair, or a single trial. Set by :meth:`plot`.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    image_ : matplotlib AxesImage
        The cells.
    colorbar_ : matplotlib Colorbar
        Their scale, logarithmic and even about one.
    texts_ : list of matplotlib Text
        The numbers in the cells.

    See Also
    --------
    skmatgnn.model_selection.transfer_matrix : Makes the frame.
    FineTuningCurveDisplay : Shows all sizes of one target.

    Notes
    -----
    A trial's ratio compares models that were trained on the same rows. The interval is
    Student's, over the trials: it holds the variation of the draws, but neither that
    of the hold-out, which is one, nor that of the pre-training.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import pandas as pd
    >>> from skmatgnn.inspection import TransferMatrixDisplay
    >>> frame = pd.DataFrame({
    ...     "target": "gap", "design": ["scratch", "scratch", "pair", "pair"],
    ...     "source": [None, None, "energy", "energy"], "size": 100,
    ...     "trial": [0, 1, 0, 1], "mae": [1.0, 1.2, 0.8, 0.9],
    ... })
    >>> display = TransferMatrixDisplay.from_frame(frame)
    >>> float(display.ratios_.loc["energy", "gap"])
    0.775
    """

    def __init__(
        self,
        *,
        frame: pd.DataFrame,
        size: int | None = None,
        metric: str = "mae",
        spread: str = "interval",
        confidence_level: float = 0.95,
    ) -> None:
        self.frame = frame
        self.size = size
        self.metric = metric
        self.spread = spread
        self.confidence_level = confidence_level

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        size: int | None = None,
        metric: str = "mae",
        spread: str = "interval",
        confidence_level: float = 0.95,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> TransferMatrixDisplay:
        """Draw the matrix of what transfer_matrix has returned.

        Parameters
        ----------
        frame : DataFrame
            From ``transfer_matrix``, with the design "scratch".
        size : int, default=None
            Number of training rows to show; None is the largest.
        metric : {"mae", "smae"}, default="mae"
            Error.
        spread : {"interval", "std"}, default="interval"
            What the second line of a cell says.
        confidence_level : float, default=0.95
            Level of the interval.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        TransferMatrixDisplay
        """
        display = cls(
            frame=frame,
            size=size,
            metric=metric,
            spread=spread,
            confidence_level=confidence_level,
        )
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: str = "RdBu_r",
        include_values: bool = True,
        title: str | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        cmap : str, default="RdBu_r"
            Colour map, whose middle is a ratio of one.
        include_values : bool, default=True
            Whether to write the numbers into the cells.
        title : str, default=None
            Title of the axes; None names the number of training rows.

        Returns
        -------
        TransferMatrixDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If the frame has no scratch models to compare with, or an option is unknown.
        """
        from skmatgnn.inspection import _transfer_artists as artists

        require_option("metric", self.metric, METRICS)
        require_option("spread", self.spread, SPREADS)
        require_fraction("confidence_level", self.confidence_level)
        frame = require_frame(self.frame, self.metric)
        sizes = sorted(frame["size"].unique().tolist())
        size = sizes[-1] if self.size is None else self.size
        require_option("size", size, sizes)
        self._collect(frame[frame["size"] == size])
        shape = self.ratios_.shape
        ax = given_or_new_axes(ax, 2.8 + 1.15 * shape[1], 1.7 + 0.62 * shape[0])
        self.ax_, self.figure_ = ax, ax.figure
        self.image_, self.colorbar_ = artists.draw_ratios(
            ax, self.ratios_, cmap, METRICS[self.metric]
        )
        self.texts_ = artists.write_ratios(ax, self) if include_values else []
        artists.label_matrix(
            ax, self.ratios_, f"{size} training rows" if title is None else title
        )
        return self

    def _collect(self, frame: pd.DataFrame) -> None:
        import pandas as pd

        scratch = frame[frame["design"] == "scratch"]
        scratch = scratch.set_index(["target", "trial"])[self.metric]
        targets = list(dict.fromkeys(frame["target"]))
        missing = sorted(set(targets) - set(scratch.index.get_level_values(0)))
        if missing:
            raise InvalidValueError(
                f"frame has no 'scratch' models of {missing[0]!r} at this size to "
                "compare with; add 'scratch' to the designs of transfer_matrix."
            )
        tuned = frame[frame["design"] != "scratch"]
        if len(tuned) == 0:
            raise InvalidValueError(
                "frame has models from scratch only; nothing can be compared."
            )
        names = tuned["source"].where(
            tuned["design"] == "pair", tuned["design"].map(LABELS)
        )
        pairs = list(names[tuned["design"] == "pair"])
        first = [name for name in targets if name in pairs]  # along the diagonal
        order = dict.fromkeys([*first, *pairs, *names])
        cells = pd.DataFrame(np.nan, index=list(order), columns=targets)
        self.ratios_, self.low_, self.high_ = cells, cells.copy(), cells.copy()
        for (source, target), rows in tuned.groupby([names, "target"]):
            values = rows.set_index(["target", "trial"])[self.metric]
            ratios = (values / scratch).dropna()
            if len(ratios) == 0:
                continue
            found = spread_of(ratios, self.spread, self.confidence_level)
            for table, value in zip(
                (self.ratios_, self.low_, self.high_), found, strict=True
            ):
                table.loc[source, target] = value
        if self.ratios_.isna().all(axis=None):
            raise InvalidValueError(
                f"frame has no trial with a known {self.metric} of both a 'scratch' "
                "and a fine-tuned model; nothing can be compared."
            )
