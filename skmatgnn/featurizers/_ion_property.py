"""Ionic character of a composition, and whether its charges can balance."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from skmatgnn.featurizers._matminer_sets import distinct_compositions
from skmatgnn.utils.elements import ELEMENT_SYMBOLS, N_ELEMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skmatgnn._typing import FloatArray
    from skmatgnn.preprocessing._formula import PackedCompositions

__all__ = ["charges_can_balance", "ion_property"]

_MAX_MULTIPLE = 100  # Fe0.12Ni0.88 is read as Fe3Ni22
_MAX_ATOMS = 4000  # the search over whole atoms grows with their square
_TOLERANCE = 1e-8


def ion_property(
    packed: PackedCompositions, *, impute_nan: bool, mixed_valence: bool
) -> FloatArray:
    """Compute the three features of matminer's IonProperty.

    Parameters
    ----------
    packed : PackedCompositions
    impute_nan : bool
        Replace unknown electronegativities by the mean over the elements.
    mixed_valence : bool
        Whether the atoms of an element may differ in oxidation state.

    Returns
    -------
    ndarray of shape (n, 3)
        Whether charges can balance (0 or 1), largest and average ionic character.

    References
    ----------
    .. [1] L. Ward, A. Agrawal, A. Choudhary, C. Wolverton, npj Comput. Mater. 2,
       16028 (2016), "ionic compound attributes".
    """
    out = np.empty((len(packed), 3))
    out[:, 0] = _possible(packed, mixed_valence=mixed_valence)
    out[:, 1:] = _ionic_character(packed, _electronegativity(impute_nan=impute_nan))
    return out


def charges_can_balance(
    numbers: Sequence[int], amounts: Sequence[float], *, mixed_valence: bool
) -> bool:
    """Decide whether common oxidation states can sum to zero.

    Parameters
    ----------
    numbers : sequence of int
        Atomic numbers, each once.
    amounts : sequence of float
        Amount of each element; multiples of a composition are the same to it.
    mixed_valence : bool
        Whether the atoms of an element may differ in oxidation state, as in Fe3O4.

    Returns
    -------
    bool

    Notes
    -----
    Whole numbers of atoms are decided exactly: the reachable sums of charge are the
    bits of one integer, which every atom shifts by each of its states. Amounts that
    are no multiple of a formula with small whole numbers, and more than 4,000 atoms
    with mixed valence, are decided by the range of the average states.
    """
    if len(numbers) < 2:
        return True
    states = [_oxidation_states(mixed_valence=mixed_valence)[z] for z in numbers]
    if not all(states):
        return False
    whole = _whole_amounts(amounts)
    if not mixed_valence:
        if whole is None:
            return _single_valence_of_fractions(states, amounts)
        return _single_valence(states, whole)
    if whole is None or sum(whole) > _MAX_ATOMS:
        low = sum(n * min(s) for n, s in zip(amounts, states, strict=True))
        high = sum(n * max(s) for n, s in zip(amounts, states, strict=True))
        return low <= _TOLERANCE and high >= -_TOLERANCE
    return _any_valence(states, whole)


def _possible(packed: PackedCompositions, *, mixed_valence: bool) -> FloatArray:
    first, inverse = distinct_compositions(packed)
    answers = []
    for row in first:
        entries = slice(packed.row_ptr[row], packed.row_ptr[row + 1])
        numbers, amounts = packed.atomic_numbers[entries], packed.amounts[entries]
        answers.append(
            charges_can_balance(
                numbers.tolist(), amounts.tolist(), mixed_valence=mixed_valence
            )
        )
    return np.asarray(answers, dtype=np.float64)[inverse]


def _ionic_character(packed: PackedCompositions, table: FloatArray) -> FloatArray:
    """Largest and average ionic character over the pairs of elements."""
    rows, fractions = packed.rows, packed.fractions
    values = table[packed.atomic_numbers]
    largest, average = np.zeros(len(packed)), np.zeros(len(packed))
    for offset in range(1, packed.counts.max()):
        first = np.flatnonzero(rows[offset:] == rows[:-offset])
        second = first + offset
        character = -np.expm1(-0.25 * (values[first] - values[second]) ** 2)
        with np.errstate(invalid="ignore"):  # NaN is meant to win
            np.maximum.at(largest, rows[first], character)
        weights = fractions[first] * fractions[second] * character
        average += np.bincount(rows[first], weights, minlength=len(packed))
    return np.stack([largest, average], axis=1)


def _whole_amounts(amounts: Sequence[float]) -> list[int] | None:
    """Smallest whole numbers in the same proportion, or None."""
    values = np.asarray(amounts, dtype=np.float64)
    for multiple in range(1, _MAX_MULTIPLE + 1):
        scaled = values * multiple
        nearest = np.rint(scaled)
        if (np.abs(scaled - nearest) < _TOLERANCE * multiple).all() and nearest.all():
            whole = [int(n) for n in nearest]
            divisor = math.gcd(*whole)
            return [n // divisor for n in whole]
    return None


def _single_valence(states: list[tuple[int, ...]], amounts: list[int]) -> bool:
    """Reachable sums when all atoms of an element have one state."""
    lowest = [min(s) for s in states]
    target = -sum(n * low for n, low in zip(amounts, lowest, strict=True))
    if target < 0:
        return False
    sums = 1
    for options, n, low in zip(states, amounts, lowest, strict=True):
        shifted = 0
        for state in options:
            shifted |= sums << n * (state - low)
        sums = shifted
    return bool(sums >> target & 1)


def _any_valence(states: list[tuple[int, ...]], amounts: list[int]) -> bool:
    """Reachable sums when each atom has a state of its own."""
    lowest = [min(s) for s in states]
    target = -sum(n * low for n, low in zip(amounts, lowest, strict=True))
    highest = sum(
        n * (max(s) - low) for s, n, low in zip(states, amounts, lowest, strict=True)
    )
    if not 0 <= target <= highest:
        return False
    below = (2 << target) - 1
    sums = 1
    for options, n, low in zip(states, amounts, lowest, strict=True):
        steps = [state - low for state in options if state != low]
        for _ in range(n if steps else 0):
            sums = (sums | _shifted(sums, steps)) & below
    return bool(sums >> target & 1)


def _shifted(sums: int, steps: list[int]) -> int:
    out = 0
    for step in steps:
        out |= sums << step
    return out


def _single_valence_of_fractions(
    states: list[tuple[int, ...]], amounts: Sequence[float]
) -> bool:
    sums = np.zeros(1)
    rest_low = sum(n * min(s) for n, s in zip(amounts, states, strict=True))
    rest_high = sum(n * max(s) for n, s in zip(amounts, states, strict=True))
    for options, n in zip(states, amounts, strict=True):
        rest_low -= n * min(options)
        rest_high -= n * max(options)
        sums = np.add.outer(sums, n * np.asarray(options, dtype=np.float64)).ravel()
        # Only sums that the other elements can still bring to zero are kept.
        sums = sums[(sums + rest_low <= 1e-6) & (sums + rest_high >= -1e-6)]
    return bool((np.abs(sums) <= _TOLERANCE).any())


@lru_cache(maxsize=2)
def _oxidation_states(*, mixed_valence: bool) -> tuple[tuple[int, ...], ...]:
    """Give the common states by atomic number, as matminer looks them up."""
    from pymatgen.core import Element

    states: list[tuple[int, ...]] = [()]
    for symbol in ELEMENT_SYMBOLS[1:]:
        element = Element(symbol)
        common = element.common_oxidation_states
        if mixed_valence and not common:
            common = element.icsd_oxidation_states
        states.append(tuple(int(state) for state in common))
    return tuple(states)


@lru_cache(maxsize=2)
def _electronegativity(*, impute_nan: bool) -> FloatArray:
    """Pauling electronegativity by atomic number."""
    from pymatgen.core import Element

    table = np.full(N_ELEMENTS + 1, np.nan)
    # not Element.X, which warns where there is none
    known = {element.Z: element.data.get("X") or np.nan for element in Element}
    everything = np.array(list(known.values()), dtype=float)
    table[1:] = [known[z] for z in range(1, N_ELEMENTS + 1)]
    if impute_nan:
        table = np.where(np.isnan(table), np.nanmean(everything), table)
    table.flags.writeable = False
    return table
