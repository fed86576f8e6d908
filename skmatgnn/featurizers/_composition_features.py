"""Statistics of a composition from several sources, in one matrix."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import lru_cache
from importlib import resources
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.featurizers._ion_property import ion_property
from skmatgnn.featurizers._magpie import MagpieFeatures, weighted_statistics
from skmatgnn.featurizers._matminer_sets import SLOW_SETS, slow_features
from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import fit_context
from skmatgnn.utils._stateless import StatelessMixin
from skmatgnn.utils.elements import (
    ATOMIC_NUMBERS,
    ELEMENT_SYMBOLS,
    MAGPIE_PROPERTIES,
    N_ELEMENTS,
    magpie_element_table,
)
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.utils import Tags

    from skmatgnn._typing import ArrayLike, FloatArray
    from skmatgnn.preprocessing._formula import PackedCompositions

__all__ = ["CompositionFeatures"]

_NORMS = (2, 3, 5, 7, 10)
_ORBITALS = ("s", "p", "d", "f")
_EV = 96.48  # kJ/mol, as matminer rounds it
_TRANSITION_METALS = (
    "Ti V Cr Mn Fe Co Ni Cu Nb Mo Tc Ru Rh Pd Ag Ta W Re Os Ir Pt".split()  # noqa: SIM905
)

_LABELS: dict[str, list[str]] = {
    "magpie": MagpieFeatures().get_feature_names_out().tolist(),
    "element_fraction": list(ELEMENT_SYMBOLS[1:]),
    "stoichiometry": [f"{p}-norm" for p in (0, *_NORMS)],
    "valence_orbital": [
        f"{what} {orbital} valence electrons"
        for what in ("avg", "frac")
        for orbital in _ORBITALS
    ],
    "band_center": ["band center"],
    "transition_metal": ["transition metal fraction"],
    "ion_property": ["compound possible", "max ionic char", "avg ionic char"],
    **{name: list(labels) for name, (_, labels) in SLOW_SETS.items()},
}


class CompositionFeatures(
    DocLinkMixin, StatelessMixin, TransformerMixin, BaseEstimator
):
    """Features of a composition from several sources: 269 by default.

    The sets are those of MODNet's composition presets [1]_ that can be had in under
    a millisecond, vectorised over the samples and equal to matminer's featurizers
    [2]_ in names, order and values.

    Parameters
    ----------
    sets : sequence of str
        Which features, in the order of the columns:

        - ``"magpie"``: 132 statistics of element properties (`MagpieFeatures`),
        - ``"element_fraction"``: the atomic fraction of each of 118 elements,
        - ``"stoichiometry"``: number of elements, and p-norms of the fractions,
        - ``"valence_orbital"``: s, p, d and f valence electrons per atom, and the
          fraction of all valence electrons that each of them is,
        - ``"band_center"``: geometric mean of the Mulliken electronegativities,
        - ``"transition_metal"``: fraction of magnetic transition metals,
        - ``"ion_property"``: whether charges can balance, largest and average ionic
          character of the pairs of elements.

        Further sets run matminer's own code once for each distinct composition, and
        cost what it costs, so they are not among the defaults:
        ``"atomic_orbitals"`` and ``"yang_solid_solution"`` (below 1 ms each),
        ``"miedema"`` (some 25 ms), ``"atomic_packing_efficiency"`` (seconds).
    impute_nan : bool, default=False
        What to do where the tables do not know an element's property. False gives
        NaN in the features that need it, to be dealt with by a later step that has
        seen training rows only. True uses the property's mean over all elements.
    mixed_valence : bool, default=True
        Whether the atoms of one element may have different oxidation states when
        "compound possible" balances the charges, as they do in Fe3O4. True is
        matminer's ``IonProperty(fast=False)``, False its ``fast=True``.
    n_jobs : int, optional
        Processes for the slow sets, as in joblib. The default sets use one core.

    See Also
    --------
    MagpieFeatures : The first of the sets alone.
    MatminerFeatures : Any other featurizer of matminer.

    Notes
    -----
    Stateless: `fit` only checks its input. Multiples of a formula have the same
    features: charges are balanced for the reduced formula, where matminer takes the
    formula as written (for it Sb2O4 balances and SbO2 does not). The search over
    oxidation states is exact for whole numbers of atoms and bounded; matminer's
    grows without bound with the number of atoms, and raises for fractional amounts,
    which are here brought to whole numbers or, failing that, judged by the range of
    the average charge.

    References
    ----------
    .. [1] P.-P. De Breuck, G. Hautier, G.-M. Rignanese, "Materials property
       prediction for limited datasets enabled by feature selection and joint
       learning with MODNet", npj Comput. Mater. 7, 83 (2021).
    .. [2] L. Ward et al., "Matminer: an open source toolkit for materials data
       mining", Comput. Mater. Sci. 152, 60-69 (2018).

    Examples
    --------
    >>> from skmatgnn.featurizers import CompositionFeatures
    >>> features = CompositionFeatures(sets=("stoichiometry", "ion_property"))
    >>> table = features.set_output(transform="pandas").fit_transform(["Fe3O4", "He"])
    >>> table["compound possible"].tolist(), table["0-norm"].tolist()
    ([1.0, 1.0], [2.0, 1.0])
    >>> CompositionFeatures().fit_transform(["NaCl"]).shape
    (1, 269)
    """

    _parameter_constraints: ClassVar[dict] = {
        "sets": ["array-like"],
        "impute_nan": ["boolean"],
        "mixed_valence": ["boolean"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        *,
        sets: Sequence[str] = (
            "magpie",
            "element_fraction",
            "stoichiometry",
            "valence_orbital",
            "band_center",
            "transition_metal",
            "ion_property",
        ),
        impute_nan: bool = False,
        mixed_valence: bool = True,
        n_jobs: int | None = None,
    ) -> None:
        self.sets = sets
        self.impute_nan = impute_nan
        self.mixed_valence = mixed_valence
        self.n_jobs = n_jobs

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
        _require_known_sets(self.sets)
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
        ndarray of shape (n_samples, n_features), float64

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If a sample has no usable composition, with the indices, or if ``sets``
            has an unknown name.

        Warns
        -----
        UserWarning
            If matminer fails on a sample in one of the slow sets; it gets NaN.
        """
        _require_known_sets(self.sets)
        packed = parse_compositions(X)
        return np.concatenate(
            [self._compute(name, packed) for name in self.sets], axis=1
        )

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> Any:
        """Names of the features, as matminer's labels.

        Parameters
        ----------
        input_features : ignored
            Present for the API.

        Returns
        -------
        ndarray of shape (n_features,), dtype object
        """
        del input_features
        _require_known_sets(self.sets)
        names = [label for name in self.sets for label in _LABELS[name]]
        return np.asarray(names, dtype=object)

    def _compute(self, name: str, packed: PackedCompositions) -> FloatArray:
        if name in SLOW_SETS:
            return slow_features(
                name, packed, impute_nan=self.impute_nan, n_jobs=self.n_jobs
            )
        if name == "ion_property":
            return ion_property(
                packed, impute_nan=self.impute_nan, mixed_valence=self.mixed_valence
            )
        return _FAST_SETS[name](packed, impute_nan=self.impute_nan)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


