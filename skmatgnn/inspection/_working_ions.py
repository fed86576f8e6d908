"""How many samples there are of each working ion, and what values they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmatgnn.errors import InvalidTypeError
from skmatgnn.inspection._axes import given_or_new_axes, new_axes, require_axes
from skmatgnn.inspection._inputs import (
    ensure_column,
    ensure_limits,
)
from skmatgnn.inspection._map_clusters import order_by_size
from skmatgnn.inspection._text import name_of
from skmatgnn.utils.validation import (
    describe,
    require_consistent_length,
    require_count,
    require_option,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skmatgnn._typing import ArrayLike, FloatArray, IntArray

_KINDS = ("box", "violin")
_OTHERS = "others"


class WorkingIonDisplay:
    r"""Counts of working ions, or of any other category, and a target's distribution.

    Make it with :meth:`from_labels`; all parameters are stored as attributes.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Category of each sample, such as the working ion, the chemical family or the
        crystal system.
    y : array-like of shape (n_samples,), default=None
        A target, whose distribution in each category is drawn on axes of its own
        below the counts; NaN means "not known".
    label_name : str, default="Working ion"
        What the categories are.
    target_name : str, default=None
        Name of the target.
    units : str, default=None
        Its unit.

    Attributes
    ----------
    categories_ : list
        The categories by decreasing number of samples, those beyond ``max_categories``
        together as "others". Set by :meth:`plot`.
    counts_ : ndarray of shape (n_categories,), int
        Numbers of samples.
    shares_ : ndarray of shape (n_categories,)
        The same over the number of all samples.
    ax_ : matplotlib Axes
        Axes with the counts.
    target_ax_ : matplotlib Axes or None
        Axes with the target.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    bars_ : matplotlib BarContainer
        The counts.
    texts_ : list of matplotlib Text
        Counts and shares above the bars.
    distributions_ : dict of str to list of artists, or None
        What ``Axes.bxp`` or ``Axes.violinplot`` has drawn.

    See Also
    --------
    skmatgnn.model_selection.working_ion_groups : Finds the working ions.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skmatgnn.inspection import WorkingIonDisplay
    >>> display = WorkingIonDisplay.from_labels(["Li", "Na", "Li", "Li"])
    >>> display.categories_, display.counts_.tolist()
    (['Li', 'Na'], [3, 1])
    >>> [text.get_text() for text in display.texts_]
    ['3\n75 %', '1\n25 %']
    """

    def __init__(
        self,
        *,
        labels: ArrayLike,
        y: ArrayLike | None = None,
        label_name: str = "Working ion",
        target_name: str | None = None,
        units: str | None = None,
    ) -> None:
        self.labels = labels
        self.y = y
        self.label_name = label_name
        self.target_name = target_name
        self.units = units

    @classmethod
    def from_labels(
        cls,
        labels: ArrayLike,
        y: ArrayLike | None = None,
        *,
        label_name: str = "Working ion",
        target_name: str | None = None,
        units: str | None = None,
        ax: Axes | tuple[Axes, Axes] | None = None,
        **plot_options: Any,
    ) -> WorkingIonDisplay:
        """Draw the counts of given labels.

        Parameters
        ----------
        labels : array-like of shape (n_samples,)
            Category of each sample.
        y : array-like of shape (n_samples,), default=None
            A target.
        label_name : str, default="Working ion"
            What the categories are.
        target_name : str, default=None
            Name of the target. None takes the name of a Series ``y``.
        units : str, default=None
            Its unit.
        ax : matplotlib Axes, or two of them, default=None
            As for :meth:`plot`.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        WorkingIonDisplay
        """
        target_name = name_of(y, target_name)
        display = cls(
            labels=labels,
            y=y,
            label_name=label_name,
            target_name=target_name,
            units=units,
        )
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        ax: Axes | tuple[Axes, Axes] | None = None,
        *,
        kind: str = "box",
        max_categories: int = 20,
        log: bool = False,
        limits: tuple[float, float] | None = None,
        title: str | None = None,
        bar_kwargs: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, or two of them, default=None
            Where to draw the counts and, with ``y``, the target. None makes a new
            figure.
        kind : {"box", "violin"}, default="box"
            How the target is drawn. Boxes are quartiles and medians, with whiskers
            from the 5th to the 95th percentile; violins end at the 1st and the 99th.
            What lies beyond is not drawn.
        max_categories : int, default=20
            How many categories are drawn; from one more on the smallest are merged.
        log : bool, default=False
            Whether the counts have a logarithmic axis.
        limits : (low, high), default=None
            Ends of the target's axis.
        title : str, default=None
            Title of the axes.
        bar_kwargs : dict, default=None
            Further arguments of ``Axes.bar``.

        Returns
        -------
        WorkingIonDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If lengths differ, a label is missing, or ``ax`` are not as many axes as
            are needed.
        """
        from skmatgnn.inspection import _working_ion_artists as artists

        require_option("kind", kind, _KINDS)
        codes, y = self._count(max_categories)
        self.ax_, self.target_ax_ = self._axes(ax)
        self.figure_ = self.ax_.figure
        names = [str(category) for category in self.categories_]
        self.bars_, self.texts_ = artists.draw_counts(
            self.ax_, self.counts_, self.shares_, log=log, options=bar_kwargs
        )
        self.distributions_ = None
        if y is not None and self.target_ax_ is not None:
            values = [y[(codes == i) & ~np.isnan(y)] for i in range(len(names))]
            self.distributions_ = artists.draw_values(self.target_ax_, values, kind)
            if limits is not None:
                self.target_ax_.set_ylim(ensure_limits(limits))
        artists.label(self, names, title)
        return self

    def _count(self, max_categories: int) -> tuple[IntArray, FloatArray | None]:
        require_count("max_categories", max_categories, 2)
        if self.labels is None or not hasattr(self.labels, "__len__"):
            raise InvalidTypeError(
                "labels must be a sequence with one label for each sample; got "
                f"{describe(self.labels)}."
            )
        y = None if self.y is None else ensure_column(self.y, "y")
        require_consistent_length(labels=self.labels, y=y)
        codes, categories = order_by_size(
            self.labels, np.size(self.labels), noise=False
        )
        if len(categories) > max_categories:
            kept = max_categories - 1
            codes = np.minimum(codes, kept)
            categories = [*categories[:kept], _OTHERS]
        self.categories_ = categories
        self.counts_ = np.bincount(codes)
        self.shares_ = self.counts_ / len(codes)
        return codes, y

    def _axes(self, ax: Any) -> tuple[Axes, Axes | None]:
        width = min(12.0, max(4.2, 1.4 + 0.58 * len(self.categories_)))
        if self.y is None:
            return given_or_new_axes(ax, width, 3.4), None
        if ax is None:
            upper, lower = new_axes(width, 5.4, nrows=2, sharex=True)
            return upper, lower
        pair = np.ravel(np.array(ax, dtype=object))
        if len(pair) != 2:
            raise InvalidTypeError(
                "With y there are two axes to draw on, ax=(counts, values); got "
                f"{describe(ax)}."
            )
        return require_axes(pair[0], "ax[0]"), require_axes(pair[1], "ax[1]")
