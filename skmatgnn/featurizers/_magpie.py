"""The 132 Magpie statistics of a composition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import fit_context
from skmatgnn.utils._stateless import StatelessMixin
from skmatgnn.utils.elements import MAGPIE_PROPERTIES, magpie_element_table

if TYPE_CHECKING:
    from sklearn.utils import Tags

    from skmatgnn._typing import ArrayLike, FloatArray
    from skmatgnn.preprocessing._formula import PackedCompositions

__all__ = ["MagpieFeatures", "weighted_statistics"]

_STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
_ROWS_AT_ONCE = 512  # keeps the intermediate arrays in the processor's cache


class MagpieFeatures(DocLinkMixin, StatelessMixin, TransformerMixin, BaseEstimator):
    r"""Magpie's statistics of 22 element properties: 132 features per composition.

    For each property :math:`p` and atomic fractions :math:`x_i` the features are the
    minimum, maximum and range over the elements, the mean
    :math:`\bar p = \sum_i x_i p_i`, the average deviation
    :math:`\sum_i x_i |p_i - \bar p|`, and the mode, which is the property of the
    most abundant element (the smallest one among equally abundant elements) [1]_.
    Names, order and values are those of matminer's
    ``ElementProperty.from_preset("magpie", impute_nan=...)`` [2]_.

    Parameters
    ----------
    impute_nan : bool, default=False
        What to do where the tables do not know an element's property, such as the
        electronegativity of He, Ne, Ar and Rn, or much of the transuranics. False
        gives NaN in every statistic that needs the
        value, to be filled in or dropped by a later step that has seen training
        rows only. True uses the property's mean over all elements.

    See Also
    --------
    MatminerFeatures : Any other featurizer of matminer.
    skmatgnn.estimators.composition.make_rf_magpie : Random forest on these features.

    Notes
    -----
    The element tables are matminer's files. ``impute_nan`` is explicit because
    matminer's own default has changed between its versions (True in 0.10).
    Stateless: `fit` only checks its input.

    References
    ----------
    .. [1] L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, "A general-purpose
       machine learning framework for predicting properties of inorganic
       materials", npj Comput. Mater. 2, 16028 (2016).
    .. [2] L. Ward et al., "Matminer: an open source toolkit for materials data
       mining", Comput. Mater. Sci. 152, 60-69 (2018).

    Examples
    --------
    >>> from skmatgnn.featurizers import MagpieFeatures
    >>> magpie = MagpieFeatures().set_output(transform="pandas")
    >>> magpie.fit_transform(["NaCl", "Fe2O3"])["MagpieData mean Number"].tolist()
    [14.0, 15.2]
    """

    _parameter_constraints: ClassVar[dict] = {"impute_nan": ["boolean"]}

    def __init__(self, *, impute_nan: bool = False) -> None:
        self.impute_nan = impute_nan

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X; nothing is learnt.

        Parameters
        ----------
        X : sequence of str, Composition, Structure, ase.Atoms or dict
            The samples.
        y : ignored
            Present for the API.

        Returns
        -------
        self
        """
        del y
        parse_compositions(X)
        return self

    def transform(self, X: Any) -> FloatArray:
        """Compute the features.

        Parameters
        ----------
        X : sequence of str, Composition, Structure, ase.Atoms or dict
            The samples.

        Returns
        -------
        ndarray of shape (n_samples, 132), float64

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If a sample has no usable composition, with the indices.
        """
        table = magpie_element_table(impute_nan=self.impute_nan)
        return weighted_statistics(parse_compositions(X), table)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Any:
        """Names of the features, as matminer's labels.

        Parameters
        ----------
        input_features : ignored
            Present for the API.

        Returns
        -------
        ndarray of shape (132,), dtype object
        """
        del input_features
        names = [
            f"MagpieData {statistic} {name}"
            for name in MAGPIE_PROPERTIES
            for statistic in _STATISTICS
        ]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


def weighted_statistics(packed: PackedCompositions, table: FloatArray) -> FloatArray:
    """All statistics of all properties, shape (n, n_properties * n_statistics)."""
    n_properties = table.shape[1]
    out = np.empty((len(packed), n_properties, len(_STATISTICS)))
    # Rows with many elements first: then the rows that have a k-th element are a
    # prefix, and the loops below run over elements instead of rows.
    order = np.argsort(-packed.counts, kind="stable")
    for start in range(0, len(order), _ROWS_AT_ONCE):
        rows = order[start : start + _ROWS_AT_ONCE]
        out[rows] = _statistics_of_rows(packed, rows, table)
    return out.reshape(len(packed), -1)


def _statistics_of_rows(
    packed: PackedCompositions, rows: np.ndarray, table: FloatArray
) -> FloatArray:
    starts, counts = packed.row_ptr[rows], packed.counts[rows]
    layers = []
    for k in range(counts[0]):
        entries = starts[: np.count_nonzero(counts > k)] + k
        amounts = packed.amounts[entries][:, None]
        layers.append((len(entries), table[packed.atomic_numbers[entries]], amounts))
    shape = (len(rows), table.shape[1])

    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    mean, deviation, mode = np.zeros(shape), np.zeros(shape), np.full(shape, np.inf)
    total, largest = np.zeros((len(rows), 1)), np.zeros((len(rows), 1))
    for n, values, amounts in layers:
        np.minimum(low[:n], values, out=low[:n])
        np.maximum(high[:n], values, out=high[:n])
        mean[:n] += amounts * values
        total[:n] += amounts
        np.maximum(largest[:n], amounts, out=largest[:n])
    mean /= total
    for n, values, amounts in layers:
        deviation[:n] += amounts * np.abs(values - mean[:n])
        # numpy.isclose's tolerances, on the amounts as written, as in matminer.
        abundant = largest[:n] - amounts <= 1e-8 + 1e-5 * largest[:n]
        np.minimum(mode[:n], np.where(abundant, values, np.inf), out=mode[:n])
    deviation /= total
    return np.stack([low, high, high - low, mean, deviation, mode], axis=-1)
