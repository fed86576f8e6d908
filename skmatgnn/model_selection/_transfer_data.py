"""Datasets of a transfer matrix: checked, held out by formula, drawn and joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from skmatgnn._typing import BoolArray, FloatArray, IntArray
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.model_selection._composition_groups import formula_groups
from skmatgnn.preprocessing import StructureArray
from skmatgnn.utils.digest import digest
from skmatgnn.utils.elements import ELEMENT_SYMBOLS
from skmatgnn.utils.targets import ensure_regression_targets
from skmatgnn.utils.validation import (
    describe,
    ensure_groups,
    ensure_object_array,
    require_consistent_length,
)

__all__ = ["Dataset", "hold_out", "join", "read_datasets"]

_FORM = "(structures, y) or (structures, y, groups)"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with one property.

    Parameters
    ----------
    name : str
        The property.
    X : GraphArray, StructureArray or ndarray of shape (n,), dtype object
        The samples.
    y : ndarray of shape (n,)
        The property's values.
    formulas : ndarray of shape (n,), dtype str
        Reduced formulas.
    units : ndarray of shape (n,), int
        Number of the unit of each sample. Units share neither formula nor group, so
        they are what a hold-out may part.
    keys : list of bytes, or None
        Equal for structures that are equal in every digit.
    digest : str
        Hash of all of it.
    """

    name: str
    X: Any
    y: FloatArray
    formulas: np.ndarray
    units: IntArray
    keys: list[bytes] | None
    digest: str

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.y)


def read_datasets(datasets: Any, *, of_crystals: bool) -> dict[str, Dataset]:
    """Check datasets and index their formulas.

    Parameters
    ----------
    datasets : mapping of str to tuple, or sequence of (structures, y, name)
        As the caller gave them.
    of_crystals : bool
        Whether the samples must be structures or graphs.

    Returns
    -------
    dict of str to Dataset

    Raises
    ------
    InvalidValueError, InvalidTypeError
        If a dataset cannot be used, naming it.
    """
    found = {}
    for name, parts in _named(datasets):
        try:
            found[name] = _read(name, parts, of_crystals=of_crystals)
        except (InvalidTypeError, InvalidValueError) as error:
            raise type(error)(f"Dataset {name!r}: {error}") from error
    if not found:
        raise InvalidValueError("datasets is empty; at least one is needed.")
    return found


def _named(datasets: Any) -> Iterator[tuple[str, tuple]]:
    if isinstance(datasets, Mapping):
        pairs = list(datasets.items())
    elif isinstance(datasets, Sequence) and not isinstance(datasets, str):
        pairs = []
        for index, item in enumerate(datasets):
            if not isinstance(item, tuple | list) or len(item) not in (3, 4):
                raise InvalidTypeError(
                    "A list of datasets must hold tuples (structures, y, name), or of "
                    f"these and groups; got {describe(item)} at index {index}."
                )
            pairs.append((item[2], (*item[:2], *item[3:])))
    else:
        raise InvalidTypeError(
            f"datasets must be a dict of name to {_FORM}, or a list of (structures, y, "
            f"name); got {describe(datasets)}."
        )
    seen = set()
    for name, parts in pairs:
        if not isinstance(name, str):
            raise InvalidTypeError(
                f"The name of a dataset must be a str; got {describe(name)}."
            )
        if name in seen:
            raise InvalidValueError(f"Two datasets are named {name!r}.")
        seen.add(name)
        yield name, parts


def _read(name: str, parts: Any, *, of_crystals: bool) -> Dataset:
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
        raise InvalidTypeError(f"expected a tuple {_FORM}; got {describe(parts)}.")
    X, formulas, keys = _read_crystals(parts[0]) if of_crystals else _read_any(parts[0])
    table, one_dimensional = ensure_regression_targets(parts[1])
    if not one_dimensional and table.shape[1] > 1:
        raise InvalidValueError(
            f"y has {table.shape[1]} columns; give each property a dataset of its own, "
            "without the rows where it is unknown."
        )
    y = table[:, 0]
    if np.isnan(y).any():
        index = int(np.flatnonzero(np.isnan(y))[0])
        raise InvalidValueError(f"y is NaN at index {index}. Drop such rows.")
    require_consistent_length(structures=X, y=y)
    groups = None
    if len(parts) == 3 and parts[2] is not None:
        groups = ensure_groups(parts[2], len(y))
    units = _units(formulas, groups)
    return Dataset(name, X, y, formulas, units, keys, digest(X, y, units))


def _read_crystals(X: Any) -> tuple[Any, np.ndarray, list[bytes] | None]:
    from skmatgnn.estimators._base import ensure_crystals

    X = ensure_crystals(X)
    keys = _structure_keys(X) if isinstance(X, StructureArray) else None
    pointers = X.atom_ptr if isinstance(X, StructureArray) else X.node_ptr
    counts = (
        np.unique(X.atomic_numbers[start:stop], return_counts=True)
        for start, stop in pairwise(pointers.tolist())
    )
    compositions = [
        {ELEMENT_SYMBOLS[z]: int(n) for z, n in zip(*found, strict=True)}
        for found in counts
    ]
    return X, formula_groups(compositions), keys


