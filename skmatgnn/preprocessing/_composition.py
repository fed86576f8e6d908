"""Transformers that yield pymatgen compositions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sklearn.base import BaseEstimator, TransformerMixin

from skmatgnn.errors import InvalidTypeError
from skmatgnn.preprocessing._formula import (
    PackedCompositions,
    ensure_composition_objects,
    parse_compositions,
)
from skmatgnn.utils._doc_link import DocLinkMixin
from skmatgnn.utils._sklearn import fit_context
from skmatgnn.utils._stateless import StatelessMixin
from skmatgnn.utils.validation import describe, to_object_array

if TYPE_CHECKING:
    import numpy as np
    from pymatgen.core import Composition
    from sklearn.utils import Tags

__all__ = ["FormulaToComposition", "StructureToComposition"]


class _CompositionTransformer(
    DocLinkMixin, StatelessMixin, TransformerMixin, BaseEstimator
):
    """Shared part: stateless, object array out, indifferent to ``set_output``."""

    _parameter_constraints: ClassVar[dict] = {"reduced": ["boolean"]}

    def __init__(self, *, reduced: bool = False) -> None:
        self.reduced = reduced

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X; nothing is learnt.

        Parameters
        ----------
        X : sequence
            The samples.
        y : ignored
            Present for the API.

        Returns
        -------
        self
        """
        del y
        self._validate(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Convert each sample.

        Parameters
        ----------
        X : sequence
            The samples.

        Returns
        -------
        ndarray of shape (n_samples,), dtype object
            `pymatgen.core.Composition` objects.

        Raises
        ------
        InvalidValueError, InvalidTypeError
            If a sample has no usable composition, with the indices.
        """
        items, packed = self._validate(X)
        compositions = [
            _as_composition(item, packed, index) for index, item in enumerate(items)
        ]
        if self.reduced:
            compositions = [item.reduced_composition for item in compositions]
        return to_object_array(compositions)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: compositions stay an object array, also in a frame's pipeline.

        Parameters
        ----------
        transform : str, optional
            Ignored.

        Returns
        -------
        self
        """
        del transform
        return self

    def _validate(self, X: Any) -> tuple[np.ndarray, PackedCompositions]:
        items = ensure_composition_objects(X)
        for index, item in enumerate(items):
            self._require_type(item, index)
        return items, parse_compositions(items)

    def _require_type(self, item: Any, index: int) -> None:
        raise NotImplementedError


class FormulaToComposition(_CompositionTransformer):
    """Turn formula strings into pymatgen compositions.

    Parameters
    ----------
    reduced : bool, default=False
        Divide the amounts by their greatest common divisor, so that "Fe4O6" and
        "Fe2O3" become equal.

    See Also
    --------
    StructureToComposition : The same from structures.
    skmatgnn.featurizers.MagpieFeatures : Takes formula strings directly.

    Notes
    -----
    Compositions are passed through and dicts such as ``{"Fe": 2, "O": 3}`` are
    converted. All unusable samples of a call are reported in one error.

    Examples
    --------
    >>> from skmatgnn.preprocessing import FormulaToComposition
    >>> FormulaToComposition().fit_transform(["LiFePO4", "Ca3(PO4)2"])
    array([Composition('Li1 Fe1 P1 O4'), Composition('Ca3 P2 O8')],
          dtype=object)
    """

    def _require_type(self, item: Any, index: int) -> None:
        if hasattr(item, "composition") or hasattr(item, "get_atomic_numbers"):
            raise InvalidTypeError(
                f"X must contain formula strings; got {describe(item)} at index "
                f"{index}. For structures use StructureToComposition."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


class StructureToComposition(_CompositionTransformer):
    """Turn structures into pymatgen compositions.

    Parameters
    ----------
    reduced : bool, default=False
        Divide the amounts by their greatest common divisor, so that the unit cell's
        size no longer matters.

    See Also
    --------
    FormulaToComposition : The same from formula strings.

    Notes
    -----
    Takes pymatgen structures, ordered or disordered (occupancies count as amounts),
    and ``ase.Atoms``. Oxidation states of the sites are kept.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> from skmatgnn.preprocessing import StructureToComposition
    >>> nacl = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0] * 3, [0.5] * 3])
    >>> StructureToComposition().fit_transform([nacl])
    array([Composition('Na1 Cl1')], dtype=object)
    """

    def _require_type(self, item: Any, index: int) -> None:
        if hasattr(item, "composition") or hasattr(item, "get_atomic_numbers"):
            return
        hint = " For formulas use FormulaToComposition." if _is_formula(item) else ""
        raise InvalidTypeError(
            "X must contain pymatgen Structure or ase.Atoms objects; "
            f"got {describe(item)} at index {index}.{hint}"
        )


def _as_composition(item: Any, packed: PackedCompositions, index: int) -> Composition:
    """Objects of pymatgen keep what they know, such as oxidation states."""
    from pymatgen.core import Composition

    if isinstance(item, Composition):
        return item
    own = getattr(item, "composition", None)
    if isinstance(own, Composition):
        return own
    if isinstance(item, str | Mapping):
        try:
            return Composition(item)  # keeps the order as written
        except ValueError:  # pymatgen cannot re-read some huge amounts of groups
            pass
    return Composition(packed.as_dict(index))


def _is_formula(item: Any) -> bool:
    return isinstance(item, str) or hasattr(item, "reduced_formula")