def _require_known_sets(sets: Any) -> None:
    # The order of a Python set differs between processes, and so would the columns'.
    unordered = isinstance(sets, AbstractSet)
    if isinstance(sets, str) or unordered or not hasattr(sets, "__len__"):
        raise InvalidTypeError(
            f"sets must be a sequence of names; got {describe(sets)}. Put names into "
            "a tuple: ('magpie',)."
        )
    if len(sets) == 0:
        raise InvalidValueError(f"sets is empty; give some of {list(_LABELS)}.")
    for index, name in enumerate(sets):
        if not isinstance(name, str) or name not in _LABELS:
            raise InvalidValueError(
                f"sets has an unknown name {name!r} at index {index}. "
                f"Known are {list(_LABELS)}."
            )
    if len(set(sets)) != len(sets):
        raise InvalidValueError(f"sets names one set twice: {list(sets)}.")


def _magpie(packed: PackedCompositions, *, impute_nan: bool) -> FloatArray:
    return weighted_statistics(packed, magpie_element_table(impute_nan=impute_nan))


def _element_fraction(packed: PackedCompositions, *, impute_nan: bool) -> FloatArray:
    del impute_nan
    out = np.zeros((len(packed), N_ELEMENTS))
    out[packed.rows, packed.atomic_numbers - 1] = packed.fractions
    return out


