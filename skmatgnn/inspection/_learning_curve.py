"""Error against the size of the training set, from a bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.inspection._scoring_names import describe_scoring
from skmatgnn.model_selection import BootstrapScores, bootstrap_score
from skmatgnn.utils.validation import describe, require_option

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skmatgnn._typing import ArrayLike, FloatArray, RandomState

_ROWS = ("total", "distinct")
_SCALES = ("linear", "log")
_TRAIN_SIZES = (0.1, 0.2, 0.4, 0.7, 1.0)

Scoring = str | Callable[..., float] | None


class BootstrapLearningCurveDisplay:
    """Error of one or more models against the number of training rows.

    Make it with :meth:`from_scores` or :meth:`from_estimator`; all parameters are
    stored as attributes.

    Parameters
    ----------
    scores : BootstrapScores, or dict of str to BootstrapScores
        From ``bootstrap_score(..., train_sizes=[...])``; several models by name.
    scoring : str or callable, default=None
        The scorer that they were made with. Negated losses (``"neg_..."``) are shown as
        positive errors; None shows the scores as they are.
    rows : {"total", "distinct"}, default="total"
        What the horizontal axis counts: the rows drawn, which repeat since a bootstrap
        draws with replacement, or the distinct rows that are expected among them.
    target_name : str, default=None
        Name of the property.
    units : str, default=None
        Its unit, for errors in that unit (not R2 or SMAE).

    Attributes
    ----------
    n_train_ : dict of str to ndarray of shape (n_sizes,)
        Numbers of rows, ascending, averaged over the resamples. Set by :meth:`plot`.
    errors_, low_, high_ : dict of str to ndarray of shape (n_sizes,)
        Means and ends of the intervals, as drawn.
    ax_ : matplotlib Axes
        Axes with the plot.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    lines_ : list of matplotlib Line2D
        One per model.
    bands_ : list of matplotlib FillBetweenPolyCollection
        The intervals.
    legend_ : matplotlib Legend
        The models and the level of the intervals.

    See Also
    --------
    skmatgnn.model_selection.bootstrap_score : Computes the scores.
    sklearn.model_selection.LearningCurveDisplay : The same by cross-validation.

    Notes
    -----
    The bands span what single resamples score: training sets and test sets (the rows
    out of bag) vary. They overlap also where one model is better on every resample.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from skmatgnn.inspection import BootstrapLearningCurveDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> display = BootstrapLearningCurveDisplay.from_estimator(
    ...     Ridge(alpha=0.1), X, y, train_sizes=[0.1, 1.0], n_resamples=20,
    ...     random_state=0,
    ... )
    >>> display.n_train_["Ridge"].tolist()
    [44.0, 442.0]
    >>> bool(display.errors_["Ridge"][0] > display.errors_["Ridge"][1] > 0)
    True
    """

    def __init__(
        self,
        *,
        scores: BootstrapScores | Mapping[str, BootstrapScores],
        scoring: Scoring = None,
        rows: str = "total",
        target_name: str | None = None,
        units: str | None = None,
    ) -> None:
        self.scores = scores
        self.scoring = scoring
        self.rows = rows
        self.target_name = target_name
        self.units = units

    @classmethod
    def from_scores(
        cls,
        scores: BootstrapScores | Mapping[str, BootstrapScores],
        *,
        scoring: Scoring = None,
        rows: str = "total",
        target_name: str | None = None,
        units: str | None = None,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> BootstrapLearningCurveDisplay:
        """Draw the curves of scores that are there already.

        Parameters
        ----------
        scores : BootstrapScores, or dict of str to BootstrapScores
            From ``bootstrap_score(..., train_sizes=[...])``.
        scoring : str or callable, default=None
            The scorer that they were made with.
        rows : {"total", "distinct"}, default="total"
            What the horizontal axis counts.
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
        BootstrapLearningCurveDisplay
        """
        display = cls(
            scores=scores,
            scoring=scoring,
            rows=rows,
            target_name=target_name,
            units=units,
        )
        return display.plot(ax=ax, **plot_options)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
        *,
        train_sizes: Sequence[float] = _TRAIN_SIZES,
        n_resamples: int = 20,
        scoring: Scoring = "neg_mean_absolute_error",
        groups: ArrayLike | None = None,
        confidence_level: float = 0.95,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        **options: Any,
    ) -> BootstrapLearningCurveDisplay:
        """Fit models on resamples of growing size and draw their errors.

        Parameters
        ----------
        estimator : estimator, or dict of str to estimator
            Cloned. With an integer as ``random_state`` several models are trained and
            scored on the same resamples.
        X : sequence
            The samples.
        y : array-like of shape (n_samples,)
            Their targets.
        train_sizes : sequence of float, default=(0.1, 0.2, 0.4, 0.7, 1.0)
            Fractions of the rows (or groups) to draw.
        n_resamples : int, default=20
            Number of resamples; each model is fitted once for each and each size.
        scoring : str or callable, default="neg_mean_absolute_error"
            As for :func:`~skmatgnn.model_selection.bootstrap_score`.
        groups : array-like of shape (n_samples,), default=None
            Samples of one group are drawn together.
        confidence_level : float, default=0.95
            Level of the intervals.
        n_jobs : int, default=None
            Number of workers.
        random_state : int, RandomState or None, default=None
            Seed of the draws and of the models.
        **options : dict
            Further arguments of :meth:`from_scores`, such as ``units`` and ``rows``.

        Returns
        -------
        BootstrapLearningCurveDisplay
        """
        models = (
            estimator
            if isinstance(estimator, Mapping)
            else {type(estimator).__name__: estimator}
        )
        scores = {
            name: bootstrap_score(
                model,
                X,
                y,
                groups=groups,
                scoring=scoring,
                n_resamples=n_resamples,
                train_sizes=train_sizes,
                confidence_level=confidence_level,
                n_jobs=n_jobs,
                random_state=random_state,
            )
            for name, model in models.items()
        }
        return cls.from_scores(scores, scoring=scoring, **options)

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
            Scales of the axes. An error that falls as a power of the number of rows is
            a straight line with both "log".
        title : str, default=None
            Title of the axes.
        line_kwargs : dict, default=None
            Further arguments of ``Axes.plot``.

        Returns
        -------
        BootstrapLearningCurveDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If the scores are not those of several training sizes, or an option is
            unknown.
        """
        from skmatgnn.inspection import _learning_curve_artists as artists

        for name, value, allowed in (
            ("rows", self.rows, _ROWS),
            ("x_scale", x_scale, _SCALES),
            ("y_scale", y_scale, _SCALES),
        ):
            require_option(name, value, allowed)
        models = _ensure_models(self.scores)
        scorer = describe_scoring(self.scoring)
        self._collect(models, scorer.sign)
        if y_scale == "log" and min(low.min() for low in self.low_.values()) <= 0:
            raise InvalidValueError(
                "y_scale='log' needs positive errors, but an interval reaches down to "
                f"{min(low.min() for low in self.low_.values()):.3g}. Use 'linear', or "
                "give scoring= if these are negated losses."
            )
        ax = given_or_new_axes(ax, 5.4, 4.0)
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_, self.bands_ = artists.draw_curves(ax, self, line_kwargs)
        artists.scale(ax, x_scale, y_scale)
        artists.label(ax, self.rows, scorer.label(self.target_name, self.units), title)
        levels = {result.confidence_level for result in models.values()}
        self.legend_ = artists.legend_of(ax, self, levels)
        return self

    def _collect(self, models: Mapping[str, BootstrapScores], sign: int) -> None:
        self.n_train_, self.errors_, self.low_, self.high_ = {}, {}, {}, {}
        for name, result in models.items():
            n_train = (
                result.n_train.mean(axis=1)
                if self.rows == "total"
                else _distinct_rows(result)
            )
            order = np.argsort(n_train)
            low, high = map(np.asarray, (result.low, result.high)[::sign])
            self.n_train_[name] = n_train[order]
            self.errors_[name] = sign * np.asarray(result.mean)[order]
            self.low_[name], self.high_[name] = sign * low[order], sign * high[order]


