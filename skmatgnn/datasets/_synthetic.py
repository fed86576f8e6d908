"""Synthetic crystals whose target is a known function of the structure."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from skmatgnn.datasets._base import bunch_of_frame, object_series, require_number
from skmatgnn.datasets._descriptions import CRYSTALS
from skmatgnn.errors import InvalidTypeError, InvalidValueError
from skmatgnn.utils.validation import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skmatgnn._typing import Dataset, RandomState

__all__ = ["make_crystals"]

_CUTOFF = 6.0
_DECAY = 1.0
_SCALE = 10.0
_CHUNK = 32

_ELEMENTS = (
    *("Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl"),
    *("K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga"),
    *("Ge", "As", "Se", "Br", "Sr", "Y", "Zr", "Nb", "Mo", "Ag", "Cd", "In", "Sn"),
    *("Sb", "Te", "I", "Ba", "La", "Hf", "Ta", "W", "Pb", "Bi"),
)

_FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BCC = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))
_CUBIC = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_ORIGIN = (0.0, 0.0, 0.0)
_HALF = (0.5, 0.5, 0.5)
_QUARTER = (0.25, 0.25, 0.25)


class _Prototype(NamedTuple):
    """Primitive cell for a = 1, and which element sits where.

    ``slots`` has one entry per site of ``sites`` (fractional coordinates): the rank
    of its element, 0 being the least electronegative.
    """

    lattice: tuple[tuple[float, float, float], ...]
    sites: tuple[tuple[float, float, float], ...]
    slots: tuple[int, ...]


_PROTOTYPES = {
    "fcc": _Prototype(_FCC, (_ORIGIN,), (0,)),
    "bcc": _Prototype(_BCC, (_ORIGIN,), (0,)),
    "diamond": _Prototype(_FCC, (_ORIGIN, _QUARTER), (0, 0)),
    "rocksalt": _Prototype(_FCC, (_ORIGIN, _HALF), (0, 1)),
    "cscl": _Prototype(_CUBIC, (_ORIGIN, _HALF), (0, 1)),
    "zincblende": _Prototype(_FCC, (_ORIGIN, _QUARTER), (0, 1)),
    "fluorite": _Prototype(_FCC, (_ORIGIN, _QUARTER, (0.75, 0.75, 0.75)), (0, 1, 1)),
    "perovskite": _Prototype(
        _CUBIC,
        (_ORIGIN, _HALF, (0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)),
        (0, 1, 2, 2, 2),
    ),
}


def make_crystals(
    n_samples: int = 100,
    *,
    prototypes: Sequence[str] | None = None,
    elements: Sequence[str] | None = None,
    strain: float = 0.03,
    rattle: float = 0.05,
    noise: float = 0.0,
    random_state: RandomState = None,
    as_frame: bool = False,
    return_X_y: bool = False,
) -> Dataset:
    r"""Generate crystals with a target that depends on composition and geometry.

    Every crystal is a prototype lattice filled with distinct random elements, the more
    electropositive on the cation sites, scaled so that the tightest pair of atoms is
    as far apart as the sum of its atomic radii, then strained and rattled.

    Parameters
    ----------
    n_samples : int, default=100
        Number of crystals.
    prototypes : sequence of str or None, default=None
        Which lattices to draw from, any of "fcc", "bcc", "diamond", "rocksalt",
        "cscl", "zincblende", "fluorite" and "perovskite"; None for all.
    elements : sequence of str or None, default=None
        Symbols to draw from; None for 50 common elements.
    strain : float, default=0.03
        Components of the symmetric strain are uniform in ``[-strain, strain]``; at
        most 0.1.
    rattle : float, default=0.05
        Atoms move in a random direction by a length uniform in ``[0, rattle]``, Å; at
        most 0.3.
    noise : float, default=0.0
        Standard deviation of the Gaussian noise added to the target.
    random_state : int, RandomState instance or None, default=None
        Seed; an int makes the output reproducible.
    as_frame : bool, default=False
        Return pandas objects, and the whole table in ``frame``.
    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    Bunch
        ``data`` (object array of ``Structure``), ``target`` ((n_samples,) float64),
        ``target_names``, ``units``, ``groups`` (prototype), ``feature_names``,
        ``frame`` (None unless ``as_frame``), ``DESCR``. With ``return_X_y``, the
        tuple ``(data, target)``.

    Raises
    ------
    InvalidTypeError
        If a number is not a number, or a sequence of names is a bare string.
    InvalidValueError
        If a number is out of range, a prototype or element unknown, or there are
        fewer elements than a prototype needs.

    Notes
    -----
    The target of a crystal with N atoms is

    .. math:: y = \frac{1}{N} \sum_i \Big( \sum_{j: r_{ij} < R} 10 \,
              [1 + (\chi_i - \chi_j)^2] \, e^{-r_{ij} / 1\,Å} \,
              \tfrac{1}{2} [1 + \cos(\pi r_{ij} / R)] \Big)^{1/2}

    with Pauling's electronegativities and R = 6 Å, the form of a band energy in the
    second-moment approximation [1]_: periodic images are included, and every choice
    of the cell gives the same. Neither the composition nor the bare geometry
    determines it.

    References
    ----------
    .. [1] Finnis, M. W. & Sinclair, J. E. A simple empirical N-body potential for
       transition metals. Philosophical Magazine A 50, 45-55 (1984), equation 2.
       doi:10.1080/01418618408244210

    Examples
    --------
    >>> from skmatgnn.datasets import make_crystals
    >>> crystals = make_crystals(20, prototypes=["rocksalt", "cscl"], random_state=0)
    >>> len(crystals.data), crystals.target.shape, sorted(set(crystals.groups))
    (20, (20,), ['cscl', 'rocksalt'])
    """
    require_number(n_samples, name="n_samples", low=1, integer=True)
    require_number(strain, name="strain", low=0.0, high=0.1)
    require_number(rattle, name="rattle", low=0.0, high=0.3)
    require_number(noise, name="noise", low=0.0)
    names = _ensure_prototypes(prototypes)
    table = _ensure_elements(elements, names)
    rng = check_random_state(random_state)
    drawn = rng.randint(len(names), size=n_samples)
    structures = np.empty(n_samples, dtype=object)
    target = np.empty(n_samples)
    for index, name in enumerate(names):
        rows = np.flatnonzero(drawn == index)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            structures[part], target[part] = _crystals(
                _PROTOTYPES[name],
                len(part),
                table,
                strain=strain,
                rattle=rattle,
                rng=rng,
            )
    target += noise * rng.standard_normal(n_samples)
    return _bunch(structures, target, [names[i] for i in drawn], as_frame, return_X_y)


def _bunch(
    structures: np.ndarray,
    target: np.ndarray,
    groups: list[str],
    as_frame: bool,
    return_X_y: bool,
) -> Dataset:
    import pandas as pd

    frame = pd.DataFrame({"prototype": groups, "target": target})
    frame.insert(0, "structure", object_series(list(structures), "structure"))
    return bunch_of_frame(
        frame,
        data_column="structure",
        target_columns=["target"],
        groups=groups,
        descr=CRYSTALS,
        as_frame=as_frame,
        return_X_y=return_X_y,
        units={"target": "arbitrary"},
    )


class _ElementTable(NamedTuple):
    """Symbols by ascending electronegativity, with it and the radii in A."""

    symbols: np.ndarray
    electronegativity: np.ndarray
    radius: np.ndarray


def _ensure_names(values: Any, name: str) -> list[str]:
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise InvalidTypeError(
            f"{name} must be a sequence of strings or None; got {describe(values)}. "
            "Put a single one into a list."
        )
    names = list(values)
    for index, value in enumerate(names):
        if not isinstance(value, str):
            raise InvalidTypeError(
                f"{name} must contain strings; got {describe(value)} at index {index}."
            )
    if not names:
        raise InvalidValueError(f"{name} is empty; give at least one, or None for all.")
    return list(dict.fromkeys(names))


def _ensure_prototypes(prototypes: Any) -> list[str]:
    if prototypes is None:
        return list(_PROTOTYPES)
    names = _ensure_names(prototypes, "prototypes")
    unknown = [name for name in names if name not in _PROTOTYPES]
    if unknown:
        raise InvalidValueError(
            f"prototypes must be among {list(_PROTOTYPES)}; got {unknown}."
        )
    return names


def _ensure_elements(elements: Any, prototypes: list[str]) -> _ElementTable:
    symbols = _ELEMENTS if elements is None else _ensure_names(elements, "elements")
    table = _element_table(tuple(symbols))
    for name in prototypes:
        needed = max(_PROTOTYPES[name].slots) + 1
        if needed > len(table.symbols):
            raise InvalidValueError(
                f"The prototype {name!r} needs {needed} distinct elements; elements "
                f"has {len(table.symbols)}: {list(symbols)}."
            )
    return table


@lru_cache(maxsize=16)
def _element_table(symbols: tuple[str, ...]) -> _ElementTable:
    from pymatgen.core import Element

    rows = []
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise InvalidValueError(f"elements contains {symbol!r}, no element symbol.")
        data = Element(symbol).data
        chi, radius = (data.get(key, np.nan) for key in ("X", "Atomic radius"))
        if not (_is_positive(chi) and _is_positive(radius)):
            raise InvalidValueError(
                f"elements contains {symbol!r}, which has no tabulated "
                "electronegativity or atomic radius. Leave it out."
            )
        rows.append((float(chi), symbol, float(radius)))
    chi, names, radii = zip(*sorted(rows), strict=True)
    return _ElementTable(np.array(names), np.array(chi), np.array(radii))


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and bool(value > 0)


def _crystals(
    prototype: _Prototype,
    count: int,
    table: _ElementTable,
    *,
    strain: float,
    rattle: float,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw ``count`` crystals of one prototype, with their targets."""
    slots = np.array(prototype.slots)
    n_slots = slots.max() + 1
    ranks = np.argsort(rng.random_sample((count, len(table.symbols))), axis=1)
    chosen = np.sort(ranks[:, :n_slots], axis=1)[:, slots]
    cell = np.array(prototype.lattice)
    lattices = _lattice_parameters(prototype, table.radius[chosen])[:, None, None] * (
        cell @ (np.eye(3) + _strains(count, strain, rng))
    )
    positions = np.array(prototype.sites) @ lattices
    positions += _displacements(positions.shape[:2], rattle, rng)
    target = _evaluate(lattices, positions, table.electronegativity[chosen])
    return _structures(lattices, table.symbols[chosen], positions), target