def _stoichiometry(packed: PackedCompositions, *, impute_nan: bool) -> FloatArray:
    del impute_nan
    columns: list[FloatArray] = [packed.counts.astype(np.float64)]
    columns += [_sum(packed, packed.fractions**p) ** (1 / p) for p in _NORMS]
    return np.stack(columns, axis=1)


def _valence_orbital(packed: PackedCompositions, *, impute_nan: bool) -> FloatArray:
    table = magpie_element_table(impute_nan=impute_nan)
    names = [f"N{orbital}Valence" for orbital in _ORBITALS] + ["NValence"]
    columns = [MAGPIE_PROPERTIES.index(name) for name in names]
    values = table[packed.atomic_numbers][:, columns] * packed.fractions[:, None]
    mean = np.add.reduceat(values, packed.row_ptr[:-1])
    return np.concatenate([mean[:, :4], mean[:, :4] / mean[:, 4:]], axis=1)


def _band_center(packed: PackedCompositions, *, impute_nan: bool) -> FloatArray:
    logarithm = _log_mulliken(impute_nan=impute_nan)[packed.atomic_numbers]
    return np.exp(_sum(packed, packed.fractions * logarithm))[:, None]


def _transition_metal(packed: PackedCompositions, *, impute_nan: bool) -> FloatArray:
    del impute_nan
    is_metal = np.zeros(N_ELEMENTS + 1)
    is_metal[[ATOMIC_NUMBERS[symbol] for symbol in _TRANSITION_METALS]] = 1
    return _sum(packed, packed.fractions * is_metal[packed.atomic_numbers])[:, None]


def _sum(packed: PackedCompositions, values: FloatArray) -> FloatArray:
    return np.add.reduceat(values, packed.row_ptr[:-1])


@lru_cache(maxsize=2)
def _log_mulliken(*, impute_nan: bool) -> FloatArray:
    """Logarithm of Mulliken's electronegativity in eV, by atomic number."""
    from matminer.utils.data_files.deml_elementdata import properties

    first_ionization, affinity = np.full((2, N_ELEMENTS + 1), np.nan)
    for symbol, energies in properties["ionization_en"].items():
        first_ionization[ATOMIC_NUMBERS[symbol]] = energies[0] / 1000  # kJ/mol
    folder = resources.files("matminer.utils") / "data_files" / "magpie_elementdata"
    lines = (folder / "ElectronAffinity.table").read_text(encoding="utf-8").splitlines()
    for z, line in enumerate(lines[:N_ELEMENTS], start=1):
        affinity[z] = float(line) if line[:1].isdigit() else np.nan
    if impute_nan:
        for values in (first_ionization, affinity):
            values[np.isnan(values)] = np.nanmean(values)
    table = np.log(0.5 * (first_ionization + affinity) / _EV)
    table.flags.writeable = False
    return table


_FAST_SETS = {
    "magpie": _magpie,
    "element_fraction": _element_fraction,
    "stoichiometry": _stoichiometry,
    "valence_orbital": _valence_orbital,
    "band_center": _band_center,
    "transition_metal": _transition_metal,
}
