"""One table of many properties out of one dataset for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import Bunch

from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.preprocessing._formula import parse_compositions
from skmatgnn.preprocessing._structures import StructureArray
from skmatgnn.utils.validation import (
    describe,
    ensure_object_array,
    is_missing,
    require_consistent_length,
    require_option,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["merge_properties"]

Formula = tuple[tuple[int, float], ...]
DIGITS = 6  # of fractions, which tell Na499Cl501 from NaCl


def merge_properties(
    datasets: Sequence[tuple[Any, Any, str]],
    *,
    match: str | None = None,
    exclude: Any = None,
    exclude_match: str = "formula",
) -> Bunch:
    """Put datasets of one property each into one table, with NaN where unknown.

    Parameters
    ----------
    datasets : sequence of (structures, y, name)
        The structures may be in any container that estimators take; y has a number
        for each, or NaN. A name that comes again adds to the same property.
    match : {"formula", "structure"} or None, default=None
        What makes two rows one material, of which the structure that came first stays:
        nothing; the same reduced formula, for data in which a formula has one
        structure; or that and the same structure, as pymatgen's ``StructureMatcher``
        judges by default, volume aside. Several values of a property of one material
        are averaged.
    exclude : sequence of structures or of formulas, optional
        A test set, say. No material that matches one of it stays in the table.
    exclude_match : {"formula", "structure"}, default="formula"
        What matches there. By formula, polymorphs of a test material are left out too.

    Returns
    -------
    Bunch
        ``data``, object array of n structures; ``target``, DataFrame of shape
        (n, n_properties); ``target_names``, list of str; ``sources``, DataFrame with
        the ``dataset`` and ``row`` of each structure; ``overlaps``, DataFrame with the
        number of materials of which both properties are known (in the diagonal, one);
        ``report``, DataFrame with a row for each dataset: its ``rows``, and how many of
        them were left out as ``unknown`` or ``excluded``, went into a material that had
        come before (``matched``), and had their value averaged with others
        (``averaged``).

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a dataset cannot be used, or nothing of a property is left.

    See Also
    --------
    skmatgnn.MPTRegressor : Learns from such a table.

    Examples
    --------
    >>> from skmatgnn.datasets import make_crystals
    >>> from skmatgnn.preprocessing import merge_properties
    >>> X, y = make_crystals(6, random_state=0, return_X_y=True)
    >>> volumes = [x.volume for x in X[3:]]
    >>> table = merge_properties(
    ...     [(X[:5], y[:5], "energy"), (X[3:], volumes, "volume")], match="structure"
    ... )
    >>> table.target.shape, int(table.overlaps.loc["energy", "volume"])
    ((6, 2), 2)
    """
    require_option("match", match, (None, "formula", "structure"))
    require_option("exclude_match", exclude_match, ("formula", "structure"))
    parts = [_read(triple, index) for index, triple in enumerate(datasets)]
    if not parts:
        raise InvalidValueError("datasets is empty; at least one is needed.")
    _mark_excluded(parts, exclude, exclude_match)
    materials = _Materials(match)
    places = [
        [materials.place(part, int(row)) for row in np.flatnonzero(part.used)]
        for part in parts
    ]
    return _table(parts, places, materials)


@dataclass
class _Part:
    """A checked dataset."""

    name: str
    items: np.ndarray
    structures: _Reduced
    formulas: list[Formula]
    y: np.ndarray
    excluded: np.ndarray

    @property
    def used(self) -> np.ndarray:
        return np.isfinite(self.y) & ~self.excluded


class _Reduced:
    """Structures, and their primitive cells, of which each is found only once."""

    def __init__(self, structures: StructureArray) -> None:
        self.structures = structures
        # pymatgen reduces and compares no others
        self.periodic = replace(structures, pbc=np.ones_like(structures.pbc))
        self._cells: dict[int, Any] = {}

    def cell(self, row: int) -> Any:
        """Find the cell that StructureMatcher would reduce the structure to."""
        if row not in self._cells:
            reduced = self.periodic[row].get_reduced_structure("niggli")
            self._cells[row] = reduced.get_primitive_structure()
        return self._cells[row]

    def same(self, row: int, other: _Reduced, index: int) -> bool:
        """Tell whether StructureMatcher finds two structures the same."""
        from pymatgen.analysis.structure_matcher import StructureMatcher

        if self.structures[row] == other.structures[index]:
            return True
        if (self.structures.pbc[row] != other.structures.pbc[index]).any():
            return False
        a, b = self.cell(row), other.cell(index)
        return len(a) == len(b) and StructureMatcher().fit(
            a, b, skip_structure_reduction=True
        )


class _Materials:
    """Numbers of the materials that have come so far."""

    def __init__(self, match: str | None) -> None:
        self.match = match
        self.first: list[tuple[_Part, int]] = []
        self._of_item: dict[int, int] = {}  # one file may hold several properties
        self._of_formula: dict[Formula, list[int]] = {}

    def place(self, part: _Part, row: int) -> int:
        """Find the material of a row, or add it."""
        if self.match is None:
            return self._add(part, row)
        item = id(part.items[row])
        if item not in self._of_item:
            self._of_item[item] = self._find(part, int(row))
        return self._of_item[item]

    def _find(self, part: _Part, row: int) -> int:
        candidates = self._of_formula.setdefault(part.formulas[row], [])
        for number in candidates:
            other, index = self.first[number]
            if self.match == "formula" or other.structures.same(
                index, part.structures, row
            ):
                return number
        candidates.append(len(self.first))
        return self._add(part, row)

    def _add(self, part: _Part, row: int) -> int:
        self.first.append((part, int(row)))
        return len(self.first) - 1


def _read(triple: Any, index: int) -> _Part:
    if not isinstance(triple, tuple | list) or len(triple) != 3:
        raise InvalidTypeError(
            "datasets must hold tuples of structures, y and the property's name; got "
            f"{describe(triple)} at index {index}."
        )
    X, y, name = triple
    if not isinstance(name, str):
        raise InvalidTypeError(
            f"The name of a property must be a str; got {describe(name)} in dataset "
            f"{index}."
        )
    try:
        return _read_columns(X, y, name)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Dataset {index}, {name!r}: {error}") from error


def _read_columns(X: Any, y: Any, name: str) -> _Part:
    values = y.to_numpy() if hasattr(y, "to_numpy") else y
    # NumPy would give what a mask hides
    values = values.tolist() if isinstance(values, np.ma.MaskedArray) else values
    values = np.asarray(values, dtype=object)
    if values.ndim != 1:
        raise InvalidValueError(f"y must have one dimension; got {values.ndim}.")
    numbers = np.array([np.nan if is_missing(v) else float(v) for v in values])
    infinite = np.flatnonzero(np.isinf(numbers))
    if len(infinite):
        raise InvalidValueError(f"y is infinite at index {int(infinite[0])}.")
    items, structures = _unpacked(X)
    require_consistent_length(structures=items, y=numbers)
    excluded = np.zeros(len(items), dtype=bool)
    formulas = _formulas(structures)
    return _Part(name, items, _Reduced(structures), formulas, numbers, excluded)


def _unpacked(X: Any) -> tuple[np.ndarray, StructureArray]:
    items = ensure_object_array(
        list(X) if isinstance(X, StructureArray) else X, what="structures", single=()
    )
    return items, StructureArray.from_structures(items)


def _formulas(X: Any) -> list[Formula]:
    """Reduced formulas as elements and fractions, however they are written."""
    if isinstance(X, StructureArray):
        formulas = []
        for start, stop in zip(X.atom_ptr[:-1], X.atom_ptr[1:], strict=True):
            found = np.unique(X.atomic_numbers[start:stop], return_counts=True)
            formulas.append(_formula(*found))
        return formulas
    packed = parse_compositions(X)
    pointers = zip(packed.row_ptr[:-1], packed.row_ptr[1:], strict=True)
    return [
        _formula(packed.atomic_numbers[a:b], packed.amounts[a:b]) for a, b in pointers
    ]


def _formula(numbers: np.ndarray, amounts: np.ndarray) -> Formula:
    fractions = np.round(amounts / amounts.sum(), DIGITS)
    return tuple(sorted(zip(numbers.tolist(), fractions.tolist(), strict=True)))


def _mark_excluded(parts: list[_Part], exclude: Any, exclude_match: str) -> None:
    if exclude is None or len(exclude) == 0:
        return
    structures = None
    if exclude_match == "structure":
        packed = _unpacked(exclude)[1]
        structures = _Reduced(packed)
        formulas = _formulas(packed)
    else:
        formulas = _formulas(exclude)
    of_formula: dict[Formula, list[int]] = {}
    for index, formula in enumerate(formulas):
        of_formula.setdefault(formula, []).append(index)
    for part in parts:
        for row, formula in enumerate(part.formulas):
            same = of_formula.get(formula, [])
            part.excluded[row] = bool(same) and (
                structures is None
                or any(part.structures.same(row, structures, i) for i in same)
            )


def _table(parts: list[_Part], places: list[list[int]], materials: _Materials) -> Bunch:
    import pandas as pd

    names = list(dict.fromkeys(part.name for part in parts))
    n_materials = len(materials.first)
    total = np.zeros((n_materials, len(names)))
    count = np.zeros((n_materials, len(names)), dtype=int)
    for part, place in zip(parts, places, strict=True):
        np.add.at(total, (place, names.index(part.name)), part.y[part.used])
        np.add.at(count, (place, names.index(part.name)), 1)
    empty = [name for name, n in zip(names, count.sum(axis=0), strict=True) if n == 0]
    if empty:
        raise InvalidValueError(
            f"No value of {empty[0]!r} is left: all are unknown or excluded."
        )
    target = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    known = (count > 0).astype(int)
    data = np.empty(n_materials, dtype=object)
    data[:] = [part.items[row] for part, row in materials.first]
    order = {id(part): index for index, part in enumerate(parts)}
    sources = [(order[id(part)], row) for part, row in materials.first]
    return Bunch(
        data=data,
        target=pd.DataFrame(target, columns=names),
        target_names=names,
        sources=pd.DataFrame(sources, columns=["dataset", "row"]),
        overlaps=pd.DataFrame(known.T @ known, index=names, columns=names),
        report=_report(parts, places, count, names),
    )


def _report(
    parts: list[_Part], places: list[list[int]], count: np.ndarray, names: list[str]
) -> pd.DataFrame:
    import pandas as pd

    rows, seen = [], set()
    for part, place in zip(parts, places, strict=True):
        matched = 0
        for number in place:
            matched += number in seen
            seen.add(number)
        rows.append(
            {
                "property": part.name,
                "rows": len(part.y),
                "unknown": int((~np.isfinite(part.y)).sum()),
                "excluded": int((part.excluded & np.isfinite(part.y)).sum()),
                "matched": matched,
                "averaged": int((count[place, names.index(part.name)] > 1).sum()),
            }
        )
    return pd.DataFrame(rows)