def _structures(
    lattices: np.ndarray, species: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    from pymatgen.core import Element, Structure

    structures = np.empty(len(lattices), dtype=object)
    for index, lattice in enumerate(lattices):
        structures[index] = Structure(
            lattice,
            [Element(symbol) for symbol in species[index]],
            positions[index] @ np.linalg.inv(lattice),
        )
    return structures


def _strains(count: int, strain: float, rng: np.random.RandomState) -> np.ndarray:
    tensor = rng.uniform(-strain, strain, size=(count, 3, 3))
    upper = np.triu(tensor)
    return upper + np.swapaxes(np.triu(tensor, 1), 1, 2)


def _displacements(
    shape: tuple[int, ...], rattle: float, rng: np.random.RandomState
) -> np.ndarray:
    direction = rng.standard_normal((*shape, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    return rattle * rng.random_sample(shape)[..., None] * direction


def _lattice_parameters(prototype: _Prototype, radii: np.ndarray) -> np.ndarray:
    """Smallest lattice parameters, Å, at which no two spheres overlap."""
    cell, sites = np.array(prototype.lattice), np.array(prototype.sites)
    shifts = _grid((2, 2, 2)) @ cell
    offset = (sites @ cell)[None, :] - (sites @ cell)[:, None]
    distance = np.linalg.norm(offset[:, :, None] + shifts, axis=-1)
    shortest = np.where(distance > 1e-9, distance, np.inf).min(axis=-1)
    contact = radii[:, :, None] + radii[:, None, :]
    return (contact / shortest).max(axis=(1, 2))


def _grid(repeats: Sequence[int]) -> np.ndarray:
    return np.array(list(product(*(range(-n, n + 1) for n in repeats))), dtype=float)


def _evaluate(
    lattices: np.ndarray, positions: np.ndarray, chi: np.ndarray
) -> np.ndarray:
    """Evaluate the documented target of crystals that have the same number of atoms."""
    offset = positions[:, None, :, :] - positions[:, :, None, :]
    # The cell reaches 1 / |b_k| between its faces; atoms may sit one offset apart.
    height = 1.0 / np.linalg.norm(np.linalg.inv(lattices), axis=1)
    spread = np.abs(offset @ np.linalg.inv(lattices)[:, None]).max(axis=(0, 1, 2))
    repeats = np.ceil(_CUTOFF / height.min(axis=0) + spread).astype(int)
    shifts = _grid(repeats) @ lattices
    vectors = offset[:, :, :, None, :] + shifts[:, None, None]
    squared = np.einsum("...k,...k->...", vectors, vectors)
    near = (squared < _CUTOFF**2) & (squared > 1e-12)
    sample, i, j, _ = np.nonzero(near)
    r = np.sqrt(squared[near])
    term = _SCALE * (1.0 + (chi[sample, i] - chi[sample, j]) ** 2)
    term *= np.exp(-r / _DECAY) * 0.5 * (1.0 + np.cos(np.pi * r / _CUTOFF))
    n_samples, n_atoms = chi.shape
    density = np.bincount(
        sample * n_atoms + i, weights=term, minlength=n_samples * n_atoms
    )
    return np.sqrt(density).reshape(n_samples, n_atoms).mean(axis=1)
