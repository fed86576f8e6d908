"""Which elements attend to which in an attention network of compositions."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.inspection._axes import given_or_new_axes
from skmatgnn.utils.elements import ELEMENT_SYMBOLS
from skmatgnn.utils.validation import describe, require_count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from skmatgnn._typing import FloatArray, IntArray

_NUMBER_OF = {symbol: number for number, symbol in enumerate(ELEMENT_SYMBOLS)}
_KEYS = ("elements", "fractions", "weights")


class AttentionDisplay:
    """Attention of elements to each other, of one composition or the mean of many.

    Make it with :meth:`from_estimator`; all parameters are stored as attributes.

    Parameters
    ----------
    attention : list of dict
        From :meth:`skmatgnn.CrabNetRegressor.attention`: "elements", "fractions" and
        "weights" of each composition.
    head : int, default=None
        Attention head; None averages over the heads.
    max_elements : int, default=20
        How many elements are shown for many compositions: those that most of them
        have.
    relative : bool, default=False
        Whether to give the attention in units of an even one, which is one over the
        composition's number of elements. It makes compositions of few and of many
        elements comparable.
    min_compositions : int, default=1
        Pairs of elements that fewer compositions have are blank.

    Attributes
    ----------
    elements_ : list of str
        Elements of the rows and columns, in the order of atomic numbers. Set by
        :meth:`plot`.
    matrix_ : ndarray of shape (n_elements, n_elements)
        What the row's element takes from the column's, averaged over the compositions
        that have both; NaN where there are fewer than ``min_compositions``.
    counts_ : ndarray of shape (n_elements, n_elements), int
        Number of these compositions.
    n_compositions_ : int
        Number of all compositions.
    ax_ : matplotlib Axes
        Axes with the matrix.
    figure_ : matplotlib Figure
        Figure that holds the axes.
    image_ : matplotlib AxesImage
        The matrix.
    texts_ : list of matplotlib Text
        Numbers in the cells; for eight elements at most.
    colorbar_ : matplotlib Colorbar
        The scale.

    See Also
    --------
    skmatgnn.CrabNetRegressor.attention : Reads the weights.

    Notes
    -----
    Attention shows what a layer mixes, not what matters for the prediction.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from skmatgnn import CrabNetRegressor
    >>> from skmatgnn.inspection import AttentionDisplay
    >>> X, y = ["NaCl", "KCl", "NaBr", "MgO", "LiFePO4"], [8.5, 8.4, 7.5, 7.8, 3.8]
    >>> model = CrabNetRegressor(max_epochs=2, random_state=0).fit(X, y)
    >>> display = AttentionDisplay.from_estimator(model, ["LiFePO4"])
    >>> display.elements_
    ['Li', 'O', 'P', 'Fe']
    >>> display.matrix_.sum(axis=1).round(3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        *,
        attention: Sequence[Mapping[str, Any]],
        head: int | None = None,
        max_elements: int = 20,
        relative: bool = False,
        min_compositions: int = 1,
    ) -> None:
        self.attention = attention
        self.head = head
        self.max_elements = max_elements
        self.relative = relative
        self.min_compositions = min_compositions

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        layer: int = -1,
        head: int | None = None,
        max_elements: int = 20,
        relative: bool = False,
        min_compositions: int = 1,
        ax: Axes | None = None,
        **plot_options: Any,
    ) -> AttentionDisplay:
        """Draw the attention of a fitted model.

        Parameters
        ----------
        estimator : fitted CrabNetRegressor or CrabNetClassifier
            Anything with its ``attention(X, layer=)``.
        X : sequence of compositions
            One gives its own matrix, several their mean.
        layer : int, default=-1
            Attention layer, counted from 0, or from -1 back.
        head : int, default=None
            Attention head; None averages over the heads.
        max_elements : int, default=20
            How many elements are shown for several compositions.
        relative : bool, default=False
            Whether to give the attention in units of an even one.
        min_compositions : int, default=1
            Pairs of elements that fewer compositions have are blank.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **plot_options : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        AttentionDisplay

        Raises
        ------
        InvalidTypeError
            If the estimator has no attention.
        """
        if not callable(getattr(estimator, "attention", None)):
            raise InvalidTypeError(
                "estimator must have a method attention(X, layer=), as "
                f"CrabNetRegressor has; got {describe(estimator)}. Take a "
                "model out of its Pipeline or search first."
            )
        display = cls(
            attention=estimator.attention(X, layer=layer),
            head=head,
            max_elements=max_elements,
            relative=relative,
            min_compositions=min_compositions,
        )
        return display.plot(ax=ax, **plot_options)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: str = "viridis",
        limits: tuple[float, float] | None = None,
        title: str | None = None,
    ) -> Self:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        cmap : str, default="viridis"
            Colours; cells without data are blank.
        limits : (low, high), default=None
            Attention at the ends of the colours. None takes zero and the largest.
        title : str, default=None
            Title of the axes. None tells the number of compositions. The labels of a
            single one have its atomic fractions.

        Returns
        -------
        AttentionDisplay
            This display, with ``ax_`` and the other attributes set.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If there is no such head, or ``attention`` is not what CrabNet gives.
        """
        from skmatgnn.inspection import _attention_artists as artists

        matrices = self._matrices()
        single = len(matrices) == 1
        if single:
            self.elements_ = sorted(
                self.attention[0]["elements"], key=_NUMBER_OF.__getitem__
            )
        else:
            self.elements_ = self._most_frequent()
        self.n_compositions_ = len(matrices)
        self.matrix_, self.counts_ = self._mean(matrices)
        side = max(3.4, 1.6 + 0.24 * len(self.elements_))
        if np.isnan(self.matrix_).all():
            raise InvalidValueError(
                f"No pair of elements is in min_compositions={self.min_compositions} "
                f"of the {len(matrices)} compositions; the largest number is "
                f"{self.counts_.max()}."
            )
        ax = given_or_new_axes(ax, side + 0.9, side, layout="compressed")
        self.ax_, self.figure_ = ax, ax.figure
        self.image_, self.colorbar_ = artists.draw_matrix(
            ax, self.matrix_, cmap, limits, relative=self.relative
        )
        self.texts_ = artists.write_values(ax, self.image_)
        fractions = None
        if single:
            only = self.attention[0]
            fractions = dict(zip(only["elements"], only["fractions"], strict=True))
        artists.label(ax, self.elements_, fractions)
        if title is None:
            title = "" if single else f"Mean of {self.n_compositions_:,} compositions"
        ax.set_title(title, fontsize="medium")
        return self

    def _matrices(self) -> list[FloatArray]:
        _require_attention(self.attention)
        for name in ("max_elements", "min_compositions"):
            require_count(name, getattr(self, name))
        if self.head is not None:
            n_heads = len(self.attention[0]["weights"])
            whole = isinstance(self.head, Integral) and not isinstance(self.head, bool)
            if not (whole and -n_heads <= self.head < n_heads):
                raise InvalidValueError(
                    f"head must be from {-n_heads} to {n_heads - 1}, as the layer has "
                    f"{n_heads} attention heads; got {self.head!r}."
                )
        matrices = []
        for entry in self.attention:
            weights = np.asarray(entry["weights"], dtype=np.float64)
            chosen = weights.mean(axis=0) if self.head is None else weights[self.head]
            matrices.append(chosen * (len(chosen) if self.relative else 1))
        return matrices

    def _most_frequent(self) -> list[str]:
        counts: dict[str, int] = {}
        for entry in self.attention:
            for symbol in entry["elements"]:
                counts[symbol] = counts.get(symbol, 0) + 1
        ordered = sorted(counts, key=lambda s: (-counts[s], _NUMBER_OF[s]))
        return sorted(ordered[: self.max_elements], key=_NUMBER_OF.__getitem__)

    def _mean(self, matrices: list[FloatArray]) -> tuple[FloatArray, IntArray]:
        place = {symbol: index for index, symbol in enumerate(self.elements_)}
        total = np.zeros((len(place), len(place)))
        counts = np.zeros(total.shape, dtype=np.int64)
        for entry, matrix in zip(self.attention, matrices, strict=True):
            own = [i for i, s in enumerate(entry["elements"]) if s in place]
            cells = np.ix_(*2 * [[place[entry["elements"][i]] for i in own]])
            total[cells] += matrix[np.ix_(own, own)]
            counts[cells] += 1
        mean = np.full(total.shape, np.nan)
        np.divide(total, counts, out=mean, where=counts >= self.min_compositions)
        return mean, counts


def _require_attention(attention: Any) -> None:
    if isinstance(attention, str) or not hasattr(attention, "__len__"):
        raise InvalidTypeError(
            "attention must be the list that attention(X) of a CrabNetRegressor gives; "
            f"got {describe(attention)}."
        )
    if not len(attention):
        raise InvalidValueError("attention is empty; give one composition at least.")
    for index, entry in enumerate(attention):
        missing = [k for k in _KEYS if not hasattr(entry, "keys") or k not in entry]
        if missing:
            raise InvalidTypeError(
                f"attention must hold dicts with {list(_KEYS)}, as attention(X) of a "
                f"CrabNetRegressor gives; at index {index} {missing} are missing."
            )