def _read_any(X: Any) -> tuple[np.ndarray, np.ndarray, None]:
    X = ensure_object_array(X, what="samples", single=(str,))
    return X, formula_groups(X), None


def _structure_keys(X: StructureArray) -> list[bytes]:
    return [
        X.lattices[index].tobytes()
        + X.pbc[index].tobytes()
        + X.atomic_numbers[start:stop].tobytes()
        + X.frac_coords[start:stop].tobytes()
        for index, (start, stop) in enumerate(pairwise(X.atom_ptr.tolist()))
    ]


def _units(formulas: np.ndarray, groups: IntArray | None) -> IntArray:
    codes = np.unique(formulas, return_inverse=True)[1]
    if groups is None:
        return codes
    n_formulas = codes.max() + 1
    n_nodes = n_formulas + groups.max() + 1
    edges = (np.ones(len(codes), dtype=bool), (codes, n_formulas + groups))
    graph = coo_array(edges, shape=(n_nodes, n_nodes))
    return connected_components(graph, directed=False)[1][codes]


def units_in_order(dataset: Dataset, seed: int) -> list[int]:
    """Put units in an order that follows from the seed and their formulas alone.

    Parameters
    ----------
    dataset : Dataset
    seed : int

    Returns
    -------
    list of int
    """
    first: dict[int, str] = {}
    for unit, formula in zip(dataset.units.tolist(), dataset.formulas, strict=True):
        first[unit] = min(first.get(unit, formula), formula)
    return sorted(first, key=lambda unit: _rank(seed, first[unit]))


def hold_out(dataset: Dataset, test_size: float, seed: int) -> BoolArray:
    """Choose test rows, whole units at a time.

    Units come in an order that follows from the seed and their formulas alone, so
    that datasets hold out the same formulas as far as they share them, and lose few
    rows where they are trained on for each other.

    Parameters
    ----------
    dataset : Dataset
        The samples.
    test_size : float
        Share of the rows, of which the hold-out has at most a little less.
    seed : int
        Of the order.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    InvalidValueError
        If no two rows can be held out.
    """
    wanted = round(test_size * len(dataset))
    sizes = np.bincount(dataset.units)
    chosen, total = [], 0
    for unit in units_in_order(dataset, seed):
        if total + sizes[unit] <= wanted:
            chosen.append(unit)
            total += sizes[unit]
    if total < 2:
        raise InvalidValueError(
            f"Dataset {dataset.name!r}: a hold-out of {wanted} of its {len(dataset)} "
            f"rows ({test_size=}) cannot be made of whole formulas or groups with two "
            f"rows at least; the smallest has {sizes[sizes > 0].min()}. Raise "
            "test_size, or leave this dataset out of the targets."
        )
    return np.isin(dataset.units, chosen)


def _rank(seed: int, formula: str) -> bytes:
    return sha256(f"{seed} {formula}".encode()).digest()


def join(parts: Sequence[tuple[Dataset, IntArray]]) -> tuple[Any, Any, IntArray]:
    """Put rows of datasets into one table, equal structures into one row.

    Parameters
    ----------
    parts : sequence of (Dataset, ndarray of int)
        Rows of each.

    Returns
    -------
    X : GraphArray or list
        The structures.
    Y : DataFrame of shape (n, n_datasets)
        NaN where a property is unknown.
    groups : ndarray of shape (n,), int
        Number of each row's formula.
    """
    import pandas as pd

    cells: list[list[float]] = []
    place_of: dict[bytes, int] = {}
    formulas, X_parts = [], []
    for column, (dataset, rows) in enumerate(parts):
        new = []
        for row in rows.tolist():
            key = None if dataset.keys is None else dataset.keys[row]
            place = place_of.get(key) if key is not None else None
            if place is None or not np.isnan(cells[place][column]):
                place = len(cells)
                cells.append([np.nan] * len(parts))
                new.append(row)
                if key is not None:
                    place_of[key] = place
            cells[place][column] = dataset.y[row]
        formulas.append(dataset.formulas[new])
        X_parts.append(dataset.X[np.array(new, dtype=np.int64)])
    Y = pd.DataFrame(cells, columns=[dataset.name for dataset, _ in parts])
    groups = np.unique(np.concatenate(formulas), return_inverse=True)[1]
    return _concatenate(X_parts), Y, groups


def _concatenate(parts: list[Any]) -> Any:
    from skmatgnn.graphs import GraphArray

    parts = [part for part in parts if len(part)]
    if all(isinstance(part, GraphArray) for part in parts):
        return GraphArray.concatenate(parts)
    return [item for part in parts for item in part]