def _ensure_models(scores: Any) -> dict[str, BootstrapScores]:
    named = scores if isinstance(scores, Mapping) else {"model": scores}
    if not named:
        raise InvalidValueError("scores is empty; give the scores of one model.")
    for name, result in named.items():
        if not isinstance(result, BootstrapScores):
            raise InvalidTypeError(
                "scores must be BootstrapScores, or a dict of them by model; got "
                f"{describe(result)} for {name!r}."
            )
        if result.train_sizes is None:
            raise InvalidValueError(
                f"The scores of {name!r} are those of one training size; make them "
                "with bootstrap_score(..., train_sizes=[0.1, 0.3, 1.0])."
            )
    return dict(named)


def _distinct_rows(result: BootstrapScores) -> FloatArray:
    """Estimate the number of distinct rows among those drawn.

    Of n rows a draw of n misses on average the share that is out of bag; each of k
    independent draws is missed with the same probability, so a fraction f of the draws
    misses that share to the power of f.
    """
    n_train, sizes = result.n_train.mean(axis=1), np.asarray(result.train_sizes)
    # Small sizes are rounded to whole rows, and to one at least.
    largest = int(sizes.argmax())
    n_rows = n_train[largest] / sizes[largest]
    missed = result.n_test.mean() / n_rows
    return n_rows * (1 - missed ** (n_train / n_rows))
